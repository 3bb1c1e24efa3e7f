"""Photos, videos and cameras: pixels upright, times as the file or the camera has them. No ROS."""


class MediaError(ValueError):
    """A photo, video or camera cannot be used; the message has its name, the reason, the remedy."""
