"""The estimator around HybrIK's own network: crops, cameras, mirror images."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from poses import random_rotations, twist_of

from hybrik_ros.body import BodyModel
from hybrik_ros.body.proportions import Proportions
from hybrik_ros.camera import Camera, ImpossiblePoseError, Region
from hybrik_ros.human import MAX_BETA
from hybrik_ros.inference import Runner
from hybrik_ros.inference.runner import TensorSpec
from hybrik_ros.kinematics import forward
from hybrik_ros.perception.hybrik import HybrIK, observe, region_around
from hybrik_ros.skeleton import MIRROR, NUM_JOINTS, NUM_POINTS

DEPTH = 2.2  # metres, the side of HybrIK's cube


class Oracle(Runner):
    """Answers what the network would if it made no errors, and keeps what it is shown."""

    def __init__(self, *answers: dict[str, NDArray]) -> None:
        self.inputs = {'image': TensorSpec(np.dtype(np.float32), (1, 3, 256, 256))}
        self.shown: list[NDArray] = []
        self._answers = list(answers)

    def _run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the next answer, as a batch of one in single precision."""
        self.shown.append(feeds['image'])
        answer = self._answers.pop(0)
        return {name: value[None].astype(np.float32) for name, value in answer.items()}

    def _free(self) -> None:
        """Nothing to free."""


@pytest.fixture(scope='module')
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture
def person(body: BodyModel) -> dict[str, NDArray]:
    """A person of known pose, in the optical frame, metres."""
    rng = np.random.default_rng(2)
    rotations = random_rotations(rng, 1, 0.3)[0]
    rotations[0] = np.diag([1.0, -1.0, -1.0]) @ rotations[0]
    rest = body.rest_joints()
    joints = forward(rotations, rest)[0] + [0.4, -0.2, 4.5] - rest[0]
    return {
        'joints': joints,
        'rest': rest,
        'twist': twist_of(rotations[None], rest)[0],
        'body': Proportions.of(body, np.zeros(body.num_betas)),
    }


def answer(person: dict[str, NDArray], region: Region, camera: Camera, depth: float) -> dict:
    """The network's output for the person in a region, with its pelvis at this depth in metres."""
    joints = person['joints']
    pixels = camera.project(joints)
    uv = (pixels - region.centre) / region.size
    d = (joints[:, 2] - joints[0, 2]) / DEPTH
    # Z = 1000 / (256 s) for a camera of 1000 side / 256 pixels.
    focal = 1000 * region.size / 256
    scale = 1000 / 256 / (depth * focal / camera.matrix[0, 0])
    return {
        'uvd': np.concatenate([uv, d[:, None]], axis=1),
        'phi': 0.7 * person['twist'],
        'shape': np.arange(10.0),
        'cam': np.array([scale]),
        'sigma': np.linspace(0.0, 0.05, NUM_POINTS),
    }


def seen(person: dict[str, NDArray], camera: Camera, depth: float) -> Any:
    pixels = camera.project(person['joints'])
    region = region_around(np.concatenate([pixels.min(axis=0), pixels.max(axis=0)]))
    black = np.zeros((camera.height, camera.width, 3), np.uint8)
    [estimate] = HybrIK(Oracle(answer(person, region, camera, depth)))(black, [region])
    return estimate


CAMERAS = [
    Camera.from_field_of_view(60, 1280, 960),
    Camera(
        np.array([[700.0, 0, 600], [0, 700, 500], [0, 0, 1]]),
        np.array([-0.2, 0.05, 0.001, 0.001]),
        1280,
        960,
    ),
]


@pytest.mark.parametrize('camera', CAMERAS, ids=['ideal', 'distorted'])
@pytest.mark.parametrize('wrong', [1.0, 0.8, 1.3])
def test_joints_are_where_they_are_though_the_scale_is_wrong(person, camera, wrong):
    joints = person['joints']
    estimate = seen(person, camera, wrong * joints[0, 2])
    found, _ = observe(estimate, camera).joints(person['body'])
    # A naive pose from a wrong distance is not quite the pose.
    assert np.linalg.norm(found - joints, axis=1).max() < (1e-4 if wrong == 1.0 else 0.15)
    assert camera.project(found) == pytest.approx(camera.project(joints), abs=0.01)
    assert np.abs(found[:, 2] - joints[:, 2]).max() < 0.3 * abs(wrong - 1) * joints[0, 2] + 1e-4


def test_without_refinement_the_distance_is_the_published_one(person):
    estimate = seen(person, CAMERAS[0], 6.0)
    assert CAMERAS[0].matrix[0, 0] / estimate.pixels_per_metre == pytest.approx(6.0)


def test_twist_betas_and_doubt_pass_through(person):
    estimate = seen(person, CAMERAS[0], 4.5)
    assert estimate.twist / np.linalg.norm(estimate.twist, axis=1, keepdims=True) == pytest.approx(
        person['twist'], abs=1e-5
    )
    assert estimate.betas == pytest.approx(np.arange(10.0))
    observation = observe(estimate, CAMERAS[0])
    assert observation.confidence == pytest.approx(1 - np.linspace(0, 0.05, NUM_POINTS))


def test_betas_that_subscribers_refuse_are_no_observation(person):
    estimate = replace(seen(person, CAMERAS[0], 4.5), betas=np.full(10, -MAX_BETA))
    observe(estimate, CAMERAS[0])
    with pytest.raises(ImpossiblePoseError, match='no person has the betas'):
        observe(replace(estimate, betas=1.01 * estimate.betas), CAMERAS[0])


def test_the_image_is_normalised_as_in_training(person):
    # Red's mean belongs to blue: HybrIK took the constants of BGR for its RGB images.
    picture = np.full((400, 600, 3), [255, 0, 51], np.uint8)
    region = Region(np.array([300.0, 200.0]), 100.0)
    oracle = Oracle(answer(person, region, CAMERAS[0], 4.5))
    HybrIK(oracle)(picture, [region])
    [shown] = oracle.shown
    assert shown.shape == (1, 3, 256, 256)
    assert shown.dtype == np.float32
    expected = [(1 - 0.406) / 0.225, -0.457 / 0.224, (0.2 - 0.480) / 0.229]
    assert shown[0, :, 128, 128] == pytest.approx(expected, abs=1e-5)


def test_the_mirror_image_is_looked_at_as_well(person):
    camera = CAMERAS[0]
    pixels = camera.project(person['joints'])
    region = region_around(np.concatenate([pixels.min(axis=0), pixels.max(axis=0)]))
    true = answer(person, region, camera, 4.5)
    swapped = list(MIRROR)
    flipped = {
        **true,
        'uvd': true['uvd'][swapped] * [-1, 1, 1],
        'phi': true['phi'][[MIRROR[i] - 1 for i in range(1, NUM_JOINTS)]] * [1, -1],
        'sigma': true['sigma'][swapped],
    }
    picture = np.random.default_rng(0).integers(0, 255, (960, 1280, 3), np.uint8)
    oracle = Oracle(true, flipped)
    [both] = HybrIK(oracle, flip_test=True)(picture, [region])
    [one] = HybrIK(Oracle(true))(picture, [region])
    for name in ('pixels', 'depths', 'twist', 'sigma'):
        assert getattr(both, name) == pytest.approx(getattr(one, name), abs=1e-4)
    assert np.array_equal(oracle.shown[1], oracle.shown[0][..., ::-1])


def test_the_next_region_holds_the_person(person):
    estimate = seen(person, CAMERAS[0], 4.5)
    region = estimate.next_region
    assert np.abs(estimate.pixels - region.centre).max() * 2 * 1.25 == pytest.approx(region.size)


def test_observation_behind_the_camera_is_refused(person):
    estimate = seen(person, CAMERAS[0], 0.1)
    with pytest.raises(ValueError, match='behind the camera'):
        observe(estimate, CAMERAS[0]).joints(person['body'])
