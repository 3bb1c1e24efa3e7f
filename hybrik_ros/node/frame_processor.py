"""One frame in the node: from an image message to everything that is published of it."""

import time

from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from hybrik_ros.arrays import Array
from hybrik_ros.camera import Camera
from hybrik_ros.human import Human
from hybrik_ros.messages.camera_info import CameraInfoBuffer
from hybrik_ros.messages.exposure import ExposureCheck
from hybrik_ros.messages.images import UnusableInputError, check_lengths, decompress, to_rgb
from hybrik_ros.messages.sample_range import SampleRange
from hybrik_ros.node import parameters
from hybrik_ros.node.camera_image import CameraImage
from hybrik_ros.node.detections import Box
from hybrik_ros.node.inputs import Inputs
from hybrik_ros.node.outputs import ImageOutputs
from hybrik_ros.node.reporter import Reporter
from hybrik_ros.node.stamp_ages import StampAges
from hybrik_ros.node.stamps import StampCheck
from hybrik_ros.perception.depth import DepthError
from hybrik_ros.perception.opening import FULL_NOTE
from hybrik_ros.pipeline import Pipeline
from hybrik_ros.tracking import MAX_INTERVAL

# Maximum number of images in a row with boxes of another detector none of which holds a person.
_MAX_EMPTY_BOXES = 10


class FrameProcessor:
    """Processes images; used by one thread at a time.

    Parameters
    ----------
    node : Node
        Its parameters and its clock are used.
    pipeline : Pipeline
        Finds the people.
    outputs : ImageOutputs
        Publishes them.
    camera_infos : CameraInfoBuffer
        Knows the calibration of an image.
    reporter : Reporter
        Takes counts, durations and complaints.

    Attributes
    ----------
    inputs : Inputs or None
        Where depth images and detections come from; None while the node does not subscribe.
    ages : StampAges
        Notes how long ago stamps were.
    is_reset_requested : bool
        Set to forget all tracks before the next frame.
    """

    def __init__(
        self,
        node: Node,
        pipeline: Pipeline,
        outputs: ImageOutputs,
        camera_infos: CameraInfoBuffer,
        reporter: Reporter,
    ) -> None:
        self.inputs: Inputs | None = None
        self.is_reset_requested = False
        self.ages = StampAges(node, reporter)
        self._node = node
        self._pipeline = pipeline
        self._outputs = outputs
        self._camera_infos = camera_infos
        self._diagnostics = reporter.diagnostics
        self._complaints = reporter.complaints
        self._sample_range = SampleRange()
        self._exposure = ExposureCheck()
        self._stamps = StampCheck(node.get_logger(), reporter.complaints)

    def process(self, message: Image | CompressedImage, received: float) -> None:
        """Process an image that was received at a time of the monotonic clock, in seconds.

        Raises
        ------
        UnusableInputError
            The image cannot be used.
        """
        started = time.monotonic()
        self._diagnostics.start_frame()
        self._diagnostics.add_time('wait', started - received)
        check_lengths(message)
        if self._stamps.note_repetition(message.header):
            self._diagnostics.count_repeated()
            return
        rgb = self._decode(message)
        field_of_view = self._node.get_parameter('field_of_view').value
        height, width = rgb.shape[:2]
        camera = self._camera_infos.camera_of(message.header, width, height, field_of_view)
        stamp = self._stamps.advance(message.header)
        depth, boxes = self._matching(message.header)
        self._diagnostics.add_time('decode', time.monotonic() - started)

        if self.is_reset_requested:
            self.is_reset_requested = False
            self._pipeline.reset()
        self._pipeline.adjust(**parameters.dynamic_settings(self._node))
        self._pipeline.with_vertices = self._outputs.wants_vertices
        inputs = self.inputs
        up = None if inputs is None else inputs.up_of(message.header)
        humans = self._find_people(rgb, camera, stamp, depth, boxes, up)
        self._check_people(boxes, width, height)
        for stage, seconds in self._pipeline.stage_seconds.items():
            self._diagnostics.add_time(stage, seconds)

        started = time.monotonic()
        observations = self._pipeline.human_observations
        self._outputs.publish_image(humans, observations, message.header, CameraImage(rgb, camera))
        self._diagnostics.add_time('publish', time.monotonic() - started)
        self.ages.add(message.header, 'total')
        self._diagnostics.count_processed(len(humans))

    def _check_people(self, boxes: list[Box] | None, width: int, height: int) -> None:
        """Warn of people that are not reported, and of boxes that hold none."""
        confirm_after = self._node.get_parameter('tracking.confirm_after').value
        if self._stamps.long_gaps > 1 and confirm_after > 0:
            self._complaints.warn(
                f'the images come more than {MAX_INTERVAL:g} s apart, so no person is confirmed: '
                f'raise the rate of the camera, or set tracking.confirm_after to 0'
            )
        if self._pipeline.is_full:
            self._complaints.warn(FULL_NOTE)
        if boxes and self._pipeline.empty_boxes >= _MAX_EMPTY_BOXES:
            right, bottom = (max(box[side] for box in boxes) for side in (2, 3))
            self._complaints.warn(
                f'no box of the last {self._pipeline.empty_boxes} images with detections holds a '
                f'person, so the own detector looks too. They reach to ({right:.4g}, {bottom:.4g}) '
                f'in an image of {width} x {height} pixels: make the detector publish boxes in '
                f'pixels of this image, not from 0 to 1 nor in pixels of its network'
            )

    def clear_people(self) -> None:
        """Publish an empty list of tracked people, as after the last image of a stream."""
        self._outputs.clear_people()
        self._diagnostics.clear_people()

    def _decode(self, message: Image | CompressedImage) -> NDArray:
        """Return the pixels of an image; warn if they are nearly black or white."""
        decode = decompress if isinstance(message, CompressedImage) else to_rgb
        rgb = decode(message, self._sample_range)
        if fault := self._exposure.check(rgb):
            self._complaints.warn(fault)
        return rgb

    def _matching(self, header: Header) -> tuple[NDArray | None, list[Box] | None]:
        """Return the depth image and the detections of an image; None where there are none."""
        inputs = self.inputs  # The executor's thread may close them meanwhile.
        if inputs is None:
            return None, None
        boxes = inputs.boxes_of(header)
        try:
            return inputs.depth_of(header), boxes
        except UnusableInputError as fault:  # Distances are as good as without depth.
            self._complaints.warn(str(fault))
            return None, boxes

    def _find_people(
        self,
        rgb: NDArray,
        camera: Camera,
        stamp: float,
        depth: NDArray | None,
        boxes: list[Box] | None,
        up: Array | None,
    ) -> list[Human]:
        try:
            humans = self._pipeline(rgb, camera, stamp, depth, boxes, up=up)
        except DepthError as fault:  # It was refused before anything changed.
            self._complaints.warn(str(fault))
            return self._pipeline(rgb, camera, stamp, None, boxes, up=up)
        if depth is not None:
            self._diagnostics.count_used('depth')
        return humans
