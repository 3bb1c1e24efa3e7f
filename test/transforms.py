"""Messages of TF."""

from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from numpy.typing import NDArray
from std_msgs.msg import Header

from hybrik_ros.rotations import to_quaternion


def stamped(parent: str, child: str, pose: NDArray, header: Header) -> TransformStamped:
    """Return the transform (4, 4) from a child to its parent as a message of the header's stamp."""
    x, y, z, w = to_quaternion(pose[:3, :3]).tolist()
    move = dict(zip('xyz', pose[:3, 3].tolist(), strict=True))
    return TransformStamped(
        header=Header(stamp=header.stamp, frame_id=parent),
        child_frame_id=child,
        transform=Transform(translation=Vector3(**move), rotation=Quaternion(x=x, y=y, z=z, w=w)),
    )
