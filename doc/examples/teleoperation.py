#!/usr/bin/env python3
"""Both arms of a robot follow a person: HumanMesh in, sensor_msgs/JointState out.

    python3 teleoperation.py                    # human_pose -> joint_commands
    python3 teleoperation.py --ros-args -r joint_commands:=/robot/joint_commands

The arm has seven hinges, from the torso outwards: shoulder pitch, roll and yaw, elbow, wrist yaw,
pitch and roll, about the axes y, x, z, y, z, y, x of the torso (x forward, y left, z up). With all
angles zero the arms hang and the palms face the thighs. Other layouts need another arm_angles;
other ranges and speeds, other LIMITS and SPEEDS.

This shows the geometry. It knows of no obstacle, no collision and no balance: try it in a
simulator first, and give a real robot its own safety stop.
"""

import array
import sys
from contextlib import suppress

import numpy as np
import rclpy
from numpy.typing import ArrayLike, NDArray
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import JointState
from std_msgs.msg import Header

from hybrik_ros.kinematics import global_rotations
from hybrik_ros.messages.people import from_human_mesh
from hybrik_ros.msg import HumanMesh
from hybrik_ros.skeleton import JOINT_NAMES

Array = NDArray[np.float64]

SIDES = ('left', 'right')
HINGES = (
    'shoulder_pitch', 'shoulder_roll', 'shoulder_yaw', 'elbow',
    'wrist_yaw', 'wrist_pitch', 'wrist_roll',
)  # fmt: skip

# Radians, lower and upper, of the left arm. Of the right arm, roll and yaw are mirrored.
LIMITS = np.array(
    [[-3.1, 1.0], [-0.4, 3.1], [-2.0, 2.0], [-2.5, 0.0], [-1.9, 1.9], [-0.8, 0.8], [-1.4, 1.4]]
)
# Radians per second.
SPEEDS = np.array([4.0, 4.0, 4.0, 5.0, 6.0, 6.0, 6.0])
MIRROR = np.array([1, -1, -1, 1, -1, 1, -1])

# Axes of the torso (x forward, y left, z up) from SMPL's (x left, y up, z front).
ROBOT_FROM_SMPL = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
TORSO = JOINT_NAMES.index('spine3')

# Radians: so near to straight aside, pitch is chosen, not measured. The upper arm then misses its
# direction by less than a degree.
SINGULAR = 0.01
# Radians: an elbow bent by no more than that is straight, so that noise does not turn the upper arm
# about itself. A forearm that is bent sideways misses its direction by that much at most.
STRAIGHT = 0.1
LONGEST_STEP = 0.1  # seconds; after a longer silence the arms still start slowly
FORGET_SECONDS = 1.0  # after which somebody else may take over


def arm_angles(
    rotations: ArrayLike, side: str, last: ArrayLike, straight: float = STRAIGHT
) -> Array:
    """Return the angles (7) of HINGES, radians in [-pi, pi], that an arm shows. They keep no limit.

    Upper arm and forearm point, seen from the torso, where the person's do, and the hand has
    the orientation of theirs.

    Parameters
    ----------
    rotations: (24, 3, 3), parent-relative, as HumanMesh has them.
    side: left or right.
    last: (7), of the frame before: of two solutions the nearer one is taken, and where the upper
        arm points aside, pitch is what it was.
    straight: radians, up to which an elbow counts as straight.
    """
    turns = global_rotations(rotations)
    shoulder, elbow, wrist = (
        ROBOT_FROM_SMPL @ turns[TORSO].T @ turns[JOINT_NAMES.index(f'{side}_{part}')]
        for part in ('shoulder', 'elbow', 'wrist')
    )
    aside, front = np.array([1.0 if side == 'left' else -1.0, 0, 0]), np.array([0.0, 0, 1])
    last = np.asarray(last, float)

    pitch, roll = _point(shoulder @ aside, last[0], last[1])
    to_upper = (_about('y', pitch) @ _about('x', roll)).T
    # The elbow bends towards where the forearm goes; while it is straight, to the front of the
    # upper arm, as SMPL's rotation of the shoulder has it.
    x, y, z = to_upper @ elbow @ aside
    ahead = to_upper @ shoulder @ front
    yaw = np.arctan2(y + straight * ahead[1], x + straight * ahead[0])
    bend = -np.arctan2(x * np.cos(yaw) + y * np.sin(yaw), -z)

    # At rest SMPL's arms point aside, the robot's hang.
    raised = _about('x', aside[0] * np.pi / 2)
    to_forearm = (_about('z', yaw) @ _about('y', bend)).T @ to_upper
    hand = to_forearm @ wrist @ ROBOT_FROM_SMPL.T @ raised
    return np.array([pitch, roll, yaw, bend, *_yaw_pitch_roll(hand)])


def _point(direction: Array, last_pitch: float, last_roll: float) -> tuple[float, float]:
    """Return pitch and roll of a shoulder whose arm points in a direction (3) of the torso."""
    x, y, z = direction
    reach = float(np.hypot(x, z))
    facing = float(np.arctan2(-x, -z))
    solutions = [
        (facing, np.arctan2(y, reach)),
        (_wrapped(facing + np.pi), np.arctan2(y, -reach)),
    ]
    pitch, _ = min(
        solutions,
        key=lambda one: abs(_wrapped(one[0] - last_pitch)) + abs(_wrapped(one[1] - last_roll)),
    )
    # With the arm straight aside, pitch turns it about itself: any will do.
    trust = reach**2 / (reach**2 + SINGULAR**2)
    pitch = _wrapped(last_pitch + trust * _wrapped(pitch - last_pitch))
    _, y, z = _about('y', -pitch) @ direction
    return pitch, float(np.arctan2(y, -z))


def _yaw_pitch_roll(rotation: Array) -> tuple[float, float, float]:
    """Return the angles about z, y and x, in this order, that compose a rotation (3, 3)."""
    m = rotation
    pitch = np.arctan2(-m[2, 0], np.hypot(m[0, 0], m[1, 0]))
    return float(np.arctan2(m[1, 0], m[0, 0])), float(pitch), float(np.arctan2(m[2, 1], m[2, 2]))


def _about(axis: str, angle: float) -> Array:
    """Return the rotation (3, 3) about an axis, x, y or z."""
    i = 'xyz'.index(axis)
    j, k = (i + 1) % 3, (i + 2) % 3
    rotation = np.eye(3)
    rotation[[j, k], [j, k]] = np.cos(angle)
    rotation[k, j], rotation[j, k] = np.sin(angle), -np.sin(angle)
    return rotation


def _wrapped(angle: float) -> float:
    """Return an angle, plus or minus whole turns, in [-pi, pi)."""
    return float((angle + np.pi) % (2 * np.pi) - np.pi)


def limits(side: str) -> Array:
    """Return the lower and the upper limit (7, 2) of the angles of an arm, radians."""
    return LIMITS if side == 'left' else np.sort(LIMITS * MIRROR[:, None], axis=1)


def shown(joint_confidence: ArrayLike, side: str) -> NDArray[np.bool_]:
    """Return which angles (7) of an arm are seen: those whose joints all have a confidence > 0."""
    confidence = np.asarray(joint_confidence)
    shoulder, elbow, wrist, hand = (
        confidence[JOINT_NAMES.index(f'{side}_{part}')] > 0
        for part in ('shoulder', 'elbow', 'wrist', 'hand')
    )
    upper = shoulder and elbow
    lower = upper and wrist
    return np.repeat([upper, lower, lower and hand], [2, 2, 3])


class Arm:
    """What an arm is told, frame by frame: within its limits, no faster than it may.

    Attributes
    ----------
    angles: (7), radians, the last command; at first zero, the hanging arm.
    """

    def __init__(self, side: str) -> None:
        self.angles = np.zeros(len(HINGES))
        self._side = side
        self._seen = np.zeros(len(HINGES))

    def follow(self, rotations: ArrayLike, joint_confidence: ArrayLike, elapsed: float) -> None:
        """Move on, for so many seconds, towards what is seen; hold what is not."""
        wanted = shown(joint_confidence, self._side)
        seen = arm_angles(rotations, self._side, self._seen)
        self._seen = np.where(wanted, seen, self._seen)
        low, high = limits(self._side).T
        most = SPEEDS * np.clip(elapsed, 0.0, LONGEST_STEP)
        step = np.clip(np.clip(self._seen, low, high) - self.angles, -most, most)
        self.angles = self.angles + np.where(wanted, step, 0.0)


class Teleoperation(Node):
    """Follows the first person that it sees for as long as it sees them."""

    def __init__(self) -> None:
        super().__init__('teleoperation')
        self._arms = {side: Arm(side) for side in SIDES}
        self._id = ''
        self._stamp: float | None = None
        self._commands = self.create_publisher(JointState, 'joint_commands', 1)
        self.create_subscription(HumanMesh, 'human_pose', self._take, 10)

    def _take(self, message: HumanMesh) -> None:
        stamp = Time.from_msg(message.header.stamp).nanoseconds * 1e-9
        elapsed = 0.0 if self._stamp is None else stamp - self._stamp
        if message.id != self._id:
            if self._id and 0 <= elapsed < FORGET_SECONDS:
                return
            self._id = message.id
            self.get_logger().info(f'follows {message.id}')
        self._stamp = stamp
        human = from_human_mesh(message)
        for arm in self._arms.values():
            arm.follow(human.rotations, human.joint_confidence, elapsed)
        command = JointState(header=Header(stamp=message.header.stamp))
        command.name = [f'{side}_{hinge}' for side in SIDES for hinge in HINGES]
        command.position = array.array(
            'd', np.concatenate([self._arms[side].angles for side in SIDES]).tolist()
        )
        self._commands.publish(command)


def main() -> int:
    """Run until SIGINT; return the exit status."""
    rclpy.init()
    node = Teleoperation()
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(node)
    return 0


if __name__ == '__main__':
    sys.exit(main())
