"""The recordings of `hybrik calibrate`, and what cameras see in them."""

import argparse
import re
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from rich.progress import Progress, TextColumn

from hybrik_ros.bags import BagReader
from hybrik_ros.bags.transforms import read_transforms
from hybrik_ros.body import BodyModel
from hybrik_ros.cli.calibration import CalibrationViews, refuse_shared_frames
from hybrik_ros.cli.progress import UNKNOWN, Bar, Count, TimeRemaining
from hybrik_ros.cli.terminal import Terminal
from hybrik_ros.fusion.extrinsics import MAX_OFFSET, CameraPose, shared_seconds
from hybrik_ros.pipeline import Pipeline
from hybrik_ros.recordings.observing import Observed, observe_people
from hybrik_ros.recordings.prefetch import read_ahead
from hybrik_ros.recordings.recording import Recording, RecordingError, is_bag
from hybrik_ros.recordings.sources import colour_topics, open_source

# Maximum clock offset of files in seconds: cameras that are started one after the other.
_MAX_FILE_OFFSET = 10.0
_NAMED = re.compile(r'(?P<name>[A-Za-z]\w*)=(?P<path>.+)')
_IMAGE_NAMES = re.compile(r'/?(image\w*|compressed)$')


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
        frames = {name: _frame_of(name, one) for name, one in self._recordings.items()}
        self._frame_ids = {
            name: frame if self._is_one_bag and frame else f'{name}_optical_frame'
            for name, frame in frames.items()
        }
        refuse_shared_frames(self._frame_ids)
        self.known: dict[str, CameraPose] = {}
        if self._is_one_bag:
            poses = read_transforms(Path(args.input[0])).poses_of(self._frame_ids)
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
        return {_name_of(topic): Recording(path, topic, **options) for topic in topics}
    found: dict[str, Recording] = {}
    for text in args.input:
        match = _NAMED.fullmatch(text)
        if match is None:
            raise RecordingError(f'{text} has no name: give NAME=PATH for each camera')
        if match['name'] in found:
            raise RecordingError(f'two cameras have the name {match["name"]}')
        path = Path(match['path'])
        is_folder = path.is_dir() and not is_bag(path)
        found[match['name']] = Recording(path, rate=args.rate if is_folder else 0.0, **options)
    return found


def _name_of(topic: str) -> str:
    """Return the name of a camera by the topic of its images: its namespace."""
    name = topic
    while _IMAGE_NAMES.search(name):
        name = _IMAGE_NAMES.sub('', name)
    return name.strip('/') or topic.strip('/')


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


def _frame_of(name: str, recording: Recording) -> str:
    """Return the optical frame of the first image; files have none."""
    with open_source(recording) as source, closing(read_ahead(source.steps())) as steps:
        for step in steps:
            if step.picture is not None:
                return str(step.picture.header.frame_id)
    raise RecordingError(f'{recording.path} has no usable image of camera {name}')
