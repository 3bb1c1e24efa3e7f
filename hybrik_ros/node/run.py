"""The process of a node: starts it, spins it, and ends it cleanly."""

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions

from hybrik_ros.advice import explain, one_line
from hybrik_ros.msg import HumanMeshArray
from hybrik_ros.node.people_node import STOP_SECONDS, PeopleNode
from hybrik_ros.printable import printable
from hybrik_ros.stopping import ignore_signals

_POLL_SECONDS = 0.1


def run(
    program: str,
    create: Callable[[threading.Event], PeopleNode[Any]],
    stopping: threading.Event,
    profile: str,
) -> int:
    """Run a node until it is told to stop.

    Parameters
    ----------
    program : str
        Name of the program for errors.
    create : callable
        Creates the node.
    stopping : threading.Event
        Set when the process is to end.
    profile : str
        What `set_transport_profile` did, for the log.

    Returns
    -------
    int
        The exit status.
    """
    if stopping.is_set():
        return 0
    try:
        HumanMeshArray.__class__.__import_type_support__()  # Fails if built for another Python.
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        node = create(stopping)
    except Exception as error:  # Wrong arguments and parameters raise various exceptions.
        print(f'{program}: {printable(explain(error) or one_line(error))}', file=sys.stderr)
        rclpy.try_shutdown()
        return 1
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        if profile:
            node.get_logger().info(profile)
        return _spin(node, executor, stopping)
    finally:
        _end(node, executor)


def _spin(
    node: PeopleNode[Any], executor: SingleThreadedExecutor, stopping: threading.Event
) -> int:
    """Configure and activate the node where it does so by itself, and spin it."""
    if node.get_parameter('autostart').value:
        for trigger in (node.trigger_configure, node.trigger_activate):
            if trigger() != TransitionCallbackReturn.SUCCESS:
                return 0 if stopping.is_set() else 1
    while not stopping.is_set():
        executor.spin_once(timeout_sec=_POLL_SECONDS)
    return 0


def _end(node: PeopleNode[Any], executor: SingleThreadedExecutor) -> None:
    if not node.is_finalized:
        node.trigger_shutdown()
    executor.shutdown(timeout_sec=STOP_SECONDS)
    is_busy = node.is_busy
    node.destroy_node()
    rclpy.shutdown()
    ignore_signals()
    if is_busy:  # A thread that was left alone must not delay the end.
        sys.stdout.flush()
        os._exit(0)
