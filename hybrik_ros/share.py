"""Where the package's launch, configuration, message and sample files lie."""

import os
import sys
from pathlib import Path

# A clip of somebody who walks, with its calibration beside it.
SAMPLE = Path(__file__).parent / 'data' / 'sample.mp4'

# Fast DDS 3 renamed its variables; these distributions have version 2.
_FAST_DDS_2 = ('humble', 'iron', 'jazzy')
_PROFILE_VARIABLES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')


# Without these, glibc hands the memory of every image back to the system and asks for it again for
# the next one, which costs more time than all else that it takes to receive one.
MALLOC = {
    'MALLOC_MMAP_THRESHOLD_': '100000000',
    'MALLOC_TRIM_THRESHOLD_': '400000000',
    'MALLOC_TOP_PAD_': '67108864',
}


def share_path(name: str) -> Path:
    """Return the path of a file that is installed below share/hybrik_ros.

    In a source tree it lies at the top; otherwise in a ROS prefix, sourced or of this Python.

    Parameters
    ----------
    name : str
        Relative path, such as config/fastdds.xml.

    Raises
    ------
    FileNotFoundError
        It is in none of these.
    """
    prefixes = [*os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep), sys.prefix]
    folders = [
        Path(__file__).parent.parent,
        *(Path(prefix, 'share', 'hybrik_ros') for prefix in prefixes if prefix),
    ]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f'{name} is in none of {", ".join(map(str, folders))}')


def transport_profile() -> dict[str, str]:
    """Return the environment variable that makes Fast DDS deliver large images.

    Its own defaults lose most images sent with best effort.

    Raises
    ------
    FileNotFoundError
        The profile is not installed.
    """
    name = _PROFILE_VARIABLES[os.environ.get('ROS_DISTRO') not in _FAST_DDS_2]
    return {name: str(share_path('config/fastdds.xml'))}


def set_transport_profile() -> str:
    """Let Fast DDS in this process take our profile; to be called before rclpy is imported.

    A profile that the user has chosen stays, and so does every other middleware.

    Returns
    -------
    str
        What was set and why, for the log; empty where nothing was.
    """
    middleware = os.environ.get('RMW_IMPLEMENTATION') or 'rmw_fastrtps_cpp'
    if not middleware.startswith('rmw_fastrtps') or any(map(os.environ.get, _PROFILE_VARIABLES)):
        return ''
    try:
        [(name, path)] = transport_profile().items()
    except FileNotFoundError as error:
        return f'Fast DDS keeps its own settings, which lose most large images: {error}'
    os.environ[name] = path
    return (
        f'Fast DDS uses the profile {path}, because its own settings lose most large images. '
        f'Set {name} to use another one, and for the camera driver too'
    )


def node_environment() -> dict[str, str]:
    """Return the environment variables with which a node receives images best."""
    return {**transport_profile(), **MALLOC}
