"""What users rely on in the default body, hybrik_ros/data/body.npz, checked on the file itself."""

from pathlib import Path

import numpy as np
import pytest

import hybrik_ros
from hybrik_ros.skeleton import JOINT_NAMES, LEAF_VERTICES, MIRROR, NUM_JOINTS, PARENTS

BODY = Path(hybrik_ros.__file__).parent / 'data' / 'body.npz'
FLIP = np.array([-1.0, 1.0, 1.0])


@pytest.fixture(scope='module')
def body():
    with np.load(BODY) as arrays:
        return dict(arrays)


@pytest.fixture(scope='module')
def template(body):
    return body['v_template'].astype(float)


@pytest.fixture(scope='module')
def joints(body, template):
    return dict(zip(JOINT_NAMES, body['J_regressor'] @ template, strict=True))


@pytest.fixture(scope='module')
def landmarks(body, template):
    vertices = template[body['landmark_vertices']]
    return dict(zip(body['landmark_names'].tolist(), vertices, strict=True))


def winding_number(point, triangles):
    """How often a closed surface wraps around a point (van Oosterom and Strackee, 1983)."""
    a, b, c = np.moveaxis(triangles - point, 1, 0)
    x, y, z = (np.linalg.norm(corner, axis=1) for corner in (a, b, c))
    dots = x * y * z + (a * b).sum(1) * z + (b * c).sum(1) * x + (c * a).sum(1) * y
    return np.arctan2(np.einsum('fi,fi->f', a, np.cross(b, c)), dots).sum() / (2 * np.pi)


def volume(vertices, faces):
    a, b, c = np.moveaxis(vertices[faces], 1, 0)
    return np.einsum('fi,fi->', a, np.cross(b, c)) / 6


def test_arrays_are_those_of_smpl_files(body):
    shapes = {
        'v_template': (6890, 3),
        'shapedirs': (6890, 3, 10),
        'J_regressor': (24, 6890),
        'weights': (6890, 24),
        'kintree_table': (2, 24),
    }
    assert {name: body[name].shape for name in shapes} == shapes
    assert body['f'].shape[1:] == (3,)
    assert all(np.isfinite(body[name]).all() for name in shapes)
    assert len(body['shape_axis_names']) == 10
    assert body['landmark_names'].shape == body['landmark_vertices'].shape
    assert 'CC0' in str(body['license'])


def test_tree_is_smpls(body):
    parents, children = body['kintree_table'].astype(np.int32)
    assert tuple(parents) == PARENTS[:NUM_JOINTS]
    assert tuple(children) == tuple(range(NUM_JOINTS))


def test_regressor_averages_vertices(body):
    regressor = body['J_regressor']
    assert (regressor >= 0).all()
    np.testing.assert_allclose(regressor.sum(1), 1, rtol=0, atol=1e-6)


def test_skinning_averages_at_most_four_joints(body):
    weights = body['weights']
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(1), 1, rtol=0, atol=1e-6)
    assert np.count_nonzero(weights, axis=1).max() <= 4


def test_joints_move_the_skin_around_them(body, template, joints):
    for name, weights in zip(JOINT_NAMES, body['weights'].T, strict=True):
        middle = weights @ template / weights.sum()
        assert np.linalg.norm(middle - joints[name]) < 0.25, name
        moved = template[weights > 0, 0]
        if name.startswith('left_'):
            assert moved.min() > -0.05, name
        elif name.startswith('right_'):
            assert moved.max() < 0.05, name


def test_surface_is_closed_and_faces_outwards(body, template):
    faces = body['f'].astype(int)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    directed = set(map(tuple, edges.tolist()))
    assert len(directed) == len(edges), 'neighbouring faces turn the same way'
    assert directed == {(end, start) for start, end in directed}, 'no edge is open'
    assert set(faces.ravel()) == set(range(len(template))), 'no vertex is loose'
    assert 0.04 < volume(template, faces) < 0.09  # a person of 40 to 90 kg


def test_joints_are_inside_the_body(body, template, joints):
    triangles = template[body['f'].astype(int)]
    outside = [name for name, at in joints.items() if winding_number(at, triangles) < 0.5]
    assert outside == []


def test_joints_mirror_each_other(joints):
    places = np.stack(list(joints.values()))
    mirrored = places[list(MIRROR[:NUM_JOINTS])] * FLIP
    np.testing.assert_allclose(places, mirrored, rtol=0, atol=1e-4)


def test_stature_is_human(template):
    assert 1.5 < np.ptp(template[:, 1]) < 1.9


def test_left_is_x_up_is_y_front_is_z(joints, landmarks):
    for name, (x, _, _) in joints.items():
        if name.startswith('left_'):
            assert x > 0.05, name
        elif name.startswith('right_'):
            assert x < -0.05, name
        else:
            assert abs(x) < 1e-3, name
    upwards = ['left_foot', 'left_ankle', 'left_knee', 'left_hip', 'pelvis', 'spine1', 'spine2']
    upwards += ['spine3', 'neck', 'head']
    heights = [joints[name][1] for name in upwards]
    assert heights == sorted(heights)
    for side in 'lr':
        assert landmarks[f'{side}bigtoe'][2] > landmarks[f'{side}heel'][2] + 0.2
        assert landmarks['nose'][2] > landmarks[f'{side}ear'][2] + 0.08
        assert landmarks['nose'][2] > landmarks[f'{side}eye'][2]


def test_arms_are_level_and_palms_down(joints, landmarks):
    for side in ('left', 'right'):
        shoulder, wrist = joints[f'{side}_shoulder'], joints[f'{side}_wrist']
        assert abs(wrist[1] - shoulder[1]) < 0.05
        assert abs(wrist[2] - shoulder[2]) < 0.05
        thumb, little = landmarks[f'{side[0]}thumb'], landmarks[f'{side[0]}pinky']
        assert thumb[2] > wrist[2] > little[2], 'thumbs to the front'


def test_leaf_vertices_are_the_tips(body, template, joints):
    head, left_middle, right_middle, left_toe, right_toe = LEAF_VERTICES
    assert template[head, 1] == template[:, 1].max()
    assert template[left_middle, 0] == template[:, 0].max()
    assert template[right_middle, 0] == template[:, 0].min()
    for side, toe in (('left', left_toe), ('right', right_toe)):
        foot = body['weights'][:, JOINT_NAMES.index(f'{side}_foot')] > 0.5
        assert foot[toe]
        assert template[toe, 2] == template[foot, 2].max()
        below = joints[f'{side}_ankle'][1] - template[toe, 1]
        assert 0 < below < 0.12, 'toes are on the ground side of the ankle'


class Person:
    """The T-pose of some betas, and its measures."""

    def __init__(self, body, betas):
        self.vertices = body['v_template'] + body['shapedirs'].astype(float) @ betas
        self.faces = body['f'].astype(int)
        self.part = body['weights'].argmax(1)
        places = body['J_regressor'] @ self.vertices
        self.joints = dict(zip(JOINT_NAMES, places, strict=True))

    def skin(self, joint):
        return self.vertices[self.part == JOINT_NAMES.index(joint)]

    def path(self, *names):
        places = np.stack([self.joints[name] for name in names])
        return np.linalg.norm(np.diff(places, axis=0), axis=1).sum()

    def measures(self):
        return {
            'height': np.ptp(self.vertices[:, 1]),
            'volume': volume(self.vertices, self.faces),
            'arm': self.path('left_shoulder', 'left_elbow', 'left_wrist'),
            'leg': self.path('left_hip', 'left_knee', 'left_ankle'),
            'trunk': self.path('pelvis', 'spine1', 'spine2', 'spine3', 'neck'),
            'shoulders': self.path('left_shoulder', 'right_shoulder'),
            'hips': np.ptp(self.skin('pelvis')[:, 0]),
            'waist': np.ptp(self.skin('spine1')[:, 0]),
            'biceps': self.skin('left_shoulder')[:, 2].std(),
        }


@pytest.mark.parametrize(
    ('axis', 'changes'),
    [
        ('stature', {'height': 1, 'arm': 1, 'leg': 1, 'trunk': 1}),
        ('weight', {'volume': 1, 'waist': 1, 'hips': 1, 'biceps': 1, 'height': 0}),
        ('gender', {'shoulders': 1, 'hips': 0, 'height': 1}),
        ('muscle', {'biceps': 1, 'hips': -1, 'height': 0}),
        ('legs', {'leg': 1, 'height': 1, 'arm': 0, 'trunk': 0, 'shoulders': 0, 'hips': 0}),
        ('arms', {'arm': 1, 'height': 0, 'leg': 0, 'trunk': 0, 'hips': 0}),
        ('shoulders', {'shoulders': 1, 'height': 0, 'arm': 0, 'leg': 0, 'trunk': 0, 'hips': 0}),
        ('hips', {'hips': 1, 'height': 0, 'arm': 0, 'leg': 0, 'trunk': 0, 'shoulders': 0}),
        ('torso', {'trunk': 1, 'height': 1, 'arm': 0, 'leg': 0, 'shoulders': 0, 'hips': 0}),
        ('age', {'biceps': -1, 'leg': 0}),
    ],
)
def test_shape_axes_do_what_they_are_called(body, axis, changes):
    betas = (body['shape_axis_names'] == axis).astype(float)
    assert betas.sum() == 1
    more, less = (Person(body, sign * betas).measures() for sign in (1, -1))
    for name, direction in changes.items():
        percent = 50 * (more[name] - less[name]) / less[name]  # for a beta of 1
        if direction:
            assert direction * percent > 1, name
        else:
            assert abs(percent) < 0.6, name


def test_shapes_stay_human(body):
    for axis in range(10):
        for beta in (-2, 2):
            person = Person(body, beta * np.eye(10)[axis])
            assert 1.3 < person.measures()['height'] < 2.1
            assert 0.02 < person.measures()['volume'] < 0.13
