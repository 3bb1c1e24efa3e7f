"""Fewer vertices, each of them one of the original ones."""

from __future__ import annotations

import fast_simplification
import numpy as np


def decimate(vertices: np.ndarray, faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Reduce a mesh by quadric edge collapse to exactly count vertices.

    Returns
    -------
    kept
        The ids of the vertices that stay, (count,), ascending.
    faces
        The new faces, (F, 3), as positions in kept.

    Raises
    ------
    ValueError
        If no number of faces leads to that number of vertices.
    """
    points, faces = vertices.astype(np.float32), faces.astype(np.int32)
    target = 2 * count
    for _ in range(100):
        *_, collapses = fast_simplification.simplify(
            points, faces, target_count=target, agg=3, return_collapses=True
        )
        merged, fewer, owner = fast_simplification.replay_simplification(points, faces, collapses)
        used = np.unique(fewer)
        if len(used) == count:
            break
        target -= 2 * (len(used) - count)
    else:
        raise ValueError(f'decimation does not arrive at {count} vertices')

    # A merged vertex is replaced by the nearest of the vertices that were merged into it: only
    # those have weights and move rightly with every shape.
    distance = np.linalg.norm(points - merged[owner], axis=1)
    nearest_first = np.lexsort((distance, owner))
    owners, first = np.unique(owner[nearest_first], return_index=True)
    representative = np.full(len(merged), -1)
    representative[owners] = nearest_first[first]
    kept, corners = np.unique(representative[fewer], return_inverse=True)
    return kept, corners.reshape(-1, 3)
