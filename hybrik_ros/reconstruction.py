"""From the observations of a frame to people: associate, pose, and only then remember."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array, Image
from hybrik_ros.body import BodyModel
from hybrik_ros.camera import Camera, ImpossiblePoseError
from hybrik_ros.confidence import body_confidence
from hybrik_ros.human import Human, HumanObservation
from hybrik_ros.perception.agreement import doubt_shared_limbs
from hybrik_ros.perception.depth import TorsoDistanceEstimator
from hybrik_ros.perception.description import describe
from hybrik_ros.perception.estimator import Observation, only_seen
from hybrik_ros.perception.observer import Found
from hybrik_ros.posing import Posed, pose, start_memory
from hybrik_ros.settings import Settings
from hybrik_ros.tracking import Seen, State, Track, Tracker, sight

# Factor of a translation's confidence where the intrinsics were assumed, not measured.
_ASSUMED_CONFIDENCE = 0.5
# Minimum confidence of a body that the detector has not seen lately and that is reported.
_MIN_CONFIDENCE = 0.04
# Factor of the support of a person that the detector was not sure of lately: of what is taken for a
# person in images without people, it is sure of apes only.
_NOT_SURE = 0.6


class Reconstructor:
    """Poses the people of one camera, frame after frame.

    Parameters
    ----------
    body : BodyModel
        The body that is posed.
    tracker : Tracker
        Keeps the tracks.

    Attributes
    ----------
    observations : list of Observation
        What each person of the last frame was posed from, in the order of the people: left and
        right as they were taken, depths not smoothed.
    human_observations : list of HumanObservation
        The same, as the fusion of cameras needs it.
    with_vertices : bool
        Whether the people carry vertices.
    """

    def __init__(self, body: BodyModel, tracker: Tracker) -> None:
        self.with_vertices = False
        self._body = body
        self._tracker = tracker
        self._torso = TorsoDistanceEstimator(body)
        self.forget()

    def forget(self) -> None:
        """Forget the observations of the last frame."""
        self.observations: list[Observation] = []
        self.human_observations: list[HumanObservation] = []

    def reconstruct(
        self,
        found: Sequence[Found],
        rgb: Image,
        camera: Camera,
        stamp: float,
        depth: NDArray[np.float32] | None,
        up: Array,
        settings: Settings,
    ) -> list[Human]:
        """Return the people in a frame whose tracks are confirmed.

        Parameters
        ----------
        found : sequence of Found
            Different people in the image.
        rgb : ndarray
            Image (H, W, 3), uint8.
        camera : Camera
            Camera of the image.
        stamp : float
            Time in seconds.
        depth : ndarray or None
            Depths (H, W) in metres, checked by check_depth.
        up : ndarray
            Unit vector (3) that points up, optical frame.
        settings : Settings
            Whether and how to smooth.
        """
        sighted = sight(found, rgb, camera)
        tracks = self._tracker.assign([sighting for _, sighting in sighted], stamp)
        measure = None if depth is None else partial(self._torso.estimate_ratio, depth, camera)
        people: list[tuple[Posed, Seen]] = []
        refused: list[Track] = []
        for (observation, sighting), track in zip(sighted, tracks, strict=True):
            memory = start_memory(self._body) if track is None else track.memory
            elapsed = np.inf if track is None else track.elapsed(stamp)
            try:
                posed = pose(observation, memory, self._body, settings, elapsed, measure, up)
            except ImpossiblePoseError:  # As if there had been no such frame.
                refused += [] if track is None else [track]
                continue
            people.append((posed, Seen(track, sighting, observation.next_region, posed.memory)))
        vertices = [self._vertices(posed) for posed, _ in people]
        followed = self._tracker.update([seen for _, seen in people], stamp, refused)
        return self._report([posed for posed, _ in people], followed, vertices, camera)

    def _report(
        self,
        people: Sequence[Posed],
        tracks: Sequence[Track],
        vertices: Sequence[NDArray[np.float32] | None],
        camera: Camera,
    ) -> list[Human]:
        """Return the people whose tracks are confirmed, and keep what they were posed from."""
        humans: list[Human] = []
        self.forget()
        beliefs = doubt_shared_limbs(
            [track.sighting.keypoints for track in tracks], [track.support for track in tracks]
        )
        for posed, track, skin, shared in zip(people, tracks, vertices, beliefs, strict=True):
            belief = np.minimum(track.belief, shared)
            human = _human(posed, track, belief, skin, camera)
            is_likely = track.is_supported or human.confidence >= _MIN_CONFIDENCE
            if track.state is State.TRACKED and is_likely:
                humans.append(human)
                self.observations.append(posed.observation)
                self.human_observations.append(
                    describe(posed.observation, human.id, human.confidence, belief, track.clothes)
                )
        return humans

    def _vertices(self, posed: Posed) -> NDArray[np.float32] | None:
        if not self.with_vertices:
            return None
        return self._body.vertices(posed.rotations, posed.betas, posed.translation)


def _human(
    posed: Posed,
    track: Track,
    belief: Array,
    vertices: NDArray[np.float32] | None,
    camera: Camera,
) -> Human:
    """Return the person, with joints that are believed as far as the detector and belief (24)."""
    joint_confidence = only_seen(posed.joint_confidence * belief)
    support = track.support * (1.0 if track.is_sure else _NOT_SURE)
    return Human(
        id=track.id,
        confidence=body_confidence(
            joint_confidence, posed.rotations, support, posed.observation.score
        ),
        box=posed.observation.box.copy(),
        joints=posed.joints,
        joint_confidence=joint_confidence,
        rotations=posed.rotations,
        global_rotations=posed.global_rotations,
        betas=posed.betas,
        translation=posed.translation,
        translation_confidence=posed.confidence * (_ASSUMED_CONFIDENCE if camera.assumed else 1.0),
        velocity=posed.velocity,
        vertices=vertices,
    )
