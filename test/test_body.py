"""The body model, with the smplx package as an oracle, and shape from bone lengths."""

import pickle

import numpy as np
import pytest
import smplx
import torch
from numpy.typing import ArrayLike, NDArray
from poses import random_rotations
from scipy.spatial.transform import Rotation

from hybrik_ros.body import DEFAULT_BODY, BodyModel, fit_betas
from hybrik_ros.body.betas import BETA_LIMITS
from hybrik_ros.body.skinning import strongest_weights
from hybrik_ros.kinematics import forward
from hybrik_ros.skeleton import LANDMARK_VERTICES, LEAF_VERTICES, NUM_JOINTS

HUNDREDTH = 1e-5  # of a millimetre, in metres


@pytest.fixture(scope='module')
def arrays():
    names = ('v_template', 'shapedirs', 'J_regressor', 'weights', 'kintree_table', 'f')
    with np.load(DEFAULT_BODY) as stored:
        return {name: stored[name].astype(float) for name in names}


@pytest.fixture(scope='module', params=['no posedirs', 'posedirs'])
def both(request, arrays, tmp_path_factory):
    """Our body and smplx's, of the same file."""
    folder = tmp_path_factory.mktemp('body')
    shape = (len(arrays['v_template']), 3, 207)
    if request.param == 'posedirs':
        directions = np.random.default_rng(0).normal(0, 1e-3, shape)
        np.savez(folder / 'body.npz', **arrays, posedirs=directions)
        ours = BodyModel.load(folder / 'body.npz')
    else:
        directions = np.zeros(shape)
        ours = BodyModel.load()
    path = folder / 'SMPL_NEUTRAL.pkl'
    path.write_bytes(pickle.dumps({**arrays, 'posedirs': directions}))
    return ours, smplx.SMPL(str(path), dtype=torch.float64)


@pytest.fixture(scope='module', params=range(4))
def posed(request):
    """Random betas, rotations and translation."""
    rng = np.random.default_rng(request.param)
    return rng.normal(size=10), random_rotations(rng, 1)[0], rng.normal(size=3)


@pytest.fixture(scope='module')
def body():
    return BodyModel.load()


def of_smplx(model, betas, rotations, translation):
    """Vertices and 24 joints that smplx gives."""
    vectors = torch.from_numpy(Rotation.from_matrix(rotations).as_rotvec().reshape(1, -1))
    with torch.no_grad():
        output = model(
            betas=torch.from_numpy(betas[None]),
            global_orient=vectors[:, :3],
            body_pose=vectors[:, 3:],
            transl=torch.from_numpy(translation[None]),
        )
    return output.vertices[0].numpy(), output.joints[0, :NUM_JOINTS].numpy()


def test_joints_are_those_of_smplx(both, posed):
    ours, model = both
    betas, rotations, translation = posed
    joints = forward(rotations, ours.rest_joints(betas))[0] + translation
    _, expected = of_smplx(model, *posed)
    assert np.abs(joints[:NUM_JOINTS] - expected).max() < HUNDREDTH


def test_vertices_are_those_of_smplx(both, posed):
    ours, model = both
    betas, rotations, translation = posed
    vertices = ours.vertices(rotations, betas, translation)
    expected, _ = of_smplx(model, *posed)
    assert vertices.dtype == np.float32
    assert np.abs(vertices - expected).max() < HUNDREDTH


def test_leaves_are_their_vertices(body, posed):
    betas, rotations, translation = posed
    upright = np.tile(np.eye(3), (NUM_JOINTS, 1, 1))
    vertices = body.vertices(upright, betas, np.zeros(3))
    assert body.rest_joints(betas)[NUM_JOINTS:] == pytest.approx(
        vertices[list(LEAF_VERTICES)], abs=1e-6
    )
    # Posed, the skin near a leaf follows the joint that the leaf hangs from.
    leaves = forward(rotations, body.rest_joints(betas))[0][NUM_JOINTS:] + translation
    skin = body.vertices(rotations, betas, translation)[list(LEAF_VERTICES)]
    assert np.linalg.norm(leaves - skin, axis=1).max() < 0.02


def test_landmarks_are_their_vertices(body, posed):
    betas, *_ = posed
    vertices = body.vertices(np.tile(np.eye(3), (NUM_JOINTS, 1, 1)), betas, np.zeros(3))
    for name, vertex in LANDMARK_VERTICES.items():
        assert body.landmark(name, betas) == pytest.approx(vertices[vertex], abs=1e-6)


def test_joint_directions_are_the_derivatives_of_rest_joints(body, posed):
    betas, *_ = posed
    moved = body.rest_joints(betas) - body.rest_joints()
    assert body.joint_directions @ betas == pytest.approx(moved, abs=1e-12)
    assert np.array_equal(body.rest_joints(None), body.rest_joints(np.zeros(10)))


def test_vertices_do_not_depend_on_those_asked_for_before(posed):
    betas, rotations, translation = posed
    fresh = BodyModel.load().vertices(rotations, betas, translation)
    used = BodyModel.load()
    for other in (-betas, betas, None, betas):
        used.vertices(rotations, other, translation)
    assert np.array_equal(used.vertices(rotations, betas, translation), fresh)


def test_the_caller_may_reuse_the_array_of_betas(posed):
    betas, rotations, translation = posed
    body, changing = BodyModel.load(), betas.copy()
    body.vertices(rotations, changing, translation)
    changing[:] = 0
    expected = BodyModel.load().vertices(rotations, None, translation)
    assert np.array_equal(body.vertices(rotations, changing, translation), expected)


def people(count: int) -> NDArray:
    """Betas of so many people, each of another shape."""
    return np.random.default_rng(5).normal(size=(count, 10))


def vertices_of(body: BodyModel, betas: NDArray) -> NDArray:
    return body.vertices(np.tile(np.eye(3), (NUM_JOINTS, 1, 1)), betas, np.zeros(3))


def test_eight_people_in_turn_are_shaped_once_each() -> None:
    body, shapes = BodyModel.load(), people(9)
    expected = [vertices_of(body, betas) for betas in shapes[:8]]
    body._template = np.full_like(body._template, np.nan)  # Every later shape is wrong.
    for _ in range(3):
        for betas, vertices in zip(shapes[:8], expected, strict=True):
            assert np.array_equal(vertices_of(body, betas.copy()), vertices)
    assert np.isnan(vertices_of(body, shapes[8])).all()


def test_the_shape_that_has_waited_longest_is_forgotten() -> None:
    body, shapes = BodyModel.load(), people(41)
    for betas in [*shapes[:40], shapes[14]]:
        vertices_of(body, betas)
    body._template = np.full_like(body._template, np.nan)
    vertices_of(body, shapes[40])
    assert np.isfinite(vertices_of(body, shapes[14])).all()
    assert np.isnan(vertices_of(body, shapes[15])).all()
    assert np.isnan(vertices_of(body, shapes[0])).all()


def test_pose_directions_that_are_all_zero_cost_nothing(
    arrays: dict[str, NDArray], posed: tuple[NDArray, NDArray, NDArray]
) -> None:
    betas, rotations, translation = posed
    zero = np.zeros((len(arrays['v_template']), 3, 207))
    without, with_zeros = (
        BodyModel(named, 'body') for named in (arrays, {**arrays, 'posedirs': zero})
    )
    found, expected = (
        body.vertices(rotations, betas, translation) for body in (with_zeros, without)
    )
    assert found.tobytes() == expected.tobytes()
    held, needed = (
        sum(value.nbytes for value in vars(body).values() if isinstance(value, np.ndarray))
        for body in (with_zeros, without)
    )
    assert held == needed


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('rotations', np.eye(3)),
        ('rotations', np.zeros((23, 3, 3))),
        ('rotations', np.zeros((24, 3))),
        ('rotations', np.zeros((1, 24, 3, 3))),
        ('betas', np.zeros(11)),
        ('betas', np.zeros(1)),
        ('betas', np.zeros((10, 1))),
        ('betas', np.full(10, np.inf)),
        ('translation', 0.0),
        ('translation', np.zeros(1)),
        ('translation', np.zeros(4)),
        ('translation', np.zeros((1, 3))),
        ('translation', np.zeros((6890, 3))),
        ('translation', None),
        ('rotations', 'x'),
        ('rotations', {}),
        ('betas', ['1'] * 10),
        ('betas', np.zeros(10) + 1j),
        ('translation', [[1.0], [2.0, 3.0]]),
        ('translation', np.zeros(3) + 1j),
    ],
)
def test_vertices_name_the_argument_of_a_wrong_shape(
    body: BodyModel, name: str, value: ArrayLike
) -> None:
    good: dict[str, ArrayLike] = {
        'rotations': np.tile(np.eye(3), (NUM_JOINTS, 1, 1)),
        'betas': np.zeros(10),
        'translation': np.zeros(3),
    }
    with pytest.raises(ValueError, match=rf'^{name} must '):
        body.vertices(**{**good, name: value})


@pytest.mark.parametrize('betas', [np.zeros(9), np.zeros((1, 10)), np.full(10, np.nan), 0.0])
def test_wrong_betas_are_named(body, betas):
    upright = np.tile(np.eye(3), (NUM_JOINTS, 1, 1))
    with pytest.raises(ValueError, match='betas'):
        body.rest_joints(betas)
    with pytest.raises(ValueError, match='betas'):
        body.vertices(upright, betas, np.zeros(3))


def test_an_unknown_landmark_is_named(body):
    with pytest.raises(KeyError, match='third_eye'):
        body.landmark('third_eye')


def test_bodies_of_more_shape_directions_are_cut_to_ten(arrays, body, tmp_path):
    directions = np.concatenate([arrays['shapedirs'], np.ones((6890, 3, 290))], axis=-1)
    np.savez(tmp_path / 'body.npz', **{**arrays, 'shapedirs': directions})
    many = BodyModel.load(tmp_path / 'body.npz')
    assert many.num_betas == 10
    betas = np.arange(10) / 10
    assert many.rest_joints(betas) == pytest.approx(body.rest_joints(betas), abs=1e-12)


# Shape from bone lengths

BONES = [(1, 4), (2, 5), (4, 7), (5, 8), (16, 18), (17, 19), (18, 20), (19, 21), (16, 17),
         (1, 2), (0, 12), (12, 24), (16, 1), (17, 2), (7, 10), (8, 11)]  # fmt: skip


def lengths(body, betas, bones=BONES):
    joints = body.rest_joints(betas)
    first, second = np.array(bones).T
    return np.linalg.norm(joints[first] - joints[second], axis=1)


def random_betas(rng, body):
    return rng.normal(0, 0.7, body.num_betas).clip(*BETA_LIMITS)


@pytest.mark.parametrize('seed', range(10))
def test_betas_of_exact_lengths_have_these_lengths(body, seed):
    betas = random_betas(np.random.default_rng(seed), body)
    wanted = lengths(body, betas)
    found = fit_betas(body, BONES, wanted, np.full(len(BONES), 1e-5))
    assert lengths(body, found) == pytest.approx(wanted, abs=5e-4)


def test_betas_that_show_in_the_lengths_are_recovered(body):
    # Legs, arms, shoulders and hips hardly resemble each other.
    named = [body.shape_names.index(name) for name in ('legs', 'arms', 'shoulders', 'hips')]
    for axis in named:
        betas = np.zeros(body.num_betas)
        betas[axis] = 1.5
        found = fit_betas(body, BONES, lengths(body, betas), np.full(len(BONES), 1e-5))
        assert found == pytest.approx(betas, abs=0.15)


def test_noisy_lengths_fit_better_than_the_mean_body(body):
    rng = np.random.default_rng(1)
    fitted, mean = [], []
    for _ in range(50):
        betas = random_betas(rng, body)
        sigmas = np.full(len(BONES), 0.015)
        noisy = lengths(body, betas) + rng.normal(0, sigmas)
        found = fit_betas(body, BONES, noisy, sigmas)
        assert (found >= BETA_LIMITS[0]).all()
        assert (found <= BETA_LIMITS[1]).all()
        joints = body.rest_joints(betas)
        fitted.append(np.linalg.norm(body.rest_joints(found) - joints, axis=1).mean())
        mean.append(np.linalg.norm(body.rest_joints() - joints, axis=1).mean())
    assert np.mean(fitted) < 0.7 * np.mean(mean)  # regression bound


@pytest.mark.parametrize('factor', [0.0, 0.3, 3.0, 1e6])
def test_betas_stay_human_whatever_the_lengths(body, factor):
    found = fit_betas(body, BONES, factor * lengths(body, None), np.full(len(BONES), 1e-3))
    assert (found >= BETA_LIMITS[0]).all()
    assert (found <= BETA_LIMITS[1]).all()


@pytest.mark.parametrize('nonsense', [0.0, -1.0, 1e9, np.nan, np.inf])
def test_pairs_not_seen_are_ignored(body, nonsense):
    wanted = lengths(body, random_betas(np.random.default_rng(2), body))
    sigmas = np.full(len(BONES), 0.01)
    hidden = [0, 5, 11]
    left = np.setdiff1d(np.arange(len(BONES)), hidden)
    expected = fit_betas(body, [BONES[i] for i in left], wanted[left], sigmas[left])
    wanted[hidden] = nonsense
    sigmas[hidden] = np.inf
    assert fit_betas(body, BONES, wanted, sigmas) == pytest.approx(expected, abs=1e-9)


def test_lengths_of_nothing_give_the_mean_body(body):
    found = fit_betas(body, BONES, lengths(body, np.ones(10)), np.full(len(BONES), np.inf))
    assert np.array_equal(found, np.zeros(10))


def test_a_vague_length_pulls_less_than_a_sure_one(body):
    wanted = lengths(body, None)
    wanted[:4] *= 1.1
    found = [
        np.linalg.norm(fit_betas(body, BONES, wanted, np.full(len(BONES), sigma)))
        for sigma in (0.005, 0.02, 0.1, 1.0)
    ]
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.1


def test_lists_of_different_lengths_are_refused(body):
    with pytest.raises(ValueError, match='same length'):
        fit_betas(body, BONES, np.ones(3), np.ones(len(BONES)))
    with pytest.raises(ValueError, match='same length'):
        fit_betas(body, BONES, np.ones(len(BONES)), np.ones(3))


def test_of_many_weights_the_strongest_four_make_up_the_whole():
    rng = np.random.default_rng(8)
    dense = rng.dirichlet(np.ones(24), size=50)
    joints, weights = strongest_weights(dense)
    for row, chosen, shares in zip(dense, joints, weights, strict=True):
        strongest = np.sort(row)[::-1][:4]
        assert row[chosen] == pytest.approx(strongest)
        assert shares == pytest.approx(strongest / strongest.sum(), rel=1e-6)
