#!/usr/bin/env python3
"""Move both arms of a robot like those of a person: HumanMesh in, sensor_msgs/JointState out.

    python3 teleoperation.py                    # human_pose -> joint_commands
    python3 teleoperation.py --ros-args -r joint_commands:=/robot/joint_commands

Each arm has seven hinges, from the torso outwards: shoulder pitch, roll and yaw, elbow, wrist yaw,
pitch and roll, about the axes y, x, z, y, z, y, x of the torso (x forward, y left, z up). With all
angles zero the arms hang and the palms face the thighs. For another layout rewrite arm_angles; for
other ranges and speeds change LIMITS and MAX_SPEEDS.

The example shows the geometry only, without obstacle avoidance, collision checks or balance: try it
in a simulator first, and use a real robot's own emergency stop.
"""

import array
import signal
import sys
import time

if __name__ == '__main__':
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback.

import numpy as np
import rclpy
from numpy.typing import ArrayLike, NDArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState
from std_msgs.msg import Header

from hybrik_ros.advice import check_ros_environment, explain
from hybrik_ros.angles import select_first_angle, wrap
from hybrik_ros.kinematics import global_rotations
from hybrik_ros.messages.people import PersonError, from_human_mesh, stamp_of
from hybrik_ros.msg import HumanMesh
from hybrik_ros.printable import printable
from hybrik_ros.skeleton import JOINT_NAMES
from hybrik_ros.stopping import ignore_signals, stop_on_signals

Array = NDArray[np.float64]

SIDES = ('left', 'right')
HINGES = (
    'shoulder_pitch', 'shoulder_roll', 'shoulder_yaw', 'elbow',
    'wrist_yaw', 'wrist_pitch', 'wrist_roll',
)  # fmt: skip

# Minimum and maximum angles of the left arm in radians. Roll and yaw of the right arm are mirrored.
LIMITS = np.array(
    [[-3.1, 1.0], [-0.4, 3.1], [-2.0, 2.0], [-2.5, 0.0], [-1.9, 1.9], [-0.8, 0.8], [-1.4, 1.4]]
)
MAX_SPEEDS = np.array([4.0, 4.0, 4.0, 5.0, 6.0, 6.0, 6.0])  # rad/s
MIRROR = np.array([1, -1, -1, 1, -1, 1, -1])

# Rotation from SMPL's axes (x left, y up, z front) to the torso's (x forward, y left, z up).
ROBOT_FROM_SMPL = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
TORSO = JOINT_NAMES.index('spine3')

# Sine of the angle between the upper arm and straight aside at which pitch follows its last value
# and the observation by half. The direction of the upper arm deviates by less than 1 degree.
SINGULAR_DISTANCE = 0.01
# Bend in radians up to which an elbow counts as straight, so that noise does not rotate the upper
# arm about itself. It is also the maximum error of a forearm that is bent sideways.
STRAIGHT_BEND = 0.1
# Maximum time step in seconds that limits the motion of one frame, also after a longer gap.
MAX_STEP_SECONDS = 0.1
LOG_SECONDS = 5.0  # minimum time between two errors in the log
POLL_SECONDS = 0.1  # maximum time from a signal to the end
FORGET_SECONDS = 1.0  # minimum time without the followed person before another one is followed


def arm_angles(
    rotations: ArrayLike, side: str, last: ArrayLike, straight: float = STRAIGHT_BEND
) -> Array:
    """Return the angles of HINGES that reproduce a person's arm, before any limit.

    Upper arm and forearm point in the same directions relative to the torso as those of the person,
    and the hand has the same orientation.

    Parameters
    ----------
    rotations : array_like
        Parent-relative rotations (24, 3, 3), as in HumanMesh.
    side : str
        'left' or 'right'.
    last : array_like
        Angles (7) of the previous frame in radians. Of two solutions the nearer one is taken, and
        where the upper arm points straight aside, pitch keeps its last value.
    straight : float
        Bend in radians up to which an elbow counts as straight.

    Returns
    -------
    ndarray
        Angles (7) in radians, in [-pi, pi].
    """
    turns = global_rotations(rotations)
    shoulder, elbow, wrist = (
        ROBOT_FROM_SMPL @ turns[TORSO].T @ turns[JOINT_NAMES.index(f'{side}_{part}')]
        for part in ('shoulder', 'elbow', 'wrist')
    )
    aside, front = np.array([1.0 if side == 'left' else -1.0, 0, 0]), np.array([0.0, 0, 1])
    last = np.asarray(last, float)

    pitch, roll = _point_arm(shoulder @ aside, last[:2])
    to_upper = (_rotation_about('y', pitch) @ _rotation_about('x', roll)).T
    # The elbow's hinge bends towards the forearm. While the elbow is straight, it bends towards the
    # front of the upper arm, which SMPL's rotation of the shoulder defines.
    x, y, z = to_upper @ elbow @ aside
    ahead = to_upper @ shoulder @ front
    yaw = np.arctan2(y + straight * ahead[1], x + straight * ahead[0])
    bend = -np.arctan2(x * np.cos(yaw) + y * np.sin(yaw), -z)

    # At rest SMPL's arms point aside and the robot's arms hang.
    raised = _rotation_about('x', aside[0] * np.pi / 2)
    to_forearm = (_rotation_about('z', yaw) @ _rotation_about('y', bend)).T @ to_upper
    hand = to_forearm @ wrist @ ROBOT_FROM_SMPL.T @ raised
    return np.array([pitch, roll, yaw, bend, *_yaw_pitch_roll(hand)])


def _point_arm(direction: Array, last: Array) -> tuple[float, float]:
    """Return pitch and roll of a shoulder that point the arm in a direction (3) of the torso.

    Parameters
    ----------
    direction : ndarray
        Unit vector (3) along the axes of the torso.
    last : ndarray
        Pitch and roll (2) of the previous frame in radians.
    """
    x, y, z = direction
    reach = float(np.hypot(x, z))
    facing = float(np.arctan2(-x, -z))
    solutions = [[facing, np.arctan2(y, reach)], [wrap(facing + np.pi), np.arctan2(y, -reach)]]
    pitch = float(wrap(select_first_angle(solutions, last, reach, SINGULAR_DISTANCE)))
    _, y, z = _rotation_about('y', -pitch) @ direction
    return pitch, float(np.arctan2(y, -z))


def _yaw_pitch_roll(rotation: Array) -> tuple[float, float, float]:
    """Return the angles about z, y and x, in this order, that compose a rotation (3, 3)."""
    m = rotation
    pitch = np.arctan2(-m[2, 0], np.hypot(m[0, 0], m[1, 0]))
    return float(np.arctan2(m[1, 0], m[0, 0])), float(pitch), float(np.arctan2(m[2, 1], m[2, 2]))


def _rotation_about(axis: str, angle: float) -> Array:
    """Return the rotation (3, 3) by an angle in radians about the axis x, y or z."""
    i = 'xyz'.index(axis)
    j, k = (i + 1) % 3, (i + 2) % 3
    rotation = np.eye(3)
    rotation[[j, k], [j, k]] = np.cos(angle)
    rotation[k, j], rotation[j, k] = np.sin(angle), -np.sin(angle)
    return rotation


def limits(side: str) -> Array:
    """Return the minimum and maximum (7, 2) of the angles of an arm in radians."""
    return LIMITS if side == 'left' else np.sort(LIMITS * MIRROR[:, None], axis=1)


def find_observed(joint_confidence: ArrayLike, side: str) -> NDArray[np.bool_]:
    """Return which angles (7) of an arm are observed: those of joints with a confidence above 0."""
    confidence = np.asarray(joint_confidence)
    shoulder, elbow, wrist, hand = (
        confidence[JOINT_NAMES.index(f'{side}_{part}')] > 0
        for part in ('shoulder', 'elbow', 'wrist', 'hand')
    )
    upper = shoulder and elbow
    lower = upper and wrist
    return np.repeat([upper, lower, lower and hand], [2, 2, 3])


class Arm:
    """Commands of one arm, within its limits of angle and speed.

    Attributes
    ----------
    angles : ndarray
        Angles (7) of the last command in radians; at first zero, the hanging arm.
    """

    def __init__(self, side: str) -> None:
        self.angles = np.zeros(len(HINGES))
        self._side = side
        self._observed = np.zeros(len(HINGES))

    def advance(self, rotations: ArrayLike, joint_confidence: ArrayLike, elapsed: float) -> None:
        """Move towards the observed angles; keep the others.

        Parameters
        ----------
        rotations : array_like
            Parent-relative rotations (24, 3, 3), as in HumanMesh.
        joint_confidence : array_like
            Confidence (24) of each joint in [0, 1]; 0 where it was not seen.
        elapsed : float
            Time in seconds since the last frame.
        """
        angles = arm_angles(rotations, self._side, self._observed)
        is_observed = find_observed(joint_confidence, self._side) & np.isfinite(angles)
        self._observed = np.where(is_observed, angles, self._observed)
        low, high = limits(self._side).T
        max_step = MAX_SPEEDS * np.clip(elapsed, 0.0, MAX_STEP_SECONDS)
        step = np.clip(np.clip(self._observed, low, high) - self.angles, -max_step, max_step)
        self.angles = self.angles + np.where(is_observed, step, 0.0)


class Teleoperation(Node):
    """Follows the first person, until that person has not been seen for FORGET_SECONDS."""

    def __init__(self) -> None:
        super().__init__('teleoperation')
        self._arms = {side: Arm(side) for side in SIDES}
        self._id = ''
        self._stamp: float | None = None
        self._seen = 0.0
        self._commands = self.create_publisher(JointState, 'joint_commands', 1)
        self.create_subscription(HumanMesh, 'human_pose', self._take, 10)

    def _take(self, message: HumanMesh) -> None:
        # A robot must not act on a message that is damaged: it holds, as without any message.
        try:
            human = from_human_mesh(message)
        except PersonError as error:
            self.get_logger().error(f'held: {error}', throttle_duration_sec=LOG_SECONDS)
            return
        if not self._follows(human.id):
            return
        stamp = stamp_of(message.header) * 1e-9
        elapsed = 0.0 if self._stamp is None else stamp - self._stamp
        self._stamp = stamp
        for arm in self._arms.values():
            arm.advance(human.rotations, human.joint_confidence, elapsed)
        command = JointState(header=Header(stamp=message.header.stamp))
        command.name = [f'{side}_{hinge}' for side in SIDES for hinge in HINGES]
        command.position = array.array(
            'd', np.concatenate([self._arms[side].angles for side in SIDES]).tolist()
        )
        self._commands.publish(command)

    def _follows(self, id: str) -> bool:
        """Return whether a person is followed, or from now on, as the followed one is gone."""
        now = time.monotonic()  # Stamps may be wrong.
        if id != self._id:
            if self._id and now - self._seen < FORGET_SECONDS:
                return False
            self._id, self._stamp = id, None
            self.get_logger().info(f'following {id}')
        self._seen = now
        return True


def main() -> int:
    """Run until SIGINT or SIGTERM; return the exit status."""
    stopping = stop_on_signals()
    try:
        check_ros_environment(sys.argv[1:])
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        node = Teleoperation()
    except Exception as error:  # Wrong arguments for ROS raise various exceptions.
        print(f'teleoperation: {printable(explain(error) or error)}', file=sys.stderr)
        return 1
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not stopping.is_set():
        executor.spin_once(timeout_sec=POLL_SECONDS)
    ignore_signals()
    node.destroy_node()
    rclpy.shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
