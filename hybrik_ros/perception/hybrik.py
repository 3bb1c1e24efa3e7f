"""HybrIK's own network: joints, twist and shape of the person in a region of an image.

Source: Li et al., HybrIK (CVPR 2021). The model is exported by `hybrik export` from a checkpoint
that the user has under its licence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array, Image
from hybrik_ros.body.proportions import Proportions
from hybrik_ros.camera import Camera, ImpossiblePoseError, Region, bounding_box, locate, on_rays
from hybrik_ros.inference import Runner
from hybrik_ros.kinematics import forward, solve
from hybrik_ros.perception.coco import KEYPOINT_NAMES
from hybrik_ros.perception.detector import Detection
from hybrik_ros.perception.estimator import Observation
from hybrik_ros.perception.landmark_joints import SEEN
from hybrik_ros.skeleton import JOINT_NAMES, MIRROR, NUM_JOINTS, SHOULDERS

_SIDE = 256  # of the crop
_MARGIN = 1.25  # of the crop, about the person
# ImageNet's, in the order of blue, green, red, though the image is RGB: so it was in training.
_MEAN = np.array([0.406, 0.457, 0.480], np.float32)
_STD = np.array([0.225, 0.224, 0.229], np.float32)
CUBE = 2.2  # metres, the side of the network's cube
# The outputs, and their shapes for one person; cam depends on the architecture.
_OUTPUTS = {
    'uvd': ((29, 3),), 'shape': ((10,),), 'phi': ((23, 2),), 'cam': ((3,), (1,)), 'sigma': ((29,),),
}  # fmt: skip
_NO_DOUBT = 0.1  # Above this sigma, a joint does not count for the distance.

_HIPS = [1, 2]
# The joint of each of COCO's keypoints; the head stands for the whole face.
_COCO = [JOINT_NAMES.index(name if name in JOINT_NAMES else 'head') for name in KEYPOINT_NAMES]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What HybrIK's network says of one person.

    Attributes
    ----------
    pixels: (29, 2), of joints and leaves in the image.
    depths: (29), metres, about the middle of the network's cube.
    pixels_per_metre: at that distance.
    twist: (23, 2), cosine and sine, as solve takes them.
    betas: (10), of SMPL's shape space.
    sigma: (29), in [0, 1], doubt about each joint.
    """

    pixels: Array
    depths: Array
    pixels_per_metre: float
    twist: Array
    betas: Array
    sigma: Array

    @property
    def score(self) -> float:
        """How sure the joints are, in [0, 1]; whether anybody is there no output tells."""
        return float(np.mean(1.0 - self.sigma[:NUM_JOINTS]))

    @property
    def keypoints(self) -> Array:
        """The joints that COCO has too, (17, 2) pixels, in its order; the head for all the face."""
        return self.pixels[_COCO]

    @property
    def next_region(self) -> Region:
        """Where to look for the person in the next frame."""
        low, high = self.pixels.min(axis=0), self.pixels.max(axis=0)
        return region_around(np.concatenate([low, high]))


@dataclass(frozen=True, eq=False)
class JointObservation:
    """The joints of one person on their rays, and what else the network says; see Observation.

    Attributes
    ----------
    score, box, keypoints, next_region: as of Observation.
    rays: (29, 2), x / z and y / z.
    depths: (29), metres, about the pelvis.
    distance: metres, of the pelvis, as if the person had average size.
    sigma: (29), in [0, 1], doubt about each joint.
    confidence: (29), in [0, 1]; 0 for joints that are not in the image.
    seen_twist: (23, 2), cosine and sine.
    betas: (10), of SMPL's shape space.
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
        """Return the point between the hips, (3) metres, optical frame, by the guessed distance."""
        points = on_rays(self.rays[_HIPS], self.depths[_HIPS] + self.distance)
        return np.asarray(points.mean(axis=0))

    @property
    def shows_trunk(self) -> bool:
        """Tell whether two of shoulders and hips are seen."""
        return bool(np.sum(self.confidence[[*_HIPS, *SHOULDERS]] >= SEEN) >= 2)

    def with_depths(self, depths: Array) -> 'JointObservation':
        """Return the same joints at other depths (29), metres."""
        return replace(self, depths=depths)

    def exchanged(self) -> 'JointObservation':
        """Return the same: the network knows left from right by its twist, or not at all."""
        return self

    def distance_in_image(self, other: Observation) -> float:
        """Return how far the joints are from where another one has them in the image, metres."""
        return float(self.distance * np.linalg.norm(self.rays - other.rays, axis=1).mean())

    def joints(self, body: Proportions) -> tuple[Array, Array]:
        """Return joints and leaves (29, 3), metres, in the optical frame, and confidence (29).

        Each lies on the ray of its pixel. The network's own guess of the distance is as if the
        person had average size; that at which this body in this pose covers the pixels is a
        better one (HybrIK's scale refinement, here by the true intrinsics).

        Raises
        ------
        ImpossiblePoseError: a joint lies behind the camera, or nearly all are in doubt.
        """
        guess = on_rays(self.rays, self.depths + self.distance)
        posed = forward(solve(guess, body.rest, self.seen_twist, method='naive'), body.rest)[0]
        weights = np.maximum(0.0, 1.0 - self.sigma / _NO_DOUBT)
        weights[NUM_JOINTS:] = 0.0
        distance = posed[0, 2] + locate(posed, self.rays, weights)[2]
        points = on_rays(self.rays, self.depths - self.depths[0] + distance)
        return points, self.confidence

    def guesses(self, joints: Array, confidence: Array, body: Proportions) -> NDArray[np.bool_]:
        """Tell which joints (29) are no better than a guess: none, the network knows bodies."""
        return np.zeros(len(joints), bool)

    def head_rotation(self, body: Proportions) -> None:
        """Return None: only the joints tell how the head is turned."""

    def twist(
        self, joints: Array, body: Proportions, weights: Array, previous: Array | None
    ) -> Array:
        """Return the twist (23, 2) that the network sees, as solve takes it."""
        return self.seen_twist


def observe(prediction: Prediction, camera: Camera) -> JointObservation:
    """Put every joint on the ray of its pixel.

    Raises
    ------
    ImpossiblePoseError: the network says nothing that a person in front of the camera can have.
    """
    # f / Z pixels cover a metre.
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
        raise ImpossiblePoseError('no person in front of the camera has such joints')
    size = [camera.width, camera.height]
    inside = ((prediction.pixels >= 0) & (prediction.pixels < size)).all(axis=1)
    confidence = np.where(inside, np.clip(1.0 - prediction.sigma, 0.0, 1.0), 0.0)
    return JointObservation(
        score=prediction.score,
        box=bounding_box(prediction.pixels, camera),
        keypoints=prediction.keypoints,
        next_region=prediction.next_region,
        rays=camera.rays(prediction.pixels),
        depths=prediction.depths,
        distance=distance,
        sigma=prediction.sigma,
        confidence=confidence,
        seen_twist=prediction.twist,
        betas=prediction.betas,
    )


class HybrIK:
    """The network.

    Parameters
    ----------
    runner: active, of a model that `hybrik export` wrote.
    flip_test: whether the mirror image is looked at as well, and the mean of both taken.
    """

    def __init__(self, runner: Runner, flip_test: bool = False) -> None:
        self._runner = runner
        self._flip_test = flip_test

    def __call__(self, rgb: NDArray[np.uint8], regions: Sequence[Region]) -> list[Prediction]:
        """Return the person in each region of an image (H, W, 3).

        As many at once as the model takes, whose batch is fixed.

        Raises
        ------
        RuntimeError: the model is not one that `hybrik export` writes.
        """
        crops = [crop(rgb, region) for region in regions]
        seen = self._infer(crops)
        if self._flip_test:
            mirrored = map(_mirrored, self._infer([image[..., ::-1] for image in crops]))
            seen = [
                {name: (one[name] + other[name]) / 2 for name in one}
                for one, other in zip(seen, mirrored, strict=True)
            ]
        return [_decode(region, one) for region, one in zip(regions, seen, strict=True)]

    def _infer(self, images: Sequence[NDArray[np.float32]]) -> list[dict[str, Array]]:
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
            raise ValueError(f'{model} is no model that `hybrik export` writes')
        self.model = model
        self._runner = runner
        self._network = HybrIK(runner, flip_test)

    @property
    def backend(self) -> str:
        """Inference library that runs the network."""
        return self._runner.backend

    def region_of(self, detection: Detection) -> Region:
        """Return the region to observe for a detection."""
        return region_around(detection.box)

    def region_around(self, box: Array, camera: Camera) -> Region:
        """Return the region to observe for the box (4) of another detector, in pixels."""
        return region_around(box)

    def observe(
        self, rgb: Image, regions: Sequence[Region], camera: Camera, min_score: float
    ) -> list[JointObservation]:
        """Observe the person in each region of an image; see Estimator."""
        found = []
        for prediction in self._network(rgb, regions):
            if prediction.score >= min_score:
                try:
                    found.append(observe(prediction, camera))
                except ImpossiblePoseError:
                    continue
        return found

    def close(self) -> None:
        """Free the network."""
        self._runner.close()


def region_around(box: Array) -> Region:
    """Return the square that the network was trained to see of a person's box (4), pixels."""
    return Region.around(box, _MARGIN)


def crop(rgb: NDArray[np.uint8], region: Region) -> NDArray[np.float32]:
    """Return a region of an image (H, W, 3) as the network takes it, (3, 256, 256)."""
    image = (region.crop(rgb, _SIDE).astype(np.float32) / np.float32(255) - _MEAN) / _STD
    return np.asarray(image.transpose(2, 0, 1))


def _check(outputs: Mapping[str, NDArray[np.float32]]) -> None:
    """Raise a RuntimeError where outputs are not those of HybrIK's network."""
    for name, shapes in _OUTPUTS.items():
        shape = outputs[name].shape[1:] if name in outputs else None
        if shape not in shapes:
            wanted = ' or '.join(map(str, shapes))
            raise RuntimeError(
                f'the model is not one that `hybrik export` writes: its output {name!r} must be of '
                f'shape {wanted} a person, and {"is missing" if shape is None else f"is {shape}"}'
            )
        if not np.isfinite(outputs[name]).all():
            raise RuntimeError(f'the model gives numbers in {name!r} that are not finite')


def _mirrored(outputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return what the network says of a mirror image, of the image itself."""
    points = list(MIRROR)
    rows = [MIRROR[joint] - 1 for joint in range(1, NUM_JOINTS)]
    return {
        **outputs,
        'uvd': outputs['uvd'][points] * [-1, 1, 1],
        'phi': outputs['phi'][rows] * [1, -1],
        'sigma': outputs['sigma'][points],
    }


def _decode(region: Region, outputs: Mapping[str, Array]) -> Prediction:
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
