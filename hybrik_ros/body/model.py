"""Body model: a template mesh with shape directions, a joint regressor and skinning weights."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.body.reading import read_body_file
from hybrik_ros.body.skinning import skin, strongest_weights
from hybrik_ros.kinematics import forward
from hybrik_ros.kinematics.validation import to_real_array
from hybrik_ros.skeleton import LANDMARK_VERTICES, LEAF_VERTICES, NUM_JOINTS, NUM_POINTS, PARENTS

DEFAULT_BODY = Path(__file__).parent.parent / 'data' / 'body.npz'

# Maximum number of betas used. Official SMPL files have up to 300 shape directions; HybrIK and most
# other methods use the first ten.
MAX_BETAS = 10
_NUM_POSE_FEATURES = 9 * (NUM_JOINTS - 1)
# Maximum number of cached shapes: more than the people that a frame shows (settings.MAX_PEOPLE).
_MAX_CACHED_SHAPES = 26


class BodyModel:
    """A body with SMPL's structure: 24 joints, 5 leaves, a skinned mesh, a shape given by betas.

    The rest frame of a body, in which it stands in T-pose: x to the subject's left, y up, z to the
    front, metres. The default body is derived from MakeHuman's CC0 mesh and has SMPL's joints and
    vertex count. Its betas are other quantities than SMPL's (see shape_names).

    Parameters
    ----------
    arrays : dict of ndarray
        Arrays of an SMPL file by name, as `read_body_file` returns them.
    name : str
        Name of the body.

    Attributes
    ----------
    name : str
        Name of the file without suffix; the field body_model of messages.
    faces : ndarray
        Triangles (F, 3), int32: vertex indices, counter-clockwise as seen from outside.
    num_betas : int
        Number of shape directions, at most MAX_BETAS.
    shape_names : tuple of str
        Meaning of each beta; empty where the file does not give it.

    Raises
    ------
    ValueError
        An array is missing or has the wrong shape, or the kinematic tree is not SMPL's.

    References
    ----------
    Loper et al.: SMPL: A Skinned Multi-Person Linear Model (2015).
    """

    def __init__(self, arrays: dict[str, NDArray[Any]], name: str) -> None:
        _check(arrays, name)
        self.name = name
        self.faces = np.ascontiguousarray(arrays['f'], dtype=np.int32)
        self.shape_names = tuple(str(axis) for axis in arrays.get('shape_axis_names', ()))
        self._template = np.asarray(arrays['v_template'], dtype=np.float64)
        self._shapedirs = np.asarray(arrays['shapedirs'], dtype=np.float64)[..., :MAX_BETAS]
        self.num_betas = self._shapedirs.shape[-1]
        self._influences, self._weights = strongest_weights(arrays['weights'])
        self._posedirs = _pose_directions(arrays)
        regressor = np.asarray(arrays['J_regressor'], dtype=np.float64)
        self._mean_points = _regress_points(regressor, self._template)
        self._point_directions = _regress_points(regressor, self._shapedirs)
        self._shaped_templates: dict[bytes, tuple[NDArray[np.float32], Array]] = {}

    @classmethod
    def load(cls, path: str | Path | None = None) -> 'BodyModel':
        """Load the default body, or the user's own SMPL file.

        Parameters
        ----------
        path : str or Path, optional
            A .npz or .pkl file in SMPL's format (from https://smpl.is.tue.mpg.de, under its own
            licence). A restricted reader reads pickles and runs no code of theirs.

        Raises
        ------
        FileNotFoundError
            The file does not exist.
        hybrik_ros.body.reading.UnsafeFileError
            A pickle contains something other than arrays; no code of it has run.
        ValueError
            The file is not a body file.
        """
        path = DEFAULT_BODY if path is None else Path(os.path.expanduser(path))
        name = 'default' if path == DEFAULT_BODY else path.stem
        return cls(dict(read_body_file(path)), name)

    def rest_joints(self, betas: ArrayLike | None = None) -> Array:
        """Return the joints and leaves (29, 3) of the T-pose in metres for betas (num_betas)."""
        return self.rest_points(betas)[:NUM_POINTS]

    def rest_points(self, betas: ArrayLike | None = None) -> Array:
        """Return joints, leaves and landmarks (38, 3) of the T-pose in metres.

        The landmarks are skeleton.LANDMARK_VERTICES in their order.
        """
        directions = self._point_directions.reshape(-1, self.num_betas)
        moved = directions @ self._check_betas(betas)
        return self._mean_points + moved.reshape(-1, 3)

    @property
    def has_smpl_betas(self) -> bool:
        """Whether the betas are SMPL's: files whose betas are other quantities name them."""
        return not self.shape_names

    @property
    def joint_directions(self) -> Array:
        """Derivative (29, 3, num_betas) of rest_joints by the betas, in metres."""
        return self._point_directions[:NUM_POINTS]

    @property
    def vertex_joints(self) -> NDArray[np.uint8]:
        """The joint (V) with the largest skinning weight of each vertex."""
        return self._influences[:, 0]

    @property
    def skinning(self) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """The joints (V, 4) of each vertex and their skinning weights (V, 4), with a sum of 1."""
        return self._influences, self._weights

    def landmark(self, name: str, betas: ArrayLike | None = None) -> Array:
        """Return the rest position (3) in metres of a point of skeleton.LANDMARK_VERTICES."""
        vertex = LANDMARK_VERTICES[name]
        return self._template[vertex] + self._shapedirs[vertex] @ self._check_betas(betas)

    def vertices(
        self, rotations: ArrayLike, betas: ArrayLike | None, translation: ArrayLike
    ) -> NDArray[np.float32]:
        """Pose the mesh of one person.

        Parameters
        ----------
        rotations : array_like
            Parent-relative rotations (24, 3, 3); [0] maps the rest frame to the output frame.
        betas : array_like or None
            Shape parameters (num_betas); None for the mean body. The last shaped templates are
            cached, so that betas of an earlier call are fast.
        translation : array_like
            Translation (3) in metres, added to all vertices as in an SMPL layer.

        Returns
        -------
        ndarray
            Vertices (V, 3), float32, in metres.

        Raises
        ------
        ValueError
            An argument has the wrong shape; the message names it.
        """
        rotations = _check_shape('rotations', rotations, (NUM_JOINTS, 3, 3))
        translation = _check_shape('translation', translation, (3,))
        shaped, rest = self._shape_template(betas)
        joints, global_rotations = forward(rotations, rest)
        joints += translation
        if self._posedirs is not None:
            features = (rotations[1:] - np.eye(3)).reshape(-1).astype(np.float32)
            shaped = shaped + (features @ self._posedirs).reshape(-1, 3)
        vertices = np.empty(shaped.shape, np.float32)
        skin(shaped, self._influences, self._weights, global_rotations, rest, joints, vertices)
        return vertices

    def _shape_template(self, betas: ArrayLike | None) -> tuple[NDArray[np.float32], Array]:
        """Return template (V, 3) and joints (24, 3) for betas, from the cache where possible."""
        betas = self._check_betas(betas)
        key = betas.tobytes()
        shaped = self._shaped_templates.pop(key, None)
        if shaped is None:
            template = (self._template + self._shapedirs @ betas).astype(np.float32)
            shaped = template, self.rest_joints(betas)[:NUM_JOINTS]
        templates = {**self._shaped_templates, key: shaped}
        for oldest in list(templates)[:-_MAX_CACHED_SHAPES]:
            del templates[oldest]
        self._shaped_templates = templates
        return shaped

    def _check_betas(self, betas: ArrayLike | None) -> Array:
        """Return betas as an array; zeros for None."""
        if betas is None:
            return np.zeros(self.num_betas)
        betas = to_real_array('betas', betas)
        if betas.shape != (self.num_betas,) or not np.isfinite(betas).all():
            raise ValueError(
                f'betas must be {self.num_betas} finite numbers for the body {self.name!r}, '
                f'not an array of shape {betas.shape}'
            )
        return betas


def _regress_points(regressor: Array, values: Array) -> Array:
    """Return values of joints, leaves and landmarks (38, ...) from those of vertices (V, ...)."""
    joints = np.tensordot(regressor, values, axes=1)
    leaves, landmarks = values[list(LEAF_VERTICES)], values[list(LANDMARK_VERTICES.values())]
    return np.concatenate([joints, leaves, landmarks])


def _check_shape(name: str, value: ArrayLike, shape: tuple[int, ...]) -> Array:
    array = to_real_array(name, value)
    if array.shape != shape:
        raise ValueError(f'{name} must have shape {shape}, not {array.shape}')
    return array


def _check(arrays: dict[str, NDArray[Any]], name: str) -> None:
    """Raise ValueError where arrays are not those of an SMPL body."""
    needed = ('v_template', 'shapedirs', 'J_regressor', 'weights', 'kintree_table', 'f')
    missing = [key for key in needed if key not in arrays]
    if missing:
        raise ValueError(f'the body {name!r} lacks {", ".join(missing)}: it is not an SMPL file')
    count = arrays['v_template'].size // 3
    shapes = {
        'v_template': (count, 3),
        'shapedirs': (count, 3, *arrays['shapedirs'].shape[-1:]),
        'J_regressor': (NUM_JOINTS, count),
        'weights': (count, NUM_JOINTS),
        'kintree_table': (2, NUM_JOINTS),
    }
    if 'posedirs' in arrays:
        shapes['posedirs'] = (count, 3, _NUM_POSE_FEATURES)
    for key, shape in shapes.items():
        if arrays[key].shape != shape:
            hint = ' (SMPL-H and SMPL-X bodies have more joints)' if key != 'v_template' else ''
            raise ValueError(
                f'{key} of the body {name!r} has shape {arrays[key].shape}, not {shape}{hint}'
            )
        if not np.isfinite(arrays[key]).all():
            raise ValueError(f'{key} of the body {name!r} holds NaN or infinite numbers')
    if count <= max(LEAF_VERTICES):
        raise ValueError(f'the body {name!r} has {count} vertices; SMPL has 6890')
    faces = arrays['f']
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.max() >= count:
        raise ValueError(f'f of the body {name!r} is not a list of triangles between its vertices')
    # The root's parent is 2³² - 1 in the official files: -1 as an unsigned number.
    parents = np.asarray(arrays['kintree_table'][0]).astype(np.int64)
    if tuple(parents[1:]) != PARENTS[1:NUM_JOINTS]:
        raise ValueError(f'kintree_table of the body {name!r} is not the tree of SMPL')


def _pose_directions(arrays: dict[str, NDArray[Any]]) -> NDArray[np.float32] | None:
    """Return posedirs as (207, 3V) float32, or None where they are absent or all zero."""
    posedirs = arrays.get('posedirs')
    if posedirs is None or not np.any(posedirs):
        return None
    # One row per feature: the product is twice as fast as with one row per coordinate.
    by_coordinate = np.asarray(posedirs, dtype=np.float32).reshape(-1, _NUM_POSE_FEATURES)
    return np.ascontiguousarray(by_coordinate.T)
