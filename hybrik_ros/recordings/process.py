"""One recording, or a part of it, through the pipeline and into a bag."""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from hybrik_ros import __version__
from hybrik_ros.bags import BagReader, BagWriter, make, serialise
from hybrik_ros.messages.fields import REORDERED_SECONDS, nanoseconds
from hybrik_ros.messages.people import HUMAN_MESH, HUMAN_MESH_ARRAY, TF
from hybrik_ros.pipeline import Pipeline
from hybrik_ros.recordings.prefetch import read_ahead
from hybrik_ros.recordings.recording import Recording, RecordingError, fingerprint
from hybrik_ros.recordings.report import RecordingReport
from hybrik_ros.recordings.sources import Picture, PictureSource, open_source
from hybrik_ros.settings import Settings
from hybrik_ros.writing import writing

HUMAN_POSE, HUMAN_POSES, TF_TOPIC = '/human_pose', '/human_poses', '/tf'
TOPICS = {HUMAN_POSE: HUMAN_MESH, HUMAN_POSES: HUMAN_MESH_ARRAY, TF_TOPIC: TF}

_NO_FRAME = 'no frame_id'


@dataclass(frozen=True)
class Job:
    """What is to be done, for whichever process does it.

    Attributes
    ----------
    recording: to be read.
    output: the bag's folder.
    settings: fields of the pipeline's Settings, by name.
    """

    recording: Recording
    output: Path
    settings: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Attributes
    ----------
    report: that was written beside the messages.
    frames: images that were processed this time.
    seconds: that this took, from the first to the last.
    pipeline_seconds: what the pipeline took of it.
    """

    report: RecordingReport
    frames: int = 0
    seconds: float = 0.0
    pipeline_seconds: float = 0.0


class Numbers:
    """The numbers of ids, from 1 on; they can begin anew."""

    def __init__(self) -> None:
        self.used = 0

    def __iter__(self) -> 'Numbers':
        return self

    def __next__(self) -> int:
        self.used += 1
        return self.used


class Processor:
    """A pipeline, loaded once, for one recording after the other; a context manager.

    Two runs of the same recording give the same messages, to the bit, on one machine with
    onnxruntime as the backend: the networks run on one thread unless the settings say otherwise,
    and nothing is dropped. Other processors, threads and backends round otherwise.

    Parameters
    ----------
    settings: fields of the pipeline's Settings, by name.

    Raises
    ------
    FileNotFoundError, RuntimeError, ValueError: see Pipeline.create.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._numbers = Numbers()
        self._pipeline = Pipeline.create(ids=self._numbers, **settings)
        self._make = make()

    def __enter__(self) -> 'Processor':
        return self

    def __exit__(self, *_: object) -> None:
        self._pipeline.close()

    def process(
        self,
        job: Job,
        stopped: Callable[[], bool] = lambda: False,
        progress: Callable[[int, int], None] = lambda done, length: None,
    ) -> Outcome:
        """Do a job, or go on with it where a bag of a part of it is there.

        The bag is written beside the output and takes its place when it is whole. So there is
        a valid bag or none at the output, whatever happens meanwhile.

        Parameters
        ----------
        job: of the settings of this processor.
        stopped: asked before each step; once true, the bag is closed and can be gone on with.
        progress: told how many images are done this time, of how many.

        Raises
        ------
        RecordingError, BagError, CalibrationError: the recording cannot be read, the output is
            something else, was made in another way, or is being written by another process.
        OSError: the bag cannot be written.
        """
        with locked(job.output), open_source(job.recording) as source:
            recipe = recipe_of(job, source) | as_json({'models': self._pipeline.facts})
            report = RecordingReport.read(job.output) or RecordingReport(recipe)
            check_recipe(job.output, report.recipe, recipe)
            if report.complete:
                return Outcome(report)
            self._pipeline.reset()
            if report.state is not None:
                self._pipeline.restore(report.state)
            else:  # Also where it holds the first parts of a long bag, which lie elsewhere.
                report = RecordingReport(recipe)
            self._numbers.used = report.ids
            with replaced(job.output) as folder:
                outcome = self._run(folder, job, source, report, stopped, progress)
                if report.frames or job.recording.is_part:
                    report.write(folder)
                elif report.complete:
                    raise nothing_in(job, report)
            return outcome

    def _run(
        self,
        folder: Path,
        job: Job,
        source: PictureSource,
        report: RecordingReport,
        stopped: Callable[[], bool],
        progress: Callable[[int, int], None],
    ) -> Outcome:
        """Write the bag into a folder, and bring the report up to date."""
        spent, frames, images = 0.0, report.frames, report.images
        started = time.perf_counter()
        with BagWriter(folder) as bag:
            _add_topics(bag, source)
            if report.steps:
                _copy(job.output, bag)
            with closing(read_ahead(source.steps(report.steps))) as steps:
                for step in steps:
                    if stopped():
                        break
                    if step.message is not None:
                        bag.write(*step.message)
                    if step.picture is not None:
                        spent += self._take(step.picture, bag, report)
                    if step.fault is not None:
                        report.fault(*step.fault)
                    report.steps += 1
                    report.images += step.is_image
                    progress(report.images - images, max(0, source.length - images))
                else:
                    report.complete = True
        seconds = time.perf_counter() - started
        report.damage = dict(source.faults)
        report.notes += [note for note in source.notes if note not in report.notes]
        report.ids, report.has_tracks = self._numbers.used, self._pipeline.has_tracks
        report.state = None if report.complete else self._pipeline.state()
        return Outcome(report, report.frames - frames, seconds, spent)

    def _take(self, picture: Picture, bag: BagWriter, report: RecordingReport) -> float:
        """Process an image and write who is in it; return the seconds that the pipeline took."""
        stamp = nanoseconds(picture.header)
        if report.last is not None and 0 <= report.last - stamp <= REORDERED_SECONDS * 1e9:
            report.fault('order', 'an image is not newer than the one before it')
            return 0.0
        report.first = stamp if report.first is None else report.first
        report.last = stamp
        started = time.perf_counter()
        humans = self._pipeline(picture.rgb, picture.camera, stamp * 1e-9)
        spent = time.perf_counter() - started
        name = self._pipeline.body.name
        meshes = [self._make.human_mesh(human, picture.header, name, False) for human in humans]
        for mesh in meshes:
            bag.write(HUMAN_POSE, picture.time, serialise(mesh))
        array = self._make.array(meshes, picture.header)
        bag.write(HUMAN_POSES, picture.time, serialise(array))
        if humans and not picture.header.frame_id:
            report.fault(_NO_FRAME, 'the images have no frame_id: what they show has no TF')
        elif humans:
            frames = self._make.tf(humans, picture.header)
            bag.write(TF_TOPIC, picture.time, serialise(frames))
        report.frames += 1
        report.people += len(humans)
        return spent


def recipe_of(job: Job, source: PictureSource) -> dict[str, Any]:
    """Return all that decides what will be in a bag, but for the models."""
    calibrations = [*job.recording.calibrations]
    if source.calibration_file is not None:
        calibrations.append(source.calibration_file.read_bytes())
    recording = asdict(job.recording) | {
        'path': job.recording.path.name,
        'calibrations': [sha256(data).hexdigest() for data in calibrations],
        'calibration': '',
        'content': fingerprint(source.files),
    }
    settings = vars(Settings(**job.settings))
    return as_json({'version': __version__, 'recording': recording, 'settings': settings})


def as_json(content: dict[str, Any]) -> dict[str, Any]:
    """Return what comes back of it from a json file."""
    return dict(json.loads(json.dumps(content)))


def check_recipe(path: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise a RecordingError where what is there was made by another recipe."""
    changed = []
    for name, value in now.items():
        if isinstance(value, dict) and isinstance(old := before.get(name), dict):
            changed += [f'{name}: {key}' for key in value if old.get(key) != value[key]]
        elif before.get(name) != value:
            changed.append(name)
    if changed:
        raise RecordingError(
            f'{path} was made in another way ({", ".join(changed)}): choose another output, or '
            f'remove it'
        )


def _add_topics(bag: BagWriter, source: PictureSource) -> None:
    copied = {topic.name for topic in source.copied}
    for topic in source.copied:
        bag.add_copy(topic)
    for name, type_name in TOPICS.items():
        if name not in copied:
            bag.add_topic(name, type_name)


def _copy(path: Path, bag: BagWriter) -> None:
    """Copy all messages of another bag."""
    with BagReader(path) as reader:
        for message in reader.messages(reader.topics):
            bag.write(*message)


@contextmanager
def replaced(output: Path) -> Iterator[Path]:
    """Yield where to write a bag that takes the place of the output if there is a report in it.

    output: which must be locked.

    Raises
    ------
    OSError: it cannot be written; the message says so.
    """
    work = output.parent / f'.{output.name}.part'
    fresh, old = work / output.name, work / 'old'
    with writing(output):
        shutil.rmtree(work, ignore_errors=True)  # of a process that was killed
        work.mkdir()
        try:
            yield fresh
            if RecordingReport.is_in(fresh):
                _replace(output, fresh, old)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _replace(output: Path, fresh: Path, old: Path) -> None:
    if output.exists():
        output.rename(old)
    try:
        fresh.rename(output)
    except OSError:
        if old.exists():
            old.rename(output)
        raise


@contextmanager
def locked(output: Path) -> Iterator[None]:
    """Keep all others from an output; the lock of a process that dies is released.

    Raises
    ------
    RecordingError: another process writes it.
    OSError: it cannot be written; the message says so.
    """
    path = output.parent / f'.{output.name}.lock'
    while True:
        with writing(output):
            output.parent.mkdir(parents=True, exist_ok=True)
            lock = path.open('w')
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RecordingError(f'another process is writing {output}') from None
            if not os.fstat(lock.fileno()).st_nlink:  # Who had it has just removed it.
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def nothing_in(job: Job, report: RecordingReport) -> RecordingError:
    """Return the error of a recording of which no image could be processed."""
    reasons = '; '.join(report.reasons.values()) or 'there is none'
    return RecordingError(f'no image of {job.recording.path} could be processed: {reasons}')
