"""`hybrik calibrate --live`: the cameras of running nodes, until people have walked enough."""

import argparse
import itertools
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.progress import Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from hybrik_ros.advice import check_ros_environment
from hybrik_ros.body import BodyModel
from hybrik_ros.cli.calibration import (
    NOT_KNOWN,
    CalibrationViews,
    Goal,
    conclude,
)
from hybrik_ros.cli.progress import Bar
from hybrik_ros.cli.terminal import Terminal
from hybrik_ros.deadline import extended
from hybrik_ros.fusion.extrinsics import (
    MAX_OFFSET,
    CameraPose,
    ExtrinsicsError,
    shared_seconds,
)
from hybrik_ros.recordings.cameras import check_frames
from hybrik_ros.recordings.interrupt import interrupts
from hybrik_ros.share import set_transport_profile

if TYPE_CHECKING:
    from hybrik_ros.node.observation_listener import HeardCamera, ObservationListener

# Time in seconds that each camera must share with others: in simulations, a walk of 15 s gives
# 0.1 degrees, one of 5 s 0.2. More is waited for while the people do not determine the extrinsics.
_ENOUGH, _MORE = 15.0, 5.0
_POLL_SECONDS = 1.0
# Maximum time for TF to arrive: DDS announces processes every 3 s, and may lose an announcement.
_MAX_TF_SECONDS = 8.0


def listen(args: argparse.Namespace, goal: Goal, console: Terminal) -> int:
    """Calibrate or check the cameras of running nodes; return the exit status.

    Ends by itself once all cameras share enough time, after args.seconds, or at Ctrl-C; what was
    seen until then is used.

    Raises
    ------
    ExtrinsicsError
        The people do not determine the extrinsics.
    """
    names = [text.strip('/') for text in args.input]
    if len(set(names)) < max(2, len(names)) or not all(names):
        raise ExtrinsicsError(
            'give the namespaces of two cameras or more, each once, such as: '
            'hybrik calibrate --live left right'
        )
    check_ros_environment(args.ros_arguments)
    set_transport_profile()
    from hybrik_ros.node.observation_listener import ObservationListener

    body, enough = BodyModel.load(), _ENOUGH
    with interrupts() as stopped, ObservationListener(args.input, args.ros_arguments) as listener:
        if goal.output is None and not goal.known:
            _wait_for_tf(listener, stopped)
        deadline = time.monotonic() + args.seconds
        while True:
            is_over = _wait_for_people(listener, stopped, deadline, enough, console)
            try:
                with extended():
                    known = {n: CameraPose(p, 0.0) for n, p in listener.known_poses().items()}
                    views = _views_of(listener.cameras())
                    return conclude(views, goal.or_known(known), body, console)
            except ExtrinsicsError as error:
                if is_over:
                    raise
                console.print(f'not enough yet: {error}', soft_wrap=True)
                enough += _MORE


def _wait_for_tf(listener: 'ObservationListener', stopped: threading.Event) -> None:
    """Wait for TF; raise an ExtrinsicsError if there is none to check."""
    deadline = time.monotonic() + _MAX_TF_SECONDS
    while time.monotonic() < deadline and len(listener.known_poses()) < len(listener.cameras()):
        stopped.wait(_POLL_SECONDS / 4)
    if not listener.known_poses():
        _views_of(listener.cameras())
        raise ExtrinsicsError(NOT_KNOWN)


def _wait_for_people(
    listener: 'ObservationListener',
    stopped: threading.Event,
    deadline: float,
    enough: float,
    console: Terminal,
) -> bool:
    """Show the time that cameras share, until it is enough; return whether to end in any case."""
    columns = TextColumn('{task.description}', markup=False), Bar(), _Seconds()
    pairs = list(itertools.combinations(listener.cameras(), 2))
    is_hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=is_hidden) as progress:
        tasks = {pair: progress.add_task(_words(pair), total=enough) for pair in pairs}
        while True:
            is_over = stopped.wait(_POLL_SECONDS) or time.monotonic() > deadline
            streams = {name: camera.stream for name, camera in listener.cameras().items()}
            shared = {(a, b): shared_seconds(streams[a], streams[b]) for a, b in pairs}
            for pair, seconds in shared.items():
                progress.update(tasks[pair], completed=min(seconds, enough))
            if is_over or linked_seconds(list(streams), shared) >= enough:
                break
    for pair, seconds in shared.items():
        console.print(f'{_words(pair)} {seconds:.1f} s')
    return is_over


def _words(pair: tuple[str, str]) -> str:
    return f'cameras {pair[0]} and {pair[1]} have shared'


def linked_seconds(cameras: Sequence[str], shared: Mapping[tuple[str, str], float]) -> float:
    """Return the seconds that each camera shares at least with those that are linked already.

    Parameters
    ----------
    cameras : sequence of str
        Names of the cameras.
    shared : mapping
        Seconds in which two cameras see the same person, by the names of both.
    """
    linked, least = {cameras[0]}, float('inf')
    while len(linked) < len(cameras):
        seconds, pair = max(
            (seconds, pair)
            for pair, seconds in shared.items()
            if (pair[0] in linked) != (pair[1] in linked)
        )
        linked.update(pair)
        least = min(least, seconds)
    return least


def _views_of(cameras: Mapping[str, 'HeardCamera']) -> CalibrationViews:
    """Return what cameras see; refuse silent ones and those of one frame."""
    silent = [camera.topic for camera in cameras.values() if not camera.stream]
    if silent:
        raise ExtrinsicsError(
            f'no message on {", ".join(silent)}: check that the hybrik_nodes there are active and '
            f'publish observations (publish.observations)'
        )
    frame_ids = {name: camera.frame_id for name, camera in cameras.items()}
    check_frames(frame_ids)
    return CalibrationViews(
        {name: camera.stream for name, camera in cameras.items()}, frame_ids, MAX_OFFSET
    )


class _Seconds(ProgressColumn):
    """The seconds so far, and how many are enough."""

    def render(self, task: Task) -> Text:
        """Return the seconds of a task."""
        return Text(f'{task.completed:.0f} of {task.total:.0f} s', style='progress.download')
