"""Motion files, by their endings."""

import os
from collections.abc import Callable
from pathlib import Path

from hybrik_ros.motion.amass import to_npz
from hybrik_ros.motion.bvh import to_bvh
from hybrik_ros.motion.gltf import to_glb
from hybrik_ros.motion.motion import Motion, MotionError
from hybrik_ros.writing import writing

_WRITERS: dict[str, Callable[[Motion], bytes]] = {'.npz': to_npz, '.bvh': to_bvh, '.glb': to_glb}
FORMATS = tuple(_WRITERS)


def check_format(path: Path) -> None:
    """Raise a MotionError where nothing writes files of this name."""
    if path.suffix.lower() not in _WRITERS:
        raise MotionError(f'{path} must end in one of {", ".join(FORMATS)}')


def write_motion(motion: Motion, path: Path) -> None:
    """Write a motion that is given in the optical frame, in the format that the name ends in.

    A file of that name is replaced once the new one is whole.

    Raises
    ------
    MotionError: nothing writes files of this name.
    OSError: it cannot be written.
    """
    check_format(path)
    part = path.with_name(f'.{path.name}.part')
    with writing(path):
        try:
            part.write_bytes(_WRITERS[path.suffix.lower()](motion))
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
