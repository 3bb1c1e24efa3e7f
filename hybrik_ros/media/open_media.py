"""Open what the user names: a video, a photo, a URL or a camera."""

import os
from pathlib import Path

from hybrik_ros.credentials import hide_credentials
from hybrik_ros.media import MediaError
from hybrik_ros.media.live_camera import NO_OPTIONS, CameraOptions, LiveCamera
from hybrik_ros.media.photo import is_still
from hybrik_ros.media.url import is_url
from hybrik_ros.media.video_file import FrameSource, StillPicture, VideoFile


def is_camera(name: str) -> bool:
    """Return whether a name is that of a camera of this machine."""
    # Files may be below /dev too, in /dev/shm.
    return name.isdecimal() or (name.startswith('/dev/') and not os.path.isfile(name))


def open_media(
    name: str,
    options: CameraOptions = NO_OPTIONS,
) -> LiveCamera | FrameSource:
    """Open a video, a photo or a camera.

    Parameters
    ----------
    name : str
        Path of a video or a photo, a URL, or index or path (below /dev) of a camera.
    options : CameraOptions
        What a camera of this machine is asked for.

    Raises
    ------
    MediaError
        It cannot be opened, or the options are not for it.
    """
    if is_camera(name):
        return LiveCamera(name, options)
    if options != NO_OPTIONS:
        raise MediaError(
            f'{hide_credentials(name)} is no camera of this machine: --size, --rate and --mjpg are '
            f'for those only'
        )
    if is_url(name):
        camera = LiveCamera(name)
        return VideoFile(name) if camera.has_end else camera
    path = Path(name)
    return StillPicture(path) if is_still(path) else VideoFile(name)
