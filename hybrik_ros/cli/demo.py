"""`hybrik demo`: camera and node as two processes, and what came of it in pictures and numbers."""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from hybrik_ros.body import BodyModel
from hybrik_ros.cli.compile import compile_missing
from hybrik_ros.cli.pictures import read_pictures, write_contact_sheet, write_overlay_video
from hybrik_ros.cli.processes import (
    NODE,
    ProcessError,
    isolate,
    process,
    require_running,
    tail,
    wait_for,
)
from hybrik_ros.cli.progress import UNKNOWN, Bar, Count
from hybrik_ros.human import Human
from hybrik_ros.share import SAMPLE

if TYPE_CHECKING:
    from hybrik_ros.node.recorder import Recorder

# What it leaves in the output folder.
_SHEET, _OVERLAY, _BAG = 'contact_sheet.png', 'overlay.mp4', 'bag'
_NODE_LOG, _VIDEO_LOG = 'node.log', 'video.log'
_BAG_FILES = ('bag.mcap', 'metadata.yaml')
_MARK = '.hybrik_demo'  # Without it, what bears these names is somebody else's.

_NODE = 'hybrik_node'
# Fewer processed frames with a person than this, and the demo has failed.
_LEAST_SHARE = 0.9
_DRAIN_SECONDS = 1.0
_POLL_SECONDS = 0.1
# Stages that begin at the image's stamp. In a video that waits, stamps fall behind the clock.
_SINCE_STAMP = ('transport', 'total')


class DemoError(RuntimeError):
    """The demo cannot go on; the message says why and what to do."""


def add_parser(subparsers: 'argparse._SubParsersAction[argparse.ArgumentParser]') -> None:
    """Add the demo command."""
    parser = subparsers.add_parser(
        'demo',
        help='run camera and node on a clip, and show what comes of it',
        description='Runs video source and node as separate processes on a clip, then writes an '
        'overlay video, a contact sheet and a bag, and says what happened to the frames.',
    )
    parser.add_argument('--input', type=Path, default=SAMPLE, help='video (default: the sample)')
    parser.add_argument(
        '--output', type=Path, default=Path('demo_output'), help='folder (default: demo_output)'
    )
    parser.add_argument(
        '--realtime',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='play the video at its own rate, as a camera would, so that a slow machine drops '
        'frames (default); --no-realtime waits until each frame is processed',
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo; return 0, or 1 with the reason on the terminal."""
    console = Console()
    isolate()
    from hybrik_ros.node.recorder import Recorder

    try:
        frames = _count_frames(args.input)
        _make_room(args.output, args.input)
        compile_missing(console)
        with Recorder(_NODE) as recorder:
            _play(args.input, frames, args.realtime, args.output, recorder, console)
        _write(args.input, args.output, recorder, console)
        _summarise(args.output, frames, args.realtime, recorder, console)
        return 0
    except (DemoError, ProcessError, OSError) as error:
        console.print('The demo failed:', style='bold red', end=' ')
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        return 1


def _count_frames(video: Path) -> int | None:
    """Return how many frames a video says it has; None where it does not say."""
    if not video.is_file():
        raise DemoError(f'there is no file {video}')
    capture = cv2.VideoCapture(str(video))
    readable, frames = capture.grab(), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    if not readable:
        raise DemoError(f'{video} is no video that OpenCV can read')
    return frames if frames > 0 else None


def _make_room(output: Path, video: Path) -> None:
    """Remove the results of an earlier demo, and nothing else."""
    bag = output / _BAG
    results = [output / name for name in (_SHEET, _OVERLAY, _NODE_LOG, _VIDEO_LOG)]
    present = [path for path in (bag, *results) if os.path.lexists(path)]
    if video.resolve() in [path.resolve() for path in results]:
        raise DemoError(f'{video} would be overwritten: choose another folder by --output')
    if present and not (output / _MARK).exists():
        raise DemoError(f'{present[0]} is not from a demo: choose another folder by --output')
    for path in [*results, *(bag / name for name in _BAG_FILES)]:
        path.unlink(missing_ok=True)
    if bag.exists():
        bag.rmdir()
    output.mkdir(parents=True, exist_ok=True)
    (output / _MARK).touch()


def _play(
    video: Path,
    frames: int | None,
    realtime: bool,
    output: Path,
    recorder: 'Recorder',
    console: Console,
) -> None:
    """Run node and video source until the video is over and the node has had its last frame."""
    node_command = list(NODE)
    if not realtime:  # Best effort may lose an image; here every one is to be processed.
        reliable = 'qos_overrides./image.subscription.reliability:=reliable'
        node_command += ['--ros-args', '-p', reliable]
    source_command = [sys.executable, '-m', 'hybrik_ros.cli', 'video', str(video.resolve())]
    # Node and recorder: the recorder counts the frames by their camera_info.
    source_command += ['--subscribers', '2'] + ([] if realtime else ['--lockstep'])
    columns = (TextColumn('{task.description}'), Bar(), Count(),
               TextColumn('{task.fields[note]}', markup=False), TimeElapsedColumn())  # fmt: skip
    with (
        process(node_command, output / _NODE_LOG) as node,
        Progress(*columns, console=console) as progress,
    ):
        task = progress.add_task('Starting', total=frames or UNKNOWN, note='')

        def tell(line: str) -> None:  # Without the severity, time and name that ROS puts first.
            progress.update(task, note=line.rpartition(']: ')[2])

        wait_for(recorder.node_listens, node, output / _NODE_LOG, tell)
        progress.update(task, description='Playing')
        with process(source_command, output / _VIDEO_LOG) as source:
            while source.poll() is None:
                require_running(node, output / _NODE_LOG)
                _show(progress, task, recorder)
                time.sleep(_POLL_SECONDS)
        if source.returncode != 0:
            raise DemoError(f'the video source gave up:\n{tail(output / _VIDEO_LOG)}')
        before = -1
        while len(recorder.people) > before:
            before = len(recorder.people)
            time.sleep(_DRAIN_SECONDS)
        _show(progress, task, recorder)


def _show(progress: Progress, task: Any, recorder: 'Recorder') -> None:
    peopled = sum(bool(people) for people in recorder.people.values())
    note = f'processed {len(recorder.people)}, with a person {peopled}'
    progress.update(task, completed=len(recorder.stamps), note=note)


def _write(video: Path, output: Path, recorder: 'Recorder', console: Console) -> None:
    """Write bag, contact sheet and overlay video."""
    from hybrik_ros.bags import BagWriter
    from hybrik_ros.node.recorder import KEPT

    if recorder.camera is None or not recorder.people:
        raise DemoError(f'no frame was processed. The node said:\n{tail(output / _NODE_LOG)}')
    with BagWriter(output / _BAG) as bag:
        for topic, type_name in KEPT.items():
            bag.add_topic(topic, type_name)
        for topic, received, message in recorder.messages:
            bag.write(topic, received, message)

    frames = _by_number(recorder)
    body = BodyModel.load()
    rate = len(frames) / max((recorder.stamps[-1] - recorder.stamps[0]) * 1e-9, 1e-3)
    with Progress(console=console, transient=True) as progress:
        write_contact_sheet(read_pictures(video), frames, body, recorder.camera, output / _SHEET)
        for _ in progress.track(
            write_overlay_video(video, frames, body, recorder.camera, output / _OVERLAY, rate),
            total=len(frames),
            description='Drawing',
        ):
            pass


def _by_number(recorder: 'Recorder') -> dict[int, list[Human]]:
    """Return the people of each processed frame by its number in the video."""
    return {
        number: recorder.people[stamp]
        for number, stamp in enumerate(recorder.stamps)
        if stamp in recorder.people
    }


def _summarise(
    output: Path, frames: int | None, realtime: bool, recorder: 'Recorder', console: Console
) -> None:
    """Print what happened to the frames.

    Raises
    ------
    DemoError: too few of them held a person.
    """
    processed = len(recorder.people)
    peopled = sum(bool(people) for people in recorder.people.values())
    table = Table(title='Frames', show_header=False)
    table.add_row('published', str(len(recorder.stamps)))
    table.add_row('received', recorder.report.get('received', '?'))
    table.add_row('processed', str(processed))
    table.add_row('dropped for newer ones', recorder.report.get('dropped for newer frames', '?'))
    table.add_row('with a person', f'{peopled} ({peopled / processed:.0%} of the processed)')
    table.add_row('rate', f'{processed / max(recorder.seconds, 1e-3):.1f} frames/s')
    latency = Table('stage', 'ms, median / p95', title='Latency')
    for key, value in recorder.report.items():
        stage, separator, _ = key.partition(' ms, ')
        if separator and (realtime or stage not in _SINCE_STAMP):
            latency.add_row(stage, value)
    console.print(table, latency)
    if frames and len(recorder.stamps) < frames:
        console.print(f'The video ended early: it says that it has {frames} frames.')
    console.print(
        f'See {output / _SHEET}, {output / _OVERLAY} and {output / _BAG}.',
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    if peopled < _LEAST_SHARE * processed:
        raise DemoError(
            f'only {peopled} of {processed} processed frames held a person, '
            f'less than {_LEAST_SHARE:.0%}. Is somebody in full view in the video?'
        )
