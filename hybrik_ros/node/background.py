"""A node of a command, in a context of its own, that is spun in a thread."""

import threading
from abc import ABC, abstractmethod
from typing import TypeVar

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

Own = TypeVar('Own', bound='BackgroundNode')


class BackgroundNode(ABC):
    """Context manager that creates a node and spins it until its end.

    Parameters
    ----------
    name : str
        Name of the node.
    arguments : list of str, optional
        Arguments for ROS; by default those of the process.
    """

    def __init__(self, name: str, arguments: list[str] | None = None) -> None:
        self._name = name
        self._arguments = arguments

    def __enter__(self: Own) -> Own:
        self._context = rclpy.Context()
        rclpy.init(args=self._arguments, context=self._context)
        self._node = Node(self._name, context=self._context)
        self._connect()
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name=self._name, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self._thread.join()
        self._node.destroy_node()
        self._context.try_shutdown()

    def node_listens(self) -> bool:
        """Return whether the images have a subscriber, as they do once the node is active."""
        return self._node.count_subscribers('image') > 0

    @abstractmethod
    def _connect(self) -> None:
        """Create the publishers and subscriptions of the node."""

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return
