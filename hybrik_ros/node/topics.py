"""Names of the camera's topics."""

from rclpy.node import Node


def camera_topics(node: Node) -> tuple[str, str]:
    """Return the full names of image and camera_info.

    camera_info lies beside the image, where camera drivers publish it, unless it is remapped
    itself to another name than that which it has anyway.
    """
    image = node.resolve_topic_name('image')
    camera_info = node.resolve_topic_name('camera_info')
    if camera_info == f'{node.get_namespace().rstrip("/")}/camera_info':
        camera_info = f'{image.rpartition("/")[0]}/camera_info'
    return image, camera_info
