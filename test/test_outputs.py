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
from tf2_msgs.msg import TFMessage

from hybrik_ros.body import BodyModel
from hybrik_ros.messages.observations import observations_of
from hybrik_ros.msg import HumanObservationArray
from hybrik_ros.node.camera_image import CameraImage
from hybrik_ros.node.outputs import ImageOutputs, Outputs
from hybrik_ros.node.parameters import declare

NO_PICTURE = CameraImage(None, None)


@pytest.fixture
def node(ros_environment: dict[str, str]) -> Iterator[LifecycleNode]:
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=int(os.environ['ROS_DOMAIN_ID']))
    node = LifecycleNode('hybrik_node', context=context)
    # REP-155's topics are for people that are some.
    declare(node)
    node.set_parameters([rclpy.Parameter('publish.rep155', value=False)])
    yield node
    node.destroy_node()
    context.try_shutdown()


def test_subscriptions_of_the_node_itself_do_not_count(node: LifecycleNode) -> None:
    outputs = Outputs(node, BodyModel.load(), lambda _: None)
    node.trigger_configure()
    node.trigger_activate()
    node.create_subscription(TFMessage, '/tf', lambda _: None, 10)
    assert wait_for(lambda: node.count_subscribers('/tf') == 1)
    outputs.publish([None], Header(frame_id='map'))
    peer = SpinningNode('peer')
    try:
        peer.node.create_subscription(TFMessage, '/tf', lambda _: None, 10)

        def is_built() -> bool:
            try:
                outputs.publish([None], Header(frame_id='map'))
            except AttributeError:  # There is no frame of None.
                return True
            return False

        assert wait_for(is_built)
    finally:
        peer.close()


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
