"""HybrIK's own network: joints, twist and shape of the person in a region of an image.

Source: Li et al., HybrIK (CVPR 2021). The model is exported by `hybrik export` from a checkpoint
that the user has under its licence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.camera import Camera, Region, locate, on_rays
from hybrik_ros.inference import Runner
from hybrik_ros.kinematics import forward, solve
from hybrik_ros.skeleton import MIRROR, NUM_JOINTS

Array = NDArray[np.float64]

_SIDE = 256  # of the crop
_MARGIN = 1.25  # of the crop, about the person
# ImageNet's, in the order of blue, green, red, though the image is RGB: so it was in training.
_MEAN = np.array([0.406, 0.457, 0.480], np.float32)
_STD = np.array([0.225, 0.224, 0.229], np.float32)
_DEPTH = 2.2  # metres, the side of the network's cube along the line of sight
_NO_DOUBT = 0.1  # Above this sigma, a joint does not count for the distance.


@dataclass(frozen=True, eq=False)
class Estimate:
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
    def confidence(self) -> Array:
        """How sure each joint is, (29) in [0, 1]."""
        return 1.0 - self.sigma

    def region(self) -> Region:
        """Return where to look for the person in the next frame."""
        low, high = self.pixels.min(axis=0), self.pixels.max(axis=0)
        return region_around(np.concatenate([low, high]))

    def joints(self, camera: Camera, rest: Array) -> Array:
        """Return joints and leaves (29, 3), metres, in the optical frame of the camera.

        Each lies on the ray of its pixel. The network's own guess of the distance is as if the
        person had average size; that at which a body of these bones in this pose covers the
        pixels is a better one (HybrIK's scale refinement, here by the true intrinsics).

        Parameters
        ----------
        camera: that took the image.
        rest: (29, 3), metres, the T-pose of the body.

        Raises
        ------
        ValueError: a joint lies behind the camera, or nearly all are in doubt.
        """
        rays = camera.rays(self.pixels)
        # f / Z pixels cover a metre.
        focal = np.sqrt(camera.matrix[0, 0] * camera.matrix[1, 1])
        guess = on_rays(rays, self.depths + focal / self.pixels_per_metre)
        posed = forward(solve(guess, rest, self.twist, method='naive'), rest)[0]
        weights = np.maximum(0.0, 1.0 - self.sigma / _NO_DOUBT)
        weights[NUM_JOINTS:] = 0.0
        distance = posed[0, 2] + locate(posed, rays, weights)[2]
        return on_rays(rays, self.depths - self.depths[0] + distance)


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

    def __call__(self, rgb: NDArray[np.uint8], regions: Sequence[Region]) -> list[Estimate]:
        """Return the person in each region of an image (H, W, 3).

        One inference for each, as the model has a fixed batch.
        """
        return [self._estimate(rgb, region) for region in regions]

    def _estimate(self, rgb: NDArray[np.uint8], region: Region) -> Estimate:
        image = _normalised(region.crop(rgb, _SIDE))
        seen = self._infer(image)
        if self._flip_test:
            mirrored = _mirrored(self._infer(image[..., ::-1]))
            seen = {name: (seen[name] + mirrored[name]) / 2 for name in seen}
        return _decode(region, seen)

    def _infer(self, image: NDArray[np.float32]) -> dict[str, Array]:
        outputs = self._runner.infer({'image': np.ascontiguousarray(image[None])})
        return {name: output[0].astype(float) for name, output in outputs.items()}


def region_around(box: Array) -> Region:
    """Return the square that the network was trained to see of a person's box (4), pixels."""
    return Region((box[:2] + box[2:]) / 2, _MARGIN * float(np.max(box[2:] - box[:2])))


def _normalised(crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return a crop (256, 256, 3) as the network takes it, (3, 256, 256)."""
    image = (crop.astype(np.float32) / np.float32(255) - _MEAN) / _STD
    return np.asarray(image.transpose(2, 0, 1))


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


def _decode(region: Region, outputs: Mapping[str, Array]) -> Estimate:
    uvd, scale = outputs['uvd'], float(outputs['cam'][0])
    return Estimate(
        pixels=region.centre + region.size * uvd[:, :2],
        depths=_DEPTH * uvd[:, 2],
        # Published as Z = 1000 / (256 scale) for a focal length of 1000 size / 256 pixels.
        pixels_per_metre=region.size * scale,
        twist=outputs['phi'],
        betas=outputs['shape'],
        sigma=outputs['sigma'],
    )
