"""Paths of installed files, and the environment variables with which nodes receive images best."""

import os
import sys
from pathlib import Path

# A clip of a walking person; its calibration has the same name with the suffix .yaml.
SAMPLE = Path(__file__).parent / 'data' / 'sample.mp4'

# The ROS distributions with Fast DDS 2. Version 3 renamed the environment variable of its profiles.
_FAST_DDS_2 = ('humble', 'iron', 'jazzy')
_PROFILE_VARIABLES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')


# Environment variables that keep glibc from returning the memory of each image to the system and
# allocating it again for the next one, which takes longer than the rest of receiving an image.
MALLOC = {
    'MALLOC_MMAP_THRESHOLD_': '100000000',
    'MALLOC_TRIM_THRESHOLD_': '400000000',
    'MALLOC_TOP_PAD_': '67108864',
}


def share_path(name: str) -> Path:
    """Return the path of a file that is installed below share/hybrik_ros.

    It is searched at the top of the source tree, in the sourced ROS prefixes, and in the prefix of
    this Python.

    Parameters
    ----------
    name : str
        Relative path, such as config/fastdds.xml.

    Raises
    ------
    FileNotFoundError
        None of these folders contains the file.
    """
    prefixes = [*os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep), sys.prefix]
    folders = [
        Path(__file__).parent.parent,
        *(Path(prefix, 'share', 'hybrik_ros') for prefix in prefixes if prefix),
    ]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(
        f'{name} is in none of {", ".join(map(str, folders))}: reinstall hybrik_ros'
    )


def transport_profile() -> dict[str, str]:
    """Return the environment variable that selects our Fast DDS profile for large images.

    With Fast DDS's defaults, most large images that are sent with best effort are lost.

    Raises
    ------
    FileNotFoundError
        The profile is not installed.
    """
    name = _PROFILE_VARIABLES[os.environ.get('ROS_DISTRO') not in _FAST_DDS_2]
    return {name: str(share_path('config/fastdds.xml'))}


def set_transport_profile() -> str:
    """Set our Fast DDS profile in the environment; must be called before rclpy is imported.

    Nothing is set where the user has chosen a profile, or for another middleware.

    Returns
    -------
    str
        A message for the log; empty where nothing was set.
    """
    middleware = os.environ.get('RMW_IMPLEMENTATION') or 'rmw_fastrtps_cpp'
    if not middleware.startswith('rmw_fastrtps') or any(map(os.environ.get, _PROFILE_VARIABLES)):
        return ''
    try:
        [(name, path)] = transport_profile().items()
    except FileNotFoundError as error:
        return f'Fast DDS uses its default settings, which lose most large images: {error}'
    os.environ[name] = path
    return (
        f'Fast DDS uses the profile {path}, because its default settings lose most large images. '
        f'Set {name} for the camera driver too, or to use another profile'
    )


def node_environment() -> dict[str, str]:
    """Return the environment variables with which a node receives large images reliably."""
    return {**transport_profile(), **MALLOC}
