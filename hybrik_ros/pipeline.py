"""One camera: from an image to people. Knows no ROS."""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from hashlib import sha256
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrik_ros import compiling
from hybrik_ros.arrays import Array, Image
from hybrik_ros.body import BodyModel
from hybrik_ros.camera import Camera, ImpossiblePoseError, Region
from hybrik_ros.human import Human
from hybrik_ros.perception import blazepose
from hybrik_ros.perception.appearance import clothing_colours
from hybrik_ros.perception.depth import TorsoDistanceEstimator, check_depth
from hybrik_ros.perception.detector import PersonDetector, same_box, same_person
from hybrik_ros.perception.estimator import Estimator, Observation
from hybrik_ros.perception.landmarks import LandmarkObservation
from hybrik_ros.perception.opening import MAX_PEOPLE, open_detector, open_estimator
from hybrik_ros.posing import Posed, pose, start_memory
from hybrik_ros.settings import SETTINGS, Settings
from hybrik_ros.snapshot import from_plain, to_plain
from hybrik_ros.tracking import Seen, Sighting, State, Track, Tracker

_LOGGER = logging.getLogger(__name__)

# Factor of a translation's confidence where the intrinsics were assumed, not measured.
_ASSUMED_CONFIDENCE = 0.5
# Hysteresis: keep a tracked person while the score exceeds this fraction of presence_threshold.
_HYSTERESIS = 0.4
_SEARCH_INTERVAL = 5  # maximum frames between two runs of the detector while a track is lost
_WARM_UP_SIZE = 256  # pixels


class Pipeline:
    """Follows people through a stream of images. A context manager that frees the networks.

    Parameters
    ----------
    settings : Settings
        What it can be told.
    body : BodyModel
        The body that is posed.
    detector : PersonDetector
        Finds people; the pipeline closes it.
    estimator : Estimator
        Observes them; the pipeline closes it.
    ids : iterator of int, optional
        Numbers of person ids: 1, 2, ... by default. Pipelines that share them never give one id
        twice.

    Attributes
    ----------
    body : BodyModel
        The body that is posed.
    observations : list of Observation
        What each person of the last frame was posed from, in the order of the people.
    facts : dict
        What runs here, for users: the body, the networks' files, hashes and backends.
    with_vertices : bool
        Whether the people carry vertices; may change from frame to frame.
    stage_seconds : dict
        Duration of each stage of the last frame by name.
    """

    def __init__(
        self,
        settings: Settings,
        body: BodyModel,
        detector: PersonDetector,
        estimator: Estimator,
        ids: Iterator[int] | None = None,
    ) -> None:
        self.body = body
        self.observations: list[Observation] = []
        self.facts = _facts(body, detector, estimator)
        self.with_vertices = False
        self.stage_seconds: dict[str, float] = {}
        self._settings = settings
        self._detector = detector
        self._estimator = estimator
        names = (f'{settings.id_prefix}{number}' for number in ids or count(1))
        self._tracker = Tracker(settings.confirm_after, settings.forget_after, names)
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
        ids : iterator of int, optional
            As of the class.
        **settings
            Fields of Settings.

        Raises
        ------
        FileNotFoundError, RuntimeError, ValueError
            A file or a setting is unusable; the message says which. Nothing stays loaded.
        """
        chosen = Settings(**settings)
        code = threading.Thread(target=compiling.load_kernels, name='hybrik code', daemon=True)
        code.start()
        body = BodyModel.load(chosen.body or None)
        with ExitStack() as opened:
            detector = open_detector(chosen)
            opened.callback(detector.close)
            estimator = open_estimator(chosen)
            opened.callback(estimator.close)
            if chosen.hybrik_model and body.shape_names:
                _LOGGER.warning(
                    "HybrIK's network estimates the shape of SMPL bodies, and the body %r is none: "
                    'its shape is fitted to bone lengths. Set an SMPL file as the body.',
                    body.name,
                )
            pipeline = cls(chosen, body, detector, estimator, ids)
            pipeline._warm_up()
            opened.pop_all()
        code.join()
        return pipeline

    def __call__(
        self,
        rgb: Image,
        camera: Camera,
        stamp: float,
        depth: NDArray[np.float32] | None = None,
        boxes: ArrayLike | None = None,
    ) -> list[Human]:
        """Find the people in a frame.

        Parameters
        ----------
        rgb : ndarray
            Image (H, W, 3), uint8.
        camera : Camera
            Camera of the same width and height.
        stamp : float
            Time in seconds; a stamp earlier than the last one resets all tracks.
        depth : ndarray, optional
            Depths (H, W), float32, in metres, registered to the image, of its size or a whole
            fraction or multiple; NaN, infinity and values that are not positive are holes. People
            are moved along the rays of their pelvises to the measured distance, which changes
            neither their size nor their pose, and holds until the next measurement.
        boxes : array_like, optional
            Boxes (N, 4): x_min, y_min, x_max, y_max in pixels: the people that another detector
            found in this image, best first; empty if it found none. The own detector does not run
            then. People who are tracked already are tracked on without.

        Returns
        -------
        list of Human
            The people who have been seen for confirm_after.

        Raises
        ------
        ValueError
            The image is no (H, W, 3) uint8, or not of the camera's size; the stamp is not finite;
            the boxes are no (N, 4) finite numbers.
        DepthError
            A ValueError: the depth is no (H, W) float32, or of another size.
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
        observations = self._observe(rgb, camera, stamp, found)
        with self._stage('solve'):
            return self._follow(observations, rgb, camera, stamp, depth)

    def adjust(self, **settings: Any) -> None:
        """Change settings between two frames; all tracks stay.

        Parameters
        ----------
        **settings
            Dynamic fields of Settings.

        Raises
        ------
        ValueError
            A value is out of its range, or would need another pipeline.
        """
        present = vars(self._settings)
        if all(name in present and present[name] == value for name, value in settings.items()):
            return
        chosen = replace(self._settings, **settings)
        for name, parameter in SETTINGS.items():
            if not parameter.dynamic and getattr(chosen, name) != getattr(self._settings, name):
                raise ValueError(f'{name} cannot change while the pipeline runs: create another')
        self._settings = chosen
        self._detector.threshold = chosen.detector_threshold
        self._tracker.confirm_after = chosen.confirm_after
        self._tracker.forget_after = chosen.forget_after

    def reset(self) -> None:
        """Forget all tracks."""
        self._tracker.reset()

    @property
    def has_tracks(self) -> bool:
        """Whether any track is known; if not, all that follows is as in a new pipeline."""
        return bool(self._tracker.tracks)

    def state(self) -> Any:
        """Return what is known of people as plain data, for `restore`; json can store it."""
        return to_plain(
            {
                'tracks': self._tracker.tracks,
                'frames_since_detection': self._frames_since_detection,
                'stamp': self._stamp,
            }
        )

    def restore(self, state: Any) -> None:
        """Continue, to the bit, as the pipeline of the same settings whose state this was.

        Raises
        ------
        ValueError
            It is no state, or that of another version.
        """
        known = from_plain(state)
        try:
            tracks, frames, stamp = (
                known[name] for name in ('tracks', 'frames_since_detection', 'stamp')
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f'this is no state of a pipeline: {error!r}') from error
        self._tracker.tracks, self._frames_since_detection, self._stamp = tracks, frames, stamp

    def close(self) -> None:
        """Free the networks."""
        self._detector.close()
        self._estimator.close()

    def __enter__(self) -> 'Pipeline':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _warm_up(self) -> None:
        """Run everything once: kernels compile, networks allocate."""
        blank = np.zeros((_WARM_UP_SIZE, _WARM_UP_SIZE, 3), np.uint8)
        camera = Camera.from_field_of_view(60, _WARM_UP_SIZE, _WARM_UP_SIZE)
        middle = Region(np.full(2, _WARM_UP_SIZE / 2), _WARM_UP_SIZE)
        self._detector(blank)
        # The second time in a row with as many people as there can be, networks take the last
        # memory.
        for _ in range(2):
            self._estimator.observe(blank, [middle] * MAX_PEOPLE, camera, 0.0)
        memory = start_memory(self.body)
        for elapsed in (np.inf, 0.1):
            posed = pose(_random_observation(middle), memory, self.body, self._settings, elapsed)
            memory = posed.memory
        self.body.vertices(posed.rotations, posed.betas, posed.translation)

    def _observe(
        self, rgb: Image, camera: Camera, stamp: float, boxes: Array | None
    ) -> list[Observation]:
        """Observe the tracked people where they are expected, and new ones where they are found."""
        threshold = self._settings.presence_threshold
        expected = [track.region for track in self._tracker.expected(stamp)]
        people = self._look(rgb, camera, expected[:MAX_PEOPLE], _HYSTERESIS * threshold)
        if boxes is not None:
            regions = self._new_regions_in(boxes, camera, people)
        elif self._must_detect(len(people)):
            regions = self._new_regions(rgb, people)
        else:
            return people
        regions = regions[: MAX_PEOPLE - len(people)]
        return _distinct(people + self._look(rgb, camera, regions, threshold))

    def _look(
        self, rgb: Image, camera: Camera, regions: list[Region], min_score: float
    ) -> list[Observation]:
        """Observe the different people in some regions."""
        with self._stage('landmarks'):
            found = self._estimator.observe(rgb, regions, camera, min_score)
            return _distinct([person for person in found if person.shows_trunk])

    def _must_detect(self, seen: int) -> bool:
        """Return, once per frame, whether to run the detector.

        Parameters
        ----------
        seen : int
            Number of people seen where they were expected.
        """
        self._frames_since_detection += 1
        followed = len(self._tracker.followed)
        interval = self._settings.detector_interval
        if self._tracker.is_searching:
            interval = min(interval, _SEARCH_INTERVAL)
        if followed and seen >= followed and self._frames_since_detection < interval:
            return False
        self._frames_since_detection = 0
        return True

    def _new_regions(self, rgb: Image, people: Sequence[Observation]) -> list[Region]:
        """Return the regions of detections that are none of these people."""
        with self._stage('detect'):
            return [
                self._estimator.region_of(found)
                for found in self._detector(rgb)
                if not any(found.is_same(person.keypoints, person.box) for person in people)
            ]

    def _new_regions_in(
        self, boxes: Array, camera: Camera, people: Sequence[Observation]
    ) -> list[Region]:
        """Return the regions of another detector's boxes (N, 4) that are none of these people."""
        return [
            self._estimator.region_around(box, camera)
            for box in boxes
            if not any(same_box(box, person.box) for person in people)
        ]

    def _follow(
        self,
        observations: Sequence[Observation],
        rgb: Image,
        camera: Camera,
        stamp: float,
        depth: NDArray[np.float32] | None,
    ) -> list[Human]:
        """Pose the people that were observed, and only then take them in."""
        sighted = _sight(observations, rgb, camera)
        tracks = self._tracker.assign([sighting for _, sighting in sighted], stamp)
        measure = None if depth is None else partial(self._torso.estimate_ratio, depth, camera)
        people: list[tuple[Observation, Posed, Seen]] = []
        for (observation, sighting), track in zip(sighted, tracks, strict=True):
            memory = start_memory(self.body) if track is None else track.memory
            elapsed = np.inf if track is None else track.elapsed(stamp)
            try:
                posed = pose(observation, memory, self.body, self._settings, elapsed, measure)
            except ImpossiblePoseError:  # Nothing is known of it: the person was not seen.
                continue
            seen = Seen(track, sighting, observation.next_region, posed.memory)
            people.append((observation, posed, seen))
        followed = self._tracker.update([seen for _, _, seen in people], stamp)
        reported = [
            (observation, posed, track)
            for (observation, posed, _), track in zip(people, followed, strict=True)
            if track.state is State.TRACKED
        ]
        self.observations = [observation for observation, _, _ in reported]
        return [self._human(*person, camera) for person in reported]

    def _human(self, observation: Observation, posed: Posed, track: Track, camera: Camera) -> Human:
        factor = _ASSUMED_CONFIDENCE if camera.assumed else 1.0
        vertices = None
        if self.with_vertices:
            vertices = self.body.vertices(posed.rotations, posed.betas, posed.translation)
        return Human(
            id=track.id,
            confidence=observation.score,
            box=observation.box,
            joints=posed.joints,
            joint_confidence=posed.joint_confidence,
            rotations=posed.rotations,
            global_rotations=posed.global_rotations,
            betas=posed.betas,
            translation=posed.translation,
            translation_confidence=posed.confidence * factor,
            velocity=posed.velocity,
            vertices=vertices,
        )

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        """Add the duration of the enclosed code to a stage of this frame."""
        start = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - start
            self.stage_seconds[name] = self.stage_seconds.get(name, 0.0) + elapsed


def _facts(body: BodyModel, *networks: PersonDetector | Estimator) -> dict[str, str]:
    """Return what runs here, by name."""
    facts = {'body': body.name}
    for network in networks:
        digest = sha256(network.model.read_bytes()).hexdigest()[:12]
        facts[f'model {network.model.name}'] = f'{digest}, {network.backend}'
    return facts


def _random_observation(region: Region) -> LandmarkObservation:
    """Return an observation of random landmarks, three metres away."""
    shape = blazepose.NUM_LANDMARKS, 3
    points = np.random.default_rng(0).normal(0, 0.3, shape) + [0, 0, 3]
    rays = points[:, :2] / points[:, 2:]
    sure = np.ones(len(points))
    return LandmarkObservation(
        1.0, np.zeros(4), np.zeros((17, 2)), region, points, sure, rays, distance=3.0
    )


def _sight(
    observations: Sequence[Observation], rgb: Image, camera: Camera
) -> list[tuple[Observation, Sighting]]:
    """Return where each person is, those whose hips lie behind the camera left out."""
    found = []
    for observation in observations:
        try:
            position = observation.hips
        except ImpossiblePoseError:
            continue
        scale = camera.matrix[0, 0] / position[2]
        clothes = clothing_colours(rgb, observation.keypoints)
        found.append((observation, Sighting(position, observation.box, scale, clothes)))
    return found


def _distinct(people: Sequence[Observation]) -> list[Observation]:
    """Leave out people seen twice: regions of two people may end up on one of them."""
    found: list[Observation] = []
    for person in sorted(people, key=lambda person: -person.score):
        if not any(
            same_person(person.keypoints, person.box, other.keypoints, other.box) for other in found
        ):
            found.append(person)
    return found


def _check_image(rgb: Image, camera: Camera) -> None:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
        raise ValueError(f'rgb must be (H, W, 3) uint8, not {rgb.shape} {rgb.dtype}')
    if rgb.shape[:2] != (camera.height, camera.width):
        raise ValueError(
            f'the image has {rgb.shape[1]} x {rgb.shape[0]} pixels, '
            f'its camera {camera.width} x {camera.height}'
        )


def _boxes_within(boxes: ArrayLike, camera: Camera) -> Array:
    """Return boxes (N, 4) in pixels, clipped to the image; those outside are left out."""
    checked = np.asarray(boxes, float)
    if not checked.size:
        return np.zeros((0, 4))
    if checked.ndim != 2 or checked.shape[1] != 4 or not np.isfinite(checked).all():
        raise ValueError(f'boxes must be (N, 4) finite numbers, pixels, not {boxes!r}')
    cut = np.clip(checked, 0, np.tile([camera.width, camera.height], 2))
    return cut[(cut[:, :2] < cut[:, 2:]).all(axis=1)]
