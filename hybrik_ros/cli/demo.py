"""`hybrik demo`: run a video source and the node on a clip, and write pictures and figures."""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from hybrik_ros.body import BodyModel
from hybrik_ros.cli.compile import compile_missing
from hybrik_ros.cli.options import given_name
from hybrik_ros.cli.pictures import (
    draw_people,
    pictures_of,
    write_contact_sheet,
    write_overlay_video,
    write_picture,
)
from hybrik_ros.cli.processes import (
    NODE,
    ProcessError,
    isolate,
    process,
    require_running,
    tail,
    wait_for,
    warnings_of,
)
from hybrik_ros.cli.progress import UNKNOWN, Bar, Count
from hybrik_ros.cli.terminal import Terminal
from hybrik_ros.human import Human
from hybrik_ros.media import MediaError
from hybrik_ros.media.live_camera import LiveCamera
from hybrik_ros.media.open_media import open_media
from hybrik_ros.media.record import record_camera
from hybrik_ros.media.url import is_url
from hybrik_ros.media.video_file import FrameSource, StillPicture, VideoFile
from hybrik_ros.messages.exposure import describe_exposure
from hybrik_ros.share import SAMPLE
from hybrik_ros.writing import writing

if TYPE_CHECKING:
    from hybrik_ros.node.recorder import Recorder

# Files in the output folder.
_SHEET, _BAG = 'contact_sheet.jpg', 'bag'
_OVERLAY, _OVERLAY_PICTURE = 'overlay.webm', 'overlay.jpg'
_CLIP = 'camera.avi'  # what a camera showed
_NODE_LOG, _VIDEO_LOG = 'node.log', 'video.log'
_FILES = (_SHEET, _OVERLAY, _OVERLAY_PICTURE, _CLIP, _NODE_LOG, _VIDEO_LOG)
_BAG_FILES = ('bag.mcap', 'metadata.yaml')
_MARKER = '.hybrik_demo'  # marks a folder in which the demo may overwrite these files

_NODE = 'hybrik_node'
_CAMERA_SECONDS = 10.0  # how long a camera is recorded
_MIN_SHARE = 0.9  # minimum share of processed frames of the sample clip with a person
_FEW = 0.5  # share of frames below which --no-realtime is suggested
_MAX_RATE = 60.0  # frames per second of an overlay video of few frames
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
        'overlay video, a contact sheet and a bag, and prints counts and latencies of the frames. '
        'A video without people is no error.',
    )
    parser.add_argument(
        '--input',
        type=given_name,
        default=str(SAMPLE),
        metavar='SOURCE',
        help='video or photo, or index, path or URL of a camera, which is recorded for '
        f'{_CAMERA_SECONDS:g} s first (default: the sample clip)',
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
        _prepare_folder(args.output, args.input)
        source, name = _open(args.input, args.output, console)
        realtime = args.realtime and not isinstance(source, StillPicture)
        compile_missing(console)
        with Recorder(_NODE, args.ros_arguments) as recorder:
            _play(source, name, realtime, args.output, recorder, console)
        pictures = _write(source, args.output, recorder, console)
        _print_tables(realtime, recorder, console)
        for text in (*warnings_of(args.output / _VIDEO_LOG), *warnings_of(args.output / _NODE_LOG)):
            console.print(f'Warning: {text}', soft_wrap=True)
        _summarise(name, source, realtime, recorder, console)
        names = ', '.join(str(args.output / each) for each in (*pictures, _BAG))
        console.print(f'See {names}.', soft_wrap=True)
        return 0
    except (DemoError, MediaError, ProcessError, OSError) as error:
        console.print('The demo failed:', style='bold red', end=' ')
        for line in str(error).splitlines():  # The end of a log has several.
            console.print(line, soft_wrap=True)
        return 1


def _open(name: str, output: Path, console: Terminal) -> tuple[FrameSource, str]:
    """Open the input, and return it with its name; of a camera, record a clip first."""
    source = open_media(name)
    if isinstance(source, LiveCamera):
        clip = output / _CLIP
        text = TextColumn('{task.description}', markup=False)
        with Progress(text, Bar(), console=console, transient=True) as progress:
            task = progress.add_task(f'Recording {source.name}', total=_CAMERA_SECONDS)
            try:
                record_camera(
                    source, clip, _CAMERA_SECONDS, lambda now: progress.update(task, completed=now)
                )
            finally:
                source.close()
        return VideoFile(str(clip)), str(clip)
    return source, name if is_url(name) else os.path.realpath(name)


def _prepare_folder(output: Path, video: str) -> None:
    """Create the output folder, or remove only the results of an earlier demo from it."""
    bag = output / _BAG
    results = [output / name for name in _FILES]
    present = [path for path in (bag, *results) if os.path.lexists(path)]
    if os.path.realpath(video) in [os.path.realpath(path) for path in results]:
        raise DemoError(f'{video} would be overwritten: choose another folder with --output')
    if present and not (output / _MARKER).exists():
        raise DemoError(f'{present[0]} is not from a demo: choose another folder with --output')
    with writing(output):
        for path in [*results, *(bag / name for name in _BAG_FILES)]:
            path.unlink(missing_ok=True)
        if bag.exists():
            bag.rmdir()
        output.mkdir(parents=True, exist_ok=True)
        (output / _MARKER).touch()


def _play(
    source: FrameSource,
    name: str,
    realtime: bool,
    output: Path,
    recorder: 'Recorder',
    console: Terminal,
) -> None:
    """Run node and video source until the node has processed the last frame of the video."""
    node_command = list(NODE)
    if isinstance(source, StillPicture):  # There is no second frame that could confirm a person.
        node_command += ['--ros-args', '-p', 'tracking.confirm_after:=0.0']
    if not realtime:  # Best effort may lose images, and here all must be processed.
        reliable = 'qos_overrides./image.subscription.reliability:=reliable'
        node_command += ['--ros-args', '-p', reliable]
    video_command = [sys.executable, '-m', 'hybrik_ros.cli', 'video', name]
    # The subscribers are node and recorder, which counts the frames by their camera_info.
    video_command += ['--subscribers', '2'] + ([] if realtime else ['--lockstep'])
    columns = (TextColumn('{task.description}'), Bar(), Count(),
               TextColumn('{task.fields[note]}', markup=False), TimeElapsedColumn())  # fmt: skip
    with (
        process(node_command, output / _NODE_LOG) as node,
        Progress(*columns, console=console) as progress,
    ):
        task = progress.add_task('Starting', total=source.length or UNKNOWN, note='')

        def show_line(line: str) -> None:
            """Show a line of the log without ROS's prefix of severity, time and name."""
            progress.update(task, note=line.rpartition(']: ')[2])

        wait_for(recorder.node_listens, node, output / _NODE_LOG, show_line)
        progress.update(task, description='Playing')
        with process(video_command, output / _VIDEO_LOG) as video:
            while video.poll() is None:
                require_running(node, output / _NODE_LOG)
                _show(progress, task, recorder)
                time.sleep(_POLL_SECONDS)
        if video.returncode != 0:
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


def _write(source: FrameSource, output: Path, recorder: 'Recorder', console: Terminal) -> list[str]:
    """Write bag, contact sheet and overlay; return the names of the pictures."""
    if recorder.camera is None or not recorder.people:
        raise DemoError(f'no frame was processed. Log of the node:\n{tail(output / _NODE_LOG)}')
    _write_bag(output, recorder)
    frames, camera, body = _by_number(recorder), recorder.camera, BodyModel.load()
    write_contact_sheet(pictures_of(source), frames, body, camera, output / _SHEET)
    if isinstance(source, StillPicture):
        [(_, picture)] = pictures_of(source)
        if fault := describe_exposure(picture):  # The node tells of several images only.
            console.print(f'Warning: {fault}', soft_wrap=True)
        write_picture(output / _OVERLAY_PICTURE, draw_people(picture, frames[0], body, camera))
        return [_SHEET, _OVERLAY_PICTURE]
    seconds = (recorder.stamps[-1] - recorder.stamps[0]) * 1e-9
    rate = min(len(frames) / max(seconds, 1e-3), _MAX_RATE)
    pictures = pictures_of(source)
    written = write_overlay_video(pictures, frames, body, camera, output / _OVERLAY, rate)
    try:
        with Progress(console=console, transient=True) as progress:
            for _ in progress.track(written, total=len(frames), description='Drawing'):
                pass
    except MediaError as error:  # An OpenCV without the encoder; all else is there.
        console.print(f'No overlay video: {error}', soft_wrap=True)
        return [_SHEET]
    return [_SHEET, _OVERLAY]


def _write_bag(output: Path, recorder: 'Recorder') -> None:
    from hybrik_ros.bags import BagWriter
    from hybrik_ros.node.recorder import KEPT

    with writing(output), BagWriter(output / _BAG) as bag:
        for topic, type_name in KEPT.items():
            bag.add_topic(topic, type_name)
        for topic, received, message in recorder.messages:
            bag.write(topic, received, message)


def _by_number(recorder: 'Recorder') -> dict[int, list[Human]]:
    """Return the people of each processed frame by its number in the video."""
    return {
        number: recorder.people[stamp]
        for number, stamp in enumerate(recorder.stamps)
        if stamp in recorder.people
    }


def _print_tables(realtime: bool, recorder: 'Recorder', console: Terminal) -> None:
    """Print counts and latencies."""
    processed = len(recorder.people)
    found = [[human.id for human in people] for people in recorder.people.values()]
    with_person = sum(map(bool, found))
    table = Table(title='Frames and people', show_header=False)
    table.add_row('published', str(len(recorder.stamps)))
    table.add_row('received', recorder.report.get('received', '?'))
    table.add_row('processed', str(processed))
    table.add_row('dropped for newer ones', recorder.report.get('dropped for newer frames', '?'))
    table.add_row(
        'with a person', f'{with_person} ({with_person / processed:.0%} of those processed)'
    )
    table.add_row('people', str(len({id for ids in found for id in ids})))
    table.add_row('person-frames', str(sum(map(len, found))))
    if recorder.seconds:
        table.add_row('rate', f'{processed / recorder.seconds:.1f} frames/s')
    latency = Table('stage', 'ms, median / p95', title='Latency')
    for key, value in recorder.report.items():
        stage, separator, _ = key.partition(' ms, ')
        if separator and (realtime or stage not in _SINCE_STAMP):
            latency.add_row(stage, value)
    console.print(table, latency)


def _summarise(
    name: str, source: FrameSource, realtime: bool, recorder: 'Recorder', console: Terminal
) -> None:
    """Print what the counts mean; raise DemoError if the sample clip has too few people."""
    published, processed = len(recorder.stamps), len(recorder.people)
    with_person = sum(map(bool, recorder.people.values()))
    if isinstance(source, VideoFile) and source.broken:
        console.print(f'Left out: {source.broken} x frame that cannot be decoded.')
    if isinstance(source, VideoFile) and source.is_cut_off:
        console.print(f'The video ends early: its header says {source.length} frames.')
    if realtime and processed < _FEW * published:
        console.print(
            f'This machine processed {processed} of {published} frames in real time: '
            f'--no-realtime processes all of them.'
        )
    if Path(name) == SAMPLE.resolve():
        check_sample(with_person, processed, published)
    if not with_person:
        console.print(
            'No person was found. People are found if hips and shoulders are in view, and they '
            'fill a good part of the picture.',
            soft_wrap=True,
        )


def check_sample(with_person: int, processed: int, published: int) -> None:
    """Raise a DemoError if the sample clip has too few frames with a person.

    A busy machine that processes few frames needs several of them to confirm a person; one frame
    with her is enough then.
    """
    if with_person < (_MIN_SHARE * processed if processed >= _FEW * published else 1):
        raise DemoError(
            f'only {with_person} of {processed} processed frames show the woman of the sample clip '
            f'(at least {_MIN_SHARE:.0%} do on other machines): run hybrik doctor'
        )
