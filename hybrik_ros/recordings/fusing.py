"""Fuse the people that several cameras of a recording see, and write them into a bag."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybrik_ros import __version__
from hybrik_ros.arrays import Array
from hybrik_ros.bags import (
    BagWriter,
    create_message_maker,
    create_observation_maker,
    serialise,
    typestore,
)
from hybrik_ros.bags.observation_reader import ObservedFrame, read_observations
from hybrik_ros.bags.reader import files_of
from hybrik_ros.body import BodyModel
from hybrik_ros.fusion import Fusion, View
from hybrik_ros.fusion.extrinsics import CameraPose
from hybrik_ros.fusion.times import MAX_GAP
from hybrik_ros.human import Human, HumanObservation
from hybrik_ros.messages.fields import stamp_fields
from hybrik_ros.messages.frame_tree import TransformError
from hybrik_ros.messages.observations import HUMAN_OBSERVATION_ARRAY
from hybrik_ros.recordings.camera_poses import REMEDY, find_poses
from hybrik_ros.recordings.cameras import check_frames
from hybrik_ros.recordings.process import (
    HUMAN_OBSERVATIONS,
    HUMAN_POSE,
    HUMAN_POSES,
    TF_TOPIC,
    TOPICS,
    Job,
    Outcome,
    as_json,
    check_recipe,
    locked,
    recipe_of,
    replaced,
)
from hybrik_ros.recordings.recording import RecordingError, fingerprint
from hybrik_ros.recordings.report import RecordingReport
from hybrik_ros.recordings.sources import open_source
from hybrik_ros.settings import Settings

_SECOND = 1e9  # nanoseconds
_MAX_GAP = int(MAX_GAP * _SECOND)
# Minimum time from an image to those of the camera with the most images, in its usual steps, that
# makes it a time of the fusion: that camera lacks an image.
_MIN_AWAY = 0.75


@dataclass(frozen=True)
class FusedCamera:
    """Where the people are that a camera sees.

    Attributes
    ----------
    recording : Path
        The recording of the camera.
    topic : str
        Topic of the people in the recording; empty to find them in the images.
    job : Job, optional
        What finds them in the images.
    frame_id : str
        Optical frame of the images; empty for that of the messages.
    """

    recording: Path
    topic: str = ''
    job: Job | None = None
    frame_id: str = ''

    def read(self) -> tuple[list[ObservedFrame], list[str]]:
        """Return the people in each image, and lines about what is left out."""
        path, topic = self.recording, self.topic
        if self.job is not None:
            path, topic = self.job.output, HUMAN_OBSERVATIONS
        frames, left_out = read_observations(path, topic)
        return frames, list(left_out.report())

    def recipe(self) -> dict[str, Any]:
        """Return all that determines the people."""
        if self.job is None:
            content = fingerprint(files_of(self.recording))
            return {'path': self.recording.name, 'topic': self.topic, 'content': content}
        with open_source(self.job.recording) as source:
            return dict(recipe_of(self.job, source)['recording'])


@dataclass(frozen=True)
class FusionJob:
    """Cameras to fuse.

    Attributes
    ----------
    cameras : dict
        The cameras by name.
    output : Path
        Folder of the bag to write.
    fixed_frame : str
        Frame of the fused people.
    extrinsics : dict
        Pose of each camera; empty if TF in the recording has them.
    settings : dict
        Fields of Settings by name.
    """

    cameras: dict[str, FusedCamera]
    output: Path
    fixed_frame: str
    extrinsics: dict[str, CameraPose] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """All that determines the content of the bag, without the models."""
        poses = {
            name: [*pose.frame_from_camera.ravel().tolist(), pose.clock_offset]
            for name, pose in self.extrinsics.items()
        }
        return as_json(
            {
                'version': __version__,
                'recording': {name: camera.recipe() for name, camera in self.cameras.items()},
                'settings': vars(Settings(**self.settings)),
                'fusion': {'fixed_frame': self.fixed_frame, 'extrinsics': poses},
            }
        )


class _Image(NamedTuple):
    """An image of a camera: its stamp by the clock of all in nanoseconds, where the camera was."""

    stamp: int
    frame_from_camera: Array
    seen: ObservedFrame


_Streams = dict[str, list[_Image]]


def fuse_cameras(
    job: FusionJob,
    stopped: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda done, length: None,
) -> Outcome:
    """Fuse the people that cameras see, and write the bag.

    What each camera sees is interpolated to the stamps of the camera with the most images, and
    to those of others where that one lacks images. Two runs give identical messages.

    Parameters
    ----------
    job : FusionJob
        The job; the people of all cameras must be found already.
    stopped : callable
        Called before each time. When it returns True, no bag is written.
    progress : callable
        Called after each time with the number of times done and their total.

    Raises
    ------
    RecordingError, BagError
        The people cannot be read or belong to another body, TF does not tell where a camera is,
        cameras do not overlap in time, or the output is no bag of this job.
    OSError
        The bag cannot be written.
    """
    started = time.perf_counter()
    with locked(job.output):
        report = read_report(job)
        if report.complete:
            return Outcome(report)
        body = BodyModel.load(job.settings.get('body_model') or None)
        streams = {
            name: _read_stream(name, camera, job, body.name, report)
            for name, camera in job.cameras.items()
        }
        _check_cameras(job, streams)
        with replaced(job.output) as folder:
            with BagWriter(folder) as bag:
                _write(bag, streams, job, body, report, stopped, progress)
            if report.complete:
                report.write(folder)
    return Outcome(report, report.frames, time.perf_counter() - started)


def read_report(job: FusionJob) -> RecordingReport:
    """Return the report of the output, or the first one of a new output.

    Raises
    ------
    RecordingError
        The output exists and is none of this job.
    """
    report = RecordingReport.read(job.output)
    if report is None:
        return RecordingReport(job.recipe | {'models': {}})
    check_recipe(job.output, report.recipe, job.recipe)
    return report


def choose_times(stamps: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return the times at which cameras are fused.

    Parameters
    ----------
    stamps : sequence of ndarray
        Stamps of each camera's images in nanoseconds, in ascending order.

    Returns
    -------
    ndarray
        The stamps of the camera with the most images, with those of others where it lacks images.
    """
    first, *others = sorted(stamps, key=len, reverse=True)
    step = np.median(np.diff(first)) if len(first) > 1 else 0.0
    times = first
    for other in others:
        after = np.searchsorted(times, other)
        before = np.abs(other - times[np.maximum(after - 1, 0)])
        away = np.minimum(before, np.abs(other - times[np.minimum(after, len(times) - 1)]))
        times = np.union1d(times, other[away >= _MIN_AWAY * step])
    return times


def _read_stream(
    name: str, camera: FusedCamera, job: FusionJob, body: str, report: RecordingReport
) -> list[_Image]:
    """Return the images of a camera for which its pose is known, in order of time."""
    if camera.job is not None:
        _add_report(name, camera.job, report)
    frames, left_out = camera.read()
    for line in left_out:
        report.add_note(f'camera {name}: left out: {line}')
    for other in {frame.body_model for frame in frames} - {'', body}:
        raise RecordingError(
            f'the people of camera {name} have the body {other!r}, those of the fusion {body!r}: '
            f'set -p body_model:=FILE to the same file'
        )
    if not frames:
        raise RecordingError(f'{camera.recording} has no usable image or message of camera {name}')
    if job.extrinsics:
        transform, offset = job.extrinsics[name]
        late = round(offset * _SECOND)
        return [_Image(frame.stamp + late, transform, frame) for frame in frames]
    found = []
    reason = ''
    poses = find_poses(camera.recording, job.fixed_frame, frames)
    for frame, pose in zip(frames, poses, strict=True):
        if isinstance(pose, TransformError):
            reason = str(pose)
            report.add_fault(f'image of camera {name} without TF', reason)
        else:
            found.append(_Image(frame.stamp, pose, frame))
    if not found:
        raise RecordingError(
            f'camera {name} has no TF at the time of any image: {reason}: {REMEDY}'
        )
    return found


def _add_report(name: str, job: Job, report: RecordingReport) -> None:
    """Add what is known about the images of a camera to the report of the fusion."""
    own = RecordingReport.read(job.output)
    assert own is not None
    report.recipe['models'] = own.recipe['models']
    for note in own.notes:
        report.add_note(f'camera {name}: {note}')
    for kind, times in {**own.damage, **own.faults}.items():
        report.faults[f'{kind} of camera {name}'] = times
        if kind in own.reasons:
            report.reasons[f'{kind} of camera {name}'] = own.reasons[kind]


def _check_cameras(job: FusionJob, streams: _Streams) -> None:
    """Raise a RecordingError if cameras share a frame, or one shares no time with any other."""
    frame_ids = {name: images[0].seen.frame_id for name, images in streams.items()}
    for name, frame in frame_ids.items():
        if frame == job.fixed_frame:
            raise RecordingError(
                f'the people of {name} are in {frame!r}, fused already: choose the topics of the '
                f'cameras with --people-topic'
            )
    if not job.extrinsics:
        check_frames(frame_ids)
    spans = {name: (images[0].stamp, images[-1].stamp) for name, images in streams.items()}
    for name, (first, last) in spans.items():
        others = [span for other, span in spans.items() if other != name]
        if others and not any(start <= last and first <= end for start, end in others):
            told = ', '.join(
                f'{each} {start / _SECOND:.2f} to {end / _SECOND:.2f} s'
                for each, (start, end) in spans.items()
            )
            raise RecordingError(
                f'camera {name} has no time in common with the others: the stamps of {told}. '
                f'Synchronise the clocks, or leave it out; hybrik calibrate finds offsets of up to '
                f'10 s between files, for --clock-offsets'
            )


def _write(
    bag: BagWriter,
    streams: _Streams,
    job: FusionJob,
    body: BodyModel,
    report: RecordingReport,
    stopped: Callable[[], bool],
    progress: Callable[[int, int], None],
) -> None:
    """Write what the cameras see and the fused people; update the report."""
    writer = _FusionWriter(bag, job, body.name)
    fusion = Fusion(body, **job.settings)
    received = {image.stamp: image.seen.received for images in streams.values() for image in images}
    times = choose_times([np.array([i.stamp for i in images]) for images in streams.values()])
    report.first, report.last = int(times[0]), int(times[-1])
    moments = _add_images(streams, times.tolist(), fusion, writer)
    for number, moment in enumerate(moments, 1):
        if stopped():
            return
        humans = fusion({}, moment / _SECOND)
        writer.write_people(humans, moment, received[moment])
        report.frames += 1
        report.add_people(human.id for human in humans)
        progress(number, len(times))
    report.images = sum(map(len, streams.values()))
    report.found = {}
    report.complete = True


def _add_images(
    streams: _Streams, times: list[int], fusion: Fusion, writer: '_FusionWriter'
) -> Iterator[int]:
    """Yield each time once the fusion has all images that are needed to interpolate to it."""
    waiting = {name: deque(images) for name, images in streams.items()}
    newest = dict.fromkeys(streams, -1)
    for moment in times:
        for name, images in waiting.items():
            while images and newest[name] < moment and images[0].stamp <= moment + _MAX_GAP:
                stamp, pose, seen = images.popleft()
                newest[name] = stamp
                fusion.add({name: View(stamp / _SECOND, pose, seen.people)})
                writer.write_observations(name, seen)
        yield moment


class _FusionWriter:
    """Writes the messages of a fusion into a bag."""

    def __init__(self, bag: BagWriter, job: FusionJob, body_model: str) -> None:
        self._bag, self._job, self._body_model = bag, job, body_model
        self._maker = create_message_maker()
        self._observation_maker = create_observation_maker()
        for topic, type_name in TOPICS.items():
            if topic != HUMAN_OBSERVATIONS:
                bag.add_topic(topic, type_name)
        for name in job.cameras:
            bag.add_topic(f'/{name}{HUMAN_OBSERVATIONS}', HUMAN_OBSERVATION_ARRAY)

    def write_people(self, humans: Sequence[Human], stamp: int, received: int) -> None:
        """Write the people at a time."""
        header = _header(stamp, self._job.fixed_frame)
        meshes = [self._maker.human_mesh(each, header, self._body_model, False) for each in humans]
        for mesh in meshes:
            self._bag.write(HUMAN_POSE, received, serialise(mesh))
        self._bag.write(HUMAN_POSES, received, serialise(self._maker.array(meshes, header)))
        if humans:
            self._bag.write(TF_TOPIC, received, serialise(self._maker.tf(humans, header)))

    def write_observations(self, name: str, seen: ObservedFrame) -> None:
        """Write what a camera sees, unless it is whole bodies."""
        people = [each for each in seen.people if isinstance(each, HumanObservation)]
        if len(people) < len(seen.people):
            return
        header = _header(seen.stamp, self._job.cameras[name].frame_id or seen.frame_id)
        array = self._observation_maker.array(people, header, seen.body_model)
        self._bag.write(f'/{name}{HUMAN_OBSERVATIONS}', seen.received, serialise(array))


def _header(stamp: int, frame_id: str) -> Any:
    types = typestore().types
    time = types['builtin_interfaces/msg/Time'](**stamp_fields(stamp))
    return types['std_msgs/msg/Header'](stamp=time, frame_id=frame_id)
