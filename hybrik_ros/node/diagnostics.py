"""Reports of the node on /diagnostics: counts, rates, latencies by stage, faults."""

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

from hybrik_ros.node.rate_meter import RateMeter
from hybrik_ros.printable import printable

_WINDOW = 600  # number of frames in the statistics of latencies
_MAX_FRAME_SECONDS = 3.0  # maximum time in one frame; ERROR beyond it
# Minimum duration of a warning after it was raised last; it lasts until the next image is due.
_WARNING_SECONDS = 5.0
_SETTLE_SECONDS = 5.0  # time after activation in which limits are not checked

_OK, _WARN, _ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
_Verdict = tuple[bytes, str]


@dataclass(frozen=True)
class Limits:
    """Limits of a healthy node: WARN beyond them.

    Attributes
    ----------
    min_rate : float
        Minimum rate of processed frames in Hz, ERROR below half of it; 0 disables.
    max_latency : float
        Maximum median latency in seconds from the stamp of an image to the last message about it,
        ERROR above twice of it; 0 disables.
    max_drop_ratio : float
        Maximum share of images dropped for newer ones, in [0, 1]; 1 disables.
    """

    min_rate: float = 0.0
    max_latency: float = 0.0
    max_drop_ratio: float = 1.0


class Diagnostics:
    """Counts frames and faults since activation. Thread-safe.

    Stages of a frame in order: 'transport' from the stamp of the image to the node, 'wait' for the
    previous frame, 'decode', the stages of the pipeline, 'publish'; 'total' is from the stamp to
    the last published message.

    Parameters
    ----------
    name, hardware : str
        Name and hardware_id of the reports.
    """

    def __init__(self, name: str, hardware: str = '') -> None:
        self._name = name
        self._hardware = hardware
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._reported_faults: Counter[str] = Counter()
        self._new_faults: Counter[str] = Counter()  # of the last frames that ended
        self._num_ended = 0  # frames, when that was looked at
        # Message of each warning, and when it ends, in seconds of the monotonic clock.
        self._warnings: dict[str, tuple[str, float]] = {}
        self._used: Counter[str] = Counter()
        self._busy_since: float | None = None
        self._seconds: dict[str, deque[float]] = {}
        self._rates = {kind: RateMeter() for kind in ('received', 'processed')}
        self._people = 0
        self._began = self._last_image = time.monotonic()

    def count_received(self) -> None:
        """Count a received image."""
        with self._lock:
            self._counts['received'] += 1
            self._rates['received'].count()
            self._last_image = time.monotonic()

    @property
    def num_received(self) -> int:
        """Number of received images."""
        return self._counts['received']

    @property
    def is_silent(self) -> bool:
        """Whether no image has been received for several intervals of the camera."""
        with self._lock:
            return time.monotonic() - self._last_image > self._rates['received'].max_pause

    def start_frame(self) -> None:
        """Note the start of a frame, which ends with one of the counts below."""
        with self._lock:
            self._busy_since = time.monotonic()

    def clear_people(self) -> None:
        """Set the number of tracked people to zero."""
        with self._lock:
            self._people = 0

    def count_used(self, what: str) -> None:
        """Count a frame that used optional data, such as depth."""
        with self._lock:
            self._used[what] += 1

    def count_processed(self, people: int) -> None:
        """Count a processed frame with its number of people."""
        with self._lock:
            self._busy_since = None
            self._counts['processed'] += 1
            self._counts['with a person'] += people > 0
            self._rates['processed'].count()
            self._people = people

    def count_repeated(self) -> None:
        """Count an image that was ignored because it has the stamp of the one before it."""
        with self._lock:
            self._busy_since = None
            self._counts['repeated'] += 1

    def count_fault(self, kind: str) -> None:
        """Count a lost frame by the kind of its fault."""
        with self._lock:
            self._busy_since = None
            self._faults[kind] += 1

    def warn(self, key: str, message: str, lasting: bool = False) -> None:
        """Add a warning to the reports of the next seconds.

        Parameters
        ----------
        key : str
            Identity of the warning; a newer one of the same key replaces it.
        message : str
            The fault, and what to do.
        lasting : bool
            Whether the warning remains until the next activation.
        """
        with self._lock:
            seconds = max(_WARNING_SECONDS, self._rates['received'].max_pause)
            self._warnings[key] = message, np.inf if lasting else time.monotonic() + seconds

    def add_time(self, stage: str, seconds: float) -> None:
        """Add the duration of a stage of one frame, in seconds."""
        with self._lock:
            self._seconds.setdefault(stage, deque(maxlen=_WINDOW)).append(seconds)

    def status(self, level: bytes, message: str, header: Header) -> DiagnosticArray:
        """Return the report of an inactive node.

        Parameters
        ----------
        level : bytes
            Level of DiagnosticStatus.
        message : str
            State of the node, or why it is inactive.
        header : Header
            Header with the stamp of the report.
        """
        status = DiagnosticStatus(
            level=level, name=self._name, message=printable(message), hardware_id=self._hardware
        )
        return DiagnosticArray(header=header, status=[status])

    def report(
        self,
        *,
        header: Header,
        replaced: int = 0,
        camera: str = 'camera_info',
        assumed: bool = False,
        limits: Limits = Limits(),
        facts: Mapping[str, object] | None = None,
    ) -> DiagnosticArray:
        """Return the report of an active node.

        Parameters
        ----------
        header : Header
            Header with the stamp of the report.
        replaced : int
            Number of images dropped for newer ones.
        camera : str
            Source of the intrinsics; empty where there is none.
        assumed : bool
            Whether the intrinsics are assumed.
        limits : Limits
            Limits to check.
        facts : mapping, optional
            Additional values by name, such as models and filters.
        """
        with self._lock:
            verdicts = self._find_faults(replaced, limits)
            if assumed:
                verdicts.append((_WARN, f'the camera is not calibrated: {camera}'))
            values = {**self._values(replaced, camera), **(facts or {})}
        level = max((level for level, _ in verdicts), default=_OK)
        # The most severe first.
        message = '; '.join(text for _, text in sorted(verdicts, key=lambda one: one[0])[::-1])
        report = self.status(level, message or 'running', header)
        report.status[0].values = [
            KeyValue(key=printable(key), value=printable(value)) for key, value in values.items()
        ]
        return report

    def _find_faults(self, replaced: int, limits: Limits) -> list[_Verdict]:
        """Return the present faults."""
        now = time.monotonic()
        silence = now - self._last_image
        is_silent = silence > self._rates['received'].max_pause
        verdicts: list[_Verdict] = [
            (_WARN, message) for message, until in self._warnings.values() if now < until
        ]
        if self._busy_since is not None and now - self._busy_since > _MAX_FRAME_SECONDS:
            verdicts.append((_ERROR, f'a frame has taken {now - self._busy_since:.0f} s so far'))
        if lost := self._find_lost(is_silent):
            verdicts.append((_ERROR, f'frames are lost: {", ".join(lost)}'))
        if is_silent:
            verdicts.append((_WARN, f'no image for {silence:.0f} s'))
        elif now - self._began > _SETTLE_SECONDS:
            verdicts += self._check_limits(limits, replaced)
        return verdicts

    def _find_lost(self, is_silent: bool) -> list[str]:
        """Return the faults of the frames since the last report, or of those before if none ended.

        Slow cameras have reports without a frame: a fault does not end with them.
        """
        counts = self._counts
        num_ended = counts['processed'] + counts['repeated'] + sum(self._faults.values())
        if is_silent or num_ended > self._num_ended:
            self._new_faults = self._faults - self._reported_faults
        self._num_ended, self._reported_faults = num_ended, self._faults.copy()
        return sorted(self._new_faults)

    def _check_limits(self, limits: Limits, replaced: int) -> list[_Verdict]:
        """Return which limits are exceeded: ERROR by more than twice, otherwise WARN."""
        verdicts = []

        def check(excess: float, message: str) -> None:
            if excess > 1:
                verdicts.append((_ERROR if excess > 2 else _WARN, message))

        rate = self._rates['processed'].hertz
        if limits.min_rate > 0:
            check(
                limits.min_rate / max(rate, 1e-9),
                f'the rate of {rate:.1f} Hz is below the minimum of {limits.min_rate:g} Hz',
            )
        if limits.max_latency > 0 and 'total' in self._seconds:
            latency = float(np.median(self._seconds['total']))
            check(
                latency / limits.max_latency,
                f'the median latency of {latency:.3f} s is above the maximum of '
                f'{limits.max_latency:g} s',
            )
        ratio = replaced / max(self._counts['received'], 1)
        if ratio > limits.max_drop_ratio:
            verdicts.append(
                (
                    _WARN,
                    f'{ratio:.0%} of the images were dropped, above the maximum of '
                    f'{limits.max_drop_ratio:.0%}',
                )
            )
        return verdicts

    def _values(self, replaced: int, camera: str) -> dict[str, object]:
        """Return the counts, rates and latencies by name."""
        return {
            'received': self._counts['received'],
            'processed': self._counts['processed'],
            'with a person': self._counts['with a person'],
            'people': self._people,
            **{f'with {what}': count for what, count in sorted(self._used.items())},
            **{f'{kind} per second': f'{rate}' for kind, rate in self._rates.items()},
            'dropped for newer frames': replaced,
            **({'repeated': self._counts['repeated']} if self._counts['repeated'] else {}),
            **{f'lost: {kind}': count for kind, count in sorted(self._faults.items())},
            **({'camera': camera} if camera else {}),
            **{
                f'{stage} ms, median / p95': f'{1e3 * np.median(seconds):.1f} / '
                f'{1e3 * np.percentile(seconds, 95):.1f}'
                for stage, seconds in self._seconds.items()
            },
        }
