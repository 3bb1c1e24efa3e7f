"""Launch files and static transforms without ROS's launch and tf2_ros, which are not on PyPI."""

import argparse
import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation


def nodes_of(path: Path) -> list[SimpleNamespace]:
    """Return the arguments of each node that a launch file starts."""
    launch, launch_ros, actions = map(ModuleType, ('launch', 'launch_ros', 'launch_ros.actions'))
    launch.LaunchDescription = list
    actions.Node = SimpleNamespace
    modules = {module.__name__: module for module in (launch, launch_ros, actions)}
    with mock.patch.dict(sys.modules, modules):
        return list(runpy.run_path(str(path))['generate_launch_description']())


def static_transform(arguments: list[str]) -> tuple[str, str, NDArray]:
    """Return parent, child and transform (4, 4) of tf2_ros's static_transform_publisher."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    for name in ('x', 'y', 'z', 'qx', 'qy', 'qz', 'qw', 'roll', 'pitch', 'yaw'):
        parser.add_argument(f'--{name}', type=float)
    parser.add_argument('--frame-id', required=True)
    parser.add_argument('--child-frame-id', required=True)
    given = parser.parse_args(arguments)
    pose = np.eye(4)
    pose[:3, 3] = given.x, given.y, given.z
    turn = Rotation.from_quat([given.qx, given.qy, given.qz, given.qw])
    pose[:3, :3] = turn.as_matrix()
    return given.frame_id, given.child_frame_id, pose
