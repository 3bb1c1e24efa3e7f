"""The direction up in the frame of the images, from TF or from an IMU."""

from reprlib import repr as cut_repr

from rclpy.node import Node
from sensor_msgs.msg import Imu
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from hybrik_ros.arrays import Array
from hybrik_ros.messages.fields import nanoseconds
from hybrik_ros.messages.frame_tree import FrameTree
from hybrik_ros.messages.gravity import GRAVITY, MAX_AGE_SECONDS, MAX_DEVIATION, GravityFilter
from hybrik_ros.messages.images import UnusableInputError
from hybrik_ros.node.complaints import Complaints
from hybrik_ros.node.topics import MessageInfo

_MAX_MISSED = 10  # images in a row without a direction from the IMU


class GravitySource:
    """Finds the direction up from the messages that `Inputs` receives.

    Parameters
    ----------
    node : Node
        Node with the parameters that select the source.
    complaints : Complaints
        Reports that the direction is not known.

    Attributes
    ----------
    uses_imu, uses_transforms : bool
        Whether messages of an IMU, and those of TF, are needed.
    """

    def __init__(self, node: Node, complaints: Complaints) -> None:
        self._node = node
        self._complaints = complaints
        self._upright = node.get_parameter('gravity_frame').value
        self._frames = FrameTree()
        self._filter = GravityFilter()
        self._missed = 0
        self.uses_imu = node.get_parameter('imu.enabled').value and not self._upright
        self.uses_transforms = bool(self._upright) or self.uses_imu

    def take_transforms(self, message: TFMessage) -> None:
        """Take a message of /tf or /tf_static."""
        self._frames.update(message.transforms)

    def take_imu(self, message: Imu, _: MessageInfo) -> None:
        """Take a message of the IMU."""
        try:
            self._filter.update(message)
        except UnusableInputError as fault:
            self._complaints.warn(str(fault))

    def up_of(self, header: Header) -> Array | None:
        """Return the direction up (3) in the frame of an image; None where it is not known."""
        if self._upright:
            up = self._frames.up_in(header.frame_id, self._upright)
            if up is None:
                self._warn_unconnected(header.frame_id, 'gravity_frame', self._upright)
            return up
        return self._measured_up(header) if self.uses_imu else None

    def _measured_up(self, header: Header) -> Array | None:
        found = self._filter.up_at(nanoseconds(header))
        if found is None:
            self._count_missed()
            return None
        self._missed = 0
        frame, up = found
        rotation = self._frames.rotation_between(header.frame_id, frame)
        if rotation is None:
            self._warn_unconnected(header.frame_id, 'the frame_id of the IMU', frame)
            return None
        return rotation @ up

    def _count_missed(self) -> None:
        """Count images without a direction from the IMU; warn of many in a row."""
        self._missed += 1
        if self._missed >= _MAX_MISSED:
            self._complaints.warn(
                f'no gravity within {MAX_AGE_SECONDS:g} s of the images on '
                f'{self._node.resolve_topic_name("imu")}, so the vertical of the image is taken '
                f'for it: check that it is published, with stamps of the clock of the images and '
                f'an acceleration of {GRAVITY} ± {MAX_DEVIATION:g} m/s² at rest, or remap it'
            )

    def _warn_unconnected(self, image_frame: str, name: str, frame: str) -> None:
        self._complaints.warn(
            f'no transforms on /tf connect {cut_repr(image_frame)} with {name} '
            f'{cut_repr(frame)}, so the vertical of the image is taken for gravity: publish them, '
            f'or correct {name}'
        )
