"""Split a long bag into parts that are processed in parallel, and join their outputs.

A part may start where the pipeline has no track left: from there on it behaves like a new pipeline,
except for the numbers in the person ids. A scan with the detector alone finds images at which no
person has been detected for longer than tracks are kept. The assumption is checked once the part
before is processed: if a track was left at its end after all, or the stamps go back at the split
point, the part is processed again together with the next one. When the parts are joined, the ids of
each part are shifted by the number of ids before it. The joined output is therefore identical, to
the bit, to that of one run over the whole bag.

The split points are written beside the parts, so that an interrupted run resumes with the same
parts, whatever its number of workers.
"""

import base64
import json
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hybrik_ros.bags import BagReader, BagWriter, Message, deserialise, serialise
from hybrik_ros.bags.reader import LOST_FILE, MAX_TIME
from hybrik_ros.bags.storage import CUT_OFF
from hybrik_ros.limits import MAX_JSON_BYTES
from hybrik_ros.messages.camera_info import BUFFER_LENGTH
from hybrik_ros.perception.detector import PersonDetector
from hybrik_ros.perception.opening import open_detector
from hybrik_ros.recordings.process import (
    HUMAN_OBSERVATIONS,
    HUMAN_POSES,
    TF_TOPIC,
    TOPICS,
    Job,
    check_recipe,
    nothing_in,
    recipe_of,
    replaced,
)
from hybrik_ros.recordings.recording import RecordingError
from hybrik_ros.recordings.report import RecordingReport
from hybrik_ros.recordings.sources import BagSource, is_usable_calibration
from hybrik_ros.settings import Settings
from hybrik_ros.untrusted import parse_json, read_regular

# Fields with the people in the messages of a topic.
_PEOPLE_FIELDS = {HUMAN_POSES: 'humans', HUMAN_OBSERVATIONS: 'people'}
_DETECTION_INTERVAL = 0.5  # minimum seconds between two images that the scan examines
# Minimum duration in seconds without a detection at a split point: the maximum of forget_after and
# the first value, plus the second as a margin for people that the detector misses.
_MIN_MEMORY, _MARGIN = 2.0, 1.0
_SECOND = 1e9  # nanoseconds
_PLAN = 'plan.json'
# Frame ids of people, by the prefix of their ids; a copied recording may contain other frames.
_FRAME_PATTERN = r'((?:body|smpl_\w+)_{})(\d+)'


@dataclass(frozen=True)
class SplitPoint:
    """A time at which a bag may be split.

    Attributes
    ----------
    time : int
        Time of receipt in nanoseconds of the first image after it.
    calibrations : tuple of bytes
        The last messages of camera_info (CDR) before it.
    """

    time: int
    calibrations: tuple[bytes, ...]


def split(job: Job, parts: int, stopped: Callable[[], bool] = lambda: False) -> list[Job]:
    """Return the jobs of the parts of a bag.

    Parameters
    ----------
    job : Job
        The job on the whole bag.
    parts : int
        Maximum number of parts, of about equal duration. If the bag was split before and a part
        has an output, the parts are those of before instead.
    stopped : callable
        Called for each message. When it returns True, the bag is not split.

    Returns
    -------
    list of Job
        The jobs of the parts in order; only the given job if the bag is not split.

    Raises
    ------
    BagError, RecordingError
        The bag cannot be read, or the existing parts were made with another recipe.
    OSError
        The split points cannot be written.
    """
    with BagSource(job.recording) as source:
        recipe, (first, last) = recipe_of(job, source), source.span
    points = _read_plan(job, recipe)
    if not points:
        found = _find_split_points(job, stopped)
        points = [] if stopped() else _select_evenly(found, first, last, parts)
        if not points:
            return [job]
        _write_plan(job, recipe, points)
    starts = [SplitPoint(0, ()), *points]
    stops = [*(point.time for point in points), None]
    return [_create_part(job, start, stop) for start, stop in zip(starts, stops, strict=True)]


def is_split(job: Job) -> bool:
    """Return whether a part of a job has an output."""
    return any(RecordingReport.is_in(part) for part in folder_of(job).glob('*'))


def _select_evenly(
    points: Sequence[SplitPoint], first: int, last: int, parts: int
) -> list[SplitPoint]:
    """Return the points that divide a time span best into this number of equal parts."""
    chosen: list[SplitPoint] = []
    for part in range(1, parts):
        wanted = first + (last - first) * part / parts
        nearest = min(points, key=lambda point: abs(point.time - wanted), default=None)
        if nearest is not None and (not chosen or nearest.time > chosen[-1].time):
            chosen.append(nearest)
    return chosen


def _write_plan(job: Job, recipe: dict[str, Any], points: Sequence[SplitPoint]) -> None:
    """Write the split points of a job."""
    content = [
        {
            'time': point.time,
            'calibrations': [base64.b64encode(data).decode() for data in point.calibrations],
        }
        for point in points
    ]
    folder_of(job).mkdir(parents=True, exist_ok=True)
    temporary = folder_of(job) / f'{_PLAN}.part'
    temporary.write_text(json.dumps({'recipe': recipe, 'split_points': content}))
    temporary.replace(folder_of(job) / _PLAN)


def _read_plan(job: Job, recipe: dict[str, Any]) -> list[SplitPoint]:
    """Return the split points of an earlier run; none if no part of it has an output.

    Raises
    ------
    RecordingError
        The file is damaged, or the parts were made with another recipe.
    """
    folder = folder_of(job)
    if not is_split(job):
        return []
    try:
        plan = parse_json(read_regular(folder / _PLAN, MAX_JSON_BYTES))
        before, points = dict(plan['recipe']), plan['split_points']
        times = [int(point['time']) for point in points]
        calibrations = [tuple(map(base64.b64decode, point['calibrations'])) for point in points]
        if times != sorted(set(times)) or not all(0 < time < MAX_TIME for time in times):
            raise ValueError('its times are not those of a bag')
    except (OSError, ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise RecordingError(
            f'{folder / _PLAN} is damaged, so the parts cannot be resumed: remove {folder}'
        ) from error
    check_recipe(folder, before, recipe)
    return [SplitPoint(*each) for each in zip(times, calibrations, strict=True)]


def _create_part(job: Job, start: SplitPoint, stop: int | None) -> Job:
    time = start.time or None
    recording = replace(job.recording, start=time, stop=stop, calibrations=start.calibrations)
    return replace(job, recording=recording, output=folder_of(job) / f'{time or 0}_{stop or 0}')


def folder_of(job: Job) -> Path:
    """Return the folder that keeps the parts of a job until the job is done."""
    return job.output.parent / f'.{job.output.name}.segments'


def remove_parts(job: Job) -> None:
    """Remove the folder with the parts of a job."""
    shutil.rmtree(folder_of(job), ignore_errors=True)


def _find_split_points(job: Job, stopped: Callable[[], bool]) -> list[SplitPoint]:
    """Return where no track should be left, according to the detector."""
    settings = Settings(**job.settings)
    frames = re.compile(_FRAME_PATTERN.format(settings.id_prefix).encode())
    calibrations: deque[tuple[int, bytes]] = deque(maxlen=BUFFER_LENGTH)
    points: list[SplitPoint] = []
    newest = 0
    with BagSource(job.recording) as source, closing(open_detector(settings)) as detector:
        finder = _AbsenceFinder(source, settings, detector)
        for message in source.raw():
            if stopped():
                return []
            time = message.time
            if time < newest:  # Out of order: parts are read by time, so no later point is valid.
                points = [point for point in points if point.time <= time]
            elif message.topic == source.image.name and finder.update(message):
                before = tuple(data for received, data in calibrations if received < time)
                points.append(SplitPoint(time, before))
            newest = max(newest, time)
            if message.topic == source.camera_info_name and is_usable_calibration(message.data):
                calibrations.append((time, bytes(message.data)))
            if message.topic == TF_TOPIC and frames.search(message.data):
                return []  # Ids in copied frames of people must not be shifted with our own.
    return points


class _AbsenceFinder:
    """Finds images at which no person has been detected for long enough to lose all tracks."""

    def __init__(self, source: BagSource, settings: Settings, detector: PersonDetector) -> None:
        self._pixels = source.pixels
        self._detector = detector
        min_seconds = max(settings.forget_after, _MIN_MEMORY) + _MARGIN
        self._min_empty = min_seconds * _SECOND
        self._last_detection = 0
        self._empty_since: int | None = None

    def update(self, message: Message) -> bool:
        """Take in an image; return whether no track should be left at it."""
        if message.time - self._last_detection < _DETECTION_INTERVAL * _SECOND:
            return False
        self._last_detection = message.time
        try:
            pixels = self._pixels(message)
        except ValueError:  # A damaged image does not count; the next one is examined.
            return False
        is_empty = not any(self._detector(pixels, size) for size in self._detector.sizes)
        if not is_empty:
            self._empty_since = None
            return False
        if self._empty_since is None:
            self._empty_since = message.time
        return message.time - self._empty_since >= self._min_empty


@dataclass
class Segments:
    """The parts of a job, and the reports of those that are done.

    Attributes
    ----------
    whole : Job
        The job.
    parts : list of Job
        Its parts in order.
    reports : dict
        Reports of the parts that are done, by their outputs.
    """

    whole: Job
    parts: list[Job]
    reports: dict[Path, RecordingReport] = field(default_factory=dict)

    def add_report(self, part: Job, report: RecordingReport) -> list[Job]:
        """Take in the report of a part that is done.

        Parameters
        ----------
        part : Job
            The part.
        report : RecordingReport
            Its report.

        Returns
        -------
        list of Job
            Parts that must be processed because two others do not fit; usually empty.
        """
        self.reports[part.output] = report
        if len(self.reports) < len(self.parts):
            return []
        reports = [self.reports[each.output] for each in self.parts]
        for number in range(1, len(reports)):
            if not _fits(reports[:number], reports[number]):
                return [self._merge(*self.parts[number - 1 : number + 1])]
        return []

    @property
    def complete(self) -> bool:
        """Whether all parts are done and fit."""
        return len(self.reports) == len(self.parts)

    def _merge(self, first: Job, second: Job) -> Job:
        """Replace two adjacent parts by one part, and return it."""
        recording = replace(first.recording, stop=second.recording.stop)
        start, stop = recording.start or 0, recording.stop or 0
        both = replace(first, recording=recording, output=folder_of(self.whole) / f'{start}_{stop}')
        index = self.parts.index(first)
        self.parts[index : index + 2] = [both]
        for part in (first, second):
            del self.reports[part.output]
        return both

    def join(self) -> RecordingReport | None:
        """Write the bag of the job: of all parts, or after an interrupt of the first ones.

        Returns
        -------
        RecordingReport or None
            The report of the bag; None if the first part has no output yet.

        Raises
        ------
        RecordingError
            No image of the recording could be processed.
        OSError
            The bag cannot be written.
        """
        done = list(self._finished_parts())
        if not done:
            return None
        whole = _join_reports([report for _, report in done])
        whole.complete &= len(done) == len(self.parts)
        if not whole.frames:
            if not whole.complete:
                return None
            remove_parts(self.whole)
            raise nothing_in(self.whole, whole)
        prefix = whole.recipe['settings']['id_prefix']
        with replaced(self.whole.output) as folder:
            with BagWriter(folder) as bag:
                shift = 0
                for number, (part, report) in enumerate(done):
                    with BagReader(part.output) as reader:
                        if number == 0:
                            for topic in reader.topics.values():
                                bag.add_copy(topic)
                        for message in reader.messages(reader.topics):
                            bag.write(*_shift_ids(message, prefix, shift))
                    shift += report.ids
            whole.write(folder)
        return whole

    def _finished_parts(self) -> Iterator[tuple[Job, RecordingReport]]:
        """Yield the first parts that are done and fit, then the next one if it was started."""
        before: list[RecordingReport] = []
        for part in self.parts:
            report = self.reports.get(part.output) or RecordingReport.read(part.output)
            if report is None or (before and not _fits(before, report)):
                return
            yield part, report
            if not report.complete:
                return
            before.append(report)


def _fits(before: Sequence[RecordingReport], after: RecordingReport) -> bool:
    """Return whether one run over all these parts would give the same output for the last one."""
    same_models = before[-1].recipe['models'] == after.recipe['models']
    last = next((each.last for each in reversed(before) if each.last is not None), None)
    is_in_order = after.first is None or last is None or after.first > last
    return not before[-1].has_tracks and is_in_order and same_models


def _join_reports(reports: Sequence[RecordingReport]) -> RecordingReport:
    """Return the report of a whole from those of its parts."""
    recording = reports[0].recipe['recording'] | {'start': None, 'stop': None}
    recipe = reports[0].recipe | {'recording': recording}
    firsts, lasts = (
        [getattr(report, name) for report in reports if report.frames] or [None]
        for name in ('first', 'last')
    )
    whole = replace(
        reports[-1], first=firsts[0], last=lasts[-1], recipe=recipe, state=None, found={}
    )
    for name in ('steps', 'images', 'frames', 'people', 'person_frames', 'ids'):
        setattr(whole, name, sum(getattr(report, name) for report in reports))
    whole.faults, whole.reasons, whole.damage, whole.notes = {}, {}, {}, []
    for report in reports:
        whole.notes += [note for note in report.notes if note not in whole.notes]
        whole.reasons = report.reasons | whole.reasons
        for kind, times in report.faults.items():
            whole.faults[kind] = whole.faults.get(kind, 0) + times
        for kind, times in report.damage.items():
            before = whole.damage.get(kind, 0)
            # Each part finds the same missing files and ends of files.
            is_shared = kind in (CUT_OFF, LOST_FILE)
            whole.damage[kind] = max(before, times) if is_shared else before + times
    return whole


def _shift_ids(message: Message, prefix: str, shift: int) -> Message:
    """Return a message with an offset added to the numbers of its person ids."""
    if not shift or message.topic not in TOPICS:
        return message
    content = deserialise(message.data, TOPICS[message.topic])
    if message.topic == TF_TOPIC:
        for transform in content.transforms:
            pattern = _FRAME_PATTERN.format(prefix)
            for header, name in ((transform.header, 'frame_id'), (transform, 'child_frame_id')):
                found = re.fullmatch(pattern, getattr(header, name))
                if found:
                    setattr(header, name, f'{found[1]}{int(found[2]) + shift}')
    else:
        field = _PEOPLE_FIELDS.get(message.topic)
        for human in [content] if field is None else getattr(content, field):
            human.id = f'{prefix}{int(human.id.removeprefix(prefix)) + shift}'
    return message._replace(data=serialise(content))
