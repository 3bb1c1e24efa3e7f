"""The whole way from an image to people: detect, estimate, solve. Knows no ROS."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrik_ros import compiling
from hybrik_ros.body import BodyModel
from hybrik_ros.camera import Camera, Region, locate
from hybrik_ros.human import Human
from hybrik_ros.inference import Runner, open_runner
from hybrik_ros.kinematics import forward, solve
from hybrik_ros.perception import blazepose, detector, hybrik, landmarks, proof
from hybrik_ros.perception.appearance import clothing_colours
from hybrik_ros.perception.blazepose import BlazePose, Landmarks
from hybrik_ros.perception.depth import TorsoDistanceEstimator, check_depth
from hybrik_ros.perception.detector import (
    Detection,
    PersonDetector,
    region_in,
    same_box,
    same_person,
)
from hybrik_ros.perception.hybrik import Estimate, HybrIK
from hybrik_ros.perception.landmarks import (
    SEEN,
    SHAPE_PAIRS,
    SHAPE_SIGMAS,
    Observation,
    Proportions,
    measured_lengths,
)
from hybrik_ros.rotations import from_rotation_vector, to_rotation_vector
from hybrik_ros.settings import SETTINGS, Settings
from hybrik_ros.skeleton import (
    BONE_TARGETS,
    JOINT_NAMES,
    NUM_JOINTS,
    PELVIS,
    SHOULDERS,
    THREE_CHILDREN,
    TRUNK,
)
from hybrik_ros.smoothing import PoseFilter
from hybrik_ros.snapshot import from_plain, to_plain
from hybrik_ros.tracking import Shape, Sighting, State, Track, Tracker

Array = NDArray[np.float64]

_LOGGER = logging.getLogger(__name__)

MAX_PEOPLE = 6  # as many as MoveNet finds

# A joint that is hidden in the image is still guessed by the network better than by nothing.
_HIDDEN_WEIGHT = 0.1
# Metres: turning a joint by one radian from its last rotation costs as much as missing a seen
# one by twelve centimetres. Halves the steps that rotations make, and costs no accuracy.
_HOLD = 0.12**2
# The network sees six times better where in the image a joint is than how far away.
_DEPTH_WEIGHT = 1 / 6**2
# What of the trunk no landmark shows by itself.
_CORE = [joint for joint in TRUNK if joint not in SHOULDERS]
_SPINE = tuple(JOINT_NAMES.index(name) for name in ('spine1', 'spine2', 'spine3'))
_NECK = tuple(JOINT_NAMES.index(name) for name in ('neck', 'head'))
_LINKS = np.array([[len(_SPINE)], [len(_NECK)]])
_MOST_NOD = np.radians(45)  # of each joint of the neck
# With what time constant a limb that is not seen comes to rest.
_RELAX_SECONDS = 1.0
# Where the bones of each joint (24, 3) end.
_BONE_ENDS = np.array(
    [THREE_CHILDREN.get(joint, 3 * (end,)) for joint, end in enumerate(BONE_TARGETS[:NUM_JOINTS])]
)
# Metres: a joint of the solved body that is this far from where it is seen is half as sure.
_MISS = 0.15
# How much less sure a translation is by intrinsics that nobody measured.
_GUESSED = 0.5
# Who is followed is believed in until the score falls below this part of what strangers need.
_BELIEF = 0.4
_SEARCH_INTERVAL = 5  # frames, at most, between looks for somebody who is lost
_WARM_UP_SIZE = 256  # pixels


def open_detector(settings: Settings) -> Runner:
    """Load the detector's network."""
    size = settings.detector_size
    prove = partial(proof.prove_detector, size=size)
    side = detector.padded(size)
    return open_runner(detector.MODEL, settings.backend, settings.threads, prove, side)


class Pipeline:
    """Follows people through a stream of images.

    A context manager; leaving it frees the networks.

    Attributes
    ----------
    body: the BodyModel that is posed.
    facts: what runs here, to be shown to users: the networks' files, their hashes and backends.
    with_vertices: whether the humans carry vertices; may change from frame to frame.
    stage_seconds: how long each stage of the last frame took, by name.
    """

    def __init__(
        self,
        settings: Settings,
        body: BodyModel,
        finder: Runner,
        network: Runner,
        ids: Iterator[int] | None = None,
    ) -> None:
        self.body = body
        self.facts: dict[str, str] = {}
        self.with_vertices = False
        self.stage_seconds: dict[str, float] = {}
        self._settings = settings
        self._runners = (finder, network)
        self._detect = PersonDetector(finder, settings.detector_size, settings.detector_threshold)
        self._estimate: Callable[..., Sequence[Any]]
        self._observe: Callable[..., Any]
        self._region_of: Callable[[Detection], Region]
        self._region_in: Callable[[Array, Camera], Region]
        if settings.hybrik_model:
            self._estimate = HybrIK(network, settings.flip_test)
            self._observe, self._region_of = hybrik.observe, hybrik.region_of
            self._region_in = lambda box, camera: hybrik.region_around(box)
        else:
            self._estimate = BlazePose(network)
            self._observe, self._region_of = landmarks.observe, Detection.region
            self._region_in = region_in
        names = (f'{settings.id_prefix}{number}' for number in ids or count(1))
        self._tracker = Tracker(
            self._new_track, settings.confirm_after, settings.forget_after, names
        )
        self._torso = TorsoDistanceEstimator(body)
        self._frames_since_detection = 0
        self._stamp = -np.inf

    @classmethod
    def create(cls, *, ids: Iterator[int] | None = None, **settings: Any) -> 'Pipeline':
        """Load body and networks, and run each once, so that the first frame is not a slow one.

        Where `hybrik compile` was not run, the first time on a machine this compiles the solver,
        for half a minute on a PC.

        Parameters
        ----------
        ids: the numbers from which people's ids are made; 1, 2, ... if not given. Pipelines that
            share them never give one id twice.
        settings: the fields of Settings, by name.

        Raises
        ------
        FileNotFoundError, RuntimeError, ValueError: a file or a setting is unusable; the
            message says which.
        """
        chosen = Settings(**settings)
        code = threading.Thread(target=compiling.load_kernels, name='hybrik code', daemon=True)
        code.start()
        body = BodyModel.load(chosen.body or None)
        models = detector.MODEL, Path(chosen.hybrik_model or blazepose.MODEL).expanduser()
        prove_network = (
            partial(proof.prove_joints, model=models[1])
            if chosen.hybrik_model
            else partial(proof.prove_landmarks, people=MAX_PEOPLE)
        )
        runners = [
            open_detector(chosen),
            open_runner(models[1], chosen.backend, chosen.threads, prove_network),
        ]
        if chosen.hybrik_model and set(runners[1].inputs) != {'image'}:
            raise ValueError(f'{chosen.hybrik_model} is no model that `hybrik export` writes')
        pipeline = cls(chosen, body, runners[0], runners[1], ids)
        if chosen.hybrik_model and body.shape_names:
            _LOGGER.warning(
                "HybrIK's network tells the shape of SMPL's bodies, and the body %r is none: "
                'its shape is fitted to the lengths of bones. Better give a SMPL file as the body.',
                body.name,
            )
        pipeline._warm_up()
        code.join()
        pipeline.facts = {
            'body': body.name,
            **{
                f'model {model.name}': f'{sha256(model.read_bytes()).hexdigest()[:12]}, '
                f'{runner.backend}'
                for model, runner in zip(models, runners, strict=True)
            },
        }
        return pipeline

    def __call__(
        self,
        rgb: NDArray[np.uint8],
        camera: Camera,
        stamp: float,
        depth: NDArray[np.float32] | None = None,
        boxes: ArrayLike | None = None,
    ) -> list[Human]:
        """Find the people in a frame.

        Parameters
        ----------
        rgb: (H, W, 3) uint8.
        camera: of the same width and height.
        stamp: seconds; a stamp earlier than the last one starts anew.
        depth: (H, W) float32, metres, registered to the image, of its size or a whole fraction or
            multiple; NaN, infinity and what is not positive are holes. It tells how far away
            people are: along the rays of their pelvises, they are moved there. It changes neither
            their size nor their pose, and what it last said of somebody holds until it says more.
        boxes: (N, 4), x_min, y_min, x_max, y_max, pixels: the people that another detector found
            in this image, the surest first; none if it found nobody. Ours does not look then. Who
            is followed already is followed on without.

        Returns
        -------
        The people in it who have been seen for confirm_after; empty when nobody is there.

        Raises
        ------
        ValueError: the image is no (H, W, 3) uint8, or not of the camera's size; the stamp is
            not finite; the depth is no (H, W) float32, or of another size; the boxes are no
            (N, 4) finite numbers.
        """
        _check_image(rgb, camera)
        if depth is not None:
            check_depth(depth, camera)
        found = None if boxes is None else _boxes_within(boxes, camera)
        if not np.isfinite(stamp):
            raise ValueError(f'stamp must be finite, not {stamp}')
        if stamp < self._stamp:
            self.reset()
        self._stamp = stamp
        self.stage_seconds = {}
        seen = self._look(rgb, camera, stamp, found)
        with self._stage('solve'):
            tracks = self._tracker.update([person.sighting for person in seen], stamp)
            humans = []
            for person, track in zip(seen, tracks, strict=True):
                try:
                    human = self._solve(person, camera, track, stamp, depth)
                except ValueError:  # Landmarks that no person in front of the camera can have.
                    track.state = State.LOST
                    continue
                if track.state is State.TRACKED:
                    humans.append(human)
        return humans

    def adjust(self, **settings: Any) -> None:
        """Change settings between two frames; everybody is followed on.

        Parameters
        ----------
        settings: fields of Settings, by name, by name: the dynamic ones.

        Raises
        ------
        ValueError: one is out of its range, or would need another pipeline.
        """
        present = vars(self._settings)
        if all(name in present and present[name] == value for name, value in settings.items()):
            return
        chosen = replace(self._settings, **settings)
        for name, parameter in SETTINGS.items():
            if not parameter.dynamic and getattr(chosen, name) != getattr(self._settings, name):
                raise ValueError(f'{name} cannot change while the pipeline runs: create another')
        self._settings = chosen
        self._detect.threshold = chosen.detector_threshold
        self._tracker.confirm_after = chosen.confirm_after
        self._tracker.forget_after = chosen.forget_after
        for track in self._tracker.tracks:
            track.pose_filter.adjust(*_filter_settings(chosen))

    def reset(self) -> None:
        """Forget everybody."""
        self._tracker.reset()

    @property
    def knows_nobody(self) -> bool:
        """Whether all that comes will be as in a new pipeline, but for the ids."""
        return not self._tracker.tracks

    def state(self) -> Any:
        """Return what is known of people as plain data, for restore; json can store it."""
        return to_plain(
            {
                'tracks': self._tracker.tracks,
                'frames_since_detection': self._frames_since_detection,
                'stamp': self._stamp,
            }
        )

    def restore(self, state: Any) -> None:
        """Go on, to the bit, as a pipeline of the same settings would whose state this was.

        Raises
        ------
        ValueError: it is no state.
        """
        known = from_plain(state, self.body)
        try:
            self._tracker.tracks = known['tracks']
            self._frames_since_detection = known['frames_since_detection']
            self._stamp = known['stamp']
        except (KeyError, TypeError) as error:
            raise ValueError(f'this is no state of a pipeline: {error!r}') from error

    def close(self) -> None:
        """Free the networks."""
        for runner in self._runners:
            runner.close()

    def __enter__(self) -> 'Pipeline':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _warm_up(self) -> None:
        """Run everything once: kernels compile, networks allocate."""
        nobody = np.zeros((_WARM_UP_SIZE, _WARM_UP_SIZE, 3), np.uint8)
        middle = Region(np.full(2, _WARM_UP_SIZE / 2), _WARM_UP_SIZE)
        self._detect(nobody)
        # The second time in a row with as many as there can be, networks take the last memory.
        for _ in range(2):
            found = self._estimate(nobody, [middle] * MAX_PEOPLE)[0]
        # Points of nobody in particular, three metres away, and followed for a frame.
        camera = Camera.from_field_of_view(60, _WARM_UP_SIZE, _WARM_UP_SIZE)
        points = np.random.default_rng(0).normal(0, 0.3, (blazepose.NUM_LANDMARKS, 3)) + [0, 0, 3]
        rays = points[:, :2] / points[:, 2:]
        observation = Observation(points, np.ones(len(points)), rays, 3.0)
        person = _Seen(found, observation, Sighting(points[0], np.zeros(4), 0.0))
        track = self._new_track('nobody')
        self.with_vertices = True
        for stamp in (0.0, 0.1):
            self._solve(person, camera, track, stamp)
        self.with_vertices = False

    def _new_track(self, id: str) -> Track:
        pose_filter = PoseFilter(*_filter_settings(self._settings))
        shape = Shape(self.body, SHAPE_PAIRS, SHAPE_SIGMAS)
        return Track(id, shape, Proportions.of(self.body, shape.betas), pose_filter)

    def _look(
        self, rgb: NDArray[np.uint8], camera: Camera, stamp: float, boxes: Array | None
    ) -> list['_Seen']:
        """Return who is seen: where those who are followed should be, and where others are."""
        least = self._settings.presence_threshold
        expected = [track.region for track in self._tracker.expected(stamp)]
        people = self._see(rgb, camera, expected[:MAX_PEOPLE], _BELIEF * least)
        if boxes is not None:
            newcomers = self._newcomers_in(boxes, camera, people)
        elif self._must_detect(len(people)):
            newcomers = self._newcomers(rgb, people)
        else:
            return people
        newcomers = newcomers[: MAX_PEOPLE - len(people)]
        return _distinct(people + self._see(rgb, camera, newcomers, least))

    def _see(
        self, rgb: NDArray[np.uint8], camera: Camera, regions: list[Region], least: float
    ) -> list['_Seen']:
        """Return the different people in some regions whose score is high enough."""
        with self._stage('landmarks'):
            found = self._estimate(rgb, regions)
        with self._stage('solve'):
            people = [self._seen(one, rgb, camera) for one in found if one.score >= least]
            return _distinct([person for person in people if person is not None])

    def _seen(
        self, found: Landmarks | Estimate, rgb: NDArray[np.uint8], camera: Camera
    ) -> '_Seen | None':
        """Return the person that a network shows; None where nobody can be like that."""
        try:
            observation = self._observe(found, camera)
            position = observation.hips
        except ValueError:
            return None
        if not observation.shows_trunk:
            return None
        scale = camera.matrix[0, 0] / position[2]
        colours = clothing_colours(rgb, found.keypoints)
        sighting = Sighting(position, _box(found.pixels, camera), scale, colours)
        return _Seen(found, observation, sighting)

    def _must_detect(self, seen: int) -> bool:
        """Tell, once a frame, whether to look for people in the whole image.

        seen: how many were seen where they were expected.
        """
        self._frames_since_detection += 1
        followed = len(self._tracker.followed)
        interval = self._settings.detector_interval
        if self._tracker.searching:
            interval = min(interval, _SEARCH_INTERVAL)
        if followed and seen >= followed and self._frames_since_detection < interval:
            return False
        self._frames_since_detection = 0
        return True

    def _newcomers(self, rgb: NDArray[np.uint8], people: Sequence['_Seen']) -> list[Region]:
        """Return where others are than these people."""
        with self._stage('detect'):
            return [
                self._region_of(found)
                for found in self._detect(rgb)
                if not any(
                    found.is_same(person.found.keypoints, person.sighting.box) for person in people
                )
            ]

    def _newcomers_in(
        self, boxes: Array, camera: Camera, people: Sequence['_Seen']
    ) -> list[Region]:
        """Return where to look for those of others' detections (N, 4) who are not these people."""
        return [
            self._region_in(box, camera)
            for box in boxes
            if not any(same_box(box, person.sighting.box) for person in people)
        ]

    def _solve(
        self,
        person: '_Seen',
        camera: Camera,
        track: Track,
        stamp: float,
        depth: NDArray[np.float32] | None = None,
    ) -> Human:
        """Turn what is seen to a posed body of fixed proportions, where the camera sees it."""
        smooth = self._settings.smoothing
        elapsed = track.elapsed(stamp)
        previous = track.previous(stamp)
        if previous is None:
            track.pose_filter.reset()
        track.expect(person.found.next_region, elapsed)
        seen = person.observation
        if smooth:
            seen = track.untangled(seen, elapsed)
        seen = seen.with_depths(track.pose_filter.depths(seen.depths, elapsed))

        joints, confidence = seen.joints(track.proportions)
        betas = track.shape.betas
        if seen.betas is not None and not self.body.shape_names:  # SMPL's own shape space
            told = seen.betas[: self.body.num_betas]
            track.shape.believe(told, float(confidence.mean()), elapsed)
        else:
            track.shape.measure(*measured_lengths(joints, confidence), elapsed)
        if track.shape.betas is not betas:
            betas = track.shape.betas
            track.proportions = Proportions.of(self.body, betas)
        rest = track.proportions.rest
        guesses = seen.guesses(joints, confidence, track.proportions)
        weights = _solver_weights(confidence, guesses)
        held = None if previous is None else _relaxed(previous, weights, elapsed)
        twist = seen.twist(joints, track.proportions, weights, held if smooth else None)
        track.rotations = solve(
            joints, rest, twist, confidence=weights, previous=held,
            previous_weight=_HOLD if smooth else 0.0, depth_weight=_DEPTH_WEIGHT,
        )  # fmt: skip
        _bend_evenly(track.rotations, seen.head_turn(track.proportions))
        # The bones have their own lengths now: put the whole body where its joints are seen.
        rays = joints[:NUM_JOINTS, :2] / joints[:NUM_JOINTS, 2:]
        confidence = confidence[:NUM_JOINTS]
        posed = forward(track.rotations, rest)[0][:NUM_JOINTS]
        pelvis = rest[PELVIS] + locate(posed, rays, confidence)

        if pelvis[2] <= 0:
            raise ValueError('the body lies behind the camera')
        if depth is not None:
            skin = self.body.vertices(track.rotations, betas, pelvis - rest[PELVIS])
            ratio = self._torso.estimate_ratio(depth, camera, skin, confidence)
            if ratio is not None:
                track.tell_distance(ratio)
        pelvis *= track.distance_ratio
        rotations = track.pose_filter.rotations(track.rotations, elapsed)
        pelvis = track.pose_filter.position(pelvis, elapsed)
        translation = pelvis - rest[PELVIS]
        posed, global_rotations = forward(rotations, rest)
        posed = posed[:NUM_JOINTS] + translation
        # Who is of another size than their body is at its pixels where they seemed to be.
        at_pixels = posed - pelvis * (1 - 1 / track.distance_ratio)
        return Human(
            id=track.id,
            confidence=person.found.score,
            box=person.sighting.box,
            joints=posed,
            joint_confidence=_joint_confidence(confidence, at_pixels, rays),
            rotations=rotations,
            global_rotations=global_rotations,
            betas=betas,
            translation=translation,
            translation_confidence=float(confidence.mean()) * (_GUESSED if camera.assumed else 1.0),
            velocity=track.move(pelvis, stamp),
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


def _filter_settings(settings: Settings) -> tuple[float, float, float, float, bool]:
    """Return the parameters of a PoseFilter."""
    return (
        settings.rotation_min_cutoff,
        settings.rotation_beta,
        settings.bearing_min_cutoff,
        settings.bearing_beta,
        settings.smoothing,
    )


def _check_image(rgb: NDArray[np.uint8], camera: Camera) -> None:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
        raise ValueError(f'rgb must be (H, W, 3) uint8, not {rgb.shape} {rgb.dtype}')
    if rgb.shape[:2] != (camera.height, camera.width):
        raise ValueError(
            f'the image has {rgb.shape[1]} x {rgb.shape[0]} pixels, '
            f'its camera {camera.width} x {camera.height}'
        )


def _boxes_within(boxes: ArrayLike, camera: Camera) -> Array:
    """Return boxes (N, 4), pixels, cut off where the image ends, but those beside it."""
    checked = np.asarray(boxes, float)
    if not checked.size:
        return np.zeros((0, 4))
    if checked.ndim != 2 or checked.shape[1] != 4 or not np.isfinite(checked).all():
        raise ValueError(f'boxes must be (N, 4) finite numbers, pixels, not {boxes!r}')
    cut = np.clip(checked, 0, np.tile([camera.width, camera.height], 2))
    return cut[(cut[:, :2] < cut[:, 2:]).all(axis=1)]


@dataclass(frozen=True, eq=False)
class _Seen:
    """Somebody in this frame, and where."""

    found: Landmarks | Estimate
    observation: Observation | hybrik.Observation
    sighting: Sighting

    def is_same(self, other: '_Seen') -> bool:
        """Tell whether both are one person."""
        return same_person(
            self.found.keypoints,
            self.sighting.box,
            other.found.keypoints,
            other.sighting.box,
        )


def _distinct(people: Sequence[_Seen]) -> list[_Seen]:
    """Leave out who is seen twice: regions of two people may end up on one of them."""
    found: list[_Seen] = []
    for person in sorted(people, key=lambda person: -person.found.score):
        if not any(person.is_same(other) for other in found):
            found.append(person)
    return found


def _solver_weights(confidence: Array, guesses: NDArray[np.bool_]) -> Array:
    """Return how much each joint (29) counts for the solver.

    Guesses and limbs outside of the image do not. The trunk always does: without it nothing says
    which way is up. What no landmark shows of it counts as much as the surest of it, which places
    all of it.
    """
    seen = (confidence > 0) & ~guesses
    weights = np.where(seen, np.maximum(confidence, _HIDDEN_WEIGHT), 0.0)
    weights[list(TRUNK)] = np.maximum(weights[list(TRUNK)], _HIDDEN_WEIGHT)
    weights[_CORE] = weights[list(TRUNK)].max()
    return weights


def _bend_evenly(rotations: Array, head_turn: Array | None) -> None:
    """Let each joint of the spine, and of the neck, take the same share of their bending.

    Nothing that is seen lies between hips and shoulders, nor between shoulders and ears. Where
    these are seen too near to each other, short bones would fold back to make up for it.

    Parameters
    ----------
    rotations: (24, 3, 3), changed in place.
    head_turn: (3, 3), the global rotation of the head, if that is known by itself.
    """
    spine1, spine2, spine3, neck, head = rotations[list(_SPINE + _NECK)]
    spine = spine1 @ spine2 @ spine3
    nod = neck @ head if head_turn is None else (rotations[PELVIS] @ spine).T @ head_turn
    spine_share, neck_share = to_rotation_vector(np.stack([spine, nod])) / _LINKS
    neck_share *= min(1.0, _MOST_NOD / max(float(np.linalg.norm(neck_share)), _MOST_NOD))
    shares = from_rotation_vector(np.stack([spine_share, neck_share]))
    rotations[list(_SPINE)], rotations[list(_NECK)] = shares


def _relaxed(rotations: Array, weights: Array, elapsed: float) -> Array:
    """Return the rotations (24, 3, 3) of before, nearer to rest where their bones are not seen.

    A limb that leaves the image goes on as it was at first, but nobody knows for how long.

    Parameters
    ----------
    weights: (29), of the joints.
    elapsed: seconds since then.
    """
    unseen = np.flatnonzero(weights[_BONE_ENDS].max(axis=1) == 0)
    if not len(unseen):
        return rotations
    share = np.exp(-max(elapsed, 0.0) / _RELAX_SECONDS)
    relaxed = rotations.copy()
    relaxed[unseen] = from_rotation_vector(share * to_rotation_vector(rotations[unseen]))
    return relaxed


def _joint_confidence(confidence: Array, joints: Array, rays: Array) -> Array:
    """Return the confidence (24) of solved joints (24, 3); 0 where they are inferred, not seen.

    What the network says of each, less where the solved joint is off the ray of the seen one.
    """
    missed = np.linalg.norm(joints[:, :2] - rays * joints[:, 2:], axis=1)
    confidence = confidence * 0.5 ** ((missed / _MISS) ** 2)
    return np.where(confidence >= SEEN, confidence, 0.0)


def _box(points: Array, camera: Camera) -> Array:
    """Return the box around points (N, 2), within the image: (4) pixels."""
    limit = np.array([camera.width, camera.height], float)
    return np.concatenate(
        [
            np.clip(points.min(axis=0), 0, limit),
            np.clip(points.max(axis=0), 0, limit),
        ]
    )
