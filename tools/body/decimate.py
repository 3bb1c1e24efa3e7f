"""Decimation of a mesh to a subset of its vertices."""

from __future__ import annotations

import fast_simplification
import numpy as np


def decimate(vertices: np.ndarray, faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Reduce a mesh by quadric edge collapse to a number of vertices.

    Parameters
    ----------
    vertices : ndarray
        Vertices (V, 3).
    faces : ndarray
        Faces (F, 3).
    count : int
        Number of vertices to keep.

    Returns
    -------
    kept : ndarray
        Indices (count) of the vertices to keep, ascending.
    faces : ndarray
        New faces (F', 3), as indices into `kept`.

    Raises
    ------
    ValueError
        No number of faces leads to this number of vertices.
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
        raise ValueError(f'the decimation does not reach {count} vertices: choose another number')

    # A merged vertex is replaced by the nearest of the vertices that were merged into it, since
    # only original vertices have weights and shape directions.
    distance = np.linalg.norm(points - merged[owner], axis=1)
    nearest_first = np.lexsort((distance, owner))
    owners, first = np.unique(owner[nearest_first], return_index=True)
    representative = np.full(len(merged), -1)
    representative[owners] = nearest_first[first]
    kept, corners = np.unique(representative[fewer], return_inverse=True)
    return kept, corners.reshape(-1, 3)
