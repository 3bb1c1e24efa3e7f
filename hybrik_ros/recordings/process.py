"""Process one recording, or a part of it, with the pipeline and write the people into a bag."""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from hybrik_ros import __version__
from hybrik_ros.bags import (
    BagReader,
    BagWriter,
    create_message_maker,
    create_observation_maker,
    serialise,
)
from hybrik_ros.messages.fields import REORDERED_SECONDS, nanoseconds
from hybrik_ros.messages.observations import HUMAN_OBSERVATION_ARRAY
from hybrik_ros.messages.people import HUMAN_MESH, HUMAN_MESH_ARRAY, TF
from hybrik_ros.perception.opening import FULL_NOTE
from hybrik_ros.pipeline import Pipeline
from hybrik_ros.recordings.confirmation import ConfirmationCheck
from hybrik_ros.recordings.prefetch import InterruptedReadingError, read_ahead
from hybrik_ros.recordings.recording import Recording, RecordingError, fingerprint
from hybrik_ros.recordings.report import RecordingReport
from hybrik_ros.recordings.sources import Picture, PictureSource, Step, open_source
from hybrik_ros.settings import PHOTO_SETTINGS, Settings
from hybrik_ros.writing import writing

HUMAN_POSE, HUMAN_POSES, TF_TOPIC = '/human_pose', '/human_poses', '/tf'
HUMAN_OBSERVATIONS = '/human_observations'
TOPICS = {
    HUMAN_POSE: HUMAN_MESH,
    HUMAN_POSES: HUMAN_MESH_ARRAY,
    HUMAN_OBSERVATIONS: HUMAN_OBSERVATION_ARRAY,
    TF_TOPIC: TF,
}

# Kinds of faults.
_ORDER, _NO_FRAME_ID = 'order', 'no frame_id'


@dataclass(frozen=True)
class Job:
    """A recording to process; can be sent to another process.

    Attributes
    ----------
    recording : Recording
        The recording to read.
    output : Path
        Folder of the bag to write.
    settings : dict
        Fields of the pipeline's Settings by name.
    """

    recording: Recording
    output: Path
    settings: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """The result of a job.

    Attributes
    ----------
    report : RecordingReport
        The report in the bag.
    frames : int
        Number of images that were processed this time.
    seconds : float
        Duration from the first to the last of these images.
    pipeline_seconds : float
        Part of that duration spent in the pipeline.
    """

    report: RecordingReport
    frames: int = 0
    seconds: float = 0.0
    pipeline_seconds: float = 0.0


class IdCounter:
    """The numbers of person ids: 1, 2, ...

    Attributes
    ----------
    used : int
        Last number that was given; can be set to continue from another number.
    """

    def __init__(self) -> None:
        self.used = 0

    def __iter__(self) -> 'IdCounter':
        return self

    def __next__(self) -> int:
        self.used += 1
        return self.used


class Processor:
    """Processes recordings one after the other with one pipeline. A context manager.

    On one machine with the backend onnxruntime, processing a recording twice gives identical
    messages, to the bit: the networks run on one thread unless the settings say otherwise, and no
    image is dropped. Other processors, numbers of threads and backends round differently.

    Parameters
    ----------
    settings : dict
        Fields of the pipeline's Settings by name.

    Raises
    ------
    FileNotFoundError, RuntimeError, ValueError
        As of Pipeline.create.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._ids = IdCounter()
        own = vars(Settings(**settings))
        self._stream_settings = {name: own[name] for name in PHOTO_SETTINGS}
        self._pipeline = Pipeline.create(ids=self._ids, **settings)
        self._maker = create_message_maker()
        self._observation_maker = create_observation_maker()
        self._confirmation = ConfirmationCheck(0.0)

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
        """Process a recording, or resume where an interrupted run stopped.

        The bag is written beside the output and replaces it when it is complete: at any time the
        output is a valid bag or does not exist.

        Parameters
        ----------
        job : Job
            The job; its settings must be those of this processor.
        stopped : callable
            Called before each step. When it returns True, the bag is closed; a later call resumes.
        progress : callable
            Called after each step with the number of images done this time and their total.

        Returns
        -------
        Outcome
            The report and the durations.

        Raises
        ------
        RecordingError, MediaError, BagError, CalibrationError
            The recording cannot be read, or the output is no bag of this recording with these
            settings, or another process is writing it.
        OSError
            The bag cannot be written.
        """
        with locked(job.output), open_source(job.recording) as source:
            recipe = recipe_of(job, source) | as_json({'models': self._pipeline.facts})
            report = RecordingReport.read(job.output) or RecordingReport(recipe)
            check_recipe(job.output, report.recipe, recipe)
            if report.complete:
                return Outcome(report)
            self._pipeline.adjust(
                **(PHOTO_SETTINGS if source.are_photos else self._stream_settings)
            )
            self._pipeline.reset()
            if report.state is not None:
                self._pipeline.restore(report.state)
            else:  # New, or joined from parts, which has no state: start from the first image.
                report = RecordingReport(recipe)
            self._ids.used = report.ids
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
        """Write the bag into a folder and update the report."""
        self._confirmation = self._check_of(job, source, report)
        pipeline_seconds, frames, images = 0.0, report.frames, report.images
        started = time.perf_counter()
        with BagWriter(folder) as bag:
            _add_topics(bag, source)
            if report.steps:
                _copy_messages(job.output, bag)
            with (
                closing(read_ahead(source.steps(report.steps), stopped)) as steps,
                suppress(InterruptedReadingError),
            ):
                for step in steps:
                    pipeline_seconds += self._process_step(step, source, bag, report)
                    progress(report.images - images, max(0, source.length - images))
                else:
                    report.complete = True
        self._complete(report, source)
        seconds = time.perf_counter() - started
        return Outcome(report, report.frames - frames, seconds, pipeline_seconds)

    def _process_step(
        self, step: Step, source: PictureSource, bag: BagWriter, report: RecordingReport
    ) -> float:
        """Write what is in a step, update the report and return the pipeline's seconds."""
        seconds = 0.0
        if step.message is not None:
            bag.write(*step.message)
        if step.picture is not None:
            if source.are_photos:
                self._pipeline.reset()
            seconds = self._process_picture(step.picture, bag, report)
        if step.fault is not None:
            report.add_fault(*step.fault)
        report.steps += 1
        report.images += step.is_image
        return seconds

    def _complete(self, report: RecordingReport, source: PictureSource) -> None:
        """Add to a report what is known after the last step."""
        report.damage = dict(source.faults)
        if report.complete and not report.people and (note := self._confirmation.describe()):
            report.add_note(note)
        for note in source.notes:
            report.add_note(note)
        report.ids, report.has_tracks = self._ids.used, self._pipeline.has_tracks
        report.state = None if report.complete else self._pipeline.state()
        report.found = {} if report.complete else report.found

    def _check_of(
        self, job: Job, source: PictureSource, report: RecordingReport
    ) -> ConfirmationCheck:
        is_rest = job.recording.is_part or report.frames > 0  # Other images come before or after.
        confirm_after = self._stream_settings['confirm_after']
        return ConfirmationCheck(0.0 if source.are_photos else confirm_after, 3 if is_rest else 1)

    def _process_picture(self, picture: Picture, bag: BagWriter, report: RecordingReport) -> float:
        """Write the people in an image, update the report and return the pipeline's seconds."""
        stamp = nanoseconds(picture.header)
        if report.last is not None and 0 <= report.last - stamp <= REORDERED_SECONDS * 1e9:
            report.add_fault(
                _ORDER,
                'an image is not newer than the one before it: each needs the time of its exposure '
                'as its stamp',
            )
            return 0.0
        self._confirmation.add(stamp * 1e-9)
        report.first = stamp if report.first is None else report.first
        report.last = stamp
        started = time.perf_counter()
        humans = self._pipeline(picture.rgb, picture.camera, stamp * 1e-9)
        seconds = time.perf_counter() - started
        if self._pipeline.is_full:
            report.add_note(FULL_NOTE)
        name = self._pipeline.body.name
        meshes = [self._maker.human_mesh(human, picture.header, name, False) for human in humans]
        for mesh in meshes:
            bag.write(HUMAN_POSE, picture.time, serialise(mesh))
        array = self._maker.array(meshes, picture.header)
        bag.write(HUMAN_POSES, picture.time, serialise(array))
        seen = self._pipeline.human_observations
        observations = self._observation_maker.array(seen, picture.header, name)
        bag.write(HUMAN_OBSERVATIONS, picture.time, serialise(observations))
        if humans and not picture.header.frame_id:
            report.add_fault(
                _NO_FRAME_ID, 'the images have no frame_id, so TF is not written for their people'
            )
        elif humans:
            frames = self._maker.tf(humans, picture.header)
            bag.write(TF_TOPIC, picture.time, serialise(frames))
        report.frames += 1
        report.add_people(human.id for human in humans)
        return seconds


def check_job(job: Job) -> None:
    """Raise the errors of a job that are known before any network is loaded.

    Parameters
    ----------
    job : Job
        The job.

    Raises
    ------
    RecordingError, MediaError, BagError, CalibrationError, OSError
        As of Processor.process.
    """
    with locked(job.output), open_source(job.recording) as source:
        report = RecordingReport.read(job.output)
        if report is not None:
            check_recipe(job.output, report.recipe, recipe_of(job, source))
        with replaced(job.output):  # Nothing is written, so that nothing is replaced.
            pass


def recipe_of(job: Job, source: PictureSource) -> dict[str, Any]:
    """Return all that determines the content of a bag, without the models.

    Parameters
    ----------
    job : Job
        The job that makes the bag.
    source : PictureSource
        The source of its recording.

    Returns
    -------
    dict
        Version, recording and settings, as they are read from JSON.
    """
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
    """Return a dictionary as it is after writing it to JSON and reading it again."""
    return dict(json.loads(json.dumps(content)))


def check_recipe(path: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Check that an existing output has the recipe of the present job.

    Parameters
    ----------
    path : Path
        The output, for the message.
    before, now : dict
        Recipes of the output and of the job.

    Raises
    ------
    RecordingError
        The recipes differ; the message names the entries.
    """
    changed = []
    for name, value in now.items():
        if isinstance(value, dict) and isinstance(old := before.get(name), dict):
            changed += [f'{name}: {key}' for key in value if old.get(key) != value[key]]
        elif before.get(name) != value:
            changed.append(name)
    if changed:
        raise RecordingError(
            f'{path} was made with another recording, settings, models or version '
            f'({", ".join(changed)}): choose another output, or remove it'
        )


def _add_topics(bag: BagWriter, source: PictureSource) -> None:
    copied = {topic.name for topic in source.copied}
    for topic in source.copied:
        bag.add_copy(topic)
    for name, type_name in TOPICS.items():
        if name not in copied:
            bag.add_topic(name, type_name)


def _copy_messages(path: Path, bag: BagWriter) -> None:
    """Copy all messages of another bag."""
    with BagReader(path) as reader:
        for message in reader.messages(reader.topics):
            bag.write(*message)


@contextmanager
def replaced(output: Path) -> Iterator[Path]:
    """Yield the path at which to write a bag that then replaces the output.

    The output is replaced at the end if the new bag contains a report.

    Parameters
    ----------
    output : Path
        The output, which must be locked.

    Raises
    ------
    OSError
        The bag cannot be written.
    """
    work = output.parent / f'.{output.name}.part'
    new, old = work / output.name, work / 'old'
    with writing(output):
        shutil.rmtree(work, ignore_errors=True)  # left by a process that was killed
        work.mkdir()
        try:
            yield new
            if RecordingReport.is_in(new):
                _replace(output, new, old)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _replace(output: Path, new: Path, old: Path) -> None:
    if output.exists():
        output.rename(old)
    try:
        new.rename(output)
    except OSError:
        if old.exists():
            old.rename(output)
        raise


@contextmanager
def locked(output: Path) -> Iterator[None]:
    """Lock an output against other processes. The lock is released if the process dies.

    Parameters
    ----------
    output : Path
        The output.

    Raises
    ------
    RecordingError
        Another process has the lock.
    OSError
        The lock file cannot be written.
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
            if not os.fstat(lock.fileno()).st_nlink:  # Its last owner has just removed the file.
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def nothing_in(job: Job, report: RecordingReport) -> RecordingError:
    """Return the error of a recording without an image that could be processed.

    Parameters
    ----------
    job : Job
        The job of the recording.
    report : RecordingReport
        Its report, with the reasons.
    """
    reasons = '; '.join(report.reasons.values()) or 'it contains no image'
    return RecordingError(f'no image of {job.recording.path} could be processed: {reasons}')
