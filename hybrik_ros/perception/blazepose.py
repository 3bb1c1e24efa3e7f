"""BlazePose's landmark network: 33 landmarks of the person in a region of an image.

The model is MediaPipe's pose_landmark_heavy, Apache-2.0.

References
----------
Bazarevsky et al.: BlazePose: On-device Real-time Body Pose tracking (2020).
Grishchenko et al.: BlazePose GHUM Holistic (2022).
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.camera import Region
from hybrik_ros.compiling import floats, kernel
from hybrik_ros.inference import Runner
from hybrik_ros.perception.coco import KEYPOINT_NAMES
from hybrik_ros.skeleton import mirror_indices

MODEL = Path(__file__).parent.parent / 'data' / 'blazepose_landmark_heavy.onnx'

LANDMARK_NAMES: tuple[str, ...] = (
    'nose', 'left_eye_inner', 'left_eye', 'left_eye_outer', 'right_eye_inner', 'right_eye',
    'right_eye_outer', 'left_ear', 'right_ear', 'left_mouth', 'right_mouth', 'left_shoulder',
    'right_shoulder', 'left_elbow', 'right_elbow', 'left_wrist', 'right_wrist', 'left_pinky',
    'right_pinky', 'left_index', 'right_index', 'left_thumb', 'right_thumb', 'left_hip',
    'right_hip', 'left_knee', 'right_knee', 'left_ankle', 'right_ankle', 'left_heel', 'right_heel',
    'left_toe', 'right_toe',
)  # fmt: skip
NUM_LANDMARKS = len(LANDMARK_NAMES)
INDEX = {name: index for index, name in enumerate(LANDMARK_NAMES)}
# MIRROR[i] is the landmark on the other side of the body.
MIRROR: tuple[int, ...] = mirror_indices(LANDMARK_NAMES)

NOSE = 0
LEFT_EAR, RIGHT_EAR = 7, 8
LEFT_SHOULDER, RIGHT_SHOULDER = 11, 12
LEFT_ELBOW, RIGHT_ELBOW = 13, 14
LEFT_WRIST, RIGHT_WRIST = 15, 16
LEFT_PINKY, RIGHT_PINKY = 17, 18
LEFT_INDEX, RIGHT_INDEX = 19, 20
LEFT_HIP, RIGHT_HIP = 23, 24
LEFT_KNEE, RIGHT_KNEE = 25, 26
LEFT_ANKLE, RIGHT_ANKLE = 27, 28
LEFT_HEEL, RIGHT_HEEL = 29, 30
LEFT_TOE, RIGHT_TOE = 31, 32

# The landmark of each of COCO's keypoints.
COCO = [INDEX[name] for name in KEYPOINT_NAMES]

# Two auxiliary points of the network: the centre of the next region and a point on its upper edge.
_CENTRE, _EDGE = 33, 34
_REGION_MARGIN = 1.25  # ratio of the side of a region to the size of the person, as in MediaPipe

MAX_BATCH = 6  # crops in one inference
_SIDE = 256  # of the crop in pixels
_NUM_OUTPUTS = 39  # landmarks and auxiliary points
_CELL = 4  # side of a heatmap's cell in pixels of the crop
_CELLS = _SIDE // _CELL
_WINDOW = 3  # cells on either side of a landmark over which its heatmap is averaged
_MIN_PEAK = 0.5  # of a heatmap that corrects its landmark


@dataclass(frozen=True, eq=False)
class Landmarks:
    """BlazePose's landmarks of one person.

    Attributes
    ----------
    score : float
        Confidence in [0, 1] that there is a person in the region.
    pixels : ndarray
        Landmarks (33, 2) in pixels of the image.
    world : ndarray
        Landmarks (33, 3) in metres relative to the middle of the hips, along the axes of the
        optical frame.
    visibility : ndarray
        Confidence (33) in [0, 1] that a landmark is in the image and not occluded.
    presence : ndarray
        Confidence (33) in [0, 1] that a landmark is within the region.
    next_region : Region
        Where the person is expected in the next frame.
    """

    score: float
    pixels: Array
    world: Array
    visibility: Array
    presence: Array
    next_region: Region

    @property
    def keypoints(self) -> Array:
        """COCO's keypoints (17, 2) in pixels."""
        return self.pixels[COCO]


@dataclass(frozen=True, eq=False)
class _Output:
    """What the network says of a crop.

    Attributes
    ----------
    score : float
        As of Landmarks.
    points : ndarray
        Landmarks and auxiliary points (39, 2) in pixels of the crop.
    world : ndarray
        The same (39, 3) in metres relative to the middle of the hips, along the axes of the crop.
    visibility, presence : ndarray
        As of Landmarks, (39).
    """

    score: float
    points: Array
    world: Array
    visibility: Array
    presence: Array


class BlazePose:
    """The landmark network.

    Parameters
    ----------
    runner : Runner
        Runner of the landmark model.
    flip_test : bool
        Whether to average with the landmarks of the mirrored crop, in the same inference.
    """

    def __init__(self, runner: Runner, flip_test: bool = False) -> None:
        self._runner = runner
        self._flip_test = flip_test

    def __call__(self, rgb: NDArray[np.uint8], regions: Sequence[Region]) -> list[Landmarks]:
        """Return the landmarks in each region of an image (H, W, 3).

        One inference takes up to MAX_BATCH crops.
        """
        crops = [region.crop(rgb, _SIDE) for region in regions]
        if not self._flip_test:
            read = self._infer(crops)
        else:
            both = self._infer([*crops, *(crop[:, ::-1] for crop in crops)])
            pairs = zip(both[: len(crops)], both[len(crops) :], strict=True)
            read = [_mean(output, _unflip(mirrored)) for output, mirrored in pairs]
        return [_place(region, output) for region, output in zip(regions, read, strict=True)]

    def _infer(self, crops: Sequence[NDArray[np.uint8]]) -> list[_Output]:
        """Return the output of the network for each crop (256, 256, 3)."""
        found = []
        for start in range(0, len(crops), MAX_BATCH):
            batch = np.stack(crops[start : start + MAX_BATCH])
            inputs = np.divide(batch, np.float32(255), dtype=np.float32)
            outputs = self._runner.infer({'input_1': inputs})
            found += [_read(outputs, i) for i in range(len(inputs))]
        return found


def _read(outputs: dict[str, NDArray[np.float32]], index: int) -> _Output:
    """Return the network's output for a crop, by its index in the batch."""
    points = outputs['Identity'][index].reshape(_NUM_OUTPUTS, 5).astype(float)
    in_crop = points[:, :2].copy()
    _refine(in_crop, outputs['Identity_3'][index])
    return _Output(
        score=float(outputs['Identity_1'][index, 0]),
        points=in_crop,
        world=outputs['Identity_4'][index].reshape(_NUM_OUTPUTS, 3).astype(float),
        visibility=_sigmoid(points[:, 3]),
        presence=_sigmoid(points[:, 4]),
    )


def _unflip(output: _Output) -> _Output:
    """Return the output for a crop from that for its mirror image."""
    mirror = [*MIRROR, *range(NUM_LANDMARKS, _NUM_OUTPUTS)]  # Auxiliary points have no side.
    points, world = output.points[mirror], output.world[mirror]
    points[:, 0] = _SIDE - points[:, 0]
    world[:, 0] = -world[:, 0]
    return _Output(output.score, points, world, output.visibility[mirror], output.presence[mirror])


def _mean(first: _Output, second: _Output) -> _Output:
    """Return the mean of two outputs for the same crop."""
    return _Output(*((a + b) / 2 for a, b in zip(astuple(first), astuple(second), strict=True)))


def _place(region: Region, output: _Output) -> Landmarks:
    """Return the landmarks of a region in the image from the output for its crop."""
    crop_to_image = region.to_image(_SIDE)
    rotation = crop_to_image[:, :2] * (_SIDE / region.size)
    pixels = output.points @ crop_to_image[:, :2].T + crop_to_image[:, 2]
    world = output.world[:NUM_LANDMARKS].copy()
    world[:, :2] = world[:, :2] @ rotation.T
    return Landmarks(
        score=output.score,
        pixels=pixels[:NUM_LANDMARKS],
        world=world,
        visibility=output.visibility[:NUM_LANDMARKS],
        presence=output.presence[:NUM_LANDMARKS],
        next_region=_region_through(pixels[_CENTRE], pixels[_EDGE]),
    )


@kernel(floats(2), 'float32[:,:,::1]')
def _refine(points: Array, heatmaps: NDArray[np.float32]) -> None:
    """Move pixels (39, 2) of the crop to the centres of mass of their heatmaps (64, 64, 39)."""
    for i in range(_NUM_OUTPUTS):
        column, row = int(points[i, 0] / _CELL), int(points[i, 1] / _CELL)
        if not (0 <= column < _CELLS and 0 <= row < _CELLS):
            continue
        peak = mass = u = v = 0.0
        for r in range(max(0, row - _WINDOW), min(_CELLS, row + _WINDOW + 1)):
            for c in range(max(0, column - _WINDOW), min(_CELLS, column + _WINDOW + 1)):
                weight = 1 / (1 + np.exp(-heatmaps[r, c, i]))
                peak = max(peak, weight)
                mass += weight
                u += weight * c
                v += weight * r
        if peak >= _MIN_PEAK:
            points[i, 0], points[i, 1] = _CELL * u / mass, _CELL * v / mass


def _region_through(centre: Array, edge: Array) -> Region:
    """Return the region with a centre (2) and a point (2) on its upper edge, in pixels."""
    radius = edge - centre
    size = 2 * _REGION_MARGIN * float(np.linalg.norm(radius))
    return Region(centre, size, float(np.arctan2(radius[0], -radius[1])))


def _sigmoid(logits: Array) -> Array:
    return 1 / (1 + np.exp(-np.clip(logits, -60, 60)))
