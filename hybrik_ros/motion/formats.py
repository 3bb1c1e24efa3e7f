"""Write motion files in the format of their extension."""

from collections.abc import Callable
from pathlib import Path

from hybrik_ros.motion.amass import to_npz
from hybrik_ros.motion.bvh import to_bvh
from hybrik_ros.motion.gltf import to_glb
from hybrik_ros.motion.motion import Motion, MotionError
from hybrik_ros.writing import write_file

_WRITERS: dict[str, Callable[[Motion], bytes]] = {'.npz': to_npz, '.bvh': to_bvh, '.glb': to_glb}
FORMATS = tuple(_WRITERS)


def check_format(path: Path) -> None:
    """Check the extension of a motion file.

    Parameters
    ----------
    path : Path
        Path of the file.

    Raises
    ------
    MotionError
        The extension is none of FORMATS.
    """
    if path.suffix.lower() not in _WRITERS:
        raise MotionError(f'{path} must have one of the extensions {", ".join(FORMATS)}')


def write_motion(motion: Motion, path: Path) -> None:
    """Write a motion file. An existing file is replaced once the new one is complete.

    Parameters
    ----------
    motion : Motion
        The motion in the optical frame.
    path : Path
        Path of the file; its extension selects the format.

    Raises
    ------
    MotionError
        The extension is none of FORMATS.
    OSError
        The file cannot be written.
    """
    check_format(path)
    write_file(path, _WRITERS[path.suffix.lower()](motion))
