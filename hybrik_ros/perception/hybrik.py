"""HybrIK's own network: joints, twist and shape of the person in a region of an image.

`hybrik export` writes the model from a checkpoint that the user has under its licence.

References
----------
Li et al.: HybrIK (CVPR 2021).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array, Image
from hybrik_ros.body.proportions import Proportions
from hybrik_ros.camera import (
    IMAGE_UP,
    Camera,
    ImpossiblePoseError,
    Region,
    bounding_box,
    locate,
    on_rays,
    share_inside,
)
from hybrik_ros.human import MAX_BETA
from hybrik_ros.inference import Runner
from hybrik_ros.kinematics import forward, solve
from hybrik_ros.perception.coco import KEYPOINT_NAMES
from hybrik_ros.perception.detector import Detection
from hybrik_ros.perception.estimator import SEEN, Observation
from hybrik_ros.skeleton import JOINT_NAMES, MIRROR, NUM_JOINTS, NUM_POINTS, PARENTS, SHOULDERS

_SIDE = 256  # of the crop in pixels
_MARGIN = 1.25  # ratio of the side of the crop to the longer side of a person's box, as in training
# ImageNet's mean and standard deviation in the order blue, green, red, applied to an RGB image as
# in training.
_MEAN = np.array([0.406, 0.457, 0.480], np.float32)
_STD = np.array([0.225, 0.224, 0.229], np.float32)
CUBE = 2.2  # side in metres of the network's output volume
# The outputs and their possible shapes for one person; that of cam depends on the architecture.
_OUTPUTS = {
    'uvd': ((29, 3),), 'shape': ((10,),), 'phi': ((23, 2),), 'cam': ((3,), (1,)), 'sigma': ((29,),),
}  # fmt: skip
_MAX_SIGMA = 0.1  # of a joint that counts for the distance

_HIPS = [1, 2]
_LIMBS = [
    JOINT_NAMES.index(f'{side}_{name}')
    for side in ('left', 'right')
    for name in ('shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle')
]
# The joint of each of COCO's keypoints; the head for those of the face.
_COCO = [JOINT_NAMES.index(name if name in JOINT_NAMES else 'head') for name in KEYPOINT_NAMES]


# The joint that tells how far each joint or leaf can be believed.
_SHOWN_JOINTS = np.append(np.arange(NUM_JOINTS), PARENTS[NUM_JOINTS:])


@dataclass(frozen=True, eq=False)
class Prediction:
    """The output of HybrIK's network for one person.

    Attributes
    ----------
    pixels : ndarray
        Joints and leaves (29, 2) in pixels of the image.
    depths : ndarray
        Depths (29) in metres relative to the centre of the network's output volume.
    pixels_per_metre : float
        Scale of the image at that centre.
    twist : ndarray
        Cosine and sine (23, 2) of the twist, as of `solve`.
    betas : ndarray
        Shape parameters (10) in SMPL's shape space.
    sigma : ndarray
        Uncertainty (29) of each joint in [0, 1].
    """

    pixels: Array
    depths: Array
    pixels_per_metre: float
    twist: Array
    betas: Array
    sigma: Array

    @property
    def score(self) -> float:
        """Mean confidence of the joints in [0, 1]; the network has no output for presence."""
        return float(np.mean(1.0 - self.sigma[:NUM_JOINTS]))

    @property
    def next_region(self) -> Region:
        """Where the person is expected in the next frame."""
        low, high = self.pixels.min(axis=0), self.pixels.max(axis=0)
        return region_around(np.concatenate([low, high]))


class JointBody:
    """What SMPL's joints show of a body; see BodyPoints.

    Attributes
    ----------
    seen_twist : ndarray
        Cosine and sine (23, 2) of the twist.
    """

    landmarks = 'smpl'
    sources, shown_joints = np.arange(NUM_POINTS)[:, None], _SHOWN_JOINTS
    hips_at, limbs_at = _HIPS, _LIMBS

    seen_twist: Array

    def guesses(self, joints: Array, confidence: Array, body: Proportions) -> NDArray[np.bool_]:
        """Return which joints (29) are no better than a guess: none."""
        return np.zeros(len(joints), bool)

    def head_rotation(self, body: Proportions) -> None:
        """Return None: nothing tells it besides the joints."""

    def twist(
        self, joints: Array, body: Proportions, weights: Array, previous: Array | None
    ) -> Array:
        """Return the twist (23, 2), as solve takes it."""
        return self.seen_twist


@dataclass(frozen=True, eq=False)
class JointPoints(JointBody):
    """SMPL's joints of one person that several images show; see BodyPoints.

    Attributes
    ----------
    points : ndarray
        Joints and leaves (29, 3) in metres.
    confidence : ndarray
        Confidence (29) in [0, 1].
    seen_twist : ndarray
        Cosine and sine (23, 2) of the twist.
    betas : ndarray or None
        Shape parameters (10) in SMPL's shape space; None if unknown.
    """

    points: Array
    confidence: Array
    seen_twist: Array
    betas: Array | None = None

    def joints(self, body: Proportions, up: Array = IMAGE_UP) -> tuple[Array, Array]:
        """Return joints and leaves (29, 3) in metres, and their confidence (29)."""
        return self.points, self.confidence


@dataclass(frozen=True, eq=False)
class JointObservation(JointBody):
    """HybrIK's joints of one person, on the rays of their pixels; see Observation.

    Attributes
    ----------
    score, box, keypoints, next_region : float, ndarray, ndarray, Region
        As of Observation.
    rays : ndarray
        Rays (29, 2) of joints and leaves: x / z and y / z.
    depths : ndarray
        Depths (29) in metres relative to the centre of the network's output volume.
    distance : float
        Distance of that centre in metres, for a person of average size.
    sigma : ndarray
        Uncertainty (29) of each joint in [0, 1].
    confidence : ndarray
        Confidence (29) in [0, 1]; 0 for joints outside of the image.
    seen_twist : ndarray
        Cosine and sine (23, 2) of the twist.
    betas : ndarray
        Shape parameters (10) in SMPL's shape space.
    """

    score: float
    box: Array
    keypoints: Array
    next_region: Region
    rays: Array
    depths: Array
    distance: float
    sigma: Array
    confidence: Array
    seen_twist: Array
    betas: Array

    @property
    def hips(self) -> Array:
        """The point (3) between the hips in metres, optical frame, for a person of average size."""
        points = on_rays(self.rays[_HIPS], self.depths[_HIPS] + self.distance)
        return np.asarray(points.mean(axis=0))

    @property
    def shows_trunk(self) -> bool:
        """Whether at least two of shoulders and hips are seen."""
        return bool(np.sum(self.confidence[[*_HIPS, *SHOULDERS]] >= SEEN) >= 2)

    def with_depths(self, depths: Array) -> 'JointObservation':
        """Return the same joints at other depths (29) in metres."""
        return replace(self, depths=depths)

    def exchanged(self) -> 'JointObservation':
        """Return this observation: the estimated twist does not fit exchanged sides."""
        return self

    def distance_in_image(self, other: Observation) -> float:
        """Return the mean distance of the joints from those of another one, in metres."""
        return float(self.distance * np.linalg.norm(self.rays - other.rays, axis=1).mean())

    def joints(self, body: Proportions, up: Array = IMAGE_UP) -> tuple[Array, Array]:
        """Return joints and leaves (29, 3) in metres, optical frame, and confidence (29).

        Each joint is on the ray of its pixel. The network's distance is that of a person of average
        size; it is replaced by the distance at which this body in this pose covers the pixels
        (HybrIK's scale refinement, here with the true intrinsics). The network estimates joints
        that are not seen as well, so it needs no direction up.

        Raises
        ------
        ImpossiblePoseError
            A joint lies behind the camera, or nearly all joints are uncertain.
        """
        guess = on_rays(self.rays, self.depths + self.distance)
        posed = forward(solve(guess, body.rest, self.seen_twist, method='naive'), body.rest)[0]
        weights = np.maximum(0.0, 1.0 - self.sigma / _MAX_SIGMA)
        weights[NUM_JOINTS:] = 0.0
        distance = posed[0, 2] + locate(posed, self.rays, weights)[2]
        points = on_rays(self.rays, self.depths - self.depths[0] + distance)
        return points, self.confidence


def observe(prediction: Prediction, camera: Camera) -> JointObservation:
    """Return the observation of a prediction: every joint on the ray of its pixel.

    Raises
    ------
    ImpossiblePoseError
        A value is not finite, the scale is not positive, or a beta is beyond MAX_BETA.
    """
    # One metre covers f / Z pixels.
    focal = np.sqrt(camera.matrix[0, 0] * camera.matrix[1, 1])
    with np.errstate(divide='ignore'):
        distance = float(np.divide(focal, prediction.pixels_per_metre))
    numbers = (
        prediction.pixels,
        prediction.depths,
        prediction.twist,
        prediction.betas,
        prediction.sigma,
    )
    if not (0 < distance < np.inf and all(np.isfinite(array).all() for array in numbers)):
        raise ImpossiblePoseError(
            f'joints are not finite, or their distance of {distance} m is not positive'
        )
    if np.abs(prediction.betas).max(initial=0.0) > MAX_BETA:
        raise ImpossiblePoseError(f'no person has the betas {prediction.betas}')
    inside = share_inside(prediction.pixels, camera)
    confidence = np.clip(1.0 - prediction.sigma, 0.0, 1.0) * inside
    return JointObservation(
        score=prediction.score,
        box=bounding_box(prediction.pixels, camera),
        keypoints=np.column_stack([prediction.pixels, confidence])[_COCO],
        next_region=prediction.next_region,
        rays=camera.rays(prediction.pixels),
        depths=prediction.depths,
        distance=distance,
        sigma=prediction.sigma,
        confidence=confidence,
        seen_twist=prediction.twist,
        betas=prediction.betas,
    )


def _observe_or_none(prediction: Prediction, camera: Camera) -> JointObservation | None:
    try:
        return observe(prediction, camera)
    except ImpossiblePoseError:
        return None


class HybrIK:
    """The network.

    Parameters
    ----------
    runner : Runner
        Runner of a model that `hybrik export` wrote.
    flip_test : bool
        Whether to average the predictions for the image and its mirror.
    """

    def __init__(self, runner: Runner, flip_test: bool = False) -> None:
        self._runner = runner
        self._flip_test = flip_test

    def __call__(self, rgb: NDArray[np.uint8], regions: Sequence[Region]) -> list[Prediction]:
        """Return the prediction for each region of an image (H, W, 3).

        Each inference takes as many regions as the fixed batch size of the model.

        Raises
        ------
        RuntimeError
            `hybrik export` does not write such a model.
        """
        crops = [crop(rgb, region) for region in regions]
        found = self._infer(crops)
        if self._flip_test:
            mirrored = map(_mirror, self._infer([image[..., ::-1] for image in crops]))
            found = [
                {name: (one[name] + other[name]) / 2 for name in one}
                for one, other in zip(found, mirrored, strict=True)
            ]
        return [_decode(region, one) for region, one in zip(regions, found, strict=True)]

    def _infer(self, images: Sequence[NDArray[np.float32]]) -> list[dict[str, Array]]:
        """Return the outputs of the network for each crop."""
        batch = self._runner.inputs['image'].shape[0] or 1
        found = []
        for start in range(0, len(images), batch):
            part = images[start : start + batch]
            feed = np.zeros((batch, 3, _SIDE, _SIDE), np.float32)
            feed[: len(part)] = part
            outputs = self._runner.infer({'image': feed})
            _check(outputs)
            found += [
                {name: outputs[name][i].astype(float) for name in _OUTPUTS}
                for i in range(len(part))
            ]
        return found


class HybrikEstimator:
    """HybrIK's own network as an estimator; see Estimator.

    Parameters
    ----------
    model : Path
        File that `hybrik export` wrote.
    runner : Runner
        Runner of that file; the estimator closes it.
    flip_test : bool
        Whether to average the predictions for the image and its mirror.

    Raises
    ------
    ValueError
        `hybrik export` does not write such a model.
    """

    def __init__(self, model: Path, runner: Runner, flip_test: bool = False) -> None:
        if set(runner.inputs) != {'image'}:
            raise ValueError(f'{model} is not a model that `hybrik export` writes: export it anew')
        self.model = model
        self._runner = runner
        self._network = HybrIK(runner, flip_test)

    @property
    def backend(self) -> str:
        """Inference library that runs the network."""
        return self._runner.backend

    @property
    def observation_type(self) -> type[JointObservation]:
        """Class of the observations."""
        return JointObservation

    def region_of(self, detection: Detection) -> Region:
        """Return the region to observe for a detection."""
        return region_around(detection.box)

    def region_around(self, box: Array, camera: Camera) -> Region:
        """Return the region to observe for the box (4) of another detector, in pixels."""
        return region_around(box)

    def observe(
        self, rgb: Image, regions: Sequence[Region], camera: Camera, min_score: float
    ) -> list[JointObservation | None]:
        """Observe the person in each region of an image; see Estimator."""
        return [
            _observe_or_none(prediction, camera) if prediction.score >= min_score else None
            for prediction in self._network(rgb, regions)
        ]

    def close(self) -> None:
        """Free the network."""
        self._runner.close()


def region_around(box: Array) -> Region:
    """Return the square region for a person's box (4) in pixels, as in the network's training."""
    return Region.around(box, _MARGIN)


def crop(rgb: NDArray[np.uint8], region: Region) -> NDArray[np.float32]:
    """Return a region of an image (H, W, 3) as the network's input (3, 256, 256)."""
    image = (region.crop(rgb, _SIDE).astype(np.float32) / np.float32(255) - _MEAN) / _STD
    return np.asarray(image.transpose(2, 0, 1))


def _check(outputs: Mapping[str, NDArray[np.float32]]) -> None:
    """Raise RuntimeError where outputs are not those of HybrIK's network."""
    for name, shapes in _OUTPUTS.items():
        shape = outputs[name].shape[1:] if name in outputs else None
        if shape not in shapes:
            expected = ' or '.join(map(str, shapes))
            raise RuntimeError(
                f'the model is not one that `hybrik export` writes: its output {name!r} '
                f'{"is missing" if shape is None else f"has shape {shape} per person"}, '
                f'expected {expected}'
            )
        if not np.isfinite(outputs[name]).all():
            raise RuntimeError(f"the model's output {name!r} contains NaN or infinity")


def _mirror(outputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return the outputs for the mirror image as those for the image itself."""
    points = list(MIRROR)
    rows = [MIRROR[joint] - 1 for joint in range(1, NUM_JOINTS)]
    return {
        **outputs,
        'uvd': outputs['uvd'][points] * [-1, 1, 1],
        'phi': outputs['phi'][rows] * [1, -1],
        'sigma': outputs['sigma'][points],
    }


def _decode(region: Region, outputs: Mapping[str, Array]) -> Prediction:
    """Return the prediction for a region from the outputs of the network."""
    uvd, scale = outputs['uvd'], float(outputs['cam'][0])
    return Prediction(
        pixels=region.centre + region.size * uvd[:, :2],
        depths=CUBE * uvd[:, 2],
        # Published as Z = 1000 / (256 scale) for a focal length of 1000 size / 256 pixels.
        pixels_per_metre=region.size * scale,
        twist=outputs['phi'],
        betas=outputs['shape'],
        sigma=outputs['sigma'],
    )
