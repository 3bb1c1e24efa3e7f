"""From an observation and the memory of a person to a posed body. Pure: nothing is changed."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.body import BodyModel
from hybrik_ros.body.proportions import Proportions
from hybrik_ros.camera import IMAGE_UP, ImpossiblePoseError, locate
from hybrik_ros.compiling import floats, kernel
from hybrik_ros.kinematics import forward, solve
from hybrik_ros.kinematics.matrices import multiply, multiply_back
from hybrik_ros.perception.estimator import BodyPoints, Observation, only_seen
from hybrik_ros.rotations import find_rotation_vector, set_vector_rotation
from hybrik_ros.settings import Settings
from hybrik_ros.skeleton import (
    BONE_TARGETS,
    JOINT_NAMES,
    NUM_JOINTS,
    NUM_POINTS,
    PELVIS,
    SHOULDERS,
    THREE_CHILDREN,
    TRUNK,
)
from hybrik_ros.smoothing import RotationFilter, VectorFilter
from hybrik_ros.tracking.shape import (
    SHAPE_PAIRS,
    SHAPE_SIGMAS,
    ShapeEstimator,
    measure_lengths,
)
from hybrik_ros.tracking.track import GLANCE_SECONDS, MEMORY_SECONDS, FilterStates, Memory
from hybrik_ros.vectors import norm

# Returns measured over apparent distance of a body with these vertices (V, 3) and joint confidence
# (24); None where it was not measured.
MeasureDistance = Callable[[NDArray[np.float32], Array], float | None]

# The depth_weight and the sight of joints, as of solve.
Sight = tuple[ArrayLike, Array | None]
FindSight = Callable[[Array], Sight]

# Minimum weight of the trunk's joints and of seen ones: the network's guess of a hidden joint is
# better than none.
_MIN_WEIGHT = 0.1
# Square metres: a turn of one radian from the last rotation costs as much as missing a seen joint
# by 12 cm. Halves the steps of rotations at no cost of accuracy.
_PREVIOUS_WEIGHT = 0.12**2
# The network's error in depth is six times that in the image.
DEPTH_WEIGHT = 1 / 6**2
# The joints of the trunk that no landmark shows by itself.
_CORE = tuple(joint for joint in TRUNK if joint not in SHOULDERS)
_SPINE = tuple(JOINT_NAMES.index(name) for name in ('spine1', 'spine2', 'spine3'))
_NECK = tuple(JOINT_NAMES.index(name) for name in ('neck', 'head'))
_MAX_NECK_ANGLE = np.radians(45)  # of each joint of the neck
_RELAX_SECONDS = 1.0  # time constant with which a limb that is not seen comes to rest
# Radians from the T-pose, in which arms are level, to arms that hang: 15 degrees off the vertical,
# so that hands do not touch the thighs.
_ARM_DROP = np.radians(75)
_T_POSE = np.tile(np.eye(3), (NUM_JOINTS, 1, 1))
# The rotations (24, 3, 3) of limbs at rest: the T-pose with hanging arms.
_RESTING = _T_POSE.copy()
_RESTING[list(SHOULDERS), :2, :2] = [  # Kernels would be compiled while this module loads.
    [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    for angle in (-_ARM_DROP, _ARM_DROP)
]
# The ends of the bones of each joint (24, 3).
_BONE_ENDS = np.array(
    [THREE_CHILDREN.get(joint, 3 * (end,)) for joint, end in enumerate(BONE_TARGETS[:NUM_JOINTS])]
)
_HALF_CONFIDENCE_DISTANCE = 0.15  # metres from its ray at which a joint's confidence halves

# Exchanged sides: minimum distance in metres that limbs jump by, maximum speed in metres per second
# of people turning round, and maximum share of the jump that remains after an exchange.
_MIN_JUMP, _MAX_TURN_SPEED = 0.1, 3.0
_MAX_REMAINDER = 0.5
_MAX_EXCHANGED_SECONDS = 0.5  # for which sides that seem exchanged are taken for a mistake
_MIN_SAME_SECONDS = 0.15  # for which the sides must have been the same before

# One-Euro filters: minimum cutoff in Hz, and beta in Hz per unit of speed.
_DEPTH_FILTER = (1.0, 14.0)  # of landmarks, metres
_DISTANCE_FILTER = (0.3, 1.5)  # of the logarithm of the pelvis' distance
_VELOCITY_FILTER = VectorFilter(0.6, 0.1)  # of the pelvis, metres per second
# Hz: whole bodies reverse their motion less often than limbs.
_BODY_VELOCITY_CUTOFF = 0.5
_MAX_VELOCITY_SECONDS = 2.0  # between two frames that tell a velocity


@dataclass(frozen=True, eq=False)
class Posed:
    """The pose of one person, in metres and the camera's optical frame.

    Attributes
    ----------
    observation : Observation
        What it was posed from: left and right as they were taken, depths not smoothed.
    joints : ndarray
        Joints (24, 3) of the posed body.
    joint_confidence : ndarray
        Confidence (24) in [0, 1]; 0 where a joint is inferred, not seen.
    rotations, global_rotations : ndarray
        Rotations (24, 3, 3), parent-relative, and of each joint from the rest frame.
    betas : ndarray
        Shape parameters (num_betas).
    translation : ndarray
        Translation (3) of the SMPL layer.
    confidence : float
        Mean confidence of the joints, in [0, 1].
    velocity : ndarray
        Velocity (3) of the pelvis in metres per second.
    memory : Memory
        What to remember until the next frame.
    """

    observation: Observation
    joints: Array
    joint_confidence: Array
    rotations: Array
    global_rotations: Array
    betas: Array
    translation: Array
    confidence: float
    velocity: Array
    memory: Memory


class Solved(NamedTuple):
    """A body that is posed like landmarks, wherever it is.

    Attributes
    ----------
    joints, confidence : ndarray
        Joints and leaves (29, 3) in metres, as seen, and their confidence (29) in [0, 1].
    rotations : ndarray
        Parent-relative rotations (24, 3, 3), not smoothed.
    memory : Memory
        What to remember of the person.
    """

    joints: Array
    confidence: Array
    rotations: Array
    memory: Memory


@dataclass(frozen=True)
class _Filters:
    """The filters of one person, as the settings have them."""

    rotations: RotationFilter
    depths: VectorFilter
    bearing: VectorFilter
    distance: VectorFilter

    @classmethod
    def of(cls, options: Settings) -> '_Filters':
        def cutoff(hertz: float) -> float:
            return hertz if options.smoothing else np.inf

        body = _BODY_VELOCITY_CUTOFF
        return cls(
            RotationFilter(cutoff(options.rotation_min_cutoff), options.rotation_beta),
            VectorFilter(cutoff(_DEPTH_FILTER[0]), _DEPTH_FILTER[1]),
            VectorFilter(cutoff(options.bearing_min_cutoff), options.bearing_beta, body, True),
            VectorFilter(cutoff(_DISTANCE_FILTER[0]), _DISTANCE_FILTER[1], body, True),
        )


def start_memory(body: BodyModel) -> Memory:
    """Return the memory of a person never seen before: the mean body."""
    shape = _shape_estimator(body).start()
    return Memory(shape, Proportions.of(body, shape.betas))


def pose(
    observation: Observation,
    memory: Memory,
    body: BodyModel,
    options: Settings,
    elapsed: float,
    measure_distance: MeasureDistance | None = None,
    up: Array = IMAGE_UP,
) -> Posed:
    """Pose a body of fixed proportions where an observation shows it.

    Parameters
    ----------
    observation : Observation
        What a frame shows of the person.
    memory : Memory
        What is remembered of the person; `start_memory` for a new one.
    body : BodyModel
        The body to pose.
    options : Settings
        Whether and how to smooth.
    elapsed : float
        Seconds since the memory; infinite for a new person.
    measure_distance : callable, optional
        Measures how far away the body is, for example in a depth image.
    up : ndarray
        Unit vector (3) that points up, optical frame, for what is not seen of the trunk.

    Returns
    -------
    Posed
        With the memory for the next frame.

    Raises
    ------
    ImpossiblePoseError
        No person in front of the camera can look like that.
    """
    if memory.rotations is None or elapsed >= MEMORY_SECONDS:
        states = FilterStates(velocity=memory.filters.velocity)
        memory = replace(memory, rotations=None, filters=states)
    if options.smoothing:
        observation, memory = keep_sides(observation, memory, elapsed)
    smooth, memory = _smooth_depths(observation, memory, _Filters.of(options), elapsed)
    solved = solve_body(smooth, memory, body, options, elapsed, up, lambda _: (DEPTH_WEIGHT, None))
    return _place(observation, solved, body, options, elapsed, measure_distance)


def solve_body(
    points: BodyPoints,
    memory: Memory,
    body: BodyModel,
    options: Settings,
    elapsed: float,
    up: Array,
    find_sight: FindSight,
) -> Solved:
    """Return the pose of a body of the person's proportions that is like the landmarks.

    Parameters
    ----------
    points : BodyPoints
        The landmarks.
    memory : Memory
        What is remembered of the person.
    body : BodyModel
        The body to pose.
    options : Settings
        Whether to smooth.
    elapsed : float
        Seconds since the memory; infinite for a new person.
    up : ndarray
        Unit vector (3) that points up, in the frame of the landmarks.
    find_sight : callable
        Returns in which directions joints (29, 3) are known badly.
    """
    joints, confidence = points.joints(memory.proportions, up)
    memory = _update_shape(points, joints, confidence, memory, body, elapsed)
    rotations = _solve(points, joints, confidence, memory, options, elapsed, find_sight(joints))
    return Solved(joints, confidence, rotations, replace(memory, rotations=rotations))


def keep_sides(
    observation: Observation, memory: Memory, elapsed: float
) -> tuple[Observation, Memory]:
    """Return the observation with its sides as just before, and the memory of that.

    Networks sometimes exchange front and back, and left and right, above all for half bodies. No
    person turns round within a frame. Exchanged sides are accepted once they last as long as the
    sides before, or half a second.

    Parameters
    ----------
    observation : Observation
        What this frame shows of the person.
    memory : Memory
        What is remembered of the person, with the last observation.
    elapsed : float
        Seconds since the memory; infinite for a new person.

    Returns
    -------
    observation : Observation
        The same, or with left and right, front and back exchanged.
    memory : Memory
        The memory with that observation, and with how long the sides have been as they are.
    """
    last = memory.observation
    same_before, exchanged_before = memory.same_seconds, memory.exchanged_seconds
    same = exchanged = 0.0
    if last is not None and elapsed < GLANCE_SECONDS:
        jump = observation.distance_in_image(last)
        jumped = jump > max(_MIN_JUMP, _MAX_TURN_SPEED * elapsed)
        other = observation.exchanged() if jumped else observation
        fits = jumped and other.distance_in_image(last) < _MAX_REMAINDER * jump
        if not fits:
            same = same_before + elapsed
        elif _MIN_SAME_SECONDS < same_before > exchanged_before < _MAX_EXCHANGED_SECONDS:
            same, exchanged = same_before, exchanged_before + elapsed
            observation = other
    memory = replace(
        memory, observation=observation, same_seconds=same, exchanged_seconds=exchanged
    )
    return observation, memory


def _smooth_depths(
    observation: Observation, memory: Memory, filters: _Filters, elapsed: float
) -> tuple[Observation, Memory]:
    state = filters.depths.step(memory.filters.depths, observation.depths[:, None], elapsed)
    memory = replace(memory, filters=replace(memory.filters, depths=state))
    return observation.with_depths(state.value[:, 0]), memory


def _shape_estimator(body: BodyModel) -> ShapeEstimator:
    return ShapeEstimator(body, SHAPE_PAIRS, SHAPE_SIGMAS)


def _update_shape(
    points: BodyPoints,
    joints: Array,
    confidence: Array,
    memory: Memory,
    body: BodyModel,
    elapsed: float,
) -> Memory:
    """Return the memory with the shape after this frame, and its proportions."""
    if memory.shape.is_frozen:
        return memory
    estimator = _shape_estimator(body)
    if points.betas is not None and not body.shape_names:  # SMPL's own shape space
        betas = points.betas[: body.num_betas]
        shape = estimator.take_betas(memory.shape, betas, float(confidence.mean()), elapsed)
    else:
        shape = estimator.measure(memory.shape, *measure_lengths(joints, confidence), elapsed)
    if shape.betas is memory.shape.betas:
        return replace(memory, shape=shape)
    return replace(memory, shape=shape, proportions=Proportions.of(body, shape.betas))


def _solve(
    points: BodyPoints,
    joints: Array,
    confidence: Array,
    memory: Memory,
    options: Settings,
    elapsed: float,
    sight: Sight,
) -> Array:
    """Return the rotations (24, 3, 3) that pose the body like the joints (29, 3)."""
    proportions = memory.proportions
    guesses = points.guesses(joints, confidence, proportions)
    weights = _solver_weights(confidence, guesses)
    held = _relax(memory.rotations, weights, elapsed)
    is_smooth = options.smoothing and memory.rotations is not None
    twist = points.twist(joints, proportions, weights, held if is_smooth else None)
    depth_weight, directions = sight
    rotations = solve(
        joints, proportions.rest, twist, confidence=weights, previous=held,
        previous_weight=_PREVIOUS_WEIGHT if is_smooth else 0.0,
        depth_weight=depth_weight, sight=directions,
    )  # fmt: skip
    return bend_evenly(rotations, points.head_rotation(proportions))


def _place(
    observation: Observation,
    solved: Solved,
    body: BodyModel,
    options: Settings,
    elapsed: float,
    measure_distance: MeasureDistance | None,
) -> Posed:
    """Return the solved body where its joints are seen, smoothed over time."""
    joints, confidence = solved.joints[:NUM_JOINTS], solved.confidence[:NUM_JOINTS]
    rotations, memory = solved.rotations, solved.memory
    rays = joints[:, :2] / joints[:, 2:]
    rest, filters = memory.proportions.rest, _Filters.of(options)
    pelvis = _locate_pelvis(rotations, rest, rays, confidence)
    if measure_distance is not None:
        offset = pelvis - rest[PELVIS]
        vertices = body.vertices(rotations, memory.shape.betas, offset)
        memory = take_distance(memory, options, measure_distance(vertices, confidence))
    pelvis, memory = _smooth_motion(pelvis * memory.distance_ratio, memory, filters, elapsed)
    state = filters.rotations.step(memory.filters.rotations, rotations, elapsed)
    memory = replace(memory, filters=replace(memory.filters, rotations=state))
    posed, global_rotations = forward(state.value, rest)
    translation = pelvis - rest[PELVIS]
    posed = posed[:NUM_JOINTS] + translation
    # A person of another size than the body is at its pixels at the apparent distance.
    at_pixels = posed - pelvis * (1 - 1 / memory.distance_ratio)
    velocity = memory.filters.velocity
    assert velocity is not None
    return Posed(
        observation=observation,
        joints=posed,
        joint_confidence=_joint_confidence(confidence, at_pixels, rays),
        rotations=state.value.copy(),
        global_rotations=global_rotations,
        betas=memory.shape.betas.copy(),
        translation=translation,
        confidence=float(confidence.mean()),
        velocity=velocity.value.copy(),
        memory=memory,
    )


def _locate_pelvis(rotations: Array, rest: Array, rays: Array, confidence: Array) -> Array:
    """Return where the pelvis (3) is when the body's joints are nearest to their rays."""
    posed = forward(rotations, rest)[0][:NUM_JOINTS]
    pelvis = rest[PELVIS] + locate(posed, rays, confidence)
    if not pelvis[2] > 0:
        raise ImpossiblePoseError('the body lies behind the camera')
    return np.asarray(pelvis)


def take_distance(memory: Memory, options: Settings, ratio: float | None) -> Memory:
    """Return the memory with a measured distance ratio.

    The first ratio applies to all frames before, too: position and filter are moved to the measured
    distance, so that the person does not seem to move.

    Parameters
    ----------
    memory : Memory
        The memory before.
    options : Settings
        Whether and how to smooth.
    ratio : float or None
        Measured distance divided by the apparent one; None if it was not measured.

    Returns
    -------
    Memory
        The memory with the ratio; the same object if it was not measured.
    """
    if ratio is None:
        return memory
    if not memory.has_distance:
        distance = _Filters.of(options).distance.shift(memory.filters.distance, np.log([ratio]))
        position = None if memory.position is None else ratio * memory.position
        states = replace(memory.filters, distance=distance)
        memory = replace(memory, has_distance=True, filters=states, position=position)
    return replace(memory, distance_ratio=ratio)


def _smooth_motion(
    position: Array, memory: Memory, filters: _Filters, elapsed: float
) -> tuple[Array, Memory]:
    """Return the smoothed position (3) of the pelvis, and the memory with its velocity."""
    states = memory.filters
    bearing = filters.bearing.step(states.bearing, position[:2] / position[2], elapsed)
    # Of the logarithm: the error of a distance is in proportion to it.
    distance = filters.distance.step(states.distance, np.log(position[2:]), elapsed)
    smooth = np.append(bearing.value, 1.0) * np.exp(distance.value)[0]
    states = replace(states, bearing=bearing, distance=distance)
    return smooth, move(replace(memory, filters=states), smooth, elapsed)


def move(memory: Memory, position: Array, elapsed: float) -> Memory:
    """Return the memory of a person at another position, with the velocity that follows.

    The velocity is smoothed over about a quarter of a second, and zero in the first frame.

    Parameters
    ----------
    memory : Memory
        The memory before.
    position : ndarray
        Position (3) of the pelvis in metres.
    elapsed : float
        Seconds since the memory.
    """
    velocity = memory.filters.velocity
    if memory.position is None or elapsed >= _MAX_VELOCITY_SECONDS:
        velocity = _VELOCITY_FILTER.step(None, np.zeros(3), 0.0)
    elif elapsed > 0:
        velocity = _VELOCITY_FILTER.step(velocity, (position - memory.position) / elapsed, elapsed)
    states = replace(memory.filters, velocity=velocity)
    return replace(memory, filters=states, position=position.copy())


def _solver_weights(confidence: Array, guesses: NDArray[np.bool_]) -> Array:
    """Return the weight of each joint (29) for the solver.

    Guesses and limbs outside of the image have none. The trunk always has some: without it nothing
    says which way is up. What no landmark shows of it has the weight of its most certain joint,
    which places all of it.
    """
    weights = np.empty(NUM_POINTS)
    _fill_weights(confidence, guesses, weights)
    return weights


@kernel(floats(1), 'boolean[::1]', floats(1))
def _fill_weights(confidence: Array, guesses: NDArray[np.bool_], weights: Array) -> None:
    """Fill the result of _solver_weights."""
    for j in range(NUM_POINTS):
        seen = confidence[j] > 0 and not guesses[j]
        weights[j] = max(confidence[j], _MIN_WEIGHT) if seen else 0.0
    most = _MIN_WEIGHT
    for j in TRUNK:
        weights[j] = max(weights[j], _MIN_WEIGHT)
        most = max(most, weights[j])
    for j in _CORE:
        weights[j] = most


def bend_evenly(rotations: Array, head_rotation: Array | None) -> Array:
    """Return rotations in which the joints of the spine, and of the neck, share their bending.

    No landmark lies between hips and shoulders, nor between shoulders and ears. Where these are
    seen too near to each other, short bones would fold back to make up for it.

    Parameters
    ----------
    rotations : ndarray
        Parent-relative rotations (24, 3, 3).
    head_rotation : ndarray or None
        Global rotation (3, 3) of the head, if that is known by itself.
    """
    bent = rotations.copy()
    head = _T_POSE[0] if head_rotation is None else head_rotation
    _bend(head, head_rotation is not None, bent)
    return bent


@kernel(floats(2), 'boolean', floats(3))
def _bend(head_rotation: Array, is_known: bool, rotations: Array) -> None:
    """Change rotations (24, 3, 3) as bend_evenly does."""
    spine, nod, product = np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 3))
    quaternion, share = np.empty(4), np.empty(3)
    multiply(rotations[_SPINE[0]], rotations[_SPINE[1]], product)
    multiply(product, rotations[_SPINE[2]], spine)
    if is_known:
        multiply(rotations[PELVIS], spine, product)
        multiply_back(product, head_rotation, nod)
    else:
        multiply(rotations[_NECK[0]], rotations[_NECK[1]], nod)
    find_rotation_vector(spine, quaternion, share)
    for k in range(3):
        share[k] /= len(_SPINE)
    for joint in _SPINE:
        set_vector_rotation(share, rotations[joint])
    find_rotation_vector(nod, quaternion, share)
    for k in range(3):
        share[k] /= len(_NECK)
    limit = min(1.0, _MAX_NECK_ANGLE / max(norm(share), _MAX_NECK_ANGLE))
    for k in range(3):
        share[k] *= limit
    for joint in _NECK:
        set_vector_rotation(share, rotations[joint])


def _relax(rotations: Array | None, weights: Array, elapsed: float) -> Array:
    """Return the last rotations (24, 3, 3), nearer to rest where no bone of a joint is seen.

    A limb that leaves the image continues as it was at first, but its pose becomes unknown.

    Parameters
    ----------
    rotations : ndarray or None
        The last rotations (24, 3, 3); None for a new person, with all unseen limbs at rest.
    weights : ndarray
        Weights (29) of the joints.
    elapsed : float
        Seconds since then.
    """
    relaxed = _T_POSE.copy() if rotations is None else rotations.copy()
    share = 0.0 if rotations is None else math.exp(-max(elapsed, 0.0) / _RELAX_SECONDS)
    _relax_unseen(weights, share, relaxed)
    return relaxed


@kernel(floats(1), 'float64', floats(3))
def _relax_unseen(weights: Array, share: float, rotations: Array) -> None:
    """Leave a share of the angle from rest of joints (24, 3, 3) of which no bone is seen."""
    away, turn = np.empty((3, 3)), np.empty(3)
    quaternion = np.empty(4)
    for i in range(NUM_JOINTS):
        ends = _BONE_ENDS[i]
        if max(weights[ends[0]], weights[ends[1]], weights[ends[2]]) == 0:
            multiply_back(_RESTING[i], rotations[i], away)
            find_rotation_vector(away, quaternion, turn)
            for k in range(3):
                turn[k] *= share
            set_vector_rotation(turn, away)
            multiply(_RESTING[i], away, rotations[i])


def _joint_confidence(confidence: Array, joints: Array, rays: Array) -> Array:
    """Return the confidence (24) of solved joints (24, 3); 0 where they are inferred, not seen.

    It is the network's, and less where the solved joint is off the ray of the seen one.
    """
    missed = np.linalg.norm(joints[:, :2] - rays * joints[:, 2:], axis=1)
    return only_seen(doubt_missed(confidence, missed))


def doubt_missed(confidence: Array, distances: Array) -> Array:
    """Return confidences, less where the solved joint is off the ray by a distance in metres."""
    return np.asarray(confidence * 0.5 ** ((distances / _HALF_CONFIDENCE_DISTANCE) ** 2))
