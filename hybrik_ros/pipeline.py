"""The whole way from an image to people: detect, estimate, solve. Knows no ROS."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.body import BodyModel
from hybrik_ros.camera import Camera, Region, locate
from hybrik_ros.inference import Runner, create_runner
from hybrik_ros.kinematics import forward, solve, twist_from_pointers
from hybrik_ros.perception import blazepose, detector
from hybrik_ros.perception.blazepose import BlazePose, Landmarks
from hybrik_ros.perception.detector import PersonDetector
from hybrik_ros.perception.landmarks import (
    SHAPE_PAIRS,
    SHAPE_SIGMAS,
    measured_lengths,
    observe,
    place_joints,
    pointers,
)
from hybrik_ros.skeleton import NUM_JOINTS, PELVIS, TRUNK
from hybrik_ros.tracking import Shape, Track

Array = NDArray[np.float64]

# Below this confidence a joint counts as inferred, not seen.
_SEEN = 0.5
# A joint that is hidden in the image is still guessed by the network better than by nothing.
_HIDDEN_WEIGHT = 0.1
# Square metres: turning a joint by one radian from its last rotation costs as much as missing a
# seen one by ten centimetres. Halves the steps that rotations make, and costs no accuracy.
_HOLD = 0.01
_WARM_UP_SIZE = 256  # pixels


@dataclass(frozen=True)
class Settings:
    """What a Pipeline can be told.

    Attributes
    ----------
    backend: that runs the networks, one of hybrik_ros.inference.BACKENDS.
    threads: CPU threads of one inference.
    body: path of a SMPL file, or empty for the embedded body.
    detector_size: longer side, pixels, of the image in which people are looked for.
    detector_threshold: least score of a person found, in [0, 1].
    presence_threshold: least score at which a person is followed on, in [0, 1].
    """

    backend: str = 'auto'
    threads: int = 1
    body: str = ''
    detector_size: int = 320
    detector_threshold: float = 0.2
    presence_threshold: float = 0.5


@dataclass(frozen=True, eq=False)
class Human:
    """One person in one frame; everything in the camera's optical frame, metres, seconds.

    Attributes
    ----------
    id: of the track.
    confidence: in [0, 1], that this is a person.
    box: (4), x_min, y_min, x_max, y_max, pixels.
    joints: (24, 3), the solved body's.
    joint_confidence: (24) in [0, 1]; 0 where a joint is inferred, not seen.
    rotations: (24, 3, 3), parent-relative; [0] maps the body's rest frame to the optical frame.
    betas: (num_betas) of the body model.
    translation: (3); a SMPL layer with these betas and rotations, moved by it, has these joints.
    velocity: (3), of the pelvis, metres per second.
    vertices: (V, 3) float32, or None where they were not asked for.
    """

    id: str
    confidence: float
    box: Array
    joints: Array
    joint_confidence: Array
    rotations: Array
    betas: Array
    translation: Array
    velocity: Array
    vertices: NDArray[np.float32] | None = None


class Pipeline:
    """Follows one person through a stream of images.

    A context manager; leaving it frees the networks.

    Attributes
    ----------
    body: the BodyModel that is posed.
    with_vertices: whether the humans carry vertices; may change from frame to frame.
    stage_seconds: how long each stage of the last frame took, by name.
    """

    def __init__(
        self, settings: Settings, body: BodyModel, detector_: Runner, landmarks: Runner
    ) -> None:
        self.body = body
        self.with_vertices = False
        self.stage_seconds: dict[str, float] = {}
        self._settings = settings
        self._runners = (detector_, landmarks)
        self._detect = PersonDetector(
            detector_, settings.detector_size, settings.detector_threshold
        )
        self._estimate = BlazePose(landmarks)
        self._track: Track | None = None
        self._stamp = -np.inf
        self._ids = 0

    @classmethod
    def create(cls, **settings: Any) -> 'Pipeline':
        """Load body and networks, and run each once, so that the first frame is not a slow one.

        The very first time on a machine this compiles the solver, which takes some 20 seconds.

        Parameters
        ----------
        settings: the fields of Settings, by name.

        Raises
        ------
        FileNotFoundError, RuntimeError, ValueError: a file or a setting is unusable; the
            message says which.
        """
        chosen = Settings(**settings)
        body = BodyModel.load(chosen.body or None)
        runners = [
            create_runner(model, chosen.backend, chosen.threads)
            for model in (detector.MODEL, blazepose.MODEL)
        ]
        for runner in runners:
            runner.activate()
        pipeline = cls(chosen, body, *runners)
        pipeline._warm_up()
        return pipeline

    def __call__(self, rgb: NDArray[np.uint8], camera: Camera, stamp: float) -> list[Human]:
        """Find the people in a frame.

        Parameters
        ----------
        rgb: (H, W, 3) uint8.
        camera: of the same width and height.
        stamp: seconds; a stamp earlier than the last one starts anew.

        Returns
        -------
        The people in it, at most one yet; empty when nobody is there.

        Raises
        ------
        ValueError: the image is no (H, W, 3) uint8, or not of the camera's size.
        """
        _check_image(rgb, camera)
        if stamp < self._stamp:
            self.reset()
        self._stamp = stamp
        self.stage_seconds = {}
        landmarks = self._look(rgb)
        if landmarks is None or self._track is None:
            return []
        with self._stage('solve'):
            try:
                return [self._solve(landmarks, camera, self._track, stamp)]
            except ValueError:  # Landmarks that no person in front of the camera can have.
                self._track = None
                return []

    def reset(self) -> None:
        """Forget everybody."""
        self._track = None

    def close(self) -> None:
        """Free the networks."""
        for runner in self._runners:
            runner.deactivate()

    def __enter__(self) -> 'Pipeline':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _warm_up(self) -> None:
        """Run everything once: kernels compile, networks allocate."""
        nobody = np.zeros((_WARM_UP_SIZE, _WARM_UP_SIZE, 3), np.uint8)
        self._detect(nobody)
        self._estimate(nobody, [Region(np.full(2, _WARM_UP_SIZE / 2), _WARM_UP_SIZE)])
        rest = self.body.rest_joints()
        self.body.vertices(solve(rest, rest), None, np.zeros(3))

    def _look(self, rgb: NDArray[np.uint8]) -> Landmarks | None:
        """Follow the person of the last frame; where there is none, find one."""
        landmarks = self._follow(rgb)
        if landmarks is not None:
            return landmarks
        with self._stage('detect'):
            people = self._detect(rgb)
        if not people:
            return None
        self._ids += 1
        shape = Shape(self.body, SHAPE_PAIRS, SHAPE_SIGMAS)
        self._track = Track(f'p{self._ids}', people[0].region(), shape)
        return self._follow(rgb)

    def _follow(self, rgb: NDArray[np.uint8]) -> Landmarks | None:
        """Return the landmarks of the tracked person, and forget a person who is gone."""
        if self._track is None:
            return None
        with self._stage('landmarks'):
            [landmarks] = self._estimate(rgb, [self._track.region])
        if landmarks.score < self._settings.presence_threshold:
            self._track = None
            return None
        self._track.region = landmarks.next_region
        return landmarks

    def _solve(self, landmarks: Landmarks, camera: Camera, track: Track, stamp: float) -> Human:
        """Turn landmarks to a posed body of fixed proportions, where the camera sees it."""
        observation = observe(landmarks, camera)
        joints, confidence = place_joints(observation, self.body, track.shape.betas)
        track.shape.measure(*measured_lengths(joints, confidence))
        betas = track.shape.betas
        rest = self.body.rest_joints(betas)
        weights = _solver_weights(confidence)
        previous = track.previous(stamp)
        twist, _ = twist_from_pointers(
            joints, rest, pointers(observation, self.body, betas), weights, previous
        )
        rotations = solve(
            joints, rest, twist, confidence=weights, previous=previous, previous_weight=_HOLD
        )
        track.rotations = rotations
        posed = forward(rotations, rest)[0][:NUM_JOINTS]
        # The bones have their own lengths now: put the whole body where its joints are seen.
        rays = joints[:NUM_JOINTS, :2] / joints[:NUM_JOINTS, 2:]
        translation = locate(posed, rays, confidence[:NUM_JOINTS])
        seen = np.where(confidence >= _SEEN, confidence, 0.0)[:NUM_JOINTS]
        posed += translation
        return Human(
            id=track.id,
            confidence=landmarks.score,
            box=_box(landmarks, camera),
            joints=posed,
            joint_confidence=seen,
            rotations=rotations,
            betas=betas,
            translation=translation,
            velocity=track.velocity(posed[PELVIS], stamp),
            vertices=(
                self.body.vertices(rotations, betas, translation) if self.with_vertices else None
            ),
        )

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        """Add the time of the enclosed code to a stage of this frame."""
        start = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - start
            self.stage_seconds[name] = self.stage_seconds.get(name, 0.0) + elapsed


def _check_image(rgb: NDArray[np.uint8], camera: Camera) -> None:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
        raise ValueError(f'rgb must be (H, W, 3) uint8, not {rgb.shape} {rgb.dtype}')
    if rgb.shape[:2] != (camera.height, camera.width):
        raise ValueError(
            f'the image has {rgb.shape[1]} x {rgb.shape[0]} pixels, '
            f'its camera {camera.width} x {camera.height}'
        )


def _solver_weights(confidence: Array) -> Array:
    """Return how much each joint (29) counts for the solver.

    Limbs outside of the image do not count. The trunk always does a little: without it nothing
    says which way is up.
    """
    weights = np.where(confidence > 0, np.maximum(confidence, _HIDDEN_WEIGHT), 0.0)
    weights[list(TRUNK)] = np.maximum(weights[list(TRUNK)], _HIDDEN_WEIGHT)
    return weights


def _box(landmarks: Landmarks, camera: Camera) -> Array:
    """Return the box around the landmarks, within the image: (4) pixels."""
    limit = np.array([camera.width, camera.height], float)
    return np.concatenate(
        [
            np.clip(landmarks.pixels.min(axis=0), 0, limit),
            np.clip(landmarks.pixels.max(axis=0), 0, limit),
        ]
    )
