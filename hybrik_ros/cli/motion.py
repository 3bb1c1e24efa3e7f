"""`hybrik motion`: write the people of a bag to motion files."""

import argparse
import sys
from pathlib import Path

from hybrik_ros.bags import BagError
from hybrik_ros.bags.people_reader import People, read_people
from hybrik_ros.body import BodyModel
from hybrik_ros.cli.output import fail, say
from hybrik_ros.human import Human
from hybrik_ros.motion import FORMATS, Motion, MotionError, motions_of, write_motion
from hybrik_ros.motion.formats import check_format
from hybrik_ros.motion.motion import joint_error
from hybrik_ros.motion.standing import find_floor, place_on_floor
from hybrik_ros.printable import printable
from hybrik_ros.writing import check_not_overwritten, writing

# Metres; frames with a larger deviation from the messages are reported.
_MAX_DEVIATION = 0.001
# Metres; messages whose joints are farther from those of their rotations and betas are left out.
# Other programs may take the joints from the mesh in another way, which differs by less.
_MAX_JOINT_ERROR = 0.1


def add_parser(subparsers: 'argparse._SubParsersAction[argparse.ArgumentParser]') -> None:
    """Add the motion command."""
    parser = subparsers.add_parser(
        'motion',
        help='write the people of a bag to motion files',
        description='Writes one file for each person of a bag with HumanMesh or HumanMeshArray: '
        '.npz in the layout of AMASS, .bvh for Blender and others, or .glb with an animated mesh. '
        'With several people, their ids are appended to the name of FILE. People that several '
        'cameras see stand on a floor at height 0.',
    )
    parser.add_argument('bag', type=Path, help='bag written by `hybrik bag` or ros2 bag')
    parser.add_argument(
        '-o',
        '--output',
        type=Path,
        required=True,
        metavar='FILE',
        help=f'file to write: {", ".join(FORMATS)}',
    )
    parser.add_argument(
        '--gaps',
        choices=('interpolate', 'split'),
        default='interpolate',
        help='how to treat frames in which a person is missing: interpolate the motion, or split '
        'it into several files (default: interpolate)',
    )
    parser.add_argument(
        '--body',
        type=Path,
        metavar='FILE',
        help='SMPL file of the body (default: the embedded body)',
    )
    parser.add_argument(
        '--topic',
        default='',
        help='topic of the people (default: the only one of HumanMeshArray, else of HumanMesh)',
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Returns
    -------
    int
        Exit status: 0, or 1 with the reason on stderr.
    """
    try:
        _run(args)
        return 0
    except (BagError, MotionError, OSError, ValueError) as error:
        return fail('hybrik motion', error)


def _run(args: argparse.Namespace) -> None:
    if args.output.name.lower() in FORMATS:
        raise MotionError(
            f'{args.output} is an extension without a name: choose an output such as '
            f'{args.output.with_name(f"motion{args.output.name}")}'
        )
    check_format(args.output)
    people = read_people(args.bag, args.topic)
    body = BodyModel.load(args.body)
    is_same_body = people.body_model in ('', body.name)
    frames = _keep_fitting(people, body) if is_same_body else {}
    for line in people.report():
        print(printable(f'left out: {line}'), file=sys.stderr)
    if not is_same_body:
        raise MotionError(
            f'the people of {args.bag} have the body {people.body_model!r}, not {body.name!r}: '
            f'set its file with --body'
        )
    motions = motions_of(list(frames), list(frames.values()), body, args.gaps)
    if people.are_in_fixed_frame:
        floor = find_floor([human for humans in frames.values() for human in humans], body)
        motions = [place_on_floor(motion, floor) for motion in motions]
        say(f'the people stand at a height of {floor:.2f} m in their fixed frame: moved to 0')
    with writing(args.output):
        args.output.parent.mkdir(parents=True, exist_ok=True)
    for motion in motions:
        path = args.output
        if len(motions) > 1:
            path = path.with_stem(f'{path.stem}_{motion.name}')
        check_not_overwritten(path, args.bag, args.body)
        write_motion(motion, path)
        _tell(motion, path)


def _keep_fitting(people: People, body: BodyModel) -> dict[int, list[Human]]:
    """Return the people by stamp without those whose joints and betas contradict each other."""
    frames: dict[int, list[Human]] = {}
    for stamp, humans in people.frames.items():
        frames[stamp] = []
        for human in humans:
            error = joint_error(human, body)
            if error <= _MAX_JOINT_ERROR:
                frames[stamp].append(human)
                continue
            people.left_out.add(
                f'stamp {stamp * 1e-9:.3f} s, person {human.id!r}: its joints are {error:.2g} m '
                f'away from those that the body {body.name!r} has with its rotations and betas'
            )
    return frames


def _tell(motion: Motion, path: Path) -> None:
    """Print what a file has, and what it has not."""
    frames = len(motion.pelvis)
    say(f'{path}: {motion.name}, {frames} frames, {frames / motion.rate:.1f} s')
    deviating = motion.deviations > _MAX_DEVIATION
    if deviating.any():
        print(
            f'  in {deviating.sum()} frames the shape was not final: with the final shape, joints '
            f'differ from the messages by up to {1e3 * motion.deviations.max():.0f} mm'
        )
    if path.suffix.lower() == '.npz' and not motion.body.has_smpl_betas:
        say(
            f"  betas are zero: those of the body {motion.body.name!r} are not SMPL's; they are in "
            f'body_betas'
        )
