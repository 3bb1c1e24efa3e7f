"""`hybrik video`: publish a video, a photo or a camera as ROS topics."""

import argparse
import math
import re
from pathlib import Path

from hybrik_ros.advice import check_ros_environment
from hybrik_ros.camera import ASSUMED_FIELD_OF_VIEW
from hybrik_ros.cli.options import given_name, whole_number
from hybrik_ros.cli.output import fail
from hybrik_ros.limits import MAX_NAME_CHARACTERS
from hybrik_ros.media import MediaError
from hybrik_ros.media.live_camera import CameraOptions
from hybrik_ros.messages.calibration import CalibrationError
from hybrik_ros.share import SAMPLE, set_transport_profile

_MIN_VIEW, _MAX_VIEW = 1, 170  # degrees


def add_parser(subparsers: 'argparse._SubParsersAction[argparse.ArgumentParser]') -> None:
    """Add the video command."""
    parser = subparsers.add_parser(
        'video',
        help='publish a video, a photo or a camera as image and camera_info',
        description='Publishes a video, a photo or a camera as image and camera_info, at its own '
        'rate. Remap both with --ros-args -r image:=/camera/image_raw: camera_info follows the '
        'image topic.',
    )
    parser.add_argument(
        'source',
        nargs='?',
        type=given_name,
        default=str(SAMPLE),
        help='a video or photo, the index or path of a camera, such as /dev/video0, or a URL that '
        'OpenCV opens, such as rtsp://192.168.1.2/stream (default: the sample clip)',
    )
    calibration = parser.add_mutually_exclusive_group()
    calibration.add_argument(
        '--camera-info',
        type=Path,
        metavar='FILE',
        help='calibration in the YAML format of camera_calibration '
        '(default: the file beside the video with the suffix .yaml, if it exists)',
    )
    calibration.add_argument(
        '--field-of-view',
        type=degrees,
        metavar='DEGREES',
        help='horizontal field of view, if there is no calibration (default: '
        f'{ASSUMED_FIELD_OF_VIEW:g})',
    )
    camera = parser.add_argument_group('cameras of this machine')
    camera.add_argument(
        '--size',
        type=image_size,
        metavar='WIDTHxHEIGHT',
        help="size of the images in pixels, such as 1280x720 (default: the camera's)",
    )
    camera.add_argument(
        '--rate', type=image_rate, metavar='HZ', help="images per second (default: the camera's)"
    )
    camera.add_argument(
        '--mjpg',
        action=argparse.BooleanOptionalAction,
        default=False,
        help='transfer JPEG images, as large images at full rate over USB 2 need',
    )
    parser.add_argument(
        '--frame-id',
        type=frame_id,
        metavar='NAME',
        default='camera_optical_frame',
        help='optical frame of the camera (default: camera_optical_frame)',
    )
    parser.add_argument(
        '--loop',
        action=argparse.BooleanOptionalAction,
        default=False,
        help='restart a file when it ends',
    )
    parser.add_argument(
        '--subscribers',
        type=whole_number,
        default=0,
        metavar='N',
        help='wait for N subscribers before the first frame (default: 0, do not wait)',
    )
    parser.add_argument(
        '--lockstep',
        action='store_true',
        help='publish the next frame after human_poses is received for the last one, instead of in '
        'real time, so that no frame is dropped',
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Publish until the source ends or SIGINT; return 0, or 1 with the reason on stderr."""
    check_ros_environment(args.ros_arguments)
    profile = set_transport_profile()
    from hybrik_ros.node.video_source import play

    try:
        play(
            args.source,
            args.ros_arguments,
            options=CameraOptions(args.size, args.rate, args.mjpg),
            calibration=args.camera_info,
            field_of_view=args.field_of_view,
            frame_id=args.frame_id,
            loop=args.loop,
            subscribers=args.subscribers,
            lockstep=args.lockstep,
            profile=profile,
        )
    except (CalibrationError, MediaError) as error:
        return fail('hybrik video', error)
    return 0


def degrees(text: str) -> float:
    """Parse a field of view.

    Parameters
    ----------
    text : str
        An argument of the command line.

    Returns
    -------
    float
        The field of view in degrees.

    Raises
    ------
    ArgumentTypeError
        It is not from 1 to 170 degrees, beyond which no lens without distortion is.
    ValueError
        It is not a number.
    """
    degrees = float(text)
    if not _MIN_VIEW <= degrees <= _MAX_VIEW:
        raise argparse.ArgumentTypeError(
            f'must be from {_MIN_VIEW} to {_MAX_VIEW} degrees, not {text}'
        )
    return degrees


def frame_id(text: str) -> str:
    """Check the name of a frame.

    Raises
    ------
    ArgumentTypeError
        It is empty but for slashes, too long, or has characters that cannot be shown.
    """
    if not (text.strip('/ ') and text.isprintable() and len(text) <= MAX_NAME_CHARACTERS):
        raise argparse.ArgumentTypeError(
            f'must be the name of a frame, 1 to {MAX_NAME_CHARACTERS} characters, not {text!r}'
        )
    return text


def image_size(text: str) -> tuple[int, int] | None:
    """Parse the size of images, such as 1280x720; None if the text is empty.

    Raises
    ------
    ArgumentTypeError
        The text has another form.
    """
    found = re.fullmatch(r'([1-9]\d{0,4})x([1-9]\d{0,4})', text)
    if text and not found:
        raise argparse.ArgumentTypeError(f'must be WIDTHxHEIGHT, such as 1280x720, not {text!r}')
    return (int(found[1]), int(found[2])) if found else None


def image_rate(text: str) -> float | None:
    """Parse a number of images per second; None if the text is empty.

    Raises
    ------
    ArgumentTypeError
        It is not above 0 and finite.
    ValueError
        It is not a number.
    """
    if text and not 0 < float(text) < math.inf:
        raise argparse.ArgumentTypeError(f'must be above 0 images/s, not {text}')
    return float(text) if text else None
