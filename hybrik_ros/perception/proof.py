"""Verification of a TensorRT engine against ONNX Runtime on an image of a person, before use.

An engine may be built without an error and still be wrong: that of TensorRT 8.5.3 for MoveNet finds
a person's box but places all joints in a corner of the image (observed on an H200).
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

# Frame of the package's sample clip, and crop of it, that show a whole person.
_FRAME = 60
_ROWS, _COLUMNS = slice(90, 570), slice(780, 1260)

# Detector size in pixels for which MoveNet's score of the person is about 0.5, and minimum score.
_SIZE = 320
_THRESHOLD = 0.2

# Maximum differences of an engine from ONNX Runtime. Those of FP16 are about a tenth of them.
_MAX_PIXELS = 24.0  # of the 480 of the image's side
_MAX_METRES = 0.1
_MAX_SCORE = 0.2  # of scores and other values in [0, 1]
_MAX_TWIST = 0.3  # of cosine and sine
_MAX_BETA = 0.5


def prove_detector(runner: Runner, size: int) -> None:
    """Check that a runner of MoveNet finds the same person as ONNX Runtime.

    Parameters
    ----------
    runner : Runner
        Runner to check.
    size : int
        Detector size in pixels.

    Raises
    ------
    RuntimeError
        The runner's results differ from those of ONNX Runtime; the message names the difference.
    """
    picture = _read_picture()
    # MoveNet does not find a person that is very large in the image.
    margin = max(0, len(picture) * size // _SIZE - len(picture))
    canvas = np.pad(picture, ((0, margin), (0, margin), (0, 0)))
    with open_runner(detector.MODEL, 'onnxruntime') as reference:
        found, expected = (
            PersonDetector(one, size, _THRESHOLD)(canvas) for one in (runner, reference)
        )
    check = partial(_check, detector.MODEL)
    check('number of people', [len(found) - len(expected)], 0)
    for one, other in zip(found, expected, strict=True):
        points, wanted = one.keypoints[:, :2], other.keypoints[:, :2]
        # MoveNet may exchange left and right of a person seen from the side.
        nearest = np.minimum(np.abs(points - wanted), np.abs(points - wanted[list(coco.MIRROR)]))
        check('keypoints', nearest, _MAX_PIXELS)
        check('keypoint scores', one.keypoints[:, 2] - other.keypoints[:, 2], 2 * _MAX_SCORE)
        check('box', one.box - other.box, 2 * _MAX_PIXELS)
        check('score', [one.score - other.score], _MAX_SCORE)


def prove_landmarks(runner: Runner, people: int) -> None:
    """Check that a runner of BlazePose finds the same landmarks as ONNX Runtime.

    Parameters
    ----------
    runner : Runner
        Runner to check.
    people : int
        Number of regions in one inference.

    Raises
    ------
    RuntimeError
        The runner's results differ from those of ONNX Runtime; the message names the difference.
    """
    picture = _read_picture()
    with open_runner(blazepose.MODEL, 'onnxruntime') as reference:
        found, expected = (
            BlazePose(one)(picture, [_whole_region(picture)] * people)
            for one in (runner, reference)
        )
    check = partial(_check, blazepose.MODEL)
    for one, other in zip(found, expected, strict=True):
        check('landmarks', one.pixels - other.pixels, _MAX_PIXELS)
        check('world landmarks', one.world - other.world, _MAX_METRES)
        check('visibility', one.visibility - other.visibility, _MAX_SCORE)
        check('presence', one.presence - other.presence, _MAX_SCORE)
        check('score', [one.score - other.score], _MAX_SCORE)
        check('next region', one.next_region.centre - other.next_region.centre, _MAX_PIXELS)
        check('next region', [one.next_region.size - other.next_region.size], 2 * _MAX_PIXELS)


def prove_joints(runner: Runner, model: Path) -> None:
    """Check that a runner of HybrIK's network finds the same joints as ONNX Runtime.

    Parameters
    ----------
    runner : Runner
        Runner to check; one of another network is not checked.
    model : Path
        The .onnx file.

    Raises
    ------
    RuntimeError
        The runner's results differ from those of ONNX Runtime; the message names the difference.
    """
    if set(runner.inputs) != {'image'}:
        return
    picture = _read_picture()
    people = runner.inputs['image'].shape[0] or 1
    with open_runner(model, 'onnxruntime') as reference:
        found, expected = (
            HybrIK(one)(picture, [_whole_region(picture)] * people) for one in (runner, reference)
        )
    check = partial(_check, model)
    for one, other in zip(found, expected, strict=True):
        check('joints', one.pixels - other.pixels, _MAX_PIXELS)
        check('depths', one.depths - other.depths, _MAX_METRES)
        check('scale', [one.pixels_per_metre / other.pixels_per_metre - 1], _MAX_SCORE)
        check('twist', one.twist - other.twist, _MAX_TWIST)
        check('betas', one.betas - other.betas, _MAX_BETA)
        check('sigma', one.sigma - other.sigma, _MAX_SCORE)


def _check(model: Path, name: str, differences: ArrayLike, limit: float) -> None:
    """Raise RuntimeError where the absolute value of a difference exceeds a limit, or is NaN."""
    largest = np.abs(differences).max()
    if not largest <= limit:
        raise RuntimeError(
            f'the engine of {model.name} is wrong: on an image of a person, its difference from '
            f'ONNX Runtime in {name} is {largest:.3g}, more than {limit:g}'
        )


def _read_picture() -> Picture:
    """Return the image (480, 480, 3) of a person."""
    clip = cv2.VideoCapture(str(SAMPLE))
    clip.set(cv2.CAP_PROP_POS_FRAMES, _FRAME)
    read, frame = clip.read()
    clip.release()
    if not read:
        raise RuntimeError(f'engines cannot be checked: {SAMPLE} cannot be read')
    return np.ascontiguousarray(frame[_ROWS, _COLUMNS, ::-1])


def _whole_region(picture: Picture) -> Region:
    side = len(picture)
    return Region(np.full(2, side / 2), side)
