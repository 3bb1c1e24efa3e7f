"""REP-155's model of one person as URDF: its names and axes, the person's own lengths.

Links and joints are named as in REP-155's human_description, each with the id of the person at
its end; the root is body_<id>, the frame of that name in TF. With the joint_states of the person,
robot_state_publisher, or any other forward kinematics, has its limbs point where SMPL's do.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.messages.frames import REP_FROM_SMPL
from hybrik_ros.node.rep155_angles import ARMS, HEAD, HIPS, LEGS, WAIST, Hinge, Limb
from hybrik_ros.skeleton import JOINT_NAMES, LEAF_NAMES, NUM_JOINTS, SHOULDERS

_NECK = JOINT_NAMES.index('neck')
_HEAD_TOP = NUM_JOINTS + LEAF_NAMES.index('head_top')
_NOWHERE = np.zeros(3)
# What the model looks like: metres, and red, green, blue, alpha.
_LIMB_RADIUS = 0.04
_SKIN = '1 0.7 0 1'
# URDF demands them of every joint; nothing here comes from a motor.
_EFFORT, _VELOCITY = '1000', '100'


def to_urdf(id: str, rest_joints: NDArray) -> str:
    """Return the URDF of a person.

    Parameters
    ----------
    id: of the person.
    rest_joints: (29, 3), metres, of the T-pose, in SMPL's axes.
    """
    return ET.tostring(_Model(id, rest_joints @ REP_FROM_SMPL.T).robot, encoding='unicode')


class _Model:
    """The tree of links and joints under construction."""

    def __init__(self, id: str, rest: Array) -> None:
        self._id = id
        self.robot = ET.Element('robot', name=f'human_{id}')
        ET.SubElement(ET.SubElement(self.robot, 'material', name='skin'), 'color', rgba=_SKIN)
        hips = rest[list(HIPS)].mean(axis=0)
        shoulders = rest[list(SHOULDERS)].mean(axis=0)

        self._link('body')
        self._hinge(WAIST, 'body', 'waist', _NOWHERE)
        self._link('waist')
        self._fixed('torso', 'waist', shoulders - hips)
        self._link('torso', [hips - shoulders])
        parent, origin = 'torso', rest[_NECK] - shoulders
        for hinge in HEAD:
            self._hinge(hinge, parent, hinge.name, origin)
            self._link(hinge.name)
            parent, origin = hinge.name, _NOWHERE
        middle = (rest[_HEAD_TOP] - rest[_NECK]) / 2
        self._fixed('head', parent, middle)
        self._link('head', radius=float(np.linalg.norm(middle)))
        for side, arm in ARMS.items():
            self._limb(arm, ('shoulder', 'elbow', 'wrist'), side, 'torso', rest, shoulders)
        for side, leg in LEGS.items():
            self._limb(leg, ('hip', 'knee', 'ankle'), side, 'body', rest, hips)

    def _limb(
        self, limb: Limb, names: tuple[str, str, str], side: str, parent: str, rest: Array,
        origin: Array,
    ) -> None:  # fmt: skip
        """Add an arm or a leg to a link whose origin lies at a point (3) of the rest joints."""
        root, middle, end = (f'{side}_{name}' for name in names)
        first, second, third, last = limb.hinges
        joints = rest[list(limb.joints)]
        upper, lower = (
            np.array([0, 0, -length]) for length in np.linalg.norm(np.diff(joints, axis=0), axis=1)
        )
        self._hinge(first, parent, first.name, joints[0] - origin)
        self._link(first.name)
        self._hinge(second, first.name, second.name, _NOWHERE)
        self._link(second.name)
        self._hinge(third, second.name, root, _NOWHERE)
        self._link(root, [upper])
        self._hinge(last, root, middle, upper)
        self._link(middle, [lower])
        self._fixed(end, middle, lower)
        self._link(end)

    def _link(self, name: str, bones: Iterable[Array] = (), radius: float = 0.0) -> None:
        """Add a link, drawn as bones from its origin to points (3), or as a ball."""
        link = ET.SubElement(self.robot, 'link', name=self._full(name))
        for bone in bones:
            length = float(np.linalg.norm(bone))
            # From the cylinder's z to the bone's direction: about y, then about z.
            pitch, yaw = np.arctan2(np.hypot(bone[0], bone[1]), bone[2]), np.arctan2(*bone[1::-1])
            geometry = self._visual(link, bone / 2, np.array([0.0, pitch, yaw]))
            ET.SubElement(geometry, 'cylinder', length=_number(length), radius=str(_LIMB_RADIUS))
        if radius:
            geometry = self._visual(link, _NOWHERE, _NOWHERE)
            ET.SubElement(geometry, 'sphere', radius=_number(radius))

    def _visual(self, link: ET.Element, origin: Array, angles: Array) -> ET.Element:
        visual = ET.SubElement(link, 'visual')
        ET.SubElement(visual, 'origin', xyz=_numbers(origin), rpy=_numbers(angles))
        ET.SubElement(visual, 'material', name='skin')
        return ET.SubElement(visual, 'geometry')

    def _hinge(self, hinge: Hinge, parent: str, child: str, origin: Array) -> None:
        joint = self._joint(hinge.name, 'revolute', parent, child, origin)
        ET.SubElement(joint, 'axis', xyz=_numbers(hinge.axis))
        ET.SubElement(
            joint, 'limit', lower=_number(hinge.lower), upper=_number(hinge.upper),
            effort=_EFFORT, velocity=_VELOCITY,
        )  # fmt: skip

    def _fixed(self, name: str, parent: str, origin: Array) -> None:
        self._joint(name, 'fixed', parent, name, origin)

    def _joint(self, name: str, kind: str, parent: str, child: str, origin: Array) -> ET.Element:
        joint = ET.SubElement(self.robot, 'joint', name=self._full(name), type=kind)
        ET.SubElement(joint, 'parent', link=self._full(parent))
        ET.SubElement(joint, 'child', link=self._full(child))
        ET.SubElement(joint, 'origin', xyz=_numbers(origin), rpy=_numbers(_NOWHERE))
        return joint

    def _full(self, name: str) -> str:
        return f'{name}_{self._id}'


def _number(value: float) -> str:
    return f'{round(value, 5) + 0.0:g}'  # Adding zero makes -0 a 0.


def _numbers(values: Iterable[float]) -> str:
    return ' '.join(_number(float(value)) for value in values)
