"""The solver on real motion, compared with the published implementation."""

from pathlib import Path

import numpy as np
import plain_hybrik
import pytest
from poses import angles_between, mean_error, noise, random_rotations, twist_of

from hybrik_ros.body import BodyModel
from hybrik_ros.cli.bench.packages import DownloadError
from hybrik_ros.kinematics import METHODS, forward, solve
from hybrik_ros.skeleton import JOINT_NAMES
from tools.depths import motions

POSES = 800
JOINT = {name: index for index, name in enumerate(JOINT_NAMES)}
# By noise of the joints in millimetres: MPJPE in millimetres and mean global rotation error in
# degrees, each as the maximum allowed and the value of the published method on the golden poses.
LIMITS = {
    5: ((3.7, 5.6), (2.7, 3.0)),
    10: ((7.5, 12.6), (5.4, 6.0)),
    20: ((15.0, 25.7), (10.6, 12.0)),
}


@pytest.fixture(scope='module')
def clips(request: pytest.FixtureRequest) -> dict:
    """Rotations and root positions of each clip by name, from a folder kept between runs."""
    try:
        return motions.read_all(request.config.cache.mkdir('motions'))
    except DownloadError as error:
        pytest.skip(str(error))


def posed(rotations):
    """Return rotations, rest joints, twists and joints of bodies with random shapes."""
    rng = np.random.default_rng(30)
    body = BodyModel.load()
    rest = np.stack([body.rest_joints(rng.normal(size=body.num_betas)) for _ in rotations])
    twist = [twist_of(one[None], joints)[0] for one, joints in zip(rotations, rest, strict=True)]
    return rotations, rest, np.array(twist), forward(rotations, rest)[0]


@pytest.fixture(scope='module')
def real(clips):
    frames = np.concatenate([rotations for rotations, _ in clips.values()])
    return posed(frames[np.linspace(0, len(frames) - 1, POSES).astype(int)])


@pytest.fixture(scope='module')
def random():
    return posed(random_rotations(np.random.default_rng(31), POSES))


@pytest.fixture(params=['real', 'random'])
def poses(request):
    return request.getfixturevalue(request.param)


# The clips themselves


@pytest.mark.parametrize('name', ['walk', 'run'])
def test_people_walk_forward_and_knees_bend_backward(clips, name):
    rotations, positions = clips[name]
    rest = BodyModel.load().rest_joints()
    joints, turned = forward(rotations, rest)
    joints = {part: joints[:, index] for part, index in JOINT.items()}
    height = {part: where[:, 1] for part, where in joints.items()}
    for above, below in (('head', 'neck'), ('neck', 'pelvis'), ('pelvis', 'left_knee')):
        assert (height[above] > height[below]).all()
    going = positions[-1] - positions[0]
    left = np.cross([0, 1, 0], going) / np.linalg.norm(going)
    front = turned[:, 0, :, 2] @ going / np.linalg.norm(going)
    assert front.min() > 0.8
    assert ((joints['left_shoulder'] - joints['right_shoulder']) @ left > 0.2).all()
    for side in ('left', 'right'):
        hip, knee, ankle = (joints[f'{side}_{part}'] for part in ('hip', 'knee', 'ankle'))
        axis = turned[:, JOINT[f'{side}_hip'], :, 0]  # hinge axis: x of the thigh, to the left
        bend = np.sum(np.cross(knee - hip, ankle - knee) * axis, axis=1)
        assert np.median(bend) > 0
        shoulder, elbow, wrist = (joints[f'{side}_{p}'] for p in ('shoulder', 'elbow', 'wrist'))
        assert np.median(elbow[:, 1] - shoulder[:, 1]) < -0.1
        assert (((wrist - elbow) - (elbow - shoulder)) @ going).mean() > 0  # elbows bend forwards


def test_a_backflip_turns_the_body_upside_down(clips):
    rotations, _ = clips['backflip']
    up = rotations[:, 0, 1, 1]
    assert up[0] > 0.8
    assert up.min() < -0.8


# The solver on the clips


@pytest.mark.parametrize('method', METHODS)
def test_exact_joints_give_exact_rotations(real, method):
    rotations, rest, twist, joints = real
    found = solve(joints, rest, twist, method=method)
    assert np.linalg.norm(forward(found, rest)[0] - joints, axis=-1).max() < 1e-6
    assert angles_between(found, rotations).max() < 0.001


def errors(found, poses):
    rotations, rest, _, joints = poses
    rebuilt, turned = forward(found, rest)
    return mean_error(rebuilt, joints), angles_between(turned, forward(rotations, rest)[1]).mean()


@pytest.mark.parametrize('millimetres', LIMITS)
def test_errors_are_as_small_as_on_the_golden_poses(poses, millimetres):
    _, rest, twist, joints = poses
    noisy = joints + noise(np.random.default_rng(millimetres), joints.shape, millimetres / 1000)
    refined = errors(solve(noisy, rest, twist), poses)
    published = errors(
        np.array([
            plain_hybrik.aim_as_published(*one) for one in zip(noisy, rest, twist, strict=True)
        ]),
        poses,
    )  # fmt: skip
    for ours, theirs, (reach, golden) in zip(refined, published, LIMITS[millimetres], strict=True):
        assert ours <= reach
        # Real motion is nearer to the T-pose than the golden poses, so the published method has
        # smaller errors: at 5, 10 and 20 mm our MPJPE is 0.68, 0.62 and 0.57 of its MPJPE, and the
        # limits are 0.66, 0.60 and 0.58. Ten steps instead of two, or dampings from 1e-6 to 2e-3,
        # change this by at most 0.003: it is the minimum of the squares.
        assert ours / theirs <= 1.04 * reach / golden


def test_plain_hybrik_reproduces_the_published_method():
    with np.load(Path(__file__).parent / 'data' / 'hybrik_ik.npz') as stored:
        golden = {name: stored[name].astype(float) for name in stored.files}
    for millimetres in (5, 10, 20):
        found = [
            plain_hybrik.aim_as_published(*one)
            for one in zip(
                golden[f'joints_noise{millimetres}mm'], golden['rest_joints'], golden['twist'],
                strict=True,
            )
        ]  # fmt: skip
        apart = angles_between(
            np.array(found), golden[f'rotations_reference_adaptive_noise{millimetres}mm']
        )
        # In single precision the threshold of 15 mm is sometimes passed on the other side.
        assert np.quantile(apart, 0.998) < 0.01
