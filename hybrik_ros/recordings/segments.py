"""A long bag in parts that can be processed side by side, and put together again.

A part may begin where nobody is known any more: from there on, all is as in a new pipeline, but for
the numbers in the ids. A scan with the detector alone, two looks a second, finds places where that
should be so, as nobody was there for longer than anybody is remembered. Whether it was so, the part
before tells once it is processed: if somebody was followed at its end after all, or the images go
back in time there, it is processed again together with the next one. The ids of each part are
counted on from those before it. So what is put together is, to the bit, what one run makes of the
whole bag.

Where the bag was cut is written down beside the parts, so that an interrupted run is gone on with
in the same parts, by however many workers.
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
from hybrik_ros.bags.reader import CUT_OFF
from hybrik_ros.messages.camera_info import KEPT
from hybrik_ros.perception.detector import PersonDetector
from hybrik_ros.perception.opening import open_detector
from hybrik_ros.recordings.process import (
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
from hybrik_ros.recordings.sources import BagSource, is_whole_calibration
from hybrik_ros.settings import Settings

_LOOK_SECONDS = 0.5  # between two looks of the scan
_MARGIN_SECONDS = 1.0  # for which nobody is there, beyond what anybody is remembered for
_REMEMBERED_SECONDS = 2.0  # at least, however soon people are to be forgotten
_SECOND = 1e9
_PLAN = 'plan.json'
# Of people, by the prefix of ids; other frames may have been copied from the recording.
_FRAMES = r'((?:body|smpl_\w+)_{})(\d+)'


@dataclass(frozen=True)
class Seam:
    """Where a bag may be cut.

    Attributes
    ----------
    time: nanoseconds, of the receipt of the first image after it.
    calibrations: the last messages of camera_info before it (CDR).
    """

    time: int
    calibrations: tuple[bytes, ...]


def split(job: Job, parts: int, stopped: Callable[[], bool] = lambda: False) -> list[Job]:
    """Return the jobs that do a job on a bag: so many if it can be cut so often, evenly.

    If it was cut before, these are the parts of then.

    stopped: asked now and then; once true, the job itself is returned.

    Raises
    ------
    BagError, RecordingError: it cannot be read, or the parts of before were made in another way.
    OSError: where it is cut cannot be written down.
    """
    with BagSource(job.recording) as source:
        recipe, (first, last) = recipe_of(job, source), source.span
    seams = _read_plan(job, recipe)
    if not seams:
        found = _seams(job, stopped)
        seams = [] if stopped() else _evenly(found, first, last, parts)
        if not seams:
            return [job]
        _write_plan(job, recipe, seams)
    edges = [Seam(0, ()), *seams]
    stops = [*(seam.time for seam in seams), None]
    return [_part(job, seam, stop) for seam, stop in zip(edges, stops, strict=True)]


def is_split(job: Job) -> bool:
    """Tell whether something of a job was done in parts."""
    return any(RecordingReport.is_in(part) for part in folder_of(job).glob('*'))


def _evenly(seams: Sequence[Seam], first: int, last: int, parts: int) -> list[Seam]:
    """Return those of the seams that divide a time best into so many parts."""
    chosen: list[Seam] = []
    for part in range(1, parts):
        wanted = first + (last - first) * part / parts
        nearest = min(seams, key=lambda seam: abs(seam.time - wanted), default=None)
        if nearest is not None and (not chosen or nearest.time > chosen[-1].time):
            chosen.append(nearest)
    return chosen


def _write_plan(job: Job, recipe: dict[str, Any], seams: Sequence[Seam]) -> None:
    """Write down where a bag is cut."""
    edges = [
        {
            'time': seam.time,
            'calibrations': [base64.b64encode(data).decode() for data in seam.calibrations],
        }
        for seam in seams
    ]
    folder_of(job).mkdir(parents=True, exist_ok=True)
    part = folder_of(job) / f'{_PLAN}.part'
    part.write_text(json.dumps({'recipe': recipe, 'seams': edges}))
    part.replace(folder_of(job) / _PLAN)


def _read_plan(job: Job, recipe: dict[str, Any]) -> list[Seam]:
    """Return where a bag was cut before; nowhere if nothing was done of that.

    Raises
    ------
    RecordingError: the parts that are there were made in another way.
    """
    folder = folder_of(job)
    if not is_split(job):
        return []
    try:
        plan = json.loads((folder / _PLAN).read_text())
        before, seams = dict(plan['recipe']), plan['seams']
        times = [int(seam['time']) for seam in seams]
        calibrations = [tuple(map(base64.b64decode, seam['calibrations'])) for seam in seams]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise RecordingError(f'{folder / _PLAN} is damaged: remove {folder}') from error
    check_recipe(folder, before, recipe)
    return [Seam(*edge) for edge in zip(times, calibrations, strict=True)]


def _part(job: Job, seam: Seam, stop: int | None) -> Job:
    start = seam.time or None
    recording = replace(job.recording, start=start, stop=stop, calibrations=seam.calibrations)
    return replace(job, recording=recording, output=folder_of(job) / f'{start or 0}_{stop or 0}')


def folder_of(job: Job) -> Path:
    """Return where the parts of a job are kept until it is done."""
    return job.output.parent / f'.{job.output.name}.segments'


def remove_parts(job: Job) -> None:
    """Remove what is kept of the parts of a job."""
    shutil.rmtree(folder_of(job), ignore_errors=True)


def _seams(job: Job, stopped: Callable[[], bool]) -> list[Seam]:
    """Return where nobody should be known any more, as far as the detector sees."""
    settings = Settings(**job.settings)
    frames = re.compile(_FRAMES.format(settings.id_prefix).encode())
    calibrations: deque[tuple[int, bytes]] = deque(maxlen=KEPT)
    seams: list[Seam] = []
    newest = 0
    with BagSource(job.recording) as source, closing(open_detector(settings)) as detector:
        look = _Lookout(source, settings, detector)
        for message in source.raw():
            if stopped():
                return []
            time = message.time
            if time < newest:  # All that is read before a seam is older than it, and no more is.
                seams = [seam for seam in seams if seam.time <= time]
            elif message.topic == source.image.name and look.finds_nobody(message):
                before = tuple(data for received, data in calibrations if received < time)
                seams.append(Seam(time, before))
            newest = max(newest, time)
            if message.topic == source.camera_info_name and is_whole_calibration(message.data):
                calibrations.append((time, bytes(message.data)))
            if message.topic == TF_TOPIC and frames.search(message.data):
                return []  # What is copied could not be told from our own when ids are counted on.
    return seams


class _Lookout:
    """Looks at an image now and then, and tells where nobody has been for long enough."""

    def __init__(self, source: BagSource, settings: Settings, detector: PersonDetector) -> None:
        self._pixels = source.pixels
        self._detector = detector
        needed = max(settings.forget_after, _REMEMBERED_SECONDS) + _MARGIN_SECONDS
        self._needed = needed * _SECOND
        self._looked = 0
        self._empty_since: int | None = None

    def finds_nobody(self, message: Message) -> bool:
        """Tell whether nobody should be known any more at this image."""
        if message.time - self._looked < _LOOK_SECONDS * _SECOND:
            return False
        self._looked = message.time
        try:
            empty = not self._detector(self._pixels(message))
        except ValueError:  # Damaged; the next one will tell.
            return False
        if not empty:
            self._empty_since = None
            return False
        if self._empty_since is None:
            self._empty_since = message.time
        return message.time - self._empty_since >= self._needed


@dataclass
class Segments:
    """The parts of a job, and which of them are done.

    Attributes
    ----------
    whole: the job.
    parts: that it was split into, in order.
    reports: of those that are done, by their outputs.
    """

    whole: Job
    parts: list[Job]
    reports: dict[Path, RecordingReport] = field(default_factory=dict)

    def take(self, part: Job, report: RecordingReport) -> list[Job]:
        """Take in that a part is done; return parts that must be done again, together."""
        self.reports[part.output] = report
        if len(self.reports) < len(self.parts):
            return []
        reports = [self.reports[each.output] for each in self.parts]
        for number in range(1, len(reports)):
            if not _fit(reports[:number], reports[number]):
                return [self._together(*self.parts[number - 1 : number + 1])]
        return []

    @property
    def complete(self) -> bool:
        """Whether all parts are done, and fit together."""
        return len(self.reports) == len(self.parts)

    def _together(self, first: Job, second: Job) -> Job:
        recording = replace(first.recording, stop=second.recording.stop)
        start, stop = recording.start or 0, recording.stop or 0
        both = replace(first, recording=recording, output=folder_of(self.whole) / f'{start}_{stop}')
        index = self.parts.index(first)
        self.parts[index : index + 2] = [both]
        for part in (first, second):
            del self.reports[part.output]
        return both

    def join(self) -> RecordingReport | None:
        """Write the bag of the whole, or of its beginning after an interrupt; return its report.

        None where there is no beginning yet. What is there of the whole goes on in its parts.

        Raises
        ------
        RecordingError: there is no image in it that could be processed.
        OSError: it cannot be written.
        """
        done = list(self._beginning())
        if not done:
            return None
        whole = _sum([report for _, report in done])
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
                            bag.write(*_counted_on(message, prefix, shift))
                    shift += report.ids
            whole.write(folder)
        return whole

    def _beginning(self) -> Iterator[tuple[Job, RecordingReport]]:
        """Yield the first parts that are done and fit together, and what there is of the next."""
        before: list[RecordingReport] = []
        for part in self.parts:
            report = self.reports.get(part.output) or RecordingReport.read(part.output)
            if report is None or (before and not _fit(before, report)):
                return
            yield part, report
            if not report.complete:
                return
            before.append(report)


def _fit(before: Sequence[RecordingReport], after: RecordingReport) -> bool:
    """Tell whether one run would have done with a part, after those before it, what was done."""
    same_models = before[-1].recipe['models'] == after.recipe['models']
    last = next((each.last for each in reversed(before) if each.last is not None), None)
    in_order = after.first is None or last is None or after.first > last
    return not before[-1].has_tracks and in_order and same_models


def _sum(reports: Sequence[RecordingReport]) -> RecordingReport:
    """Return the report of a whole by those of its parts."""
    recording = reports[0].recipe['recording'] | {'start': None, 'stop': None}
    recipe = reports[0].recipe | {'recording': recording}
    firsts, lasts = (
        [getattr(report, name) for report in reports if report.frames] or [None]
        for name in ('first', 'last')
    )
    whole = replace(reports[-1], first=firsts[0], last=lasts[-1], recipe=recipe, state=None)
    for name in ('steps', 'images', 'frames', 'people', 'ids'):
        setattr(whole, name, sum(getattr(report, name) for report in reports))
    whole.faults, whole.reasons, whole.damage, whole.notes = {}, {}, {}, []
    for report in reports:
        whole.notes += [note for note in report.notes if note not in whole.notes]
        whole.reasons = report.reasons | whole.reasons
        for kind, times in report.faults.items():
            whole.faults[kind] = whole.faults.get(kind, 0) + times
        for kind, times in report.damage.items():
            before = whole.damage.get(kind, 0)
            # Each part finds anew that the file has no end.
            whole.damage[kind] = max(before, times) if kind == CUT_OFF else before + times
    return whole


def _counted_on(message: Message, prefix: str, shift: int) -> Message:
    """Return a message with so many added to the numbers of its people's ids."""
    if not shift or message.topic not in TOPICS:
        return message
    content = deserialise(message.data, TOPICS[message.topic])
    if message.topic == TF_TOPIC:
        for transform in content.transforms:
            own = _FRAMES.format(prefix)
            for header, name in ((transform.header, 'frame_id'), (transform, 'child_frame_id')):
                found = re.fullmatch(own, getattr(header, name))
                if found:
                    setattr(header, name, f'{found[1]}{int(found[2]) + shift}')
    else:
        for human in content.humans if message.topic == HUMAN_POSES else [content]:
            human.id = f'{prefix}{int(human.id.removeprefix(prefix)) + shift}'
    return message._replace(data=serialise(content))
