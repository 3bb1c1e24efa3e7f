"""Checks of `hybrik doctor` of stamps and clocks."""

from collections.abc import Iterator

import numpy as np
from rclpy.node import Node

from hybrik_ros.findings import OK, PROBLEM, WARNING, Finding
from hybrik_ros.messages.fields import find_stamp_fault
from hybrik_ros.messages.stamp_order import find_odd_step, find_other_speed, find_standstill
from hybrik_ros.node.topic_stream import TopicStream

_MAX_AGE_SECONDS = 0.5  # of an image on arrival, by its stamp
_MIN_IMAGES = 5  # to tell a time that stands still from one that is published seldom
_MIN_ADVANCE_SECONDS = 1e-3  # of /clock over these images
_MAX_AHEAD_SECONDS = 0.05  # of a stamp, by which clocks may differ


def check_clock(node: Node) -> Iterator[Finding]:
    """Check that there is a /clock where a node is told to use it."""
    if has_no_time(node):
        found = 'is set, but nothing is received from /clock: time stands still'
        yield Finding(
            PROBLEM, 'use_sim_time', found,
            'play the bag with --clock, start the simulation, or set use_sim_time to false',
        )  # fmt: skip


def has_no_time(node: Node) -> bool:
    """Return whether a node uses the time of /clock and has received none."""
    is_simulated = bool(node.get_parameter('use_sim_time').value)
    return is_simulated and not node.get_clock().now().nanoseconds


def check_stamps(topic: str, images: TopicStream, node: Node) -> Finding:
    """Check that the stamps of images advance as the clock does, and agree with the clock.

    Parameters
    ----------
    topic : str
        Topic of the images.
    images : TopicStream
        At least one image.
    node : Node
        The node that received them.
    """
    age = float(np.median(np.subtract(images.times, images.stamps))) * 1e-9
    relative = f'{age:.3f} s old' if age >= 0 else f'{-age:.3f} s in the future'
    if fault := find_stamp_fault(images.last.header):
        advice = 'make the camera driver stamp images with the time of their exposure'
        return Finding(PROBLEM, topic, fault, advice)
    if fault := find_standstill(images.stamps):
        return Finding.of(PROBLEM, topic, fault)
    if fault := find_odd_step(images.stamps):
        return Finding.of(WARNING, topic, fault)
    if has_no_time(node):
        return Finding(OK, topic, 'stamps advance; their age is unknown without /clock')
    if _stands_still(images, node):
        return Finding(
            PROBLEM, topic, 'the time of /clock stands still while images arrive',
            'continue the simulation or the bag, or set use_sim_time to false for all',
        )  # fmt: skip
    if fault := find_other_speed(images.stamps, images.times):
        return Finding.of(WARNING, topic, fault)
    if age > _MAX_AGE_SECONDS or age < -_MAX_AHEAD_SECONDS:
        return Finding(WARNING, topic, f'stamps are {relative}', _clock_advice(node))
    return Finding(OK, topic, f'stamps advance, {relative} on arrival')


def _stands_still(images: TopicStream, node: Node) -> bool:
    """Return whether the time of /clock was the same as all images arrived."""
    if not node.get_parameter('use_sim_time').value:
        return False
    times = images.times
    return len(times) > _MIN_IMAGES and float(np.ptp(times)) < _MIN_ADVANCE_SECONDS * 1e9


def _clock_advice(node: Node) -> str:
    """Return what to do about stamps that do not agree with the clock."""
    is_published = node.count_publishers('/clock')
    if node.get_parameter('use_sim_time').value:
        return (
            'they are not those of /clock: set use_sim_time of the camera driver too, or set it to '
            'false for all'
        )
    if is_published:
        return (
            '/clock is published: set use_sim_time of the node, and check again with '
            '--ros-args -p use_sim_time:=true'
        )
    return (
        'on another machine: synchronise its clock with chrony; from a bag: play it with '
        '--clock and set use_sim_time of the node; otherwise the camera driver is slow'
    )
