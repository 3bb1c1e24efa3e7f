"""Generator of test/data/recording.npz, the expected results of test_golden.py.

Run `python -m tools.golden` in a source tree after an intended change of the results, check the
printed differences, and explain them in the commit message.

The rounding of the networks differs between processors by about 1e-6. In single pictures, this
changes joints by a few millimetres at most. During tracking, each frame determines the network's
input in the next frame, so that differences grow to the jitter of the network within a third of a
second. The test therefore compares:

- single pictures: every joint and rotation, within a tolerance, on all machines;
- the whole clip: the stamps of frames with a person, the ids, and medians, on all machines; and all
  messages to the bit, if processor and libraries are those recorded in the file.
"""

import hashlib
import platform
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.bags import BagReader
from hybrik_ros.bags.people_reader import read_people
from hybrik_ros.cli.pictures import read_pictures
from hybrik_ros.human import Human
from hybrik_ros.messages.calibration import read_calibration
from hybrik_ros.pipeline import Pipeline
from hybrik_ros.recordings.process import Job, Processor
from hybrik_ros.recordings.recording import Recording
from hybrik_ros.rotations import to_rotation_vector
from hybrik_ros.share import SAMPLE

GOLDEN = Path(__file__).parents[1] / 'test' / 'data' / 'recording.npz'

_BACKEND = 'onnxruntime'
_PICTURES = range(40, 140, 12)  # frames of the sample clip with the whole person in view
_INTERVAL = 4  # every fourth frame of the clip is stored
_LIBRARIES = ('llvmlite', 'numpy', 'onnxruntime', 'opencv-python-headless', 'scipy')


def measure() -> dict[str, NDArray[Any]]:
    """Compute the results of the present code.

    Returns
    -------
    dict
        - picture_joints, picture_rotations (P, 24, 3): single pictures, in metres and as rotation
          vectors in radians;
        - clip_stamps (N): stamps of the frames with a person, in nanoseconds;
        - clip_ids: ids of all people;
        - clip_joints, clip_rotations (M, 24, 3): some frames of the clip;
        - messages: SHA-256 of all messages of the clip;
        - machine: hash of processor and libraries, on which the messages depend.
    """
    people = _pictures()
    frames, messages = _clip()
    seen = {stamp: humans for stamp, humans in frames.items() if humans}
    kept = [humans[0] for humans in seen.values()][::_INTERVAL]
    return {
        'picture_joints': _joints(people),
        'picture_rotations': _rotations(people),
        'clip_stamps': np.array(list(seen)),
        'clip_ids': np.array(sorted({human.id for humans in seen.values() for human in humans})),
        'clip_joints': _joints(kept),
        'clip_rotations': _rotations(kept),
        'messages': np.array(messages),
        'machine': np.array(machine()),
    }


def machine() -> str:
    """Return a hash of the processor and the libraries, which determine the rounding."""
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        lines = []
    processor = sorted({line for line in lines if line.startswith(('model', 'flags', 'CPU part'))})
    libraries = [f'{name} {version(name)}' for name in _LIBRARIES]
    text = '\n'.join([platform.machine(), *processor, *libraries])
    return hashlib.sha256(text.encode()).hexdigest()


def _pictures() -> list[Human]:
    """Return the people in single pictures."""
    camera = read_calibration(SAMPLE.with_suffix('.yaml')).camera()
    found = []
    with Pipeline.create(backend=_BACKEND, confirm_after=0.0) as pipeline:
        for number, picture in read_pictures(SAMPLE):
            if number in _PICTURES:
                pipeline.reset()
                found += pipeline(picture, camera, 0.0)
    return found


def _clip() -> tuple[dict[int, list[Human]], str]:
    """Return the people of the clip by stamp, and the hash of its messages."""
    settings = {'backend': _BACKEND}
    with TemporaryDirectory() as folder, Processor(settings) as processor:
        output = Path(folder, 'clip')
        processor.process(Job(Recording(SAMPLE), output, settings))
        found = hashlib.sha256()
        with BagReader(output) as reader:
            for message in reader.messages(reader.topics):
                found.update(f'{message.topic} {message.time} '.encode())
                found.update(message.data)
        return read_people(output).frames, found.hexdigest()


def _joints(people: list[Human]) -> NDArray[np.float32]:
    return np.array([human.joints for human in people], np.float32)


def _rotations(people: list[Human]) -> NDArray[np.float32]:
    return to_rotation_vector([human.rotations for human in people]).astype(np.float32)


def main() -> None:
    """Write the file, and print its differences from the previous one."""
    now = measure()
    if GOLDEN.exists():
        with np.load(GOLDEN, allow_pickle=False) as before:
            for name in ('picture_joints', 'clip_joints'):
                if before[name].shape == now[name].shape:
                    off = 1e3 * np.linalg.norm(now[name] - before[name], axis=-1)
                    print(f'{name}: median {np.median(off):.2f} mm, maximum {off.max():.2f} mm')
                else:
                    print(f'{name}: {before[name].shape} before, {now[name].shape} now')
            same = str(before['messages']) == str(now['messages'])
            print(f'messages: {"identical" if same else "different"}')
    arrays: Any = now
    np.savez_compressed(GOLDEN, **arrays)
    print(f'{GOLDEN}: {GOLDEN.stat().st_size / 1e3:.0f} kB')


if __name__ == '__main__':
    main()
