"""Several cameras in `hybrik bag`: one body per person, in a fixed frame."""

import argparse
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hybrik_ros.bags import BagReader
from hybrik_ros.bags.observation_reader import OBSERVED_TYPES
from hybrik_ros.cli.bag_runs import (
    INTERRUPTED,
    create_progress,
    print_notes,
    print_outcome,
    run_jobs_of,
)
from hybrik_ros.cli.progress import UNKNOWN
from hybrik_ros.cli.terminal import Terminal
from hybrik_ros.fusion.extrinsics import CameraPose
from hybrik_ros.fusion.extrinsics.files import read_extrinsics
from hybrik_ros.recordings.camera_poses import check_connected
from hybrik_ros.recordings.cameras import find_optical_frames, name_camera
from hybrik_ros.recordings.fusing import FusedCamera, FusionJob, fuse_cameras, read_report
from hybrik_ros.recordings.interrupt import interrupts
from hybrik_ros.recordings.process import Job, Outcome
from hybrik_ros.recordings.recording import Recording, RecordingError, is_bag
from hybrik_ros.recordings.sources import colour_topics

_FIXED_FRAME = 'map'
_NAMED = re.compile(r'(?P<name>[A-Za-z]\w*)=(?P<path>.+)')


def add_fusion_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of several cameras."""
    group = parser.add_argument_group(
        'several cameras',
        'Each of these options, or a second --image-topic, makes one body per person of what the '
        'cameras of one recording see. Without --image-topic these are all topics of colour '
        'images, or, in a recording without images, all of human_observations or human_poses.',
    )
    group.add_argument(
        '--fixed-frame',
        metavar='FRAME',
        help='frame of the fused people, z up, which TF in the recording connects with the optical '
        f'frames of all cameras (default: {_FIXED_FRAME})',
    )
    group.add_argument(
        '--extrinsics',
        type=Path,
        metavar='FILE',
        help='where the cameras are, as hybrik calibrate writes it, used instead of TF',
    )
    group.add_argument(
        '--clock-offsets',
        action='store_true',
        help="add the file's clock offsets to the stamps of the cameras",
    )
    group.add_argument(
        '--people-topic',
        action='append',
        default=[],
        metavar='TOPIC',
        help='human_observations or human_poses of a camera in the recording, used instead of its '
        'images; repeat it for each camera',
    )


def is_fusion(args: argparse.Namespace) -> bool:
    """Return whether cameras are to be fused."""
    options = args.fixed_frame, args.extrinsics, args.clock_offsets, args.people_topic
    return any(options) or len(args.image_topic) > 1


def run_fusion(args: argparse.Namespace, settings: dict[str, Any], console: Terminal) -> int:
    """Find the people of each camera, and fuse them; return the exit status.

    Raises
    ------
    RecordingError, MediaError, BagError, CalibrationError, ExtrinsicsError, OSError
        The recording or the extrinsics cannot be used, or the bag cannot be written.
    """
    _check_options(args)
    if args.output.exists() and not args.resume:
        raise RecordingError(f'{args.output} exists: choose another output, or add --resume')
    output = args.output.absolute()
    work = output.parent / f'.{output.name}.cameras'
    job = _create_job(args, settings, output, work)
    jobs = [camera.job for camera in job.cameras.values() if camera.job is not None]
    if not read_report(job).complete and jobs:
        results, _, interrupted = run_jobs_of(jobs, args, console, 'cameras')
        if results.failures:
            raise RecordingError('; '.join(results.failures.values()))
        if interrupted:
            console.print('interrupted: resume with the same command', highlight=False)
            return INTERRUPTED
    outcome = _fuse(job, console)
    if not outcome.report.complete:
        console.print('interrupted: resume with the same command', highlight=False)
        return INTERRUPTED
    print_notes({output: outcome.report}, console)
    print_outcome(output, outcome, console)
    shutil.rmtree(work, ignore_errors=True)
    return 0


def _fuse(job: FusionJob, console: Terminal) -> Outcome:
    """Fuse the people of the cameras, with progress."""
    with interrupts() as stopped, create_progress(console) as progress:
        task = progress.add_task('fusing', total=UNKNOWN)

        def show(done: int, length: int) -> None:
            progress.update(task, completed=done, total=length)

        return fuse_cameras(job, stopped.is_set, show)


def named_recordings(inputs: list[str], rate: float, **options: Any) -> dict[str, Recording]:
    """Return the recording of each camera that is given as NAME=PATH.

    Parameters
    ----------
    inputs : list of str
        The words.
    rate : float
        Images per second of those that are folders.
    **options
        Other fields of Recording.

    Raises
    ------
    RecordingError
        A word has another form, or two cameras have one name.
    """
    found: dict[str, Recording] = {}
    for text in inputs:
        match = _NAMED.fullmatch(text)
        if match is None:
            raise RecordingError(f'{text} has no name: give NAME=PATH for each camera')
        if match['name'] in found:
            raise RecordingError(f'two cameras have the name {match["name"]}')
        path = Path(match['path'])
        is_folder = path.is_dir() and not is_bag(path)
        found[match['name']] = Recording(path, rate=rate if is_folder else 0.0, **options)
    return found


def _check_options(args: argparse.Namespace) -> None:
    """Refuse options that are for one camera, or do not go together."""
    for given, option in (
        (args.all_topics, '--all-topics'),
        (args.camera_info_topic, '--camera-info-topic'),
        (args.camera_info, '--camera-info'),
    ):
        if given:
            raise RecordingError(
                f'{option} is for one camera: several have a camera_info each, beside their images'
            )
    if args.clock_offsets and args.extrinsics is None:
        raise RecordingError('--clock-offsets are those of a file: add --extrinsics FILE')
    if args.people_topic and args.image_topic:
        raise RecordingError('give either --image-topic or --people-topic, not both')


def _create_job(
    args: argparse.Namespace, settings: dict[str, Any], output: Path, work: Path
) -> FusionJob:
    """Return the job; what is wrong is found before networks are loaded."""
    recordings = _find_recordings(args)
    if recordings:
        frame_ids = find_optical_frames(recordings)
        cameras = {
            name: FusedCamera(
                recording.path,
                job=Job(recording, work / name.replace('/', '.'), settings),
                frame_id=frame_ids[name],
            )
            for name, recording in recordings.items()
        }
    else:
        cameras, frame_ids = _find_people(args), {}
    extrinsics = _read_poses(args, cameras)
    fixed_frame = args.fixed_frame or _FIXED_FRAME
    if not extrinsics and frame_ids:
        check_connected(next(iter(cameras.values())).recording, fixed_frame, frame_ids)
    return FusionJob(cameras, output, fixed_frame, extrinsics, settings)


def _find_recordings(args: argparse.Namespace) -> dict[str, Recording]:
    """Return the images of each camera; none if people in the recording are to be fused."""
    options = {'field_of_view': args.field_of_view, 'intrinsics': args.intrinsics}
    path = Path(args.input[0])
    if len(args.input) > 1 or ('=' in args.input[0] and not path.exists()):
        recordings = named_recordings(args.input, args.rate, **options)
        if args.extrinsics is None:
            raise RecordingError(
                'files of several cameras have no TF: add --extrinsics FILE of hybrik calibrate, '
                'or give one bag with all cameras'
            )
        return {
            name: Recording(one.path.absolute(), rate=one.rate, **options)
            for name, one in recordings.items()
        }
    if not is_bag(path):
        raise RecordingError(f'{path} is no bag: give NAME=PATH for the video of each camera')
    if args.people_topic:
        return {}
    with BagReader(path) as reader:
        topics = [reader.full_name(topic) for topic in args.image_topic]
        topics = topics or list(colour_topics(reader.topics))
    return _by_name({topic: Recording(path.absolute(), topic, **options) for topic in topics})


def _find_people(args: argparse.Namespace) -> dict[str, FusedCamera]:
    """Return the cameras whose people are in the recording."""
    path = Path(args.input[0]).absolute()
    with BagReader(path) as reader:
        topics = [reader.full_name(topic) for topic in args.people_topic]
        for kind in OBSERVED_TYPES:
            topics = topics or [name for name, t in reader.topics.items() if t.type_name == kind]
    if not topics:
        raise RecordingError(
            f'{path} has neither topics of images nor of {" or ".join(OBSERVED_TYPES)}'
        )
    return _by_name({topic: FusedCamera(path, topic) for topic in topics})


def _by_name(cameras: Mapping[str, Any]) -> dict[str, Any]:
    """Return what belongs to each camera by its name, given by topic."""
    names = [name_camera(topic) for topic in cameras]
    for name in names:
        if names.count(name) > 1:
            listed = ', '.join(topic for topic in cameras if name_camera(topic) == name)
            raise RecordingError(f'topics {listed} are of one camera, {name}: choose one of them')
    return dict(zip(names, cameras.values(), strict=True))


def _read_poses(
    args: argparse.Namespace, cameras: Mapping[str, FusedCamera]
) -> dict[str, CameraPose]:
    """Return where the cameras are by the file; empty without a file."""
    if args.extrinsics is None:
        return {}
    known = read_extrinsics(args.extrinsics)
    if missing := [name for name in cameras if name not in known]:
        raise RecordingError(
            f'{args.extrinsics} has no camera {", ".join(missing)}; it has {", ".join(known)}'
        )
    offsets = 1.0 if args.clock_offsets else 0.0
    return {
        name: known[name]._replace(clock_offset=offsets * known[name].clock_offset)
        for name in cameras
    }
