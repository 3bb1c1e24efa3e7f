"""Names of the camera's topics."""

from rclpy.node import Node


def camera_topics(node: Node) -> tuple[str, str]:
    """Return the full names of the image and camera_info topics.

    By default camera_info is in the namespace of the image, where camera drivers publish it. If
    camera_info is remapped to another name, that name is returned.
    """
    image = node.resolve_topic_name('image')
    camera_info = node.resolve_topic_name('camera_info')
    if camera_info == f'{node.get_namespace().rstrip("/")}/camera_info':
        camera_info = f'{image.rpartition("/")[0]}/camera_info'
    return image, camera_info
