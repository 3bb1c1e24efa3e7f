"""How late the pipeline is at its defaults, on a walk that is known exactly."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from shown import landmark_points, landmarks_of

from hybrik_ros.camera import Camera
from hybrik_ros.kinematics import forward
from hybrik_ros.perception.detector import Detection
from hybrik_ros.pipeline import Pipeline
from hybrik_ros.skeleton import JOINT_NAMES

SECONDS = 6.0
SETTLED = 2.0  # The shape is known by then.
SPEED = 1.3  # metres per second
STEPS = 0.95  # double steps per second
LATEST = 0.05
# Knees that go to and fro in depth alone, which the network sees badly, are smoothed harder.
LATEST_IN_DEPTH = 0.065
STEP = 0.002  # seconds
JOINT = {name: index for index, name in enumerate(JOINT_NAMES)}


# What the root turns by from facing the camera, and where it is (3) at a time.
WALKS = {
    'by, to the right': (np.pi / 2, lambda stamp: [SPEED * (stamp - SECONDS / 2), 0.3, 4.0]),
    'towards the camera': (0.0, lambda stamp: [0.2, 0.3, 11.0 - SPEED * stamp]),
    'on the spot, facing it': (0.0, lambda stamp: [0.0, 0.3, 4.0]),
    'on the spot, half turned away': (np.pi / 4, lambda stamp: [0.0, 0.3, 4.0]),
}


def walking(stamp, way):
    """Rotations and translation of a person walking."""
    heading, place = WALKS[way]
    vectors = np.zeros((24, 3))
    swing = np.sin(2 * np.pi * STEPS * stamp)
    lift = np.cos(2 * np.pi * STEPS * stamp)
    for side, sign in (('left', 1), ('right', -1)):
        vectors[JOINT[f'{side}_hip'], 0] = -0.1 - 0.42 * sign * swing
        vectors[JOINT[f'{side}_knee'], 0] = 0.5 + 0.45 * sign * lift
    rotations = Rotation.from_rotvec(vectors).as_matrix()
    for side, sign in (('left', 1), ('right', -1)):
        # The arm hangs, and swings against the leg.
        hanging = Rotation.from_rotvec([0, 0, -1.35 * sign])
        swung = Rotation.from_rotvec([0.35 * sign * swing, 0, 0])
        rotations[JOINT[f'{side}_shoulder']] = (swung * hanging).as_matrix()
        rotations[JOINT[f'{side}_elbow']] = Rotation.from_rotvec([0, -0.5 * sign, 0]).as_matrix()
    turned = Rotation.from_rotvec([0, heading, 0]).as_matrix()
    rotations[0] = np.diag([1.0, -1.0, -1.0]) @ turned @ rotations[0]
    return rotations, np.array(place(stamp))


class Shown:
    """A detector that sees what it is given."""

    sizes = (320,)

    def __init__(self, detection):
        self._detection = detection

    def __call__(self, rgb, size):
        return [self._detection]


def detection_of(landmarks):
    keypoints = np.column_stack([landmarks.keypoints, np.ones(17)])
    box = np.concatenate([keypoints[:, :2].min(axis=0), keypoints[:, :2].max(axis=0)])
    return Detection(1.0, box, keypoints)


def lateness(times, found, truth):
    """The delay at which the true path, (N, 3) in steps of STEP, fits what was found best."""
    delays = np.arange(round(0.2 / STEP))
    errors = [
        np.linalg.norm(found - truth[np.round(times / STEP).astype(int) - delay], axis=1).mean()
        for delay in delays
    ]
    return STEP * delays[int(np.argmin(errors))]


@pytest.mark.parametrize('way', WALKS)
@pytest.mark.parametrize('rate', [30, 60])
def test_at_walking_speed_joints_are_hardly_late(rate, way):
    camera = Camera.from_field_of_view(90, 1920, 1080)
    picture = np.zeros((1080, 1920, 3), np.uint8)
    times = np.arange(0, SECONDS, 1 / rate)
    with Pipeline.create(confirm_after=0.0) as pipeline:
        shape = np.zeros(pipeline.body.num_betas)

        found = []
        for time in times:
            shown = landmarks_of(
                landmark_points(pipeline.body, shape, *walking(time, way))[1], camera
            )
            # In place of the networks: what they would say if they made no errors.
            pipeline._observer._detector = Shown(detection_of(shown))
            pipeline._estimator._network = lambda rgb, regions, s=shown: [s] * len(regions)
            [human] = pipeline(picture, camera, time)
            found.append(human.joints)
        rest = pipeline.body.rest_joints(shape)
    fine = [walking(time, way) for time in np.arange(0, SECONDS, STEP)]
    truth = forward(
        np.array([rotations for rotations, _ in fine]), np.tile(rest, (len(fine), 1, 1))
    )[0]
    truth += np.array([translation for _, translation in fine])[:, None]
    settled = times > SETTLED
    for name in ('pelvis', 'left_wrist', 'right_wrist', 'left_knee', 'left_ankle', 'right_ankle'):
        in_depth = way == 'on the spot, facing it' and name == 'left_knee'
        latest = LATEST_IN_DEPTH if in_depth else LATEST
        path = np.array(found)[settled, JOINT[name]]
        assert lateness(times[settled], path, truth[:, JOINT[name]]) < latest
