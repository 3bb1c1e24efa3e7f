"""One fusion in the node: from what the cameras see to everything that is published of it."""

import time
from collections.abc import Mapping
from dataclasses import replace

from rclpy.node import Node
from std_msgs.msg import Header

from hybrik_ros.body import BodyModel
from hybrik_ros.fusion import Fusion
from hybrik_ros.fusion.health import CameraHealth, describe_faults
from hybrik_ros.human import Human
from hybrik_ros.messages.fields import stamp_fields
from hybrik_ros.node.fusion_inputs import CameraViews
from hybrik_ros.node.outputs import Outputs
from hybrik_ros.node.reporter import Reporter
from hybrik_ros.node.stamp_ages import StampAges

_HEALTH_SECONDS = 1.0  # between two looks at the health of the cameras


class FusionProcessor:
    """Fuses what cameras see; used by one thread at a time.

    Parameters
    ----------
    node : Node
        Its parameters and its clock are used.
    fusion : Fusion
        Finds the people.
    fixed_frame : str
        Frame of the people.
    outputs : Outputs
        Publishes them.
    reporter : Reporter
        Takes counts, durations and complaints.

    Attributes
    ----------
    is_reset_requested : bool
        Set to forget all people before the next fusion.
    health : mapping
        Health of each camera by its name, as it was last.
    """

    def __init__(
        self, node: Node, fusion: Fusion, fixed_frame: str, outputs: Outputs, reporter: Reporter
    ) -> None:
        self.is_reset_requested = False
        self.health: Mapping[str, CameraHealth] = {}
        self._node = node
        self._fusion = fusion
        self._fixed_frame = fixed_frame
        self._outputs = outputs
        self._reporter = reporter
        self._diagnostics = reporter.diagnostics
        self._ages = StampAges(node, reporter)
        self._last = 0
        self._checked = time.monotonic()  # when the health was looked at

    def process(self, message: CameraViews, received: float) -> None:
        """Fuse what was received at a time of the monotonic clock, in seconds."""
        started = time.monotonic()
        self._diagnostics.start_frame()
        self._diagnostics.add_time('wait', started - received)
        if self.is_reset_requested or message.stamp < self._last:
            self.is_reset_requested = False
            self._fusion.reset()
        self._last = message.stamp
        self._fusion.adjust(smoothing=self._node.get_parameter('smoothing.enabled').value)
        humans = self._fusion(message.views)
        fused = time.monotonic()
        self._diagnostics.add_time('fuse', fused - started)

        if self._outputs.wants_vertices:
            humans = [_with_vertices(human, self._fusion.body) for human in humans]
        header = Header(frame_id=self._fixed_frame)
        for field, value in stamp_fields(message.stamp).items():
            setattr(header.stamp, field, value)
        self._outputs.publish(humans, header)
        self._diagnostics.add_time('publish', time.monotonic() - fused)
        self._ages.add(header, 'total')
        self._diagnostics.count_processed(len(humans))
        self._check_health()

    def clear_people(self) -> None:
        """Publish an empty list of tracked people, as after the last message of all cameras."""
        self._outputs.clear_people()
        self._diagnostics.clear_people()
        self.health = {}

    def _check_health(self) -> None:
        """Report what is wrong with the cameras, once a second."""
        if time.monotonic() - self._checked < _HEALTH_SECONDS:
            return
        self._checked = time.monotonic()
        self.health = self._fusion.health
        for fault in describe_faults(self.health):
            self._reporter.warn(fault)


def describe_health(health: Mapping[str, CameraHealth]) -> dict[str, str]:
    """Return the values that reports show of the cameras, by name; what is unknown is left out."""
    values: dict[str, str] = {}
    for name, each in health.items():
        x, y = 1e3 * each.offset
        found = {
            'Hz': f'{each.rate:.1f}',
            'people that others see': f'{each.matched:.0%}',
            'distance mm': f'{1e3 * each.distance:.0f}',
            'direction mm, x / y': f'{x:.0f} / {y:.0f}',
            'clock late ms': f'{1e3 * each.delay:.0f}',
        }
        values |= {f'camera {name}, {key}': value for key, value in found.items()
                   if 'nan' not in value}  # fmt: skip
    return values


def _with_vertices(human: Human, body: BodyModel) -> Human:
    vertices = body.vertices(human.rotations, human.betas, human.translation)
    return replace(human, vertices=vertices)
