"""Proof that an engine computes what its model says: on a picture of a person, before it is used.

An engine may be built without complaint and be wrong. That of TensorRT 8.5.3 for MoveNet finds a
person's box but puts all joints into a corner of the picture (seen on an H200).
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hybrik_ros.camera import Region
from hybrik_ros.inference import Runner, create_runner
from hybrik_ros.perception import blazepose, detector
from hybrik_ros.perception.blazepose import BlazePose
from hybrik_ros.perception.detector import PersonDetector
from hybrik_ros.perception.hybrik import HybrIK

Array = NDArray[np.float64]
Picture = NDArray[np.uint8]

# Somebody in full view, in one frame of the clip that comes with this package.
_CLIP = Path(__file__).parent.parent / 'data' / 'sample.mp4'
_FRAME = 60
_ROWS, _COLUMNS = slice(90, 570), slice(780, 1260)
_HEIGHT = 1.9  # metres, of what the picture shows

_WRONG = 0.05  # of the picture's side; FP16 moves joints by about a hundredth

# In this size MoveNet sees the person of the picture, with a score of about 0.5.
_SIZE = 320
_THRESHOLD = 0.2


def prove_detector(runner: Runner, size: int) -> None:
    """Raise RuntimeError unless a runner of MoveNet finds the person whom ONNX Runtime finds.

    Parameters
    ----------
    runner: active.
    size: of the detector.
    """
    picture = _picture()
    margin = max(0, len(picture) * size // _SIZE - len(picture))  # MoveNet overlooks giants.
    canvas = np.pad(picture, ((0, margin), (0, margin), (0, 0)))

    def see(runner: Runner) -> Array:
        found = PersonDetector(runner, size, _THRESHOLD)(canvas)
        return np.concatenate([np.empty((0, 2)), *(person.keypoints[:, :2] for person in found)])

    with create_runner(detector.MODEL, 'onnxruntime') as reference:
        _compare(see(runner), see(reference), detector.MODEL)


def prove_landmarks(runner: Runner, people: int) -> None:
    """Raise RuntimeError unless a runner of BlazePose sees the landmarks that ONNX Runtime sees.

    Parameters
    ----------
    runner: active.
    people: as many as are looked at in one inference.
    """
    picture = _picture()
    scale = len(picture) / _HEIGHT

    def see(runner: Runner) -> Array:
        found = BlazePose(runner)(picture, [_whole(picture)] * people)
        return np.concatenate([np.hstack([one.pixels, scale * one.world]) for one in found])

    with create_runner(blazepose.MODEL, 'onnxruntime') as reference:
        _compare(see(runner), see(reference), blazepose.MODEL)


def prove_joints(runner: Runner, model: Path) -> None:
    """Raise RuntimeError unless a runner sees the joints that ONNX Runtime sees.

    Parameters
    ----------
    runner: active, of a model of HybrIK's network; of another it tells nothing.
    model: the .onnx file.
    """
    if set(runner.inputs) != {'image'}:
        return
    picture = _picture()

    def see(runner: Runner) -> Array:
        [one] = HybrIK(runner)(picture, [_whole(picture)])
        return np.column_stack([one.pixels, one.pixels_per_metre * one.depths])

    with create_runner(model, 'onnxruntime') as reference:
        _compare(see(runner), see(reference), model)


def _compare(seen: Array, expected: Array, model: Path) -> None:
    """Raise RuntimeError unless points, in pixels of the picture, are about the same."""
    if seen.shape != expected.shape:
        raise RuntimeError(
            f'the engine of {model.name} is wrong: in a picture of a person it sees {len(seen)} '
            f'points, where ONNX Runtime sees {len(expected)}'
        )
    # A few points may be ambiguous, as which of two legs is the left one.
    off = np.median(np.abs(seen - expected))
    side = _ROWS.stop - _ROWS.start
    if not off < _WRONG * side:  # It may be no number.
        raise RuntimeError(
            f'the engine of {model.name} is wrong: what it sees in a picture of a person is '
            f'{off:.0f} pixels of {side} away from what ONNX Runtime sees there'
        )


def _picture() -> Picture:
    """Return the picture of a person, (480, 480, 3)."""
    clip = cv2.VideoCapture(str(_CLIP))
    clip.set(cv2.CAP_PROP_POS_FRAMES, _FRAME)
    read, frame = clip.read()
    clip.release()
    if not read:
        raise RuntimeError(f'no engine can be proven: {_CLIP} cannot be read')
    return np.ascontiguousarray(frame[_ROWS, _COLUMNS, ::-1])


def _whole(picture: Picture) -> Region:
    side = len(picture)
    return Region(np.full(2, side / 2), side)
