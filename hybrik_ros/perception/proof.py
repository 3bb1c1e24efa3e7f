"""Proof that an engine computes what its model says: on a picture of a person, before it is used.

An engine may be built without complaint and be wrong. That of TensorRT 8.5.3 for MoveNet finds a
person's box but puts all joints into a corner of the picture (seen on an H200).
"""

from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrik_ros.camera import Region
from hybrik_ros.inference import Runner, open_runner
from hybrik_ros.perception import blazepose, coco, detector
from hybrik_ros.perception.blazepose import BlazePose
from hybrik_ros.perception.detector import PersonDetector
from hybrik_ros.perception.hybrik import HybrIK
from hybrik_ros.share import SAMPLE

Picture = NDArray[np.uint8]

# Somebody in full view, in one frame of the clip that comes with this package.
_FRAME = 60
_ROWS, _COLUMNS = slice(90, 570), slice(780, 1260)

# In this size MoveNet sees the person of the picture, with a score of about 0.5.
_SIZE = 320
_THRESHOLD = 0.2

# By how much an engine may differ. What FP16 costs is about a tenth of it.
_PIXELS = 24.0  # of the 480 of the picture's side
_METRES = 0.1
_SHARE = 0.2  # of scores and the like, which are in [0, 1]
_SINE = 0.3  # of a twist
_BETA = 0.5


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
    with open_runner(detector.MODEL, 'onnxruntime') as reference:
        found, expected = (
            PersonDetector(one, size, _THRESHOLD)(canvas) for one in (runner, reference)
        )
    check = partial(_check, detector.MODEL)
    check('number of people', [len(found) - len(expected)], 0)
    for one, other in zip(found, expected, strict=True):
        points, wanted = one.keypoints[:, :2], other.keypoints[:, :2]
        # Of somebody seen from the side MoveNet confuses left and right.
        nearest = np.minimum(np.abs(points - wanted), np.abs(points - wanted[list(coco.MIRROR)]))
        check('joints', nearest, _PIXELS)
        check("joints' scores", one.keypoints[:, 2] - other.keypoints[:, 2], 2 * _SHARE)
        check('box', one.box - other.box, 2 * _PIXELS)
        check('score', [one.score - other.score], _SHARE)


def prove_landmarks(runner: Runner, people: int) -> None:
    """Raise RuntimeError unless a runner of BlazePose sees the landmarks that ONNX Runtime sees.

    Parameters
    ----------
    runner: active.
    people: as many as are looked at in one inference.
    """
    picture = _picture()
    with open_runner(blazepose.MODEL, 'onnxruntime') as reference:
        found, expected = (
            BlazePose(one)(picture, [_whole(picture)] * people) for one in (runner, reference)
        )
    check = partial(_check, blazepose.MODEL)
    for one, other in zip(found, expected, strict=True):
        check('landmarks', one.pixels - other.pixels, _PIXELS)
        check('landmarks in space', one.world - other.world, _METRES)
        check('visibility', one.visibility - other.visibility, _SHARE)
        check('presence', one.presence - other.presence, _SHARE)
        check('score', [one.score - other.score], _SHARE)
        check('next region', one.next_region.centre - other.next_region.centre, _PIXELS)
        check('next region', [one.next_region.size - other.next_region.size], 2 * _PIXELS)


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
    people = runner.inputs['image'].shape[0] or 1
    with open_runner(model, 'onnxruntime') as reference:
        found, expected = (
            HybrIK(one)(picture, [_whole(picture)] * people) for one in (runner, reference)
        )
    check = partial(_check, model)
    for one, other in zip(found, expected, strict=True):
        check('joints', one.pixels - other.pixels, _PIXELS)
        check('depths', one.depths - other.depths, _METRES)
        check('scale', [one.pixels_per_metre / other.pixels_per_metre - 1], _SHARE)
        check('twist', one.twist - other.twist, _SINE)
        check('betas', one.betas - other.betas, _BETA)
        check('sigma', one.sigma - other.sigma, _SHARE)


def _check(model: Path, name: str, off: ArrayLike, margin: float) -> None:
    """Raise RuntimeError where something that is seen is off by more than a margin."""
    most = np.abs(off).max()
    if not most <= margin:  # It may be no number.
        raise RuntimeError(
            f'the engine of {model.name} is wrong: in a picture of a person, its {name} is off by '
            f'{most:.3g}, more than {margin:g}, from that of ONNX Runtime'
        )


def _picture() -> Picture:
    """Return the picture of a person, (480, 480, 3)."""
    clip = cv2.VideoCapture(str(SAMPLE))
    clip.set(cv2.CAP_PROP_POS_FRAMES, _FRAME)
    read, frame = clip.read()
    clip.release()
    if not read:
        raise RuntimeError(f'no engine can be proven: {SAMPLE} cannot be read')
    return np.ascontiguousarray(frame[_ROWS, _COLUMNS, ::-1])


def _whole(picture: Picture) -> Region:
    side = len(picture)
    return Region(np.full(2, side / 2), side)
