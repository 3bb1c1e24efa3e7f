"""The node that fuses cameras: what they see in, people in a fixed frame out."""

import threading
from typing import Any

from hybrik_ros import compiling
from hybrik_ros.body import BodyModel
from hybrik_ros.fusion import Fusion
from hybrik_ros.node.fusion_inputs import CameraViews, FusionInputs
from hybrik_ros.node.fusion_processor import FusionProcessor, describe_health
from hybrik_ros.node.outputs import Outputs
from hybrik_ros.node.people_node import PeopleNode
from hybrik_ros.node.worker import FrameWorker
from hybrik_ros.settings import FUSION_PARAMETERS


class FusionNode(PeopleNode[Fusion]):
    """Publishes the people that several calibrated cameras see, in a fixed frame.

    Subscribes to human_observations in the namespace of each camera, or to human_poses where there
    are none, and to TF, which tells where the cameras are. While active it publishes human_pose,
    human_poses, /tf, ~/markers and ~/body, each built only while there is a subscriber, and
    /diagnostics always. Configuring loads the body.

    Parameters
    ----------
    stopping : threading.Event
        Set when the process is to end, which also ends what takes long.
    """

    def __init__(self, stopping: threading.Event) -> None:
        super().__init__('fusion_node', FUSION_PARAMETERS, stopping)
        self._inputs: FusionInputs | None = None

    @property
    def _cameras(self) -> list[str]:
        return [name for name in self.get_parameter('cameras').value if name]

    def _source(self) -> str:
        return ', '.join(self._cameras)

    def _arguments(self) -> dict[str, Any]:
        self.get_logger().info('loading body and solver')
        cameras = self._cameras
        if not cameras:
            raise ValueError(
                'no cameras: set the parameter cameras to the namespaces of their hybrik_nodes, '
                'such as [left, right]'
            )
        topics = [self.resolve_topic_name(f'{name}/human_poses') for name in cameras]
        if len(set(topics)) < len(topics):
            raise ValueError(f'cameras {cameras} has a namespace twice')
        if self.resolve_topic_name('human_poses') in topics:
            raise ValueError(
                f'cameras {cameras} has the namespace of this node, whose human_poses would be its '
                f'own input: start it in another one'
            )
        prefix = self.get_parameter('id_prefix').value
        return {
            'ids': (f'{prefix}{number}' for number in self._ids),
            'body_model': self.get_parameter('body_model').value,
            'correct_clocks': self.get_parameter('correct_clocks').value,
            'smoothing': self.get_parameter('smoothing.enabled').value,
        }

    def _create(self, **arguments: Any) -> Fusion:
        code = compiling.start_loading()
        body = BodyModel.load(arguments.pop('body_model') or None)
        fusion = Fusion(body, **arguments)
        code.result()
        return fusion

    def _create_outputs(self, loaded: Fusion) -> Outputs:
        self._people = Outputs(self, loaded.body, self._reporter.warn)
        return self._people

    def _create_worker(self, loaded: Fusion) -> FrameWorker[CameraViews]:
        loaded.reset()
        fixed_frame = self.get_parameter('fixed_frame').value
        self._processor = FusionProcessor(self, loaded, fixed_frame, self._people, self._reporter)
        return FrameWorker(self._processor, self._reporter, self._failure.trigger)

    def _subscribe(self) -> None:
        assert self._loaded is not None
        assert self._worker is not None
        fixed_frame = self.get_parameter('fixed_frame').value
        self._inputs = FusionInputs(
            self, self._cameras, fixed_frame, self._loaded.body.name, self._reporter,
            self._worker.put,
        )  # fmt: skip
        self.get_logger().info(f'active: fuses {self._source()} in {fixed_frame}')

    def _unsubscribe(self) -> None:
        if self._inputs is not None:
            self._inputs.close()
            self._inputs = None

    @property
    def _is_subscribed(self) -> bool:
        return self._inputs is not None

    def _request_reset(self) -> None:
        self._processor.is_reset_requested = True
        if self._inputs is not None:
            self._inputs.reset()

    def _follow(self) -> None:
        assert self._inputs is not None
        self._inputs.follow()

    def _publish_figures(self, loaded: Fusion, replaced: int) -> None:
        cameras = self._inputs.facts() if self._inputs is not None else {}
        facts = {
            **cameras,
            **describe_health(self._processor.health),
            'fixed frame': self.get_parameter('fixed_frame').value,
            'body': loaded.body.name,
        }
        self._reporter.publish_figures(replaced, '', False, facts)
