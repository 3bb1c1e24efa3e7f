"""One person over time: from what several cameras see to a posed body in the fixed frame."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.body import BodyModel
from hybrik_ros.fusion.gaussians import Fused, Prior, fuse
from hybrik_ros.fusion.kinds import Kind, of_one_kind
from hybrik_ros.fusion.placing import LinesOfSight
from hybrik_ros.fusion.view import LIMBS_AT, Sight
from hybrik_ros.human import Human
from hybrik_ros.kinematics import forward
from hybrik_ros.perception.estimator import BodyPoints, only_seen
from hybrik_ros.perception.hybrik import JointPoints
from hybrik_ros.perception.landmarks import LandmarkPoints
from hybrik_ros.posing import Solved, doubt_missed, move, solve_body
from hybrik_ros.settings import Settings
from hybrik_ros.skeleton import NUM_JOINTS, PELVIS
from hybrik_ros.smoothing import FilterState, VectorFilter
from hybrik_ros.tracking.track import MEMORY_SECONDS, Memory

# One-Euro filters of the landmarks relative to the hips, and of the pelvis: minimum cutoff in Hz,
# beta in Hz per m/s, cutoff of the velocity in Hz. Both move on with the motion. Rotations are not
# smoothed: they would lag.
_LANDMARK_FILTER = VectorFilter(2.0, 2.5, 3.5, predict=True)
_PELVIS_FILTER = VectorFilter(2.0, 10.0, 1.0, predict=True)
# Standard deviation in metres of where motion tells that a landmark is, and its growth in metres
# per second from a time without images on; time constant in seconds of that motion, and maximum
# time for which it continues.
_PRIOR_SIGMA, _PRIOR_GROWTH, _PRIOR_SECONDS = 0.1, 2.0, 0.05
_MOTION_SECONDS, _MAX_MOTION_SECONDS = 0.05, 0.3


@dataclass(frozen=True, eq=False)
class PersonMemory:
    """What is remembered of a person from time to time. Never changed.

    Attributes
    ----------
    body : Memory
        Shape, last rotations, position and velocity.
    kind : str
        Name of the set of landmarks.
    points : ndarray or None
        The last landmarks (N, 3) in metres, fixed frame, not smoothed.
    motion : ndarray or None
        Their velocities (N, 3) in metres per second.
    landmarks, pelvis : FilterState or None
        States of the filters of landmarks and pelvis.
    """

    body: Memory
    kind: str = ''
    points: Array | None = None
    motion: Array | None = None
    landmarks: FilterState | None = None
    pelvis: FilterState | None = None

    def predict(self, elapsed: float) -> Array:
        """Return where the landmarks (N, 3) should be after some seconds."""
        assert self.points is not None
        assert self.motion is not None
        return self.points + self.motion * min(elapsed, _MAX_MOTION_SECONDS)


@dataclass(eq=False)
class Person:
    """A person that is followed. Only `remember` changes it.

    Attributes
    ----------
    id : str
        Short, starts with a letter, never used again.
    memory : PersonMemory
        The memory of the pose.
    last : float
        Time in seconds at which the person was last seen.
    sights : sequence of Sight
        What cameras saw of the person last.
    is_placed : bool
        Whether several cameras ever saw the person at once. Of others, distance and size are what
        one camera guesses.
    """

    id: str
    memory: PersonMemory
    last: float = -np.inf
    sights: Sequence[Sight] = ()
    is_placed: bool = False

    def id_in(self, camera: str) -> str:
        """Return the id that a camera gave the person last; '' if it did not see it."""
        return next((sight.id for sight in self.sights if sight.camera == camera), '')

    @property
    def points(self) -> Array:
        """The last landmarks (N, 3) in metres, fixed frame."""
        assert self.memory.points is not None
        return self.memory.points

    @property
    def limbs(self) -> Array:
        """The last shoulders, elbows, wrists, hips, knees and ankles (12, 3) in metres."""
        return self.points[LIMBS_AT[self.memory.kind]]

    def predict(self, stamp: float) -> Array:
        """Return where the limbs (12, 3) should be at this time."""
        return self.memory.predict(stamp - self.last)[LIMBS_AT[self.memory.kind]]

    def remember(self, memory: PersonMemory, sights: Sequence[Sight], stamp: float) -> None:
        """Update the person with all that is seen at a time."""
        self.memory = memory
        self.last = stamp
        self.sights = sights
        self.is_placed |= len(sights) > 1


def pose_person(
    id: str,
    sights: Sequence[Sight],
    memory: PersonMemory,
    body: BodyModel,
    options: Settings,
    elapsed: float,
    up: Array,
) -> tuple[Human, PersonMemory]:
    """Pose a body where cameras see a person.

    Parameters
    ----------
    id : str
        Id of the person.
    sights : sequence of Sight
        What each camera sees of the person, at one time.
    memory : PersonMemory
        What is remembered of the person.
    body : BodyModel
        The body to pose.
    options : Settings
        Whether to smooth.
    elapsed : float
        Seconds since the memory; infinite for a new person.
    up : ndarray
        Unit vector (3) that points up, fixed frame.

    Returns
    -------
    human : Human
        The person, in the fixed frame.
    memory : PersonMemory
        The memory for the next time.

    Raises
    ------
    ImpossiblePoseError
        No person can look like that.
    """
    if elapsed >= MEMORY_SECONDS:
        memory = PersonMemory(replace(memory.body, rotations=None), memory.kind)
    sights, kind = of_one_kind(sights, memory.body.proportions, up)
    if memory.kind != kind.landmarks:  # The last landmarks are others.
        memory = PersonMemory(memory.body, kind.landmarks, pelvis=memory.pelvis)
    fused, lines = _fuse(kind, sights, _expect(memory, options, elapsed))
    motion = _find_motion(memory, fused.points, elapsed)
    points, state = fused.points, memory.landmarks
    if options.smoothing:
        points = _advance(points, sights, motion)
        points, state = _smooth(points, kind.hips_at, state, elapsed)
    shown = _show(kind, points, fused, sights)
    solved = solve_body(shown, memory.body, body, options, elapsed, up, lines.sight)
    confidence = 1 - math.prod(1 - sight.confidence for sight in sights)
    placed = _place(id, confidence, solved, lines, memory.pelvis, options, elapsed)
    human, moved, pelvis = placed
    return human, PersonMemory(moved, kind.landmarks, fused.points, motion, state, pelvis)


def _fuse(kind: Kind, sights: Sequence[Sight], prior: Prior | None) -> tuple[Fused, LinesOfSight]:
    """Return the landmarks of a person, and the lines of sight of the joints."""
    belief = np.array([sight.belief for sight in sights], float)
    confidence = np.array([sight.confidence for sight in sights], float)[:, None]
    seen = np.array([sight.landmark_confidence for sight in sights], float)
    depth_sigmas = np.array([sight.depth_sigmas for sight in sights], float)
    distance_sigmas = np.array([sight.distance_sigma for sight in sights], float)
    fused = fuse(
        np.array([sight.points for sight in sights]),
        np.array([sight.rays for sight in sights]),
        seen,
        confidence * np.take(belief, kind.shown_joints, axis=1),
        depth_sigmas,
        distance_sigmas,
        prior,
    )
    lines = LinesOfSight.of(
        np.array([sight.centre for sight in sights]),
        np.array([sight.rotation for sight in sights]),
        fused.weights,
        belief,
        depth_sigmas,
        distance_sigmas,
        kind.sources,
    )
    return fused, lines


def _expect(memory: PersonMemory, options: Settings, elapsed: float) -> Prior | None:
    """Return where motion tells that the landmarks are; None where it tells nothing."""
    if not options.smoothing or memory.points is None or memory.motion is None:
        return None
    growth = _PRIOR_GROWTH * max(elapsed - _PRIOR_SECONDS, 0.0)
    return Prior(memory.predict(elapsed), _PRIOR_SIGMA + growth)


def _find_motion(memory: PersonMemory, points: Array, elapsed: float) -> Array:
    """Return the velocities (N, 3) of the landmarks at this time in metres per second."""
    if memory.points is None or memory.motion is None:
        return np.zeros_like(points)
    if elapsed <= 0:
        return memory.motion
    share = -math.expm1(-elapsed / _MOTION_SECONDS)
    change = (points - memory.points) / elapsed - memory.motion
    return np.asarray(memory.motion + share * change)


def _advance(points: Array, sights: Sequence[Sight], motion: Array) -> Array:
    """Return the landmarks where they should be now, if those of some cameras are late."""
    delay = sum(sight.delay for sight in sights) / len(sights)
    return points + delay * motion if delay else points


def _smooth(
    points: Array, hips: Sequence[int], state: FilterState | None, elapsed: float
) -> tuple[Array, FilterState]:
    """Return the landmarks, smoothed relative to the hips, and the state of their filter."""
    middle = (points[hips[0]] + points[hips[1]]) / 2
    state = _LANDMARK_FILTER.step(state, points - middle, elapsed)
    return middle + state.value, state


def _show(
    kind: Kind,
    points: Array,
    fused: Fused,
    sights: Sequence[Sight],
) -> BodyPoints:
    if kind is LandmarkPoints:
        return LandmarkPoints(points, fused.confidence)
    seen = [sight.confidence * sight.twist for sight in sights if sight.twist is not None]
    twist = np.sum(seen, axis=0) if seen else np.full((NUM_JOINTS - 1, 2), np.nan)
    return JointPoints(points, fused.confidence, twist)


def _place(
    id: str,
    confidence: float,
    solved: Solved,
    lines: LinesOfSight,
    state: FilterState | None,
    options: Settings,
    elapsed: float,
) -> tuple[Human, Memory, FilterState | None]:
    """Return the solved body where its joints are seen, and what to remember of it.

    The pelvis is smoothed over time, by a filter with this state.
    """
    rest = solved.memory.proportions.rest
    joints, joint_confidence = solved.joints[:NUM_JOINTS], solved.confidence[:NUM_JOINTS]
    posed, global_rotations = forward(solved.rotations, rest)
    posed = posed[:NUM_JOINTS]
    pelvis = rest[PELVIS] + lines.locate(posed, joints, joint_confidence)
    if options.smoothing:
        state = _PELVIS_FILTER.step(state, pelvis, elapsed)
        pelvis = state.value
    memory = move(solved.memory, pelvis, elapsed)
    translation = pelvis - rest[PELVIS]
    posed = posed + translation
    velocity = memory.filters.velocity
    assert velocity is not None
    certain = lines.believed * doubt_missed(joint_confidence, lines.missed(posed, joints))
    human = Human(
        id=id,
        confidence=confidence,
        box=np.zeros(4),
        joints=posed,
        joint_confidence=only_seen(certain),
        rotations=solved.rotations.copy(),
        global_rotations=global_rotations,
        betas=memory.shape.betas.copy(),
        translation=translation,
        translation_confidence=float(joint_confidence.sum()) / NUM_JOINTS,
        velocity=velocity.value.copy(),
        joint_sigma=lines.sigmas(solved.joints),
    )
    return human, memory, state
