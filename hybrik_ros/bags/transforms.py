"""Read the transforms between frames in a bag."""

from pathlib import Path

from hybrik_ros.bags.reader import BagReader
from hybrik_ros.bags.types import deserialise
from hybrik_ros.messages.frame_tree import FrameTree

_MESSAGE = 'tf2_msgs/msg/TFMessage'
_STATIC = '/tf_static'


def read_transforms(path: Path) -> FrameTree:
    """Return the transforms in a bag; damaged messages are left out.

    Those of frames that move are the last ones: a FrameTree keeps two seconds of them.

    Parameters
    ----------
    path : Path
        Path of the bag.

    Raises
    ------
    BagError
        The bag cannot be read.
    """
    tree = FrameTree()
    with BagReader(path) as reader:
        found = {
            name: topic.types()
            for name, topic in reader.topics.items()
            if topic.type_name == _MESSAGE
        }
        for message in reader.messages(found):
            try:
                content = deserialise(message.data, _MESSAGE, found[message.topic])
                tree.update(content.transforms, message.topic.endswith(_STATIC))
            except (ValueError, AttributeError, TypeError):
                continue
    return tree
