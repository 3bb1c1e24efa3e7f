"""BlazePose's landmark network: 33 landmarks of the person in a region of an image.

The model is MediaPipe's pose_landmark_heavy, Apache-2.0.

References
----------
Bazarevsky et al.: BlazePose: On-device Real-time Body Pose tracking (2020).
Grishchenko et al.: BlazePose GHUM Holistic (2022).
"""

from collections.abc import Sequence
from dataclasses import dataclass
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

_COCO = [INDEX[name] for name in KEYPOINT_NAMES]

# Two auxiliary points of the network: the centre of the next region and a point on its upper edge.
_CENTRE, _EDGE = 33, 34
_REGION_MARGIN = 1.25  # ratio of the side of a region to the size of the person, as in MediaPipe

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
        return self.pixels[_COCO]


class BlazePose:
    """The landmark network.

    Parameters
    ----------
    runner : Runner
        Runner of the landmark model.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def __call__(self, rgb: NDArray[np.uint8], regions: Sequence[Region]) -> list[Landmarks]:
        """Return the landmarks in each region of an image (H, W, 3), with a single inference."""
        if not regions:
            return []
        crops = np.stack([region.crop(rgb, _SIDE) for region in regions])
        inputs = np.divide(crops, np.float32(255), dtype=np.float32)
        outputs = self._runner.infer({'input_1': inputs})
        return [
            _decode(
                region,
                outputs['Identity'][i].reshape(_NUM_OUTPUTS, 5).astype(float),
                float(outputs['Identity_1'][i, 0]),
                outputs['Identity_3'][i],
                outputs['Identity_4'][i].reshape(_NUM_OUTPUTS, 3).astype(float),
            )
            for i, region in enumerate(regions)
        ]


def _decode(
    region: Region, points: Array, score: float, heatmaps: NDArray[np.float32], world: Array
) -> Landmarks:
    """Return the landmarks of a region from the outputs of the network."""
    crop_to_image = region.to_image(_SIDE)
    rotation = crop_to_image[:, :2] * (_SIDE / region.size)
    in_crop = points[:, :2].copy()
    _refine(in_crop, heatmaps)
    pixels = in_crop @ crop_to_image[:, :2].T + crop_to_image[:, 2]
    world = world[:NUM_LANDMARKS].copy()
    world[:, :2] = world[:, :2] @ rotation.T
    return Landmarks(
        score=score,
        pixels=pixels[:NUM_LANDMARKS],
        world=world,
        visibility=_sigmoid(points[:NUM_LANDMARKS, 3]),
        presence=_sigmoid(points[:NUM_LANDMARKS, 4]),
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
