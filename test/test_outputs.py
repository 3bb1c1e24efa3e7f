"""The outputs of a node: nothing is built that has no subscriber."""

import os
from collections.abc import Iterator

import pytest
import rclpy
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import qos_profile_sensor_data
from spinning import SpinningNode, wait_for
from std_msgs.msg import Header
from test_observations import check_equal, observation

from hybrik_ros.body import BodyModel
from hybrik_ros.messages.observations import observations_of
from hybrik_ros.msg import HumanObservationArray
from hybrik_ros.node.outputs import ImageOutputs
from hybrik_ros.node.parameters import declare
from hybrik_ros.node.picture import Picture

NO_PICTURE = Picture(None, None)


@pytest.fixture
def node(ros_environment: dict[str, str]) -> Iterator[LifecycleNode]:
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=int(os.environ['ROS_DOMAIN_ID']))
    node = LifecycleNode('hybrik_node', context=context)
    declare(node)
    yield node
    node.destroy_node()
    context.try_shutdown()


def test_observations_are_built_for_a_subscriber_only(node: LifecycleNode) -> None:
    """Of observations that are none, nothing could be built."""
    warned: list[str] = []
    outputs = ImageOutputs(node, BodyModel.load(), warned.append)
    node.trigger_configure()
    node.trigger_activate()
    header = Header(frame_id='camera')
    outputs.publish_image([], [None], header, NO_PICTURE)
    received: list[HumanObservationArray] = []
    peer = SpinningNode('peer')
    try:
        peer.node.create_subscription(
            HumanObservationArray, 'human_observations', received.append, qos_profile_sensor_data
        )
        assert wait_for(lambda: node.count_subscribers('human_observations') > 0)

        def arrived() -> bool:
            outputs.publish_image([], [observation()], header, NO_PICTURE)
            return bool(received)

        assert wait_for(arrived)
        with pytest.raises(AttributeError):
            outputs.publish_image([], [None], header, NO_PICTURE)
        node.set_parameters([rclpy.Parameter('publish.observations', value=False)])
        outputs.publish_image([], [None], header, NO_PICTURE)
    finally:
        peer.close()
    assert received[0].header.frame_id == 'camera'
    body_model, [seen], faults = observations_of(received[0])
    assert (body_model, faults, warned) == ('default', [], [])
    check_equal(seen, observation())
