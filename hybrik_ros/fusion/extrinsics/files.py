"""Files with extrinsics: YAML for this package, and a launch file with static transforms."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hybrik_ros.arrays import Array
from hybrik_ros.fusion.extrinsics.estimation import CameraPose, ExtrinsicsError
from hybrik_ros.limits import MAX_YAML_BYTES
from hybrik_ros.rotations import from_quaternion, to_quaternion
from hybrik_ros.untrusted import parse_yaml, read_regular

_DIGITS = 6  # micrometres, microseconds
_LAUNCH = '''"""Publish where the cameras are. Written by `hybrik calibrate`.

If a driver publishes the optical frame below a frame of its own, that frame must be the child here:
a frame has one parent.
"""

from launch import LaunchDescription
from launch_ros.actions import Node

FIXED_FRAME = {fixed_frame!r}
# x, y, z in metres, quaternion x, y, z, w.
CAMERAS = {{
{cameras}
}}


def generate_launch_description() -> LaunchDescription:
    """Return one static transform for each camera."""
    names = ('--x', '--y', '--z', '--qx', '--qy', '--qz', '--qw')
    return LaunchDescription(
        [
            Node(
                package='tf2_ros',
                executable='static_transform_publisher',
                arguments=[
                    *(text for pair in zip(names, map(str, pose)) for text in pair),
                    '--frame-id', FIXED_FRAME, '--child-frame-id', frame,
                ],
            )
            for frame, pose in CAMERAS.items()
        ]
    )
'''


def to_yaml(
    cameras: Mapping[str, CameraPose], frame_ids: Mapping[str, str], fixed_frame: str
) -> str:
    """Return extrinsics as YAML.

    Parameters
    ----------
    cameras : mapping
        Pose of each camera, by its name.
    frame_ids : mapping
        Optical frame of each camera, by its name.
    fixed_frame : str
        The fixed frame.
    """
    content = {
        'fixed_frame': fixed_frame,
        'cameras': {
            name: {
                'frame_id': frame_ids[name],
                'translation': _rounded(pose.frame_from_camera[:3, 3]),
                'rotation': _rounded(to_quaternion(pose.frame_from_camera[:3, :3])),
                'clock_offset': round(pose.clock_offset, _DIGITS),
            }
            for name, pose in cameras.items()
        },
    }
    head = (
        '# Written by `hybrik calibrate`. From each optical frame to the fixed frame: translation\n'
        '# x y z in metres, rotation as quaternion x y z w; clock_offset in seconds, to add to\n'
        '# stamps.\n'
    )
    return head + yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=100)


def to_launch(
    cameras: Mapping[str, CameraPose], frame_ids: Mapping[str, str], fixed_frame: str
) -> str:
    """Return a launch file with a static transform for each camera; as `to_yaml`."""
    lines = [
        f'    {frame_ids[name]!r}: ({", ".join(map(str, _pose(pose.frame_from_camera)))}),'
        for name, pose in cameras.items()
    ]
    return _LAUNCH.format(fixed_frame=fixed_frame, cameras='\n'.join(lines))


def read_extrinsics(path: Path) -> dict[str, CameraPose]:
    """Return the pose of each camera in a YAML file.

    Raises
    ------
    ExtrinsicsError
        The file has no extrinsics; the message says what is wrong.
    OSError
        The file cannot be read.
    """
    try:
        content = parse_yaml(read_regular(path, MAX_YAML_BYTES))
        return {str(name): _read_pose(entry) for name, entry in content['cameras'].items()}
    except KeyError as error:
        raise ExtrinsicsError(
            f'{path} is no file of hybrik calibrate: {error} is missing'
        ) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ExtrinsicsError(f'{path} is no file of hybrik calibrate: {error}') from error


def _read_pose(entry: Mapping[str, Any]) -> CameraPose:
    translation = _numbers(entry['translation'], 3)
    rotation = _numbers(entry['rotation'], 4)
    if abs(np.linalg.norm(rotation) - 1) > 0.01:
        raise ValueError(f'the rotation {rotation.tolist()} is no unit quaternion')
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = from_quaternion(rotation), translation
    return CameraPose(pose, float(_numbers([entry.get('clock_offset', 0.0)], 1)[0]))


def _numbers(values: Any, count: int) -> Array:
    numbers = np.asarray(values, float)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise ValueError(f'{values} are not {count} finite numbers')
    return numbers


def _pose(transform: Array) -> list[float]:
    return _rounded(transform[:3, 3]) + _rounded(to_quaternion(transform[:3, :3]))


def _rounded(values: Array) -> list[float]:
    return [round(float(value), _DIGITS) + 0.0 for value in values]  # no -0.0
