"""What the node tells about itself on /diagnostics: counts, latencies by stage, faults."""

import threading
import time
from collections import Counter, deque

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

_WINDOW = 600  # frames over which latencies are summed up
_STALLED_SECONDS = 2.0  # without an image


class Diagnostics:
    """Counts frames and faults since activation; used from several threads.

    Stages, in the order in which a frame passes them: 'transport' from the image's stamp to the
    node, 'wait' for the frame before, 'decode', the pipeline's own stages, 'publish'; 'total' is
    from the stamp to the last published message.

    Parameters
    ----------
    name: of the node.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._reported_faults: Counter[str] = Counter()
        self._seconds: dict[str, deque[float]] = {}
        self._last_image = time.monotonic()

    def received(self) -> None:
        """Count an image that came in."""
        with self._lock:
            self._counts['received'] += 1
            self._last_image = time.monotonic()

    def processed(self, people: int) -> None:
        """Count a frame that was looked at, and whether somebody was in it."""
        with self._lock:
            self._counts['processed'] += 1
            self._counts['with a person'] += people > 0

    def fault(self, kind: str) -> None:
        """Count a fault that cost a frame."""
        with self._lock:
            self._faults[kind] += 1

    def took(self, stage: str, seconds: float) -> None:
        """Note how long a frame spent in a stage."""
        with self._lock:
            self._seconds.setdefault(stage, deque(maxlen=_WINDOW)).append(seconds)

    def loading(self, message: str, header: Header) -> DiagnosticArray:
        """Return the report of a node that is being configured.

        Parameters
        ----------
        message: what was logged last.
        header: stamp of the report.
        """
        status = DiagnosticStatus(level=DiagnosticStatus.WARN, name=self._name)
        status.message = f'loading: {message}'
        return DiagnosticArray(header=header, status=[status])

    def report(
        self, *, replaced: int, camera: str, assumed: bool, header: Header
    ) -> DiagnosticArray:
        """Return the report of an active node.

        Parameters
        ----------
        replaced: frames dropped because a newer one came while the worker was busy.
        camera: where the intrinsics come from, in words.
        assumed: whether that is a guess.
        header: stamp of the report.
        """
        with self._lock:
            new_faults = self._faults - self._reported_faults
            self._reported_faults = self._faults.copy()
            silent = time.monotonic() - self._last_image
            values = {
                'received': self._counts['received'],
                'processed': self._counts['processed'],
                'with a person': self._counts['with a person'],
                'dropped for newer frames': replaced,
                **{f'lost: {kind}': count for kind, count in sorted(self._faults.items())},
                'camera': camera,
                **{
                    f'{stage} ms, median / p95': f'{1e3 * np.median(seconds):.1f} / '
                    f'{1e3 * np.percentile(seconds, 95):.1f}'
                    for stage, seconds in self._seconds.items()
                },
            }
        status = DiagnosticStatus(level=DiagnosticStatus.OK, name=self._name, message='running')
        if new_faults:
            status.level = DiagnosticStatus.ERROR
            status.message = f'frames are lost: {", ".join(sorted(new_faults))}'
        elif silent > _STALLED_SECONDS:
            status.level = DiagnosticStatus.WARN
            status.message = f'no image for {silent:.0f} s'
        elif assumed:
            status.level = DiagnosticStatus.WARN
            status.message = f'the camera is not calibrated: {camera}'
        status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        return DiagnosticArray(header=header, status=[status])
