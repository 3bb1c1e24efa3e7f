"""Markers for RViz: mesh, bones and joints of each person."""

from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import Point, Vector3
from numpy.typing import NDArray
from rclpy.duration import Duration
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from hybrik_ros.drawing import Colour, identity_colour, side_colour
from hybrik_ros.human import Human
from hybrik_ros.node.message_maker import make
from hybrik_ros.skeleton import NUM_JOINTS, PARENTS

# Maximum age of markers: RViz removes the people when the node stops publishing.
_LIFETIME = Duration(seconds=0.5).to_msg()
_BONE_WIDTH, _JOINT_SIZE = 0.025, 0.045  # metres
_MESH_ALPHA, _INFERRED_ALPHA = 0.8, 0.3  # opacity of meshes, and of joints that were not seen


class _MeshPoints:
    """Corners of a triangle list, created once and updated in each frame.

    A triangle list repeats each vertex about six times. The repetitions share one Point, so that
    a new frame updates 6890 points instead of 40,983.

    Parameters
    ----------
    faces : ndarray
        Vertex indices (F, 3) of the triangles.
    """

    def __init__(self, faces: NDArray[np.int32]) -> None:
        self._points = [Point() for _ in range(int(faces.max()) + 1)]
        self.corners = [self._points[index] for index in faces.ravel().tolist()]

    def update(self, vertices: NDArray[np.float32]) -> None:
        """Set the points to vertices (V, 3) in metres."""
        for corner, (x, y, z) in zip(self._points, vertices.tolist(), strict=True):
            corner.x, corner.y, corner.z = x, y, z


class MarkerMaker:
    """Builds the markers of the people in a frame.

    Parameters
    ----------
    faces : ndarray
        Vertex indices (F, 3) of the triangles of the body's mesh.
    """

    def __init__(self, faces: NDArray[np.int32]) -> None:
        self._faces = faces
        self._meshes: list[_MeshPoints] = []

    def __call__(self, humans: Sequence[Human], header: Header) -> MarkerArray:
        """Return the markers of a frame; they are valid until the next call, which reuses them."""
        while len(self._meshes) < len(humans):
            self._meshes.append(_MeshPoints(self._faces))
        markers = []
        for human, mesh in zip(humans, self._meshes, strict=False):
            markers += [_bones(human, header), _joints(human, header)]
            if human.vertices is not None:
                mesh.update(human.vertices)
                markers.append(_mesh(human, mesh, header))
        return MarkerArray(markers=markers)


def _bones(human: Human, header: Header) -> Marker:
    marker = _marker(human, header, 'bones', Marker.LINE_LIST)
    marker.scale.x = _BONE_WIDTH
    for joint in range(1, NUM_JOINTS):
        ends = [PARENTS[joint], joint]
        seen = bool(human.joint_confidence[ends].min() > 0)
        marker.points += [make.point(human.joints[end]) for end in ends]
        marker.colors += [_colour(side_colour(joint), 1.0 if seen else _INFERRED_ALPHA)] * 2
    return marker


def _joints(human: Human, header: Header) -> Marker:
    marker = _marker(human, header, 'joints', Marker.SPHERE_LIST)
    marker.scale = Vector3(x=_JOINT_SIZE, y=_JOINT_SIZE, z=_JOINT_SIZE)
    marker.points = [make.point(joint) for joint in human.joints]
    marker.colors = [
        _colour(side_colour(joint), 1.0 if human.joint_confidence[joint] > 0 else _INFERRED_ALPHA)
        for joint in range(NUM_JOINTS)
    ]
    return marker


def _mesh(human: Human, mesh: _MeshPoints, header: Header) -> Marker:
    marker = _marker(human, header, 'mesh', Marker.TRIANGLE_LIST)
    marker.scale = Vector3(x=1.0, y=1.0, z=1.0)
    marker.color = _colour(identity_colour(human.id), _MESH_ALPHA)
    marker.points = mesh.corners
    return marker


def _marker(human: Human, header: Header, part: str, kind: int) -> Marker:
    marker = Marker(header=header, ns=f'{human.id}/{part}', type=kind, action=Marker.ADD)
    marker.lifetime = _LIFETIME
    marker.pose.orientation.w = 1.0
    return marker


def _colour(colour: Colour, alpha: float) -> ColorRGBA:
    red, green, blue = (channel / 255 for channel in colour)
    return ColorRGBA(r=red, g=green, b=blue, a=alpha)
