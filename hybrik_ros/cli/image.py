"""`hybrik image`: find the people in one photo, draw them, and print them as JSON."""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrik_ros.body import BodyModel
from hybrik_ros.camera import ASSUMED_FIELD_OF_VIEW, Camera
from hybrik_ros.cli.options import add_param, given_name
from hybrik_ros.cli.output import fail
from hybrik_ros.cli.pictures import draw_people, write_picture
from hybrik_ros.cli.video import degrees
from hybrik_ros.human import Human
from hybrik_ros.media.photo import PHOTOS, is_photo, picture_format, read_photo
from hybrik_ros.media.url import is_url
from hybrik_ros.messages.calibration import describe_assumption, read_calibration
from hybrik_ros.messages.camera_info import are_rectified
from hybrik_ros.messages.exposure import describe_exposure
from hybrik_ros.messages.images import Intrinsics
from hybrik_ros.perception.opening import FULL_NOTE
from hybrik_ros.pipeline import Pipeline
from hybrik_ros.printable import printable
from hybrik_ros.recordings.recording import is_video
from hybrik_ros.rotations import to_quaternion
from hybrik_ros.settings import AUTO, INTRINSICS, PHOTO_SETTINGS, parse_settings
from hybrik_ros.skeleton import JOINT_NAMES
from hybrik_ros.writing import check_not_overwritten

_DIGITS = 4  # after the point: tenths of millimetres


class ImageError(ValueError):
    """The command cannot run; the message gives the reason and the remedy."""


def add_parser(subparsers: 'argparse._SubParsersAction[argparse.ArgumentParser]') -> None:
    """Add the image command."""
    parser = subparsers.add_parser(
        'image',
        help='find the people in one photo, draw them, and print them as JSON',
        description='Prints the people in a photo as JSON: positions in metres in the optical '
        'frame of the camera (x right, y down, z forward), rotations relative to the parent joint '
        'as quaternions (x, y, z, w), boxes in pixels. Needs no ROS.',
    )
    parser.add_argument('photo', type=given_name, help=f'the photo: {", ".join(PHOTOS)}')
    parser.add_argument(
        '-o', '--output', type=Path, help='write the photo with the people drawn in to this file'
    )
    calibration = parser.add_mutually_exclusive_group()
    calibration.add_argument(
        '--camera-info',
        type=Path,
        metavar='FILE',
        help='calibration in the YAML format of camera_calibration',
    )
    calibration.add_argument(
        '--field-of-view',
        type=degrees,
        default=ASSUMED_FIELD_OF_VIEW,
        metavar='DEGREES',
        help='horizontal field of view, if there is no calibration (default: %(default)g)',
    )
    parser.add_argument(
        '--intrinsics',
        choices=INTRINSICS,
        default=AUTO,
        help='intrinsics of the calibration that the photo has: K and D (raw, as auto), or P '
        '(rectified)',
    )
    add_param(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command; return 0, or 1 with the reason on stderr."""
    try:
        _run(args)
        return 0
    except (OSError, RuntimeError, ValueError) as error:
        return fail('hybrik image', error)


def _run(args: argparse.Namespace) -> None:
    settings = parse_settings(args.param) | PHOTO_SETTINGS
    photo = _to_path(args.photo)
    if args.output is not None:
        _check_output(args.output, photo)
    bgr = read_photo(photo)
    rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
    camera, doubts = _open_camera(args, rgb)
    with Pipeline.create(**settings) as pipeline:
        people = pipeline(rgb, camera, 0.0)
        body, is_full = pipeline.body, pipeline.is_full
    if args.output is not None:
        write_picture(args.output, draw_people(rgb, people, body, camera))
    assumed = None if args.camera_info is not None else args.field_of_view
    print(_to_json(_describe(photo, people, body, camera, assumed)))
    for text in filter(None, (*doubts, describe_exposure(rgb), FULL_NOTE if is_full else '')):
        print(printable(text), file=sys.stderr)


def _open_camera(args: argparse.Namespace, rgb: NDArray[np.uint8]) -> Intrinsics:
    """Return the camera of a photo (H, W, 3), and what is doubtful about it."""
    height, width = rgb.shape[:2]
    if args.camera_info is not None:
        is_rectified = are_rectified(args.intrinsics, '')
        return read_calibration(args.camera_info).intrinsics((width, height), is_rectified)
    view = args.field_of_view
    camera = Camera.from_field_of_view(view, width, height)
    return Intrinsics(camera, (describe_assumption(view),))


def _to_path(name: str) -> Path:
    """Return the path of a photo; refuse what other commands take."""
    path = Path(name)
    if is_url(name):
        raise ImageError(f'{name} is a URL: download the photo')
    if path.is_dir() or (is_video(path) and not picture_format(path)):
        kind = 'folder' if path.is_dir() else 'video'
        raise ImageError(f'{path} is a {kind}, not a photo: process it with hybrik bag')
    return path


def _check_output(output: Path, photo: Path) -> None:
    """Raise the errors of an output that are known before any network is loaded."""
    if not is_photo(output):
        raise ImageError(f'{output} must end in one of {", ".join(PHOTOS)}')
    if not output.absolute().parent.is_dir():
        raise ImageError(f'{output} cannot be written: there is no folder {output.parent}')
    if output.exists() and not output.is_file():
        raise ImageError(f'{output} cannot be written: it is no regular file')
    check_not_overwritten(output, photo)


def _describe(
    photo: Path, people: list[Human], body: BodyModel, camera: Camera, assumed: float | None
) -> dict[str, Any]:
    """Return what is printed."""
    return {
        'photo': str(photo),
        'width': camera.width,
        'height': camera.height,
        'camera_matrix': _round(camera.matrix),
        'assumed_field_of_view': assumed,
        'body': body.name,
        'people': [_describe_person(human) for human in people],
    }


def _describe_person(human: Human) -> dict[str, Any]:
    quaternions = to_quaternion(human.rotations)
    return {
        'id': human.id,
        'confidence': _round(human.confidence),
        'box': _round(human.box),
        'translation': _round(human.translation),
        'translation_confidence': _round(human.translation_confidence),
        'joints': dict(zip(JOINT_NAMES, _round(human.joints), strict=True)),
        'joint_confidence': dict(zip(JOINT_NAMES, _round(human.joint_confidence), strict=True)),
        'rotations': dict(zip(JOINT_NAMES, _round(quaternions), strict=True)),
        'betas': _round(human.betas),
    }


def _to_json(content: dict[str, Any]) -> str:
    """Return JSON in which each list of numbers has one line."""
    text = json.dumps(content, indent=1, allow_nan=False)
    return re.sub(r'\[\n[^][{}]*\]', lambda found: re.sub(r'\n\s*', ' ', found[0]), text)


def _round(values: ArrayLike) -> Any:
    """Return numbers in plain lists, rounded."""
    return np.round(np.asarray(values, float), _DIGITS).tolist()
