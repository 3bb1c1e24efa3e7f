"""BlazePose on pictures of a body with known joints: what its depths are."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hybrik_ros.body import BodyModel
from hybrik_ros.inference import open_runner
from hybrik_ros.perception import blazepose as bp
from hybrik_ros.perception.blazepose import BlazePose
from hybrik_ros.skeleton import JOINT_NAMES
from tools.depths.measurement import error, measure
from tools.depths.scenes import draw_scene

CLOSE = (2.0, 4.0)  # metres
COUNT = 32


def walking(rng):
    rotations = np.tile(np.eye(3), (len(JOINT_NAMES), 1, 1))
    for side, outwards in (('left', -1), ('right', 1)):
        lowered = outwards * rng.uniform(50, 80)
        angles = {
            'shoulder': [rng.uniform(-30, 30), 0, lowered],
            'hip': [rng.uniform(-30, 20), 0, 0],
            'knee': [rng.uniform(0, 40), 0, 0],
        }
        for part, degrees in angles.items():
            turn = Rotation.from_euler('xyz', degrees, degrees=True)
            rotations[JOINT_NAMES.index(f'{side}_{part}')] = turn.as_matrix()
    return rotations


@pytest.fixture(scope='module')
def scenes():
    body, rng = BodyModel.load(), np.random.default_rng(0)
    return [draw_scene(body, walking(rng), rng, distances=CLOSE) for _ in range(COUNT)]


def test_bodies_are_drawn_around_their_joints(scenes):
    for scene in scenes:
        pixels = scene.camera.project(scene.joints)
        assert (pixels >= scene.box[:2] - 1).all()
        assert (pixels <= scene.box[2:] + 1).all()


def test_landmarks_of_close_people_are_placed_better_than_along_the_optical_axis(scenes):
    with open_runner(bp.MODEL) as runner:
        network = BlazePose(runner)
        samples = [sample for scene in scenes if (sample := measure(network, scene))]
    assert len(samples) > COUNT / 2
    assert error(samples, 'observed') < 0.95 * error(samples, 'along_axis')
