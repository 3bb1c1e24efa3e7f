"""Landmark vertices with the numbers of SMPL's mesh: fingertips, toes, eyes, ears, heels.

The landmarks are found on the new body by their anatomy, and its vertices are renumbered so that
each landmark has its number in SMPL.
"""

from __future__ import annotations

import numpy as np

# Vertex number of each landmark in SMPL.
NUMBERS = {
    'head': 411, 'nose': 332, 'reye': 6260, 'leye': 2800, 'rear': 4071, 'lear': 583,
    'rthumb': 6191, 'rindex': 5782, 'rmiddle': 5905, 'rring': 6016, 'rpinky': 6133,
    'lthumb': 2746, 'lindex': 2319, 'lmiddle': 2445, 'lring': 2556, 'lpinky': 2673,
    'lbigtoe': 3216, 'lsmalltoe': 3226, 'lheel': 3387,
    'rbigtoe': 6617, 'rsmalltoe': 6624, 'rheel': 6787,
}  # fmt: skip

# A landmark is the farthest vertex of a bone in a direction of the T-pose. The directions are for
# the left side.
_MIDDLE = {'head': (0, 1, 0), 'nose': (0, 0, 1)}
_SIDES = {
    'eye': ('eye', (0, 0, 1)),
    'ear': ('head', (1, 0, 0)),
    'thumb': ('finger1-3', (1, 0, 1)),
    'index': ('finger2-3', (1, 0, 0)),
    'middle': ('finger3-3', (1, 0, 0)),
    'ring': ('finger4-3', (1, 0, 0)),
    'pinky': ('finger5-3', (1, 0, 0)),
    'bigtoe': ('toe1-2', (0, 0, 1)),
    'smalltoe': ('toe5-3', (0, 0, 1)),
    'heel': ('foot', (0, -0.3, -1)),
}


def find_landmarks(
    template: np.ndarray, bone_weights: dict[str, np.ndarray], head: np.ndarray
) -> dict[str, int]:
    """Return the vertex of each landmark, in the order of NUMBERS.

    Parameters
    ----------
    template : ndarray
        Vertices (V, 3) in the T-pose.
    bone_weights : dict
        Skinning weights (V) by MakeHuman's bones.
    head : ndarray
        Skinning weights (V) of SMPL's head joint.

    Returns
    -------
    dict
        Vertex numbers by landmark.
    """

    def farthest(weights: np.ndarray, direction: tuple[float, ...]) -> int:
        own = np.flatnonzero(weights > 0.5)
        return int(own[np.argmax(template[own] @ direction)])

    found = {name: farthest(head, direction) for name, direction in _MIDDLE.items()}
    for side, flip in (('l', 1), ('r', -1)):
        for name, (bone, (x, y, z)) in _SIDES.items():
            weights = head if bone == 'head' else bone_weights[f'{bone}.{side.upper()}']
            found[side + name] = farthest(weights, (flip * x, y, z))
    return {name: found[name] for name in NUMBERS}


def renumbering(found: dict[str, int], count: int) -> np.ndarray:
    """Return the old number (count) of each new vertex; landmarks get the numbers of SMPL.

    Parameters
    ----------
    found : dict
        Old vertex numbers by landmark.
    count : int
        Number of vertices.

    Returns
    -------
    ndarray
        Old numbers (count); vertices other than landmarks keep their order.
    """
    order = np.full(count, -1)
    order[list(NUMBERS.values())] = [found[name] for name in NUMBERS]
    order[order < 0] = np.setdiff1d(np.arange(count), list(found.values()))
    return order
