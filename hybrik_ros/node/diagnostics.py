"""What the node tells about itself on /diagnostics: counts, rates, latencies by stage, faults."""

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

_WINDOW = 600  # frames over which latencies are summed up
_RATE_SECONDS = 5.0  # over which frames are counted for a rate
_STALLED_SECONDS = 2.0  # without an image
_STUCK_SECONDS = 3.0  # in one frame
_WARNED_SECONDS = 5.0  # after which what is not said again is over
_SETTLE_SECONDS = 5.0  # after activation, in which limits mean nothing yet

_OK, _WARN, _ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
_Verdict = tuple[bytes, str]


@dataclass(frozen=True)
class Limits:
    """What is no longer good. Beyond twice that it is an error.

    Attributes
    ----------
    min_rate: processed frames per second; 0 for none.
    max_latency: seconds, of the median frame, from stamp to last message; 0 for none.
    max_drop_ratio: share of the images that are dropped for newer ones; 1 for none.
    """

    min_rate: float = 0.0
    max_latency: float = 0.0
    max_drop_ratio: float = 1.0


class Diagnostics:
    """Counts frames and faults since activation; used from several threads.

    Stages, in the order in which a frame passes them: 'transport' from the image's stamp to the
    node, 'wait' for the frame before, 'decode', the pipeline's own stages, 'publish'; 'total' is
    from the stamp to the last published message.

    Parameters
    ----------
    name, hardware: of the reports.
    """

    def __init__(self, name: str, hardware: str = '') -> None:
        self._name = name
        self._hardware = hardware
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._reported_faults: Counter[str] = Counter()
        # What to say, and until when.
        self._warned: dict[str, tuple[str, float]] = {}
        self._used: Counter[str] = Counter()
        self._busy_since: float | None = None
        self._seconds: dict[str, deque[float]] = {}
        self._rates = {kind: _RateMeter() for kind in ('received', 'processed')}
        self._people = 0
        self._began = self._last_image = time.monotonic()

    def count_received(self) -> None:
        """Count an image that came in."""
        with self._lock:
            self._counts['received'] += 1
            self._rates['received'].count()
            self._last_image = time.monotonic()

    @property
    def is_silent(self) -> bool:
        """Whether no image has come for a while."""
        return time.monotonic() - self._last_image > _STALLED_SECONDS

    def start_frame(self) -> None:
        """Note that a frame is being worked on, until processed or fault."""
        with self._lock:
            self._busy_since = time.monotonic()

    def clear_people(self) -> None:
        """Note that nobody is followed any more."""
        with self._lock:
            self._people = 0

    def count_used(self, what: str) -> None:
        """Count a frame in which something that need not be there was used, such as depth."""
        with self._lock:
            self._used[what] += 1

    def count_processed(self, people: int) -> None:
        """Count a frame that was looked at, and whether somebody was in it."""
        with self._lock:
            self._busy_since = None
            self._counts['processed'] += 1
            self._counts['with a person'] += people > 0
            self._rates['processed'].count()
            self._people = people

    def count_fault(self, kind: str) -> None:
        """Count a fault that cost a frame."""
        with self._lock:
            self._busy_since = None
            self._faults[kind] += 1

    def warn(self, key: str, message: str, lasting: bool = False) -> None:
        """Note what is wrong without costing frames, for some seconds.

        lasting: until the node is active anew instead.
        """
        until = np.inf if lasting else time.monotonic() + _WARNED_SECONDS
        with self._lock:
            self._warned[key] = message, until

    def add_time(self, stage: str, seconds: float) -> None:
        """Note how long a frame spent in a stage."""
        with self._lock:
            self._seconds.setdefault(stage, deque(maxlen=_WINDOW)).append(seconds)

    def status(self, level: bytes, message: str, header: Header) -> DiagnosticArray:
        """Return the report of a node that is not active.

        Parameters
        ----------
        level: of DiagnosticStatus.
        message: what it is doing, or why it does nothing.
        header: stamp of the report.
        """
        status = DiagnosticStatus(
            level=level, name=self._name, message=message, hardware_id=self._hardware
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
        header: stamp of the report.
        replaced: frames dropped because a newer one came while the worker was busy.
        camera: where the intrinsics come from, in words.
        assumed: whether that is a guess.
        limits: what is good enough.
        facts: what else to show: models, filters.
        """
        with self._lock:
            new_faults = self._faults - self._reported_faults
            self._reported_faults = self._faults.copy()
            now = time.monotonic()
            verdicts: list[_Verdict] = [
                (_WARN, message) for message, until in self._warned.values() if now < until
            ]
            if self._busy_since is not None and now - self._busy_since > _STUCK_SECONDS:
                verdicts.append(
                    (_ERROR, f'a frame has taken {now - self._busy_since:.0f} s so far')
                )
            if new_faults:
                verdicts.append((_ERROR, f'frames are lost: {", ".join(sorted(new_faults))}'))
            if (silent := now - self._last_image) > _STALLED_SECONDS:
                verdicts.append((_WARN, f'no image for {silent:.0f} s'))
            elif now - self._began > _SETTLE_SECONDS:
                verdicts += self._beyond(limits, replaced)
            if assumed:
                verdicts.append((_WARN, f'the camera is not calibrated: {camera}'))
            values = {
                'received': self._counts['received'],
                'processed': self._counts['processed'],
                'with a person': self._counts['with a person'],
                'people': self._people,
                **{f'with {what}': count for what, count in sorted(self._used.items())},
                **{f'{kind} per second': f'{rate}' for kind, rate in self._rates.items()},
                'dropped for newer frames': replaced,
                **{f'lost: {kind}': count for kind, count in sorted(self._faults.items())},
                'camera': camera,
                **{
                    f'{stage} ms, median / p95': f'{1e3 * np.median(seconds):.1f} / '
                    f'{1e3 * np.percentile(seconds, 95):.1f}'
                    for stage, seconds in self._seconds.items()
                },
                **(facts or {}),
            }
        level = max((level for level, _ in verdicts), default=_OK)
        # The worst first.
        message = '; '.join(text for _, text in sorted(verdicts, key=lambda one: one[0])[::-1])
        report = self.status(level, message or 'running', header)
        report.status[0].values = [KeyValue(key=k, value=str(v)) for k, v in values.items()]
        return report

    def _beyond(self, limits: Limits, replaced: int) -> list[_Verdict]:
        verdicts = []

        def judge(excess: float, message: str) -> None:
            """excess: by how many times a limit is passed."""
            if excess > 1:
                verdicts.append((_ERROR if excess > 2 else _WARN, message))

        rate = self._rates['processed'].hertz
        if limits.min_rate > 0:
            judge(
                limits.min_rate / max(rate, 1e-9),
                f'{rate:.1f} frames a second, less than {limits.min_rate:g}',
            )
        if limits.max_latency > 0 and 'total' in self._seconds:
            latency = float(np.median(self._seconds['total']))
            judge(
                latency / limits.max_latency,
                f'a latency of {latency:.3f} s, more than {limits.max_latency:g}',
            )
        lost = replaced / max(self._counts['received'], 1)
        if lost > limits.max_drop_ratio:
            verdicts.append(
                (_WARN, f'{lost:.0%} of the images dropped, more than {limits.max_drop_ratio:.0%}')
            )
        return verdicts


class _RateMeter:
    """How often something happened in the last seconds."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._times: deque[float] = deque(maxlen=_WINDOW)

    def count(self) -> None:
        self._times.append(time.monotonic())

    @property
    def hertz(self) -> float:
        now = time.monotonic()
        span = min(_RATE_SECONDS, now - self._began)
        if len(self._times) == _WINDOW:
            span = min(span, now - self._times[0])
        return sum(time > now - span for time in self._times) / max(span, 1e-9)

    def __str__(self) -> str:
        return f'{self.hertz:.1f}'
