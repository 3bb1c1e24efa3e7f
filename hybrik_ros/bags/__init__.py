"""Bags: recordings in rosbag2's format, read and written without ROS."""

from hybrik_ros.bags.reader import BagError, BagReader, Message, Topic
from hybrik_ros.bags.types import deserialise, make, serialise, typestore
from hybrik_ros.bags.writer import BagWriter

__all__ = [
    'BagError',
    'BagReader',
    'BagWriter',
    'Message',
    'Topic',
    'deserialise',
    'make',
    'serialise',
    'typestore',
]
