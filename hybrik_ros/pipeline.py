"""One camera: from an image to people. Knows no ROS."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrik_ros import compiling
from hybrik_ros.arrays import Image
from hybrik_ros.body import BodyModel
from hybrik_ros.camera import IMAGE_UP, Camera
from hybrik_ros.human import Human, HumanObservation
from hybrik_ros.perception.depth import check_depth
from hybrik_ros.perception.detector import PersonDetector
from hybrik_ros.perception.estimator import Estimator, Observation
from hybrik_ros.perception.frame import check_image, check_stamp, check_up, clip_boxes
from hybrik_ros.perception.observer import Expectation, Observer
from hybrik_ros.perception.opening import (
    describe_networks,
    open_detector,
    open_estimator,
)
from hybrik_ros.reconstruction import Reconstructor
from hybrik_ros.settings import SETTINGS, Settings, Value
from hybrik_ros.snapshot import Plain, Snapshot, from_plain, to_plain
from hybrik_ros.timing import StageTimer
from hybrik_ros.tracking import Tracker
from hybrik_ros.warm_up import warm_up

_LOGGER = logging.getLogger(__name__)

# Time in seconds, and in intervals of the detector, for which people count as left out after a look
# that showed them; not every size does.
_LEFT_OUT_SECONDS, _LEFT_OUT_INTERVALS = 1.0, 2

compiling.require_numba()  # Missing libraries are found when this is imported, numba too.


class Pipeline:
    """Follows people through a stream of images. A context manager that frees the networks.

    Parameters
    ----------
    settings : Settings
        Settings of detection, tracking and smoothing.
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
    facts : dict
        What runs here, for users: the body, the networks' files, hashes and backends.
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
        self.facts = {'body': body.name, **describe_networks(detector, estimator)}
        self._settings = settings
        self._detector = detector
        self._estimator = estimator
        self._timer = StageTimer()
        self._observer = Observer(detector, estimator, self._timer)
        names = (f'{settings.id_prefix}{number}' for number in ids or count(1))
        self._tracker = Tracker(settings.confirm_after, settings.forget_after, names)
        self._reconstructor = Reconstructor(body, self._tracker)
        self._stamp = self._last_left_out = -np.inf

    @classmethod
    def create(cls, *, ids: Iterator[int] | None = None, **settings: Value) -> 'Pipeline':
        """Load body and networks, and run each once, so that the first frame is not a slow one.

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
        chosen = Settings.of(**settings)
        code = compiling.start_loading()
        body = BodyModel.load(chosen.body or None)
        with ExitStack() as opened:
            detector = open_detector(chosen)
            opened.callback(detector.close)
            estimator = open_estimator(chosen)
            opened.callback(estimator.close)
            _warn_of_shape(chosen, body)
            pipeline = cls(chosen, body, detector, estimator, ids)
            warm_up(detector, estimator, body, chosen)
            code.result()
            opened.pop_all()
        return pipeline

    def __call__(
        self,
        rgb: Image,
        camera: Camera,
        stamp: float,
        depth: NDArray[np.float32] | None = None,
        boxes: ArrayLike | None = None,
        *,
        up: ArrayLike | None = None,
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
            found, best first. The own detector does not run then, unless boxes came in five frames
            and none has ever held a person; tracked people need no box.
        up : array_like, optional
            Vector (3) that points up, against gravity, in the optical frame; by default the
            image's vertical. Trunks whose hips are not seen are turned towards it, no others.

        Returns
        -------
        list of Human
            The people seen for at least confirm_after.

        Raises
        ------
        ValueError
            The image is no (H, W, 3) uint8, or not of the camera's size; the camera is no Camera;
            the stamp is no finite number; the boxes are no (N, 4) finite numbers; up is no vector.
        DepthError
            A ValueError: the depth is no (H, W) float32, or of another size.
        """
        check_image(rgb, camera)
        if depth is not None:
            check_depth(depth, camera)
        found = None if boxes is None else clip_boxes(boxes, camera)
        check_stamp(stamp)
        upwards = IMAGE_UP if up is None else check_up(up)
        if stamp < self._stamp:
            self.reset()
        elapsed, self._stamp = stamp - self._stamp, stamp
        self._reconstructor.forget()
        self._timer.restart()
        tracker = self._tracker
        known = [track.expected for track in tracker.expected(stamp)]
        expected = Expectation(known, len(tracker.followed), tracker.is_searching, stamp, elapsed)
        people = self._observer.observe(rgb, camera, expected, found, self._settings)
        if self._observer.has_left_out:
            self._last_left_out = stamp
        with self._timer.measure('solve'):
            return self._reconstructor.reconstruct(
                people, rgb, camera, stamp, depth, upwards, self._settings
            )

    @property
    def observations(self) -> list[Observation]:
        """What each person of the last frame was posed from, in the order of the people."""
        return self._reconstructor.observations

    @property
    def human_observations(self) -> list[HumanObservation]:
        """The same, as the fusion of cameras needs it."""
        return self._reconstructor.human_observations

    @property
    def empty_boxes(self) -> int:
        """Number of frames with boxes of another detector since one of them held a person."""
        return self._observer.state.empty_boxes

    @property
    def is_full(self) -> bool:
        """Whether people were left out in the last second, or the detector's last two intervals."""
        hold = max(_LEFT_OUT_SECONDS, _LEFT_OUT_INTERVALS * self._settings.detector_interval)
        return self._stamp - self._last_left_out <= hold

    @property
    def with_vertices(self) -> bool:
        """Whether the people carry vertices; may be set between two frames."""
        return self._reconstructor.with_vertices

    @with_vertices.setter
    def with_vertices(self, value: bool) -> None:
        self._reconstructor.with_vertices = value

    @property
    def stage_seconds(self) -> dict[str, float]:
        """Duration of each stage of the last frame by name."""
        return self._timer.seconds

    def adjust(self, **settings: Value) -> None:
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
        if all(
            type(present.get(name)) is type(value) and present[name] == value
            for name, value in settings.items()
        ):
            return
        chosen = self._settings.changed(**settings)
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
        self._observer.reset()
        self._last_left_out = -np.inf
        self._reconstructor.forget()

    @property
    def has_tracks(self) -> bool:
        """Whether any track is known; if not, all that follows is as in a new pipeline."""
        return bool(self._tracker.tracks)

    def state(self) -> Plain:
        """Return what is known of people as plain data, for `restore`; json can store it."""
        snapshot = Snapshot(
            self._tracker.tracks, self._observer.state, self._last_left_out, self._stamp
        )
        return to_plain(snapshot, self._estimator.observation_type)

    def restore(self, state: Plain) -> None:
        """Continue as the pipeline that returned the state, to the bit, with the same settings.

        Raises
        ------
        ValueError
            It is no state, or that of another version.
        """
        known = from_plain(state, self._estimator.observation_type)
        self._tracker.tracks, self._stamp = known.tracks, known.stamp
        self._observer.state, self._last_left_out = known.observer, known.last_left_out

    def close(self) -> None:
        """Free the networks."""
        self._detector.close()
        self._estimator.close()

    def __enter__(self) -> 'Pipeline':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _warn_of_shape(settings: Settings, body: BodyModel) -> None:
    if settings.hybrik_model and body.shape_names:
        _LOGGER.warning(
            "HybrIK's network estimates shapes of SMPL bodies, and the body %r is not one: its "
            'shape is fitted to bone lengths. Set an SMPL file as the body.',
            body.name,
        )
