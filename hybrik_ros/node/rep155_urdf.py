"""REP-155's body model of one person as URDF, with the bone lengths of the person.

Links and joints have the names of REP-155's human_description, with the suffix _<id>; the root is
body_<id>, which is also a TF frame. Forward kinematics with the person's joint_states, for example
by robot_state_publisher, reproduces the directions of SMPL's limbs.
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
_ZERO = np.zeros(3)
_LIMB_RADIUS = 0.04  # metres, of the cylinders that show the limbs
_SKIN = '1 0.7 0 1'  # red, green, blue, alpha
# Maximum effort and velocity, which URDF requires for each joint; they have no meaning here.
_EFFORT, _VELOCITY = '1000', '100'


def to_urdf(id: str, rest_joints: NDArray) -> str:
    """Return the URDF of a person.

    Parameters
    ----------
    id : str
        Id of the person.
    rest_joints : ndarray
        Joints and leaves (29, 3) of the T-pose in metres, in SMPL's axes.

    Returns
    -------
    str
        The URDF as XML.
    """
    return ET.tostring(_Model(id, rest_joints @ REP_FROM_SMPL.T).robot, encoding='unicode')


class _Model:
    """Builder of the tree of links and joints."""

    def __init__(self, id: str, rest: Array) -> None:
        self._id = id
        self.robot = ET.Element('robot', name=f'human_{id}')
        ET.SubElement(ET.SubElement(self.robot, 'material', name='skin'), 'color', rgba=_SKIN)
        hips = rest[list(HIPS)].mean(axis=0)
        shoulders = rest[list(SHOULDERS)].mean(axis=0)

        self._add_link('body')
        self._add_hinge(WAIST, 'body', 'waist', _ZERO)
        self._add_link('waist')
        self._add_fixed_joint('torso', 'waist', shoulders - hips)
        self._add_link('torso', [hips - shoulders])
        parent, origin = 'torso', rest[_NECK] - shoulders
        for hinge in HEAD:
            self._add_hinge(hinge, parent, hinge.name, origin)
            self._add_link(hinge.name)
            parent, origin = hinge.name, _ZERO
        middle = (rest[_HEAD_TOP] - rest[_NECK]) / 2
        self._add_fixed_joint('head', parent, middle)
        self._add_link('head', radius=float(np.linalg.norm(middle)))
        for side, arm in ARMS.items():
            self._add_limb(arm, ('shoulder', 'elbow', 'wrist'), side, 'torso', rest, shoulders)
        for side, leg in LEGS.items():
            self._add_limb(leg, ('hip', 'knee', 'ankle'), side, 'body', rest, hips)

    def _add_limb(
        self, limb: Limb, names: tuple[str, str, str], side: str, parent: str, rest: Array,
        origin: Array,
    ) -> None:  # fmt: skip
        """Add an arm or leg to a link with a given origin (3) in the frame of the rest joints."""
        root, middle, end = (f'{side}_{name}' for name in names)
        first, second, third, last = limb.hinges
        joints = rest[list(limb.joints)]
        upper, lower = (
            np.array([0, 0, -length]) for length in np.linalg.norm(np.diff(joints, axis=0), axis=1)
        )
        self._add_hinge(first, parent, first.name, joints[0] - origin)
        self._add_link(first.name)
        self._add_hinge(second, first.name, second.name, _ZERO)
        self._add_link(second.name)
        self._add_hinge(third, second.name, root, _ZERO)
        self._add_link(root, [upper])
        self._add_hinge(last, root, middle, upper)
        self._add_link(middle, [lower])
        self._add_fixed_joint(end, middle, lower)
        self._add_link(end)

    def _add_link(self, name: str, bones: Iterable[Array] = (), radius: float = 0.0) -> None:
        """Add a link, shown as bones from its origin to points (3), or as a sphere."""
        link = ET.SubElement(self.robot, 'link', name=self._full_name(name))
        for bone in bones:
            length = float(np.linalg.norm(bone))
            # Rotate the cylinder's z axis to the direction of the bone: about y, then about z.
            pitch, yaw = np.arctan2(np.hypot(bone[0], bone[1]), bone[2]), np.arctan2(*bone[1::-1])
            geometry = self._add_visual(link, bone / 2, np.array([0.0, pitch, yaw]))
            ET.SubElement(geometry, 'cylinder', length=_format(length), radius=str(_LIMB_RADIUS))
        if radius:
            geometry = self._add_visual(link, _ZERO, _ZERO)
            ET.SubElement(geometry, 'sphere', radius=_format(radius))

    def _add_visual(self, link: ET.Element, origin: Array, angles: Array) -> ET.Element:
        visual = ET.SubElement(link, 'visual')
        ET.SubElement(visual, 'origin', xyz=_format_all(origin), rpy=_format_all(angles))
        ET.SubElement(visual, 'material', name='skin')
        return ET.SubElement(visual, 'geometry')

    def _add_hinge(self, hinge: Hinge, parent: str, child: str, origin: Array) -> None:
        joint = self._add_joint(hinge.name, 'revolute', parent, child, origin)
        ET.SubElement(joint, 'axis', xyz=_format_all(hinge.axis))
        ET.SubElement(
            joint, 'limit', lower=_format(hinge.lower), upper=_format(hinge.upper),
            effort=_EFFORT, velocity=_VELOCITY,
        )  # fmt: skip

    def _add_fixed_joint(self, name: str, parent: str, origin: Array) -> None:
        self._add_joint(name, 'fixed', parent, name, origin)

    def _add_joint(
        self, name: str, kind: str, parent: str, child: str, origin: Array
    ) -> ET.Element:
        joint = ET.SubElement(self.robot, 'joint', name=self._full_name(name), type=kind)
        ET.SubElement(joint, 'parent', link=self._full_name(parent))
        ET.SubElement(joint, 'child', link=self._full_name(child))
        ET.SubElement(joint, 'origin', xyz=_format_all(origin), rpy=_format_all(_ZERO))
        return joint

    def _full_name(self, name: str) -> str:
        return f'{name}_{self._id}'


def _format(value: float) -> str:
    return f'{round(value, 5) + 0.0:g}'  # Adding 0.0 turns -0.0 into 0.0.


def _format_all(values: Iterable[float]) -> str:
    return ' '.join(_format(float(value)) for value in values)
