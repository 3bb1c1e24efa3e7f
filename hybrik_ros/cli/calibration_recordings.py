"""The recordings of `hybrik calibrate`, and what cameras see in them."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from rich.progress import Progress, TextColumn

from hybrik_ros.bags import BagReader
from hybrik_ros.body import BodyModel
from hybrik_ros.cli.calibration import CalibrationViews
from hybrik_ros.cli.fused_bag import named_recordings
from hybrik_ros.cli.progress import UNKNOWN, Bar, Count, TimeRemaining
from hybrik_ros.cli.terminal import Terminal
from hybrik_ros.fusion.extrinsics import MAX_OFFSET, CameraPose, shared_seconds
from hybrik_ros.pipeline import Pipeline
from hybrik_ros.recordings.camera_poses import read_frames
from hybrik_ros.recordings.cameras import find_optical_frames, name_camera
from hybrik_ros.recordings.observing import Observed, observe_people
from hybrik_ros.recordings.recording import Recording, RecordingError, is_bag
from hybrik_ros.recordings.sources import colour_topics

# Maximum clock offset of files in seconds: cameras that are started one after the other.
_MAX_FILE_OFFSET = 10.0


class RecordedCameras:
    """The recordings of cameras.

    Parameters
    ----------
    args : Namespace
        Arguments of the command.

    Attributes
    ----------
    known : dict
        The poses of cameras that TF of the bag has, by name.

    Raises
    ------
    RecordingError, BagError, MediaError, OSError
        A recording cannot be read.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self._recordings = _recordings(args)
        self._is_one_bag = len(args.input) == 1
        self._frame_ids = find_optical_frames(self._recordings)
        self.known: dict[str, CameraPose] = {}
        if self._is_one_bag:
            poses = read_frames(Path(args.input[0])).poses_of(self._frame_ids)
            self.known = {name: CameraPose(pose, 0.0) for name, pose in poses.items()}

    def observe(
        self, settings: dict[str, object], console: Terminal
    ) -> tuple[CalibrationViews, BodyModel]:
        """Return what each camera sees, and the body of the people."""
        max_offset = MAX_OFFSET if self._is_one_bag else _MAX_FILE_OFFSET
        observed, body = _observe(self._recordings, settings, max_offset, console)
        streams = {name: one.stream for name, one in observed.items()}
        return CalibrationViews(streams, self._frame_ids, max_offset), body


def _recordings(args: argparse.Namespace) -> dict[str, Recording]:
    """Return the recording of each camera, by its name."""
    options = {
        'field_of_view': args.field_of_view,
        'intrinsics': args.intrinsics,
    }
    if len(args.input) == 1:
        path = Path(args.input[0])
        if not is_bag(path):
            raise RecordingError(
                f'{path} is no bag: give NAME=PATH for the video or folder of each camera'
            )
        with BagReader(path) as reader:
            topics = list(colour_topics(reader.topics))
        if len(topics) < 2:
            raise RecordingError(
                f'{path} has fewer than two topics of colour images ({", ".join(topics) or "none"})'
            )
        return {name_camera(topic): Recording(path, topic, **options) for topic in topics}
    return named_recordings(args.input, args.rate, **options)


def _observe(
    recordings: Mapping[str, Recording],
    settings: dict[str, object],
    max_offset: float,
    console: Terminal,
) -> tuple[dict[str, Observed], BodyModel]:
    """Return what each camera observes; tell how long it shares people with those before."""
    observed: dict[str, Observed] = {}
    with console.status('Loading networks and solver ...'):
        pipeline = Pipeline.create(**settings)  # type: ignore[arg-type]
    with pipeline, _progress(console) as progress:
        for name, recording in recordings.items():
            task = progress.add_task(name, total=UNKNOWN)

            def show(done: int, length: int, task=task) -> None:  # type: ignore[no-untyped-def]
                progress.update(task, completed=done, total=length)

            observed[name] = observe_people(recording, pipeline, show)
            for note in observed[name].notes:
                console.print(f'{name}: {note}', soft_wrap=True)
            for other, seen in list(observed.items())[:-1]:
                seconds = shared_seconds(seen.stream, observed[name].stream, max_offset)
                console.print(f'cameras {other} and {name} have shared {seconds:.1f} s')
        return observed, pipeline.body


def _progress(console: Terminal) -> Progress:
    return Progress(
        TextColumn('{task.description}', markup=False),
        Bar(),
        Count(),
        TimeRemaining(),
        console=console,
    )
