"""Vertices that users of SMPL's mesh know by number: tips of fingers and toes, eyes, ears, heels.

They are found on the new body by what they are, and its vertices are renumbered so that each has
the number it is known by.
"""

from __future__ import annotations

import numpy as np

NUMBERS = {
    'head': 411, 'nose': 332, 'reye': 6260, 'leye': 2800, 'rear': 4071, 'lear': 583,
    'rthumb': 6191, 'rindex': 5782, 'rmiddle': 5905, 'rring': 6016, 'rpinky': 6133,
    'lthumb': 2746, 'lindex': 2319, 'lmiddle': 2445, 'lring': 2556, 'lpinky': 2673,
    'lbigtoe': 3216, 'lsmalltoe': 3226, 'lheel': 3387,
    'rbigtoe': 6617, 'rsmalltoe': 6624, 'rheel': 6787,
}  # fmt: skip

# A landmark is the vertex of a bone that is farthest in a direction of the T-pose. Directions are
# those of the left side.
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
    """The vertex of each landmark, in the order of NUMBERS.

    Parameters
    ----------
    template
        Vertices of the T-pose, (V, 3).
    bone_weights
        Weights of each of MakeHuman's bones, (V,).
    head
        Weights of SMPL's head joint, (V,).
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
    """Old number of each new vertex, (count,): landmarks at their numbers, others in order."""
    order = np.full(count, -1)
    order[list(NUMBERS.values())] = [found[name] for name in NUMBERS]
    order[order < 0] = np.setdiff1d(np.arange(count), list(found.values()))
    return order
