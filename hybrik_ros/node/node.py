"""The node of one camera: images in, people out."""

import threading
from typing import Any

from sensor_msgs.msg import CompressedImage, Image

from hybrik_ros.messages.camera_info import CameraInfoBuffer, are_rectified
from hybrik_ros.node import detections, parameters
from hybrik_ros.node.frame_processor import FrameProcessor
from hybrik_ros.node.inputs import Inputs
from hybrik_ros.node.outputs import ImageOutputs, Outputs
from hybrik_ros.node.people_node import PeopleNode
from hybrik_ros.node.topics import camera_topics
from hybrik_ros.node.worker import FrameWorker
from hybrik_ros.pipeline import Pipeline
from hybrik_ros.settings import PARAMETERS


class HybrikNode(PeopleNode[Pipeline]):
    """Publishes the people in a camera's images.

    Subscribes to image, and to camera_info beside it. While active it publishes human_pose,
    human_poses, human_observations, /tf, ~/markers, ~/overlay and ~/body, each built only while
    there is a subscriber, and /diagnostics always. Configuring loads the body and the networks.

    Parameters
    ----------
    stopping : threading.Event
        Set when the process is to end, which also ends what takes long.
    """

    def __init__(self, stopping: threading.Event) -> None:
        super().__init__('hybrik_node', PARAMETERS, stopping)
        self._inputs: Inputs | None = None

    def _source(self) -> str:
        return camera_topics(self)[0]

    def _create(self, **arguments: Any) -> Pipeline:
        return Pipeline.create(**arguments)

    def _close(self, loaded: Pipeline) -> None:
        loaded.close()

    def _arguments(self) -> dict[str, Any]:
        self.get_logger().info('loading body, networks and solver')
        if self.get_parameter('detector.external').value:
            detections.message_type()
        return {'ids': self._ids, **parameters.settings(self)}

    def _create_outputs(self, loaded: Pipeline) -> Outputs:
        self._image_outputs = ImageOutputs(self, loaded.body, self._reporter.warn)
        return self._image_outputs

    def _create_worker(self, loaded: Pipeline) -> FrameWorker[Image | CompressedImage]:
        loaded.reset()
        reporter = self._reporter
        image, camera_info = camera_topics(self)
        rectified = are_rectified(self.get_parameter('intrinsics').value, image)
        self._camera_infos = CameraInfoBuffer(camera_info, reporter.warn, rectified)
        self._frames = FrameProcessor(
            self, loaded, self._image_outputs, self._camera_infos, reporter
        )
        return FrameWorker(self._frames, reporter, self._failure.trigger)

    def _subscribe(self) -> None:
        self._inputs = Inputs(
            self, self._take_image, self._camera_infos.take, self._reporter.complaints
        )
        self._frames.inputs = self._inputs
        self.get_logger().info(f'active: listens to {", ".join(self._inputs.topics)}')

    def _unsubscribe(self) -> None:
        if self._inputs is not None:
            self._frames.inputs = None
            self._inputs.close()
            self._inputs = None

    @property
    def _is_subscribed(self) -> bool:
        return self._inputs is not None

    def _request_reset(self) -> None:
        self._frames.is_reset_requested = True

    def _follow(self) -> None:
        assert self._inputs is not None
        self._inputs.follow_publishers()

    def _publish_figures(self, loaded: Pipeline, replaced: int) -> None:
        infos = self._camera_infos
        self._reporter.publish_figures(replaced, infos.state, infos.assumed, loaded.facts)

    def _take_image(self, message: Image | CompressedImage) -> None:
        assert self._worker is not None
        self._reporter.diagnostics.count_received()
        self._frames.ages.add(message.header, 'transport')
        self._worker.put(message)
