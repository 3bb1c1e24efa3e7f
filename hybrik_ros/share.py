"""Where the package's launch, configuration and message files lie."""

import os
import sys
from pathlib import Path


def share_path(name: str) -> Path:
    """Return the path of a file that is installed below share/hybrik_ros.

    In a source tree it lies at the top; otherwise in a ROS prefix, sourced or of this Python.

    Parameters
    ----------
    name: relative, such as config/fastdds.xml.

    Raises
    ------
    FileNotFoundError: it is in none of these.
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
