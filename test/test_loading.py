"""The node while it loads, which may take minutes."""

import logging
import threading
import time
from collections.abc import Iterator
from unittest.mock import Mock

import pytest
import rclpy
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger
from test_node import Peer

from hybrik_ros.node.frame_processor import FrameProcessor
from hybrik_ros.node.node import HybrikNode
from hybrik_ros.node.worker import FrameWorker
from hybrik_ros.pipeline import Pipeline


@pytest.fixture
def peer(ros_environment: dict[str, str]) -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.close()


@pytest.fixture
def node(ros_environment: dict[str, str]) -> Iterator[HybrikNode]:
    rclpy.init()
    node = HybrikNode(threading.Event())
    yield node
    node.destroy_node()
    rclpy.shutdown()


def test_close_does_not_wait_for_a_slow_frame(
    node: HybrikNode,
) -> None:
    released, entered = threading.Event(), threading.Event()
    frames = Mock(FrameProcessor)
    frames.process.side_effect = lambda *_: (entered.set(), released.wait())
    node._worker = FrameWorker(frames, Mock(), Mock())
    node._worker.start()
    node._worker.put(Image())
    assert entered.wait(10)
    node._stopping.set()
    start = time.monotonic()
    node._stop()
    node._free()
    assert time.monotonic() - start < 2
    assert node.is_busy
    released.set()


def test_what_takes_too_long_can_be_cancelled(
    peer: Peer, node: HybrikNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = peer.node.create_client(Trigger, 'hybrik_node/cancel')
    go_on, answers, closed = threading.Event(), [], []
    heard = peer.heard['/diagnostics']

    def create(**_settings: object) -> Pipeline:
        assert client.wait_for_service(30)
        assert peer.wait(lambda: heard)
        answers.append(client.call_async(Trigger.Request()))
        assert go_on.wait(30)
        pipeline = Mock(Pipeline)
        pipeline.close.side_effect = lambda: closed.append(pipeline)
        return pipeline

    whole = Pipeline.create
    monkeypatch.setattr(Pipeline, 'create', create)
    started = time.monotonic()
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert time.monotonic() - started < 10
    assert peer.wait(answers[0].done)
    assert answers[0].result().success
    assert peer.wait(lambda: heard[-1].status[0].message == 'cannot configure: cancelled')
    assert node.is_busy

    # What was left alone is freed when it ends, and before that nothing else is loaded.
    monkeypatch.setattr(Pipeline, 'create', whole)
    threading.Timer(1.0, go_on.set).start()
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert go_on.is_set()
    assert len(closed) == 1

    late = client.call_async(Trigger.Request())
    deadline = time.monotonic() + 10
    while not late.done() and time.monotonic() < deadline:
        rclpy.spin_once(node, timeout_sec=0.1)
    assert (late.result().success, late.result().message) == (False, 'nothing is being loaded')


def test_log_and_diagnostics_tell_what_takes_so_long(
    peer: Peer,
    node: HybrikNode,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def create(**_settings: object) -> Pipeline:
        logging.getLogger('hybrik_ros.inference').info('building an engine: 40 %')
        heard = peer.heard['/diagnostics']
        assert peer.wait(lambda: heard and heard[-1].status[0].message.endswith('engine: 40 %'))
        raise RuntimeError('that was enough')

    monkeypatch.setattr(Pipeline, 'create', create)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    said = capfd.readouterr().err
    assert '[hybrik_node]: building an engine: 40 %' in said
    assert 'cannot configure: that was enough' in said
