"""Accuracy of the solver on the golden poses and on random poses of the default body."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from hybrik_ros.arrays import Array
from hybrik_ros.body import BodyModel
from hybrik_ros.kinematics import METHODS, forward, solve
from hybrik_ros.rotations import angle_between, from_rotation_vector, swing_twist
from hybrik_ros.share import share_path
from hybrik_ros.skeleton import BONE_TARGETS, NUM_JOINTS

Figures = dict[str, dict[str, dict[str, float]]]

_NOISES = (5, 10, 20)  # RMS noise of the joints in millimetres, as in the golden poses
_TWIST_NOISE = np.radians(10)  # standard deviation
_NUM_POSES = 256  # number of random poses
_POSE_SIGMA = 0.5  # standard deviation of each component of a rotation vector in radians
_PUBLISHED = 'published adaptive'


@dataclass(frozen=True, eq=False)
class _Poses:
    """Poses with ground truth.

    Attributes
    ----------
    rotations : ndarray
        True parent-relative rotations (N, 24, 3, 3).
    rest : ndarray
        Rest joints (N, 29, 3) in metres.
    twist : ndarray
        Cosine and sine (N, 23, 2) of the true twist.
    noisy : dict
        Posed joints (N, 29, 3) in metres, by RMS noise in millimetres; 0 without noise.
    betas : ndarray, optional
        Shape (N, num_betas); None if unknown.
    published : dict
        Rotations (N, 24, 3, 3) that the published code computed from noisy joints, by noise.
    """

    rotations: Array
    rest: Array
    twist: Array
    noisy: dict[int, Array]
    betas: Array | None
    published: dict[int, Array]


def measure_accuracy(console: Console) -> dict[str, Figures]:
    """Solve every set of poses under every condition; print tables.

    Parameters
    ----------
    console : Console
        Console for the tables.

    Returns
    -------
    dict
        By set, method and condition: the MPJPE of the 24 joints in millimetres, root-relative
        ('mpjpe'); the mean global rotation error in degrees ('rotation'); and, if the shape is
        known, the mean per-vertex error in millimetres ('pve').
    """
    body = BodyModel.load()
    sets = {'random poses of the default body': _make_random(body)}
    try:
        sets = {'golden poses': _load_golden(), **sets}
    except FileNotFoundError:
        console.print('The golden poses are in a source tree only: only random ones are used.')
    figures = {}
    for name, poses in sets.items():
        with console.status(f'Solving {name} ...'):
            figures[name] = _measure(poses, body)
        console.print(_table(name, figures[name]))
    return figures


def _load_golden() -> _Poses:
    """Return the poses on which the published code was run; their betas are not stored."""
    with np.load(share_path('test/data/hybrik_ik.npz')) as stored:
        golden = {name: stored[name].astype(float) for name in stored.files}
    return _Poses(
        rotations=golden['rotations_true'],
        rest=golden['rest_joints'],
        twist=golden['twist'],
        noisy={0: golden['joints'], **{n: golden[f'joints_noise{n}mm'] for n in _NOISES}},
        betas=None,
        published={n: golden[f'rotations_reference_adaptive_noise{n}mm'] for n in _NOISES},
    )


def _make_random(body: BodyModel) -> _Poses:
    """Return random poses of random shapes of a body."""
    rng = np.random.default_rng(0)
    rotations = from_rotation_vector(rng.normal(0, _POSE_SIGMA, (_NUM_POSES, NUM_JOINTS, 3)))
    betas = rng.normal(size=(_NUM_POSES, body.num_betas))
    rest = np.stack([body.rest_joints(one) for one in betas])
    bones = rest[:, BONE_TARGETS[1:NUM_JOINTS]] - rest[:, 1:NUM_JOINTS]
    joints = forward(rotations, rest)[0]
    # The noise is the RMS distance in space; each axis has a third of its variance.
    noisy = {n: joints + rng.normal(0, 1e-3 * n / np.sqrt(3), joints.shape) for n in _NOISES}
    return _Poses(
        rotations=rotations,
        rest=rest,
        twist=swing_twist(rotations[:, 1:], bones)[1],
        noisy={0: joints, **noisy},
        betas=betas,
        published={},
    )


def _measure(poses: _Poses, body: BodyModel) -> Figures:
    """Return the errors by method and condition."""
    figures: Figures = {}
    truth = _posed(poses.rotations, poses.rest, poses.betas, body)
    for condition, joints, rest, twist, betas in _conditions(poses, body):
        for method in METHODS:
            found = _posed(solve(joints, rest, twist, method=method), rest, betas, body)
            figures.setdefault(method, {})[condition] = _errors(found, truth)
    for noise, rotations in poses.published.items():
        found = _posed(rotations, poses.rest, poses.betas, body)
        figures.setdefault(_PUBLISHED, {})[_noise_name(noise)] = _errors(found, truth)
    return figures


def _conditions(
    poses: _Poses, body: BodyModel
) -> Iterator[tuple[str, Array, Array, Array | None, Array | None]]:
    """Yield name, joints, rest joints, twist and betas of each condition."""
    clean, rest, twist, betas = poses.noisy[0], poses.rest, poses.twist, poses.betas
    yield 'clean', clean, rest, twist, betas
    if betas is not None:
        yield 'betas = 0', clean, np.tile(body.rest_joints(), (len(rest), 1, 1)), twist, 0 * betas
    yield 'twist = 0', clean, rest, None, betas
    wrong = np.arctan2(twist[..., 1], twist[..., 0])
    wrong = wrong + np.random.default_rng(1).normal(0, _TWIST_NOISE, wrong.shape)
    yield 'twist ± 10°', clean, rest, np.stack([np.cos(wrong), np.sin(wrong)], axis=-1), betas
    for noise in _NOISES:
        yield _noise_name(noise), poses.noisy[noise], rest, twist, betas


def _noise_name(millimetres: int) -> str:
    return f'{millimetres} mm noise'


def _posed(rotations: Array, rest: Array, betas: Array | None, body: BodyModel) -> dict[str, Array]:
    """Return root-relative joints and vertices in metres, and global rotations."""
    joints, turned = forward(rotations, rest)
    posed = {'mpjpe': (joints - joints[:, :1])[:, :NUM_JOINTS], 'rotation': turned}
    if betas is not None:
        vertices = [
            body.vertices(one, shape, -pelvis)
            for one, shape, pelvis in zip(rotations, betas, rest[:, 0], strict=True)
        ]
        posed['pve'] = np.array(vertices, float)
    return posed


def _errors(found: dict[str, Array], truth: dict[str, Array]) -> dict[str, float]:
    """Return the mean errors, in millimetres and degrees."""
    errors: dict[str, float] = {
        name: 1e3 * float(np.linalg.norm(found[name] - truth[name], axis=-1).mean())
        for name in ('mpjpe', 'pve')
        if name in truth
    }
    angles = np.degrees(angle_between(found['rotation'], truth['rotation']))
    return {**errors, 'rotation': float(angles.mean())}


def _table(name: str, figures: Figures) -> Table:
    """Return a table with a row for each condition."""
    conditions = list(dict.fromkeys(c for by_condition in figures.values() for c in by_condition))
    first: dict[str, Any] = next(iter(figures.values()))[conditions[0]]
    with_vertices = 'pve' in first
    table = Table('', *figures)
    table.title = f'{name[0].upper()}{name[1:]}: ' + ' / '.join(
        ['MPJPE (root-relative), mm', *['PVE, mm'] * with_vertices, 'rotation error, degrees']
    )
    for condition in conditions:
        cells = [by_condition.get(condition, {}) for by_condition in figures.values()]
        table.add_row(condition, *(' / '.join(f'{v:.4f}' for v in c.values()) for c in cells))
    return table
