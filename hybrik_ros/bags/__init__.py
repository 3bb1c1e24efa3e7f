"""Read and write bags in rosbag2's format without ROS."""

from hybrik_ros.bags.reader import BagError, BagReader, Message, Topic
from hybrik_ros.bags.types import (
    create_message_maker,
    create_observation_maker,
    deserialise,
    serialise,
    typestore,
)
from hybrik_ros.bags.writer import BagWriter

__all__ = [
    'BagError',
    'BagReader',
    'BagWriter',
    'Message',
    'Topic',
    'create_message_maker',
    'create_observation_maker',
    'deserialise',
    'serialise',
    'typestore',
]
