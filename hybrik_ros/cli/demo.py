"""`hybrik demo`: run a video source and the node on a clip, and write pictures and figures."""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
from rich.progress import Progress, TaskID, TextColumn, TimeElapsedColumn
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
from hybrik_ros.cli.terminal import Terminal
from hybrik_ros.human import Human
from hybrik_ros.share import SAMPLE

if TYPE_CHECKING:
    from hybrik_ros.node.recorder import Recorder

# Files in the output folder.
_SHEET, _OVERLAY, _BAG = 'contact_sheet.png', 'overlay.mp4', 'bag'
_NODE_LOG, _VIDEO_LOG = 'node.log', 'video.log'
_BAG_FILES = ('bag.mcap', 'metadata.yaml')
_MARKER = '.hybrik_demo'  # marks a folder in which the demo may overwrite these files

_NODE = 'hybrik_node'
_MIN_SHARE = 0.9  # minimum share of processed frames with a person
_MIN_FRAMES = 30  # minimum number of processed frames for that share to mean anything
_DRAIN_SECONDS = 1.0  # time without a new answer after which the node has processed all frames
_POLL_SECONDS = 0.1
# Stages measured from the image's stamp, which falls behind the clock with --no-realtime.
_SINCE_STAMP = ('transport', 'total')


class DemoError(RuntimeError):
    """The demo failed; the message gives the reason and the remedy."""


def add_parser(subparsers: 'argparse._SubParsersAction[argparse.ArgumentParser]') -> None:
    """Add the demo command."""
    parser = subparsers.add_parser(
        'demo',
        help='run the node on a clip and show the results',
        description='Runs a video source and the node as separate processes on a clip, writes an '
        'overlay video, a contact sheet and a bag, and prints counts and latencies of the frames.',
    )
    parser.add_argument(
        '--input', type=Path, default=SAMPLE, help='video file (default: the sample clip)'
    )
    parser.add_argument(
        '--output',
        type=Path,
        default=Path('demo_output'),
        help='folder for the results (default: demo_output)',
    )
    parser.add_argument(
        '--realtime',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='play the video at its own rate, as a camera does, so that a slow machine drops '
        'frames (default); --no-realtime waits until each frame is processed',
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo; return 0, or 1 with the reason on the terminal."""
    console = Terminal()
    isolate()
    from hybrik_ros.node.recorder import Recorder

    try:
        frames = _count_frames(args.input)
        _prepare_folder(args.output, args.input)
        compile_missing(console)
        with Recorder(_NODE) as recorder:
            _play(args.input, frames, args.realtime, args.output, recorder, console)
        _write(args.input, args.output, recorder, console)
        _summarise(args.output, frames, args.realtime, recorder, console)
        return 0
    except (DemoError, ProcessError, OSError) as error:
        console.print('The demo failed:', style='bold red', end=' ')
        for line in str(error).splitlines():  # The end of a log has several.
            console.print(line, soft_wrap=True)
        return 1


def _count_frames(video: Path) -> int | None:
    """Return the number of frames in a video's header; None if it has none."""
    if not video.is_file():
        raise DemoError(f'there is no file {video}: check --input')
    capture = cv2.VideoCapture(str(video))
    readable, frames = capture.grab(), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    if not readable:
        raise DemoError(f'{video} is not a video that OpenCV can read: convert it, to .mp4 say')
    return frames if frames > 0 else None


def _prepare_folder(output: Path, video: Path) -> None:
    """Create the output folder, or remove only the results of an earlier demo from it."""
    bag = output / _BAG
    results = [output / name for name in (_SHEET, _OVERLAY, _NODE_LOG, _VIDEO_LOG)]
    present = [path for path in (bag, *results) if os.path.lexists(path)]
    if video.resolve() in [path.resolve() for path in results]:
        raise DemoError(f'{video} would be overwritten: choose another folder with --output')
    if present and not (output / _MARKER).exists():
        raise DemoError(f'{present[0]} is not from a demo: choose another folder with --output')
    for path in [*results, *(bag / name for name in _BAG_FILES)]:
        path.unlink(missing_ok=True)
    if bag.exists():
        bag.rmdir()
    output.mkdir(parents=True, exist_ok=True)
    (output / _MARKER).touch()


def _play(
    video: Path,
    frames: int | None,
    realtime: bool,
    output: Path,
    recorder: 'Recorder',
    console: Terminal,
) -> None:
    """Run node and video source until the node has processed the last frame of the video."""
    node_command = list(NODE)
    if not realtime:  # Best effort may lose images, and here all must be processed.
        reliable = 'qos_overrides./image.subscription.reliability:=reliable'
        node_command += ['--ros-args', '-p', reliable]
    source_command = [sys.executable, '-m', 'hybrik_ros.cli', 'video', str(video.resolve())]
    # The subscribers are node and recorder, which counts the frames by their camera_info.
    source_command += ['--subscribers', '2'] + ([] if realtime else ['--lockstep'])
    columns = (TextColumn('{task.description}'), Bar(), Count(),
               TextColumn('{task.fields[note]}', markup=False), TimeElapsedColumn())  # fmt: skip
    with (
        process(node_command, output / _NODE_LOG) as node,
        Progress(*columns, console=console) as progress,
    ):
        task = progress.add_task('Starting', total=frames or UNKNOWN, note='')

        def show_line(line: str) -> None:
            """Show a line of the log without ROS's prefix of severity, time and name."""
            progress.update(task, note=line.rpartition(']: ')[2])

        wait_for(recorder.node_listens, node, output / _NODE_LOG, show_line)
        progress.update(task, description='Playing')
        with process(source_command, output / _VIDEO_LOG) as source:
            while source.poll() is None:
                require_running(node, output / _NODE_LOG)
                _show(progress, task, recorder)
                time.sleep(_POLL_SECONDS)
        if source.returncode != 0:
            raise DemoError(f'the video source failed:\n{tail(output / _VIDEO_LOG)}')
        _drain(recorder)
        _show(progress, task, recorder)


def _drain(recorder: 'Recorder') -> None:
    """Wait until the node answers no more."""
    before = -1
    while len(recorder.people) > before:
        before = len(recorder.people)
        time.sleep(_DRAIN_SECONDS)


def _show(progress: Progress, task: TaskID, recorder: 'Recorder') -> None:
    """Update the progress bar."""
    with_person = sum(bool(people) for people in recorder.people.values())
    note = f'processed {len(recorder.people)}, with a person {with_person}'
    progress.update(task, completed=len(recorder.stamps), note=note)


def _write(video: Path, output: Path, recorder: 'Recorder', console: Terminal) -> None:
    """Write bag, contact sheet and overlay video."""
    from hybrik_ros.bags import BagWriter
    from hybrik_ros.node.recorder import KEPT

    if recorder.camera is None or not recorder.people:
        raise DemoError(f'no frame was processed. Log of the node:\n{tail(output / _NODE_LOG)}')
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
    output: Path, frames: int | None, realtime: bool, recorder: 'Recorder', console: Terminal
) -> None:
    """Print counts and latencies; raise DemoError if too few frames have a person."""
    processed = len(recorder.people)
    with_person = sum(bool(people) for people in recorder.people.values())
    table = Table(title='Frames', show_header=False)
    table.add_row('published', str(len(recorder.stamps)))
    table.add_row('received', recorder.report.get('received', '?'))
    table.add_row('processed', str(processed))
    table.add_row('dropped for newer ones', recorder.report.get('dropped for newer frames', '?'))
    table.add_row(
        'with a person', f'{with_person} ({with_person / processed:.0%} of those processed)'
    )
    table.add_row('rate', f'{processed / max(recorder.seconds, 1e-3):.1f} frames/s')
    latency = Table('stage', 'ms, median / p95', title='Latency')
    for key, value in recorder.report.items():
        stage, separator, _ = key.partition(' ms, ')
        if separator and (realtime or stage not in _SINCE_STAMP):
            latency.add_row(stage, value)
    console.print(table, latency)
    if frames and len(recorder.stamps) < frames:
        console.print(f'The video ended early: its header says {frames} frames.')
    console.print(
        f'See {output / _SHEET}, {output / _OVERLAY} and {output / _BAG}.',
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    if with_person and realtime and processed < _MIN_FRAMES:
        console.print(
            f'This machine processed {processed} of {len(recorder.stamps)} frames in real time, '
            f'too few to judge: --no-realtime processes all of them.'
        )
    elif with_person < _MIN_SHARE * processed:
        raise DemoError(
            f'only {with_person} of {processed} processed frames show a person, less than '
            f'{_MIN_SHARE:.0%}: choose a video with a person in full view'
        )
