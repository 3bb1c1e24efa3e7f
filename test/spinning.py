"""A node of the tests' own: in a context of its own, spun in a thread of its own."""

import os
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

TIMEOUT = 30.0
T = TypeVar('T')


def wait_for(condition: Callable[[], T], seconds: float = TIMEOUT) -> T:
    """Return what a condition gives once that is true, or at the end of the time."""
    deadline = time.monotonic() + seconds
    while not (result := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return result


class SpinningNode:
    """Spins a node until it is closed; in the domain of `ros_environment`."""

    def __init__(self, name: str) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=int(os.environ['ROS_DOMAIN_ID']))
        self.node = Node(name, context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        try:
            while not self._is_closed.is_set():
                self._executor.spin_once(timeout_sec=0.1)
        except ExternalShutdownException:
            return

    @property
    def is_spinning(self) -> bool:
        return self._thread.is_alive()

    def wait(self, condition: Callable[[], T], seconds: float = TIMEOUT) -> T:
        return wait_for(condition, seconds)

    def close(self) -> None:
        # An executor that is shut down while it takes a message raises.
        self._is_closed.set()
        self._thread.join()
        self._executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()
