"""The compiled loops of the solver.

Arrays are float64, contiguous, with one leading batch dimension; checks belong to the callers. P(j)
is a target position, q(j) the position of a joint as rebuilt, G(j) its global rotation, R(j) its
rotation relative to its parent, t(j) its rest bone.

Loops over numbers, not NumPy expressions: numba compiles an assignment of a slice or an expression
of arrays ten times as long as the loop that it stands for. For the same reason every kernel is
called with arguments of one type: contiguous arrays, and no literals (see _TRUE).
"""

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.compiling import compiled, floats, kernel
from hybrik_ros.skeleton import (
    BONE_TARGETS,
    NUM_JOINTS,
    NUM_POINTS,
    PARENTS,
    PELVIS,
    THREE_CHILDREN,
)
from hybrik_ros.vectors import cross, norm

_parents = np.array(PARENTS)
_targets = np.array(BONE_TARGETS)
_children = np.full((NUM_JOINTS, 3), -1)
for _joint, _three in THREE_CHILDREN.items():
    _children[_joint] = _three
# The first joints, pelvis, hips and spine1, say where the root is.
_root = np.arange(_children[PELVIS, 2] + 1)

_depths = np.zeros(NUM_JOINTS, np.int64)
_ancestors = np.full((NUM_JOINTS, NUM_JOINTS), -1)
for _joint in range(NUM_JOINTS):
    _walk = PARENTS[_joint]
    while _walk >= 0:
        _ancestors[_joint, _depths[_joint]] = _walk
        _depths[_joint] += 1
        _walk = PARENTS[_walk]

# numba compiles a kernel once more for a literal argument; np.bool_(_TRUE) is none.
_TRUE = 1

# What inspect finds.
SOUND, BAD_REST, BAD_PREVIOUS, BAD_CONFIDENCE, BAD_JOINTS = range(5)

_TINY = 1e-12
_ROUNDING = 1e-32  # Of squares.
_MOST_SWEEPS = 20  # Jacobi's method takes four or five.
_NEARLY = 1e-2  # What single precision or a file's few digits leave of a rotation lies far below.

# What the joints leave open in a Procrustes fit (all on a line) follows the previous rotations. In
# square metres; too small to be felt by a bone of a millimetre.
_FIT_PRIOR = 1e-12

# Square metres: more holds on to the previous rotations no better.
_HEAVIEST = 1e9

# Of the small rotations of a step against metres: one radian is worth two centimetres.
_DAMPING = 4e-4
# By how much more where a step would have led uphill.
_MORE_DAMPING = 10.0
# The steps end with one that leaves more than this share of the misfit. Earlier, and where they end
# would hang on the start: joints that hardly move could make a body jump.
_DONE = 0.999


@compiled
def _copy(source: Array, out: Array) -> None:
    """Copy (N, 3), such as points or a rotation."""
    for n in range(out.shape[0]):
        for k in range(3):
            out[n, k] = source[n, k]


@compiled
def _copy_all(source: Array, out: Array) -> None:
    """Copy (N, 3, 3), rotations."""
    for n in range(out.shape[0]):
        _copy(source[n], out[n])


@compiled
def _rotate(rotation: Array, vector: Array, out: Array) -> None:
    """Write rotation @ vector to out."""
    for r in range(3):
        out[r] = (
            rotation[r, 0] * vector[0] + rotation[r, 1] * vector[1] + rotation[r, 2] * vector[2]
        )


@compiled
def _rotate_back(rotation: Array, vector: Array, out: Array) -> None:
    """Write rotation.T @ vector to out."""
    for c in range(3):
        out[c] = (
            rotation[0, c] * vector[0] + rotation[1, c] * vector[1] + rotation[2, c] * vector[2]
        )


@compiled
def _multiply(a: Array, b: Array, out: Array) -> None:
    """Write a @ b to out, which is neither a nor b."""
    for r in range(3):
        for c in range(3):
            out[r, c] = a[r, 0] * b[0, c] + a[r, 1] * b[1, c] + a[r, 2] * b[2, c]


@compiled
def _multiply_back(a: Array, b: Array, out: Array) -> None:
    """Write a.T @ b to out, which is neither a nor b."""
    for r in range(3):
        for c in range(3):
            out[r, c] = a[0, r] * b[0, c] + a[1, r] * b[1, c] + a[2, r] * b[2, c]


@compiled
def _identity(out: Array) -> None:
    for r in range(3):
        for c in range(3):
            out[r, c] = 1.0 if r == c else 0.0


@compiled
def _about_axis(x: float, y: float, z: float, cos: float, sin: float, out: Array) -> None:
    """Rodrigues' formula for a unit axis (x, y, z)."""
    k = 1.0 - cos
    out[0, 0] = cos + k * x * x
    out[0, 1] = k * x * y - sin * z
    out[0, 2] = k * x * z + sin * y
    out[1, 0] = k * x * y + sin * z
    out[1, 1] = cos + k * y * y
    out[1, 2] = k * y * z - sin * x
    out[2, 0] = k * x * z - sin * y
    out[2, 1] = k * y * z + sin * x
    out[2, 2] = cos + k * z * z


@compiled
def _determinant(m: Array) -> float:
    return (
        m[0, 0] * (m[1, 1] * m[2, 2] - m[1, 2] * m[2, 1])
        + m[0, 1] * (m[1, 2] * m[2, 0] - m[1, 0] * m[2, 2])
        + m[0, 2] * (m[1, 0] * m[2, 1] - m[1, 1] * m[2, 0])
    )


@compiled
def _orthonormalise(m: Array) -> None:
    """Make a matrix that is a rotation but for rounding one again, in place (Gram-Schmidt)."""
    length = np.sqrt(m[0, 0] * m[0, 0] + m[1, 0] * m[1, 0] + m[2, 0] * m[2, 0])
    for r in range(3):
        m[r, 0] /= length
    dot = m[0, 0] * m[0, 1] + m[1, 0] * m[1, 1] + m[2, 0] * m[2, 1]
    for r in range(3):
        m[r, 1] -= dot * m[r, 0]
    length = np.sqrt(m[0, 1] * m[0, 1] + m[1, 1] * m[1, 1] + m[2, 1] * m[2, 1])
    for r in range(3):
        m[r, 1] /= length
    m[0, 2] = m[1, 0] * m[2, 1] - m[2, 0] * m[1, 1]
    m[1, 2] = m[2, 0] * m[0, 1] - m[0, 0] * m[2, 1]
    m[2, 2] = m[0, 0] * m[1, 1] - m[1, 0] * m[0, 1]


@compiled
def _is_rotation(m: Array) -> bool:
    """Tell whether a matrix is a rotation, by and large."""
    for a in range(3):
        for b in range(3):
            dot = m[0, a] * m[0, b] + m[1, a] * m[1, b] + m[2, a] * m[2, b]
            if not abs(dot - (1.0 if a == b else 0.0)) < _NEARLY:
                return False
    return _determinant(m) > 0


@compiled
def _swing(t: Array, p: Array, out: Array) -> None:
    """The smallest rotation from direction t to direction p; identity where either is zero.

    HybrIK, equations 6 to 8. For opposite directions, where the axis is free, it is a half turn
    about the axis across t that lies nearest to a coordinate axis.
    """
    length_t, length_p = norm(t), norm(p)
    if length_t < _TINY or length_p < _TINY:
        _identity(out)
        return
    ax, ay, az = t[0] / length_t, t[1] / length_t, t[2] / length_t
    bx, by, bz = p[0] / length_p, p[1] / length_p, p[2] / length_p
    x, y, z = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    sin = np.sqrt(x * x + y * y + z * z)
    cos = ax * bx + ay * by + az * bz
    if sin < _TINY:
        if abs(ax) <= abs(ay) and abs(ax) <= abs(az):
            x, y, z = 0.0, az, -ay
        elif abs(ay) <= abs(az):
            x, y, z = -az, 0.0, ax
        else:
            x, y, z = ay, -ax, 0.0
    length = np.sqrt(x * x + y * y + z * z)
    radius = np.hypot(sin, cos)
    _about_axis(x / length, y / length, z / length, cos / radius, sin / radius, out)


@compiled
def _add_twist(swing: Array, t: Array, cos: float, sin: float, out: Array) -> bool:
    """Write swing @ twist about t to out, unless the twist is undefined: (0, 0), NaN, infinite."""
    radius = np.hypot(cos, sin)
    length = norm(t)
    if not 0 < radius < np.inf or length < _TINY:
        return False
    twist = np.empty((3, 3))
    _about_axis(t[0] / length, t[1] / length, t[2] / length, cos / radius, sin / radius, twist)
    _multiply(swing, twist, out)
    return True


@compiled
def _procrustes(covariance: Array, out: Array) -> None:
    """Write the rotation R to out that maximises trace(R.T @ covariance).

    Its quaternion is the eigenvector of the largest eigenvalue of a symmetric matrix (Horn 1987),
    found by Jacobi's method. That takes about half the time of a singular value decomposition by
    LAPACK, and is never a reflection.
    """
    m = np.empty((4, 4))
    vectors = np.zeros((4, 4))
    scaled = np.empty((3, 3))
    largest = 0.0
    for r in range(3):
        for c in range(3):
            largest = max(largest, abs(covariance[r, c]))
    unit = largest if largest > 0 else 1.0  # The squares of the tiniest would be zero.
    for r in range(3):
        for c in range(3):
            scaled[r, c] = covariance[r, c] / unit
    for p in range(4):
        vectors[p, p] = 1.0
    m[0, 0] = scaled[0, 0] + scaled[1, 1] + scaled[2, 2]
    for a in range(3):
        b, c = (a + 1) % 3, (a + 2) % 3
        m[0, a + 1] = m[a + 1, 0] = scaled[c, b] - scaled[b, c]
        m[a + 1, a + 1] = 2 * scaled[a, a] - m[0, 0]
        m[a + 1, b + 1] = m[b + 1, a + 1] = scaled[a, b] + scaled[b, a]
    for _ in range(_MOST_SWEEPS):
        rest = size = 0.0
        for p in range(4):
            size += m[p, p] * m[p, p]
            for q in range(p):
                rest += m[p, q] * m[p, q]
        if rest <= _ROUNDING * size:
            break
        for p in range(3):
            for q in range(p + 1, 4):
                _rotate_away(m, vectors, p, q)
    best = 0
    for p in range(1, 4):
        if m[p, p] > m[best, best]:
            best = p
    w, x, y, z = vectors[0, best], vectors[1, best], vectors[2, best], vectors[3, best]
    sin = np.sqrt(x * x + y * y + z * z)
    if sin < _TINY:
        _identity(out)
    else:
        _about_axis(x / sin, y / sin, z / sin, w * w - sin * sin, 2 * w * sin, out)


@compiled
def _rotate_away(m: Array, vectors: Array, p: int, q: int) -> None:
    """One rotation of Jacobi's method: make m[p, q] of a symmetric 4x4 matrix zero."""
    if m[p, q] == 0:
        return
    theta = (m[q, q] - m[p, p]) / (2 * m[p, q])
    tangent = 1 / (abs(theta) + np.sqrt(theta * theta + 1))
    if theta < 0:
        tangent = -tangent
    cos = 1 / np.sqrt(tangent * tangent + 1)
    sin = tangent * cos
    for k in range(4):
        m[k, p], m[k, q] = cos * m[k, p] - sin * m[k, q], sin * m[k, p] + cos * m[k, q]
    for k in range(4):
        m[p, k], m[q, k] = cos * m[p, k] - sin * m[q, k], sin * m[p, k] + cos * m[q, k]
        vectors[k, p], vectors[k, q] = (
            cos * vectors[k, p] - sin * vectors[k, q],
            sin * vectors[k, p] + cos * vectors[k, q],
        )


@compiled
def _forward(rotations: Array, rest: Array, joints: Array, global_rotations: Array) -> None:
    """Pose one skeleton with the pelvis at its rest position."""
    bone = np.empty(3)
    for k in range(3):
        joints[0, k] = rest[0, k]
    _copy(rotations[0], global_rotations[0])
    for j in range(1, rest.shape[0]):
        parent = _parents[j]
        for k in range(3):
            bone[k] = rest[j, k] - rest[parent, k]
        _rotate(global_rotations[parent], bone, joints[j])
        for k in range(3):
            joints[j, k] += joints[parent, k]
        if j < NUM_JOINTS:
            _multiply(global_rotations[parent], rotations[j], global_rotations[j])


@compiled
def _place(rotations: Array, rest: Array, root: Array, joints: Array, turned: Array) -> None:
    """Pose one skeleton with the pelvis at root; turned are the global rotations."""
    _forward(rotations, rest, joints, turned)
    for j in range(joints.shape[0]):
        for k in range(3):
            joints[j, k] += root[k] - rest[0, k]


@kernel(floats(4), floats(3), floats(3), floats(4))
def forward_batch(rotations: Array, rest: Array, joints: Array, global_rotations: Array) -> None:
    """Fill joints (B, 29 or 24, 3) and global_rotations (B, 24, 3, 3)."""
    for b in range(rotations.shape[0]):
        _forward(rotations[b], rest[b], joints[b], global_rotations[b])


@kernel(floats(3), floats(3), floats(2), floats(4))
def inspect(target: Array, rest: Array, confidence: Array, previous: Array) -> tuple[int, float]:
    """Tell what is wrong with the arguments of a solve, and the largest coordinate that counts."""
    farthest = 0.0
    for b in range(rest.shape[0]):
        for j in range(NUM_POINTS):
            for k in range(3):
                if not np.isfinite(rest[b, j, k]):
                    return BAD_REST, farthest
                farthest = max(farthest, abs(rest[b, j, k]))
    for b in range(previous.shape[0]):
        for i in range(NUM_JOINTS):
            if not _is_rotation(previous[b, i]):
                return BAD_PREVIOUS, farthest
    for b in range(target.shape[0]):
        for j in range(NUM_POINTS):
            if not 0 <= confidence[b, j] <= 1:
                return BAD_CONFIDENCE, farthest
            if confidence[b, j] > 0:
                for k in range(3):
                    if not np.isfinite(target[b, j, k]):
                        return BAD_JOINTS, farthest
                    farthest = max(farthest, abs(target[b, j, k]))
    return SOUND, farthest


@compiled
def _middle(
    target: Array, posed: Array, confidence: Array, count: int, middle: Array, posed_middle: Array
) -> int:
    """Write the weighted means of those seen of the first joints; tell how many there are."""
    total = 0.0
    seen = 0
    for k in range(3):
        middle[k] = posed_middle[k] = 0.0
    for j in range(count):
        if confidence[j] > 0:
            seen += 1
            total += confidence[j]
            for k in range(3):
                middle[k] += confidence[j] * target[j, k]
                posed_middle[k] += confidence[j] * posed[j, k]
    if seen > 0:
        for k in range(3):
            middle[k] /= total
            posed_middle[k] /= total
    return seen


@compiled
def _bone(points: Array, j: int, start: Array, out: Array) -> None:
    for k in range(3):
        out[k] = points[j, k] - start[k]


@compiled
def _fit(
    joints: NDArray[np.int64],
    start: Array,
    rest_start: Array,
    prior: Array,
    target: Array,
    rest: Array,
    confidence: Array,
    out: Array,
) -> None:
    """The rotation that fits the bones from a start to the seen ones of some joints best."""
    bone = np.empty(3)
    aim = np.empty(3)
    covariance = np.zeros((3, 3))
    total = 0.0
    for j in joints:
        if confidence[j] > 0:
            _bone(rest, j, rest_start, bone)
            _bone(target, j, start, aim)
            for r in range(3):
                for c in range(3):
                    covariance[r, c] += confidence[j] * aim[r] * bone[c]
            total += confidence[j]
    for r in range(3):
        for c in range(3):
            covariance[r, c] += _FIT_PRIOR * total * prior[r, c]
    _procrustes(covariance, out)


@compiled
def _twist_part(bone: Array, rotation: Array, out: Array) -> None:
    """What a rotation turns a bone about itself, before it swings it."""
    turned = np.empty(3)
    swing = np.empty((3, 3))
    _rotate(rotation, bone, turned)
    _swing(bone, turned, swing)
    _multiply_back(swing, rotation, out)


@compiled
def _turn_bone(bone: Array, aim: Array, previous: Array, out: Array) -> None:
    """The rotation that swings a bone, which may point anywhere, and twists it as previous does.

    Opposite to where it points at rest its swing is undefined, so the twist is counted from where
    it points to a corner of the frame's axes: opposite to that, nobody's spine or hips point for
    long. Swinging on from the previous aim instead would need no such choice, but noise would
    slowly turn the bone about itself.
    """
    corner = np.empty(3)
    to_corner = np.empty((3, 3))
    before = np.empty((3, 3))
    swing = np.empty((3, 3))
    twist = np.empty((3, 3))
    turned = np.empty((3, 3))
    for k in range(3):
        corner[k] = 1.0
    _swing(bone, corner, to_corner)
    for r in range(3):
        _rotate(to_corner, previous[r], before[r])  # previous @ to_corner.T
    _twist_part(corner, before, twist)
    _swing(corner, aim, swing)
    _multiply(swing, twist, turned)
    _multiply(turned, to_corner, out)


@compiled
def _aim_root(
    target: Array,
    rest: Array,
    confidence: Array,
    previous: Array,
    rotations: Array,
    rebuilt: Array,
    global_rotations: Array,
) -> None:
    """Solve the root: the rotation and the place that fit pelvis, hips and spine best.

    Of two of them, which tell one direction, the twist about it stays as in the previous
    rotations; of fewer, all of the rotation. Where none of them is seen, the pelvis is where the
    previous rotations bring the first seen joint of each limb nearest to where it is: those
    beyond, an arm that waves, say nothing of it.
    """
    bone = np.empty(3)
    aim = np.empty(3)
    middle = np.empty(3)
    rest_middle = np.empty(3)
    seen = _middle(target, rest, confidence, len(_root), middle, rest_middle)
    if seen == 0:
        posed = np.empty((NUM_POINTS, 3))
        turned = np.empty((NUM_JOINTS, 3, 3))
        nearest = np.empty(NUM_POINTS)
        _forward(previous, rest, posed, turned)
        for j in range(NUM_POINTS):
            nearest[j] = confidence[j]
            i = _parents[j]
            while i >= 0:
                if confidence[i] > 0:
                    nearest[j] = 0.0
                i = _parents[i]
        _middle(target, posed, nearest, len(nearest), middle, rest_middle)
        _copy(previous[0], rotations[0])
        _copy(previous[0], global_rotations[0])
        for k in range(3):
            rebuilt[0, k] = posed[0, k] + middle[k] - rest_middle[k]
        return
    if seen == 1:
        _copy(previous[0], rotations[0])
    elif seen == 2:
        for j in _root:
            if confidence[j] > 0:
                _bone(rest, j, rest_middle, bone)
                _bone(target, j, middle, aim)
        _turn_bone(bone, aim, previous[0], rotations[0])
    else:
        _fit(_root, middle, rest_middle, previous[0], target, rest, confidence, rotations[0])
    _copy(rotations[0], global_rotations[0])
    for k in range(3):
        bone[k] = rest[0, k] - rest_middle[k]
    _rotate(rotations[0], bone, rebuilt[0])
    for k in range(3):
        rebuilt[0, k] += middle[k]


@compiled
def _aim_joint(
    i: int,
    target: Array,
    rest: Array,
    cos: float,
    sin: float,
    confidence: Array,
    previous: Array,
    adaptive: bool | np.bool_,
    rotations: Array,
    rebuilt: Array,
    global_rotations: Array,
    scratch: Array,
) -> None:
    """Solve joint i, whose parent is solved, with this twist; scratch is (3, 3, 3).

    A bone starts at its parent's predicted position (naive), or where the parent really ended
    up in the rebuilt skeleton (adaptive). Joints with three children take the rotation that
    fits those seen best, if there are two; every other joint swings at its child, then twists.
    What is not seen stays as in the previous rotations: the swing of a bone that aims at an
    unseen joint, a twist that is not given.
    """
    bone, aim, aim_in_parent = scratch[0, 0], scratch[0, 1], scratch[0, 2]
    swing, previous_twist = scratch[1], scratch[2]
    parent = _parents[i]
    global_parent = global_rotations[parent]
    _bone(rest, i, rest[parent], bone)
    _rotate(global_parent, bone, rebuilt[i])
    for k in range(3):
        rebuilt[i, k] += rebuilt[parent, k]
    start = rebuilt[i] if adaptive or not confidence[i] > 0 else target[i]

    child = _targets[i]
    if _children[i, 0] >= 0:
        seen = 0
        for one in _children[i]:
            if confidence[one] > 0:
                seen += 1
                child = one
        if seen > 1:
            _multiply(global_parent, previous[i], swing)
            _fit(_children[i], start, rest[i], swing, target, rest, confidence,
                 global_rotations[i])  # fmt: skip
            _multiply_back(global_parent, global_rotations[i], rotations[i])
            return
    _bone(rest, child, rest[i], bone)
    if confidence[child] > 0:
        _bone(target, child, start, aim)
        _rotate_back(global_parent, aim, aim_in_parent)
    else:
        _rotate(previous[i], bone, aim_in_parent)
    _swing(bone, aim_in_parent, swing)
    # The twist that is given is about the bone to the joint's own target.
    if child != _targets[i] or not _add_twist(swing, bone, cos, sin, rotations[i]):
        _twist_part(bone, previous[i], previous_twist)
        _multiply(swing, previous_twist, rotations[i])
    _multiply(global_parent, rotations[i], global_rotations[i])


@compiled
def _aim(
    target: Array,
    rest: Array,
    twist: Array,
    confidence: Array,
    previous: Array,
    adaptive: bool | np.bool_,
    rotations: Array,
    rebuilt: Array,
    global_rotations: Array,
) -> None:
    """Solve one skeleton from the root outwards (HybrIK, algorithm 1)."""
    scratch = np.empty((3, 3, 3))
    _aim_root(target, rest, confidence, previous, rotations, rebuilt, global_rotations)
    for i in range(1, NUM_JOINTS):
        _aim_joint(i, target, rest, twist[i - 1, 0], twist[i - 1, 1], confidence, previous,
                   adaptive, rotations, rebuilt, global_rotations, scratch)  # fmt: skip


@compiled
def _across(direction: Array, axis: Array) -> None:
    """Leave of a direction what is at right angles to a unit axis, in place."""
    along = direction[0] * axis[0] + direction[1] * axis[1] + direction[2] * axis[2]
    for k in range(3):
        direction[k] -= along * axis[k]


@compiled
def _unit(vector: Array) -> bool:
    """Make a vector's length 1, in place; tell whether it has a direction at all."""
    length = norm(vector)
    if not _TINY < length < np.inf:
        return False
    for k in range(3):
        vector[k] /= length
    return True


@compiled
def _twist_about(axis: Array, rotation: Array) -> tuple[float, float]:
    """Cosine and sine of the twist of a rotation about a unit axis."""
    twist = np.empty((3, 3))
    _twist_part(axis, rotation, twist)
    cos = (twist[0, 0] + twist[1, 1] + twist[2, 2] - 1) / 2
    sin = (
        axis[0] * (twist[2, 1] - twist[1, 2])
        + axis[1] * (twist[0, 2] - twist[2, 0])
        + axis[2] * (twist[1, 0] - twist[0, 1])
    ) / 2
    return cos, sin


@compiled
def _belief(turn: float) -> float:
    """How far to believe an angle that is so far from the middle of a joint's range.

    Wholly up to a quarter turn; in half a turn not at all. An elbow that seems to bend a little
    the wrong way would turn its upper arm right round.
    """
    return min(1.0, 1.0 + np.cos(turn)) ** 2


@kernel(
    *(floats(2), floats(2), floats(1), floats(3)),
    *(floats(2), floats(2), floats(2), floats(1), floats(1), floats(1)),
    *('float64', 'float64', floats(2), floats(1)),
)
def estimate_twist(
    target: Array,
    rest: Array,
    confidence: Array,
    previous: Array,
    rest_pointers: Array,
    stretched: Array,
    seen_pointers: Array,
    shares: Array,
    centres: Array,
    sureness: Array,
    no_twist_weight: float,
    previous_weight: float,
    twist: Array,
    twist_confidence: Array,
) -> None:
    """Fill twist (23, 2) and twist_confidence (23) from directions that turn with the joints.

    Pointers (24, 3) are at rest and stretched in the rest frame, and as seen in that of the
    targets, NaN where there is none. As each joint's frame depends on the twist of all above it,
    the skeleton is solved on the way, adaptively.
    """
    rotations = np.empty((NUM_JOINTS, 3, 3))
    global_rotations = np.empty((NUM_JOINTS, 3, 3))
    rebuilt = np.empty((NUM_POINTS, 3))
    scratch = np.empty((3, 3, 3))
    axis = np.empty(3)
    at_rest = np.empty(3)
    seen = np.empty(3)
    aside = np.empty(3)
    normal = np.empty(3)
    adaptive = np.bool_(_TRUE)
    for i in range(NUM_JOINTS - 1):
        twist[i, 0] = twist[i, 1] = np.nan
        twist_confidence[i] = 0.0
    _aim_root(target, rest, confidence, previous, rotations, rebuilt, global_rotations)
    for i in range(1, NUM_JOINTS):
        _aim_joint(i, target, rest, 1.0, 0.0, confidence, previous, adaptive, rotations,
                   rebuilt, global_rotations, scratch)  # fmt: skip
        for k in range(3):
            axis[k] = rest[_targets[i], k] - rest[i, k]
            at_rest[k] = rest_pointers[i, k]
            normal[k] = seen_pointers[i, k]
        if _unit(axis) and _unit(normal):
            _rotate_back(global_rotations[i], normal, seen)
            _across(at_rest, axis)
            _across(seen, axis)
            if _unit(at_rest):
                # What of a straight limb lies beside its hinge's plane is the body's build.
                for k in range(3):
                    aside[k] = stretched[i, k]
                _across(aside, axis)
                _across(aside, at_rest)
                for k in range(3):
                    seen[k] -= aside[k]
            weight = sureness[i] * (seen[0] ** 2 + seen[1] ** 2 + seen[2] ** 2)
            if sureness[i] > 0 and norm(at_rest) > _TINY:
                cross(at_rest, seen, normal)
                angle = np.arctan2(
                    axis[0] * normal[0] + axis[1] * normal[1] + axis[2] * normal[2],
                    at_rest[0] * seen[0] + at_rest[1] * seen[1] + at_rest[2] * seen[2],
                )
                before_cos, before_sin = _twist_about(axis, previous[i])
                weight *= _belief(angle - centres[i])
                turns = np.floor((angle - centres[i] + np.pi) / (2 * np.pi))
                angle = shares[i] * (angle - 2 * np.pi * turns)
                cos = weight * np.cos(angle) + no_twist_weight + previous_weight * before_cos
                sin = weight * np.sin(angle) + previous_weight * before_sin
                radius = np.hypot(cos, sin)
                if radius > _TINY:
                    twist[i - 1, 0] = cos / radius
                    twist[i - 1, 1] = sin / radius
                    twist_confidence[i - 1] = weight / (weight + no_twist_weight + previous_weight)
        _aim_joint(i, target, rest, twist[i - 1, 0], twist[i - 1, 1], confidence, previous,
                   adaptive, rotations, rebuilt, global_rotations, scratch)  # fmt: skip


@compiled
def _descent(
    rebuilt: Array,
    target: Array,
    confidence: Array,
    parts: NDArray[np.int64],
    part: int,
    whole: bool | np.bool_,
    depth_weight: float,
    damping: float,
    returns: Array,
    return_weight: float,
    turns: Array,
    shift: Array,
) -> None:
    """One Levenberg-Marquardt step of the joints of a part: turns (24, 3) and shift (3).

    confidence (29) is that of the joints of the part, and 0 for all others; returns (24, 3) are the
    turns that would lead back to the previous rotations.

    turns[i] is a small rotation vector, in the global frame, of everything below joint i about
    that joint; shift moves the whole body, if the part is to. Joint j moves by
    shift + sum over its ancestors i in the part of turns[i] x (q(j) - q(i)). The normal matrix
    couples joints with their ancestors only, so it is eliminated from the leaves to the root
    without fill-in.

    The weight of a joint is confidence (I - (1 - depth_weight) s sᵀ), s its line of sight.
    """
    n = NUM_JOINTS + 1  # block 0 is the shift, block i + 1 the turn of joint i
    normal = np.zeros((n, n, 3, 3))  # lower blocks only: [below, above]
    gradient = np.zeros((n, 3))
    lever = np.zeros((n, 3))
    chain = np.zeros(n, np.int64)
    residual = np.empty(3)
    sight = np.zeros(3)
    moment = np.zeros((n, 3))  # lever x sight: how a turn moves the joint along its line of sight

    for k in range(3):
        normal[0, 0, k, k] = _TINY
    for i in range(NUM_JOINTS):
        held = return_weight if parts[i] == part else 0.0
        for k in range(3):
            normal[i + 1, i + 1, k, k] = damping + held
            gradient[i + 1, k] = held * returns[i, k]

    for j in range(NUM_POINTS):
        weight = confidence[j]
        if not weight > 0:
            continue
        for k in range(3):
            residual[k] = target[j, k] - rebuilt[j, k]
        distance = norm(target[j])
        in_depth = 0.0
        if depth_weight < 1 and distance > _TINY:
            in_depth = weight * (1 - depth_weight)
            for k in range(3):
                sight[k] = target[j, k] / distance
            along = sight[0] * residual[0] + sight[1] * residual[1] + sight[2] * residual[2]
            for k in range(3):
                residual[k] -= (1 - depth_weight) * along * sight[k]
        length = 0
        i = _parents[j]
        while i >= 0 and parts[i] == part:
            chain[length] = i
            for k in range(3):
                lever[length, k] = rebuilt[j, k] - rebuilt[i, k]
            length += 1
            i = _parents[i]
        for r in range(3 if whole else 0):
            normal[0, 0, r, r] += weight
            gradient[0, r] += weight * residual[r]
            for c in range(3):
                normal[0, 0, r, c] -= in_depth * sight[r] * sight[c]
        if in_depth > 0:
            for a in range(length):
                cross(lever[a], sight, moment[a])
        for a in range(length):
            x, y, z = lever[a]
            row = chain[a] + 1
            # Derivative of the joint: -[lever]; its transpose times the residual is the moment.
            gradient[row, 0] += weight * (y * residual[2] - z * residual[1])
            gradient[row, 1] += weight * (z * residual[0] - x * residual[2])
            gradient[row, 2] += weight * (x * residual[1] - y * residual[0])
            if whole:
                block = normal[row, 0]
                block[0, 1] -= weight * z
                block[0, 2] += weight * y
                block[1, 0] += weight * z
                block[1, 2] -= weight * x
                block[2, 0] -= weight * y
                block[2, 1] += weight * x
                for r in range(3):
                    for c in range(3):
                        block[r, c] -= in_depth * moment[a, r] * sight[c]
            for b in range(a, length):
                # [lever a]ᵀ [lever b] = (a . b) I - b aᵀ
                block = normal[row, chain[b] + 1]
                dot = x * lever[b, 0] + y * lever[b, 1] + z * lever[b, 2]
                for r in range(3):
                    for c in range(3):
                        block[r, c] -= weight * lever[b, r] * lever[a, c]
                        block[r, c] -= in_depth * moment[a, r] * moment[b, c]
                    block[r, r] += weight * dot

    _solve_tree(normal, gradient)
    for k in range(3):
        shift[k] = gradient[0, k]
    for i in range(NUM_JOINTS):
        for k in range(3):
            turns[i, k] = gradient[i + 1, k]


@compiled
def _above(row: int, order: int) -> int:
    """The block above another, the order-th of them: the ancestors of its joint, then 0."""
    joint = row - 1
    return _ancestors[joint, order] + 1 if order < _depths[joint] else 0


@compiled
def _solve_tree(normal: Array, gradient: Array) -> None:
    """Solve the tree-shaped normal equations; the solution replaces the gradient."""
    n = normal.shape[0]
    scaled = np.empty((n, 3, 3))
    inverses = np.empty((n, 3, 3))
    product = np.empty((3, 3))
    part = np.empty(3)
    for row in range(n - 1, -1, -1):
        _invert(normal[row, row], inverses[row])
        above = _depths[row - 1] + 1 if row > 0 else 0
        for a in range(above):
            upper = _above(row, a)
            _multiply(inverses[row], normal[row, upper], scaled[a])
            _rotate_back(scaled[a], gradient[row], part)
            for k in range(3):
                gradient[upper, k] -= part[k]
        for a in range(above):
            lower = _above(row, a)
            for b in range(a, above):
                upper = _above(row, b)
                _multiply_back(normal[row, lower], scaled[b], product)
                for r in range(3):
                    for c in range(3):
                        normal[lower, upper, r, c] -= product[r, c]
    for row in range(n):
        for a in range(_depths[row - 1] + 1 if row > 0 else 0):
            upper = _above(row, a)
            _rotate(normal[row, upper], gradient[upper], part)
            for k in range(3):
                gradient[row, k] -= part[k]
        _rotate(inverses[row], gradient[row], part)
        for k in range(3):
            gradient[row, k] = part[k]


@compiled
def _invert(m: Array, out: Array) -> None:
    """Write the inverse of a 3x3 matrix, by its adjugate, to out, which is not m."""
    for r in range(3):
        for c in range(3):
            r1, r2, c1, c2 = (c + 1) % 3, (c + 2) % 3, (r + 1) % 3, (r + 2) % 3
            out[r, c] = m[r1, c1] * m[r2, c2] - m[r1, c2] * m[r2, c1]
    determinant = m[0, 0] * out[0, 0] + m[0, 1] * out[1, 0] + m[0, 2] * out[2, 0]
    for r in range(3):
        for c in range(3):
            out[r, c] /= determinant


@compiled
def _returns(rotations: Array, previous: Array, global_rotations: Array, returns: Array) -> None:
    """Fill returns (24, 3): axis times sine of the turn to each previous rotation, global frame.

    The sine equals the angle where that is small, and lets go of what has turned right round.
    """
    turn = np.empty((3, 3))
    axis = np.empty(3)
    for i in range(NUM_JOINTS):
        for r in range(3):
            for c in range(3):
                turn[r, c] = (
                    previous[i, r, 0] * rotations[i, c, 0]
                    + previous[i, r, 1] * rotations[i, c, 1]
                    + previous[i, r, 2] * rotations[i, c, 2]
                )
        axis[0] = (turn[2, 1] - turn[1, 2]) / 2
        axis[1] = (turn[0, 2] - turn[2, 0]) / 2
        axis[2] = (turn[1, 0] - turn[0, 1]) / 2
        if i == 0:
            for k in range(3):
                returns[i, k] = axis[k]
        else:
            _rotate(global_rotations[_parents[i]], axis, returns[i])


@compiled
def _turn(turns: Array, rotations: Array, global_rotations: Array) -> None:
    """Apply the global-frame turns of a step to the parent-relative rotations."""
    turn = np.empty((3, 3))
    turned = np.empty((3, 3))
    for i in range(NUM_JOINTS):
        angle = norm(turns[i])
        if angle < _TINY:
            continue
        x, y, z = turns[i, 0] / angle, turns[i, 1] / angle, turns[i, 2] / angle
        _about_axis(x, y, z, np.cos(angle), np.sin(angle), turn)
        _multiply(turn, global_rotations[i], turned)
        if i == 0:
            _copy(turned, rotations[i])
        else:
            _multiply_back(global_rotations[_parents[i]], turned, rotations[i])


@compiled
def _divide(confidence: Array, parts: NDArray[np.int64]) -> None:
    """Fill parts (24): the first joint of the part of the body that a joint turns in, or -1.

    Unseen joints divide the body. What lies beyond one is solved from where it ends up and pulls
    at nothing before. A joint none of whose bones is seen, or a root of fewer than two seen
    joints, turns in no part.
    """
    seen = 0
    for j in _root:
        if confidence[j] > 0:
            seen += 1
    parts[0] = 0 if seen > 1 else -1
    for i in range(1, NUM_JOINTS):
        told = confidence[_targets[i]] > 0
        if _children[i, 0] >= 0:
            for child in _children[i]:
                told |= confidence[child] > 0
        if not told:
            parts[i] = -1
        elif confidence[i] > 0 and parts[_parents[i]] >= 0:
            parts[i] = parts[_parents[i]]
        else:
            parts[i] = i


@compiled
def _mover(confidence: Array, parts: NDArray[np.int64]) -> int:
    """The part that moves the whole body: that of the pelvis or, if nothing near that is seen, the
    one with most seen joints. Else that would turn to make up for where the pelvis is held.
    """
    for j in _root:
        if confidence[j] > 0:
            return 0
    counts = np.zeros(NUM_JOINTS, np.int64)
    for j in range(1, NUM_POINTS):
        if confidence[j] > 0 and parts[_parents[j]] >= 0:
            counts[parts[_parents[j]]] += 1
    most = 0
    for part in range(NUM_JOINTS):
        if counts[part] > counts[most]:
            most = part
    return most


@compiled
def _misfit(
    rebuilt: Array,
    rotations: Array,
    target: Array,
    confidence: Array,
    parts: NDArray[np.int64],
    part: int,
    depth_weight: float,
    previous: Array,
    previous_weight: float,
) -> float:
    """What the steps make small: the weighted squares of a part, those of its turns included.

    confidence is 0 for the joints of all other parts.
    """
    total = 0.0
    for j in range(NUM_POINTS):
        if confidence[j] > 0:
            square = along = distance = 0.0
            for k in range(3):
                residual = target[j, k] - rebuilt[j, k]
                square += residual * residual
                along += residual * target[j, k]
                distance += target[j, k] * target[j, k]
            if depth_weight < 1 and distance > _TINY:
                square -= (1 - depth_weight) * along * along / distance
            total += confidence[j] * square
    if previous_weight > 0:
        for i in range(NUM_JOINTS):
            if parts[i] == part:
                trace = 0.0
                for r in range(3):
                    for c in range(3):
                        trace += rotations[i, r, c] * previous[i, r, c]
                total += previous_weight * (3 - trace)  # 2 - 2 cos, nearly the angle's square
    return total


@compiled
def _refine(
    part: int,
    whole: bool | np.bool_,
    parts: NDArray[np.int64],
    target: Array,
    rest: Array,
    confidence: Array,
    previous: Array,
    previous_weight: float,
    depth_weight: float,
    steps: int,
    rotations: Array,
    root: Array,
) -> None:
    """Take steps downhill with the joints of a part, while that pays; change rotations and root."""
    joints = np.empty((NUM_POINTS, 3))
    tried_joints = np.empty((NUM_POINTS, 3))
    global_rotations = np.empty((NUM_JOINTS, 3, 3))
    tried_global = np.empty((NUM_JOINTS, 3, 3))
    tried = np.empty((NUM_JOINTS, 3, 3))
    returns = np.zeros((NUM_JOINTS, 3))
    turns = np.empty((NUM_JOINTS, 3))
    shift = np.empty(3)
    tried_root = np.empty(3)
    middle = np.empty(3)
    target_middle = np.empty(3)
    weights = np.zeros(NUM_POINTS)
    total = 0.0
    for j in range(NUM_POINTS):
        if parts[max(_parents[j], 0)] == part:
            weights[j] = confidence[j]
            total += weights[j]
    _place(rotations, rest, root, joints, global_rotations)
    seen = _middle(target, joints, weights, len(weights), target_middle, middle)
    weight = total / seen
    damping = _DAMPING * weight  # Confidence is relative: halved for all, it changes nothing.
    if whole:
        for k in range(3):
            shift[k] = target_middle[k] - middle[k]
            root[k] += shift[k]
            for j in range(NUM_POINTS):
                joints[j, k] += shift[k]
    misfit = _misfit(joints, rotations, target, weights, parts, part, depth_weight, previous,
                     previous_weight)  # fmt: skip
    for _ in range(steps):
        if misfit < _TINY * weight:
            break
        if previous_weight > 0:
            _returns(rotations, previous, global_rotations, returns)
        _descent(joints, target, weights, parts, part, whole, depth_weight, damping, returns,
                 previous_weight, turns, shift)  # fmt: skip
        _copy_all(rotations, tried)
        _turn(turns, tried, global_rotations)
        for k in range(3):
            tried_root[k] = root[k] + shift[k]
        _place(tried, rest, tried_root, tried_joints, tried_global)
        tried_misfit = _misfit(tried_joints, tried, target, weights, parts, part,
                               depth_weight, previous, previous_weight)  # fmt: skip
        if not tried_misfit < misfit:
            damping *= _MORE_DAMPING
            continue
        _copy_all(tried, rotations)
        for k in range(3):
            root[k] = tried_root[k]
        if tried_misfit > _DONE * misfit:
            break
        misfit = tried_misfit
        _copy(tried_joints, joints)
        _copy_all(tried_global, global_rotations)


@kernel(
    *(floats(3), floats(3), floats(3), floats(2), floats(4)),
    *('float64', 'float64', 'boolean', 'int64', floats(4)),
)
def solve_batch(
    target: Array,
    rest: Array,
    twist: Array,
    confidence: Array,
    previous: Array,
    previous_weight: float,
    depth_weight: float,
    adaptive: bool,
    steps: int,
    rotations: Array,
) -> None:
    """Fill rotations (B, 24, 3, 3): aim every bone, then refine by so many steps at most."""
    held = np.empty((NUM_JOINTS, 3, 3))
    rebuilt = np.empty((NUM_POINTS, 3))
    refined = np.empty((NUM_POINTS, 3))
    parts = np.empty(NUM_JOINTS, np.int64)
    global_rotations = np.empty((NUM_JOINTS, 3, 3))
    root = np.empty(3)
    weights = np.empty(NUM_POINTS)
    adaptive_again = np.bool_(_TRUE)
    for b in range(target.shape[0]):
        # Only ratios count; the products of the tiniest would be zero.
        most = 0.0
        for j in range(NUM_POINTS):
            most = max(most, confidence[b, j])
        most = most if most > 0 else 1.0
        for j in range(NUM_POINTS):
            weights[j] = confidence[b, j] / most
        holding = min(previous_weight / most, _HEAVIEST)
        # Rounding errors would grow from frame to frame where each is the next one's previous.
        _copy_all(previous[b], held)
        for i in range(NUM_JOINTS):
            _orthonormalise(held[i])
        _aim(target[b], rest[b], twist[b], weights, held, adaptive, rotations[b],
             rebuilt, global_rotations)  # fmt: skip
        if steps > 0:
            for k in range(3):
                root[k] = rebuilt[0, k]
            _divide(weights, parts)
            mover = _mover(weights, parts)
            for part in range(NUM_JOINTS):
                if parts[part] == part:
                    _refine(part, part == mover, parts, target[b], rest[b], weights, held,
                            holding, depth_weight, steps, rotations[b], root)  # fmt: skip
            # The steps turn bones about themselves as well, by chance: no joint tells twist. Left
            # alone, that would add up from frame to frame; so aim at what the steps arrived at.
            _place(rotations[b], rest[b], root, refined, global_rotations)
            _aim(refined, rest[b], twist[b], weights, held, adaptive_again, rotations[b],
                 rebuilt, global_rotations)  # fmt: skip
        for i in range(NUM_JOINTS):
            _orthonormalise(rotations[b, i])
