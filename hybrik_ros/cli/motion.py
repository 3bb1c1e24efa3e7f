"""`hybrik motion`: the people of a bag as motion files."""

import argparse
import sys
from pathlib import Path

from hybrik_ros.bags import BagError
from hybrik_ros.bags.people import read_people
from hybrik_ros.body import BodyModel
from hybrik_ros.motion import FORMATS, MotionError, motions_of, write_motion
from hybrik_ros.motion.formats import check_format

_NOTED = 0.001  # metres: what the shape that was still being learnt may be off without a word


def add_parser(subparsers: 'argparse._SubParsersAction[argparse.ArgumentParser]') -> None:
    """Add the motion command."""
    parser = subparsers.add_parser(
        'motion',
        help='write the people of a bag as motion files',
        description='Writes one file for each person of a bag with HumanMesh or HumanMeshArray: '
        ".npz, AMASS's layout; .bvh, for Blender and others; .glb, a skinned mesh with its "
        'animation. FILE itself where there is one, else FILE with ids in its name.',
    )
    parser.add_argument('bag', type=Path, help='as `hybrik bag` or a recorder wrote it')
    parser.add_argument(
        '-o', '--output', type=Path, required=True, metavar='FILE', help=', '.join(FORMATS)
    )
    parser.add_argument(
        '--gaps',
        choices=('interpolate', 'split'),
        default='interpolate',
        help='what becomes of frames in which somebody is missing: they are filled in, or the '
        'motion is split into a file each (default: interpolate)',
    )
    parser.add_argument(
        '--body', type=Path, metavar='FILE', help='SMPL file of the body, if it is not the default'
    )
    parser.add_argument('--topic', default='', help='of the people (default: found)')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the files; return 0, or 1 with the reason on stderr."""
    try:
        _run(args)
        return 0
    except (BagError, MotionError, OSError, ValueError) as error:
        print(f'hybrik motion: {error}', file=sys.stderr)
        return 1


def _run(args: argparse.Namespace) -> None:
    if args.output.name.lower() in FORMATS:
        raise MotionError(
            f'{args.output} is an ending without a name: give the output a name, such as '
            f'{args.output.with_name(f"motion{args.output.name}")}'
        )
    check_format(args.output)
    people = read_people(args.bag, args.topic)
    body = BodyModel.load(args.body)
    if people.body_model not in ('', body.name):
        raise MotionError(
            f'the people of {args.bag} have the body {people.body_model!r}, not {body.name!r}: '
            f'give its file by --body'
        )
    motions = motions_of(list(people.frames), list(people.frames.values()), body, args.gaps)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    if people.damaged:
        print(f'left out: {people.damaged} damaged messages', file=sys.stderr)
    for motion in motions:
        path = args.output
        if len(motions) > 1:
            path = path.with_stem(f'{path.stem}_{motion.name}')
        write_motion(motion, path)
        frames = len(motion.pelvis)
        print(f'{path}: {motion.name}, {frames} frames, {frames / motion.rate:.1f} s')
        learnt = motion.deviations > _NOTED
        if learnt.any():
            print(
                f'  in {learnt.sum()} frames the shape was still being learnt: with that of the '
                f'last, joints are up to {1e3 * motion.deviations.max():.0f} mm elsewhere there'
            )
