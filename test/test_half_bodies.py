"""People with a half that is not seen: upright, at rest, and not squeezed into the image."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample import read_camera, read_frames
from scipy.spatial.transform import Rotation
from shown import landmark_points, landmarks_of

from hybrik_ros.body import BodyModel
from hybrik_ros.body.proportions import JOINT
from hybrik_ros.camera import Camera
from hybrik_ros.perception import blazepose as bp
from hybrik_ros.perception.blazepose import Landmarks
from hybrik_ros.perception.estimator import SEEN
from hybrik_ros.perception.landmark_joints import place_joints
from hybrik_ros.perception.landmarks import LandmarkObservation, observe
from hybrik_ros.pipeline import Pipeline
from hybrik_ros.posing import Posed, pose, start_memory
from hybrik_ros.settings import Settings

CAMERA = Camera.from_field_of_view(60, 1280, 960)
PHOTO = Settings(confirm_after=0.0, smoothing=False)
UP = np.array([0.0, -1.0, 0.0])
FACING = np.diag([1.0, -1.0, -1.0])
HIPS, SHOULDERS = ([JOINT[f'{side}_{name}'] for side in ('left', 'right')]
                   for name in ('hip', 'shoulder'))  # fmt: skip
LEGS = list(range(bp.LEFT_HIP, bp.NUM_LANDMARKS))
ARMS = list(range(bp.LEFT_ELBOW, bp.LEFT_HIP))
SQUEEZE = 1.9  # ratio of the size of a squeezed person to the true one


@pytest.fixture(scope='module')
def body() -> BodyModel:
    return BodyModel.load()


def points_of(body: BodyModel, root: np.ndarray, position: list[float]) -> np.ndarray:
    """Landmarks (33, 3) of a person in the T-pose."""
    rotations = np.tile(np.eye(3), (24, 1, 1))
    rotations[0] = root
    return landmark_points(body, np.zeros(body.num_betas), rotations, np.array(position))[1]


def pose_new(observation: LandmarkObservation, body: BodyModel, up: np.ndarray = UP) -> Posed:
    return pose(observation, start_memory(body), body, PHOTO, np.inf, up=up)


def lean_of(joints: np.ndarray) -> float:
    """Degrees between the trunk and up."""
    trunk = joints[SHOULDERS].mean(axis=0) - joints[HIPS].mean(axis=0)
    return float(np.degrees(np.arccos(trunk @ UP / np.linalg.norm(trunk))))


def hide(landmarks: Landmarks, hidden: list[int]) -> Landmarks:
    visibility = landmarks.visibility.copy()
    visibility[hidden] = 0.0
    return replace(landmarks, visibility=visibility)


@pytest.mark.parametrize('lean', [-30, 30])
def test_trunk_is_turned_upright_only_if_its_hips_are_not_seen(body, lean):
    root = Rotation.from_euler('x', lean, degrees=True).as_matrix() @ FACING
    landmarks = landmarks_of(points_of(body, root, [0.3, 0.2, 3.0]), CAMERA)
    standing = lean_of(points_joints(body))
    seen = lean_of(pose_new(observe(landmarks, CAMERA), body).joints)
    hidden = pose_new(observe(hide(landmarks, LEGS), CAMERA), body)
    assert abs(seen - 30) < 2 + standing
    assert lean_of(hidden.joints) < 0.6 * seen
    assert (hidden.joint_confidence[[0, *HIPS]] == 0).all()


def points_joints(body: BodyModel) -> np.ndarray:
    """Joints (29, 3) of a standing person."""
    return body.rest_joints() @ FACING.T


@given(seed=st.integers(0, 10**6))
def test_seen_trunk_does_not_depend_on_up(body, seed):
    rng = np.random.default_rng(seed)
    root = Rotation.from_rotvec(rng.normal(0, 1, 3)).as_matrix()
    points = points_of(body, root, [0.0, 0.0, 4.0])
    observation = observe(landmarks_of(points, CAMERA), CAMERA)
    up, other = Rotation.random(2, rng=seed).apply(UP)
    first, second = (observation.joints(start_memory(body).proportions, u) for u in (up, other))
    assert np.array_equal(first[0], second[0])


@given(seed=st.integers(0, 10**6))
def test_turned_camera_that_knows_up_sees_the_same_trunk(body, seed):
    rng = np.random.default_rng(seed)
    points = points_of(body, Rotation.from_rotvec(rng.normal(0, 0.5, 3)).as_matrix() @ FACING,
                       [0.0, 0.0, 4.0])  # fmt: skip
    confidence = np.ones(len(points))
    confidence[LEGS] = 0.0
    proportions = start_memory(body).proportions
    turn = Rotation.random(rng=seed)
    before, _ = place_joints(points, confidence, proportions, UP)
    after, _ = place_joints(turn.apply(points), confidence, proportions, turn.apply(UP))
    trunk = [JOINT[name] for name in ('pelvis', 'left_hip', 'spine1', 'spine3', 'neck')]
    assert after[trunk] == pytest.approx(turn.apply(before)[trunk], abs=1e-9)


@pytest.mark.parametrize('degrees', [90, 180])
def test_people_lying_or_upside_down_stay_so(body, degrees):
    turn = Rotation.from_euler('z', degrees + 10, degrees=True).as_matrix()
    points = points_of(body, turn @ FACING, [0.0, 0.0, 4.0])
    confidence = np.ones(len(points))
    confidence[LEGS] = 0.0
    joints, _ = place_joints(points, confidence, start_memory(body).proportions, UP)
    seen, _ = place_joints(points, np.ones(len(points)), start_memory(body).proportions, UP)
    assert joints[[0, *HIPS]] == pytest.approx(seen[[0, *HIPS]], abs=1e-3)


def squeezed(body: BodyModel, camera: Camera) -> tuple[np.ndarray, Landmarks]:
    """The true points of a person close to the camera, and what the network shows of them.

    The network sees head and shoulders, takes them for those of a person farther away, and puts
    hips into the image, at the right distance from the shoulders, without doubt.
    """
    points = points_of(body, FACING, [0.0, 0.5, 0.9])
    far = SQUEEZE * points
    shoulders = far[[bp.LEFT_SHOULDER, bp.RIGHT_SHOULDER]].mean(axis=0)
    far[LEGS] = shoulders + (far[LEGS] - shoulders) / SQUEEZE
    return points, hide(landmarks_of(far, camera), [*ARMS, *LEGS[2:]])


def test_person_squeezed_into_the_image_is_near_and_has_no_hips(body):
    points, landmarks = squeezed(body, CAMERA)
    observation = observe(landmarks, CAMERA)
    true = points[[bp.LEFT_EAR, bp.RIGHT_EAR]]
    assert observation.points[bp.LEFT_EAR, 2] == pytest.approx(true[0, 2], rel=0.25)
    posed = pose_new(observation, body)
    assert (posed.joint_confidence[[0, *HIPS]] == 0).all()
    assert (arm_angles(posed) < 25).all()
    assert lean_of(posed.joints) < 10
    head = posed.joints[[JOINT['head']]]
    assert head[0, 2] == pytest.approx(true[0, 2], rel=0.25)
    ears = CAMERA.project(true)
    missed = CAMERA.project(head)[0] - ears.mean(axis=0)
    assert np.linalg.norm(missed) < np.linalg.norm(ears[0] - ears[1])


def test_seen_hand_and_seen_legs_are_believed_of_a_large_face(body):
    _, landmarks = squeezed(body, CAMERA)
    landmarks.pixels[ARMS] = landmarks.pixels[bp.NOSE]
    landmarks.visibility[[*ARMS[::2], bp.RIGHT_ELBOW]] = 1.0
    confidence = observe(landmarks, CAMERA).confidence
    assert (confidence[ARMS[::2]] > 0.9).all()
    assert confidence[bp.RIGHT_ELBOW] == 0  # Its hand is not seen.
    landmarks.visibility[bp.LEFT_KNEE] = SEEN  # of a child, say
    confidence = observe(landmarks, CAMERA).confidence
    assert (confidence[[bp.LEFT_HIP, bp.RIGHT_HIP, bp.RIGHT_ELBOW]] > 0.9).all()


def arm_angles(posed: Posed) -> np.ndarray:
    """Degrees (2) between upper arms and the trunk's downward direction."""
    joints = posed.joints
    down = joints[JOINT['pelvis']] - joints[JOINT['neck']]
    elbows = [JOINT['left_elbow'], JOINT['right_elbow']]
    arms = joints[elbows] - joints[SHOULDERS]
    cos = arms @ down / np.linalg.norm(arms, axis=1) / np.linalg.norm(down)
    return np.degrees(np.arccos(cos))


def test_arms_that_are_not_seen_hang_at_once_or_after_a_while(body):
    landmarks = landmarks_of(points_of(body, FACING, [0.0, 0.0, 3.0]), CAMERA)
    observation, armless = observe(landmarks, CAMERA), observe(hide(landmarks, ARMS), CAMERA)
    assert (arm_angles(pose_new(armless, body)) < 25).all()
    memory = pose(observation, start_memory(body), body, PHOTO, np.inf).memory
    angles = []
    for _ in range(30):
        posed = pose(armless, memory, body, Settings(), 0.1)
        memory = posed.memory
        angles.append(arm_angles(posed))
    assert (angles[0] > 60).all()
    assert (np.diff(angles, axis=0) < 0).all()
    assert (angles[-1] < 25).all()
    assert (posed.joint_confidence[[JOINT['left_elbow'], JOINT['right_wrist']]] == 0).all()


@pytest.fixture(scope='module')
def pipeline():
    with Pipeline.create(confirm_after=0.0, smoothing=False) as pipeline:
        yield pipeline


def test_only_half_of_a_walker_depends_on_up(pipeline):
    [frame], camera = read_frames(60, 1), read_camera()
    [whole] = pipeline(frame, camera, 0.0)
    pipeline.reset()
    [again] = pipeline(frame, camera, 0.0, up=[0.0, -1.0, -3.0])
    assert np.array_equal(whole.global_rotations, again.global_rotations)
    hips = camera.project(whole.joints)[HIPS, 1]
    bottom = int(hips.mean()) - 30
    upper = Camera(camera.matrix, camera.distortion, camera.width, bottom)
    leans = []
    for up in (None, [0.0, -2.0, 0.0], [0.5, -1.0, 0.0]):
        pipeline.reset()
        [bust] = pipeline(frame[:bottom], upper, 0.0, up=up)
        leans.append(bust.joints[SHOULDERS].mean(axis=0) - bust.joints[HIPS].mean(axis=0))
        assert (bust.joint_confidence[HIPS] == 0).all()
    assert np.array_equal(leans[0], leans[1])
    assert leans[2][0] > leans[0][0] + 0.05  # metres


@pytest.mark.parametrize('up', [[0, 0, 0], [0, np.nan, 1], [0, -1], 'up', [[0, -1, 0]]])
def test_up_must_be_a_vector(pipeline, up):
    frame = np.zeros((48, 64, 3), np.uint8)
    with pytest.raises(ValueError, match='up must be a vector of 3 finite numbers'):
        pipeline(frame, Camera.from_field_of_view(60, 64, 48), 0.0, up=up)


def test_huge_up_is_a_direction_too(pipeline):
    frame = np.zeros((48, 64, 3), np.uint8)
    camera = Camera.from_field_of_view(60, 64, 48)
    assert pipeline(frame, camera, 1e9, up=[0, -1e300, 0]) == []
