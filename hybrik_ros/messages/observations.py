"""Conversion of observations of people to messages, and back: what comes in is checked here."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.human import LANDMARK_SETS, MAX_BETA, HumanObservation
from hybrik_ros.messages.field_checks import check_id, check_name, read_confidences, read_numbers
from hybrik_ros.messages.fields import Header
from hybrik_ros.messages.people import PersonError, describe, stamp_of
from hybrik_ros.printable import printable
from hybrik_ros.skeleton import NUM_JOINTS

HUMAN_OBSERVATION = 'hybrik_ros/msg/HumanObservation'
HUMAN_OBSERVATION_ARRAY = 'hybrik_ros/msg/HumanObservationArray'

_SHOWN_CHARACTERS = 40  # maximum of a name in an error
# Maximum absolute value of a ray's x / z: 89.9 degrees off the optical axis.
_MAX_RAY = 600.0
_MAX_DEPTH = 10.0  # metres from the middle of a person to a landmark
# Limits of distances and standard deviations in metres: what a camera shows, and what does not
# divide by zero.
_MIN_DISTANCE, _MAX_DISTANCE = 0.01, 1e4
_MIN_SIGMA, _MAX_SIGMA = 1e-4, 1e4
_NUM_COLOURS, _MAX_COLOUR = 6, 300.0  # CIELAB's a and b reach 128
_NUM_TWISTS, _NUM_BETAS = NUM_JOINTS - 1, 10
_MAX_NORM_ERROR = 0.01  # of the squared length of a twist from 1
_NONE = np.zeros(0)


class ObservationsInMessage(NamedTuple):
    """The observations of a message.

    Attributes
    ----------
    body_model : str
        Name of the body model of the node that sent it.
    people : list of HumanObservation
        The valid ones.
    faults : list of str
        The reason for each person that is left out, with the stamp and the id.
    """

    body_model: str
    people: list[HumanObservation]
    faults: list[str]


class ObservationMaker:
    """Builds messages of observations from given message classes.

    Parameters
    ----------
    types : mapping
        Message classes by names such as std_msgs/msg/Header; called with all fields by keyword.
    to_floats : callable
        Converts an array of any shape to the value of a float32[] field.
    """

    def __init__(
        self, types: Mapping[str, Callable[..., Any]], to_floats: Callable[[NDArray], Any]
    ) -> None:
        self._to_floats = to_floats
        self._single, self._array = types[HUMAN_OBSERVATION], types[HUMAN_OBSERVATION_ARRAY]

    def array(
        self, observations: Sequence[HumanObservation], header: Header, body_model: str
    ) -> Any:
        """Return the HumanObservationArray of the people in an image.

        Parameters
        ----------
        observations : sequence of HumanObservation
            The people.
        header : Header
            Header of the image.
        body_model : str
            Name of the body model.
        """
        people = [self._observation(one) for one in observations]
        return self._array(header=header, body_model=body_model, people=people)

    def _observation(self, seen: HumanObservation) -> Any:
        return self._single(
            id=seen.id,
            confidence=float(seen.confidence),
            landmarks=seen.landmarks,
            rays=self._to_floats(seen.rays),
            landmark_confidence=self._to_floats(seen.landmark_confidence),
            belief=seen.belief.astype(np.float32),
            depths=self._to_floats(seen.depths),
            depth_sigmas=self._to_floats(seen.depth_sigmas),
            distance=float(seen.distance),
            distance_sigma=float(seen.distance_sigma),
            clothes=seen.clothes.ravel().astype(np.float32),
            twist=self._to_floats(_NONE if seen.twist is None else seen.twist),
            betas=self._to_floats(_NONE if seen.betas is None else seen.betas),
        )


def observations_of(message: Any) -> ObservationsInMessage:
    """Return the valid observations of a message, and what is wrong with the others.

    Parameters
    ----------
    message : hybrik_ros.msg.HumanObservationArray
        The message; any object with its fields.

    Raises
    ------
    PersonError
        The stamp is invalid, or the name of the frame or of the body model is too long.
    """
    stamp_of(message.header)
    try:
        check_name('frame_id', message.header.frame_id)
        check_name('body_model', message.body_model)
    except ValueError as error:
        raise PersonError(str(error)) from error
    people: dict[str, HumanObservation] = {}
    faults = []
    for person in message.people:
        try:
            seen = _parse(person)
            if seen.id in people:
                raise ValueError('another person of the message has the same id')
            people[seen.id] = seen
        except (ValueError, TypeError) as error:
            faults.append(describe(message.header, person.id, str(error)))
    return ObservationsInMessage(str(message.body_model), list(people.values()), faults)


def _parse(person: Any) -> HumanObservation:
    check_id(person.id)
    count = LANDMARK_SETS.get(person.landmarks)
    if count is None:
        raise ValueError(
            f"landmarks is '{printable(person.landmarks, _SHOWN_CHARACTERS)}', not one of "
            f'{", ".join(LANDMARK_SETS)}'
        )
    return HumanObservation(
        id=person.id,
        confidence=float(read_confidences('confidence', [person.confidence], 1)[0]),
        landmarks=person.landmarks,
        rays=read_numbers('rays', person.rays, 2 * count, -_MAX_RAY, _MAX_RAY).reshape(-1, 2),
        landmark_confidence=read_confidences(
            'landmark_confidence', person.landmark_confidence, count
        ),
        belief=read_confidences('belief', person.belief, NUM_JOINTS),
        depths=read_numbers('depths', person.depths, count, -_MAX_DEPTH, _MAX_DEPTH),
        depth_sigmas=read_numbers(
            'depth_sigmas', person.depth_sigmas, count, _MIN_SIGMA, _MAX_SIGMA
        ),
        distance=_read_one('distance', person.distance, _MIN_DISTANCE, _MAX_DISTANCE),
        distance_sigma=_read_one('distance_sigma', person.distance_sigma, _MIN_SIGMA, _MAX_SIGMA),
        clothes=_parse_clothes(person.clothes),
        twist=_parse_twist(person.twist),
        betas=_parse_betas(person.betas),
    )


def _read_one(name: str, value: float, minimum: float, maximum: float) -> float:
    return float(read_numbers(name, [value], 1, minimum, maximum)[0])


def _parse_clothes(values: ArrayLike) -> Array:
    """Return the colours (2, 3); a garment that is not seen has three NaN."""
    colours = np.asarray(values, float)
    if len(colours) != _NUM_COLOURS:
        raise ValueError(f'clothes has {len(colours)} entries instead of {_NUM_COLOURS}')
    garments = colours.reshape(2, 3)
    seen = garments[~np.isnan(garments).all(axis=1)]
    read_numbers('clothes', seen.ravel(), None, -_MAX_COLOUR, _MAX_COLOUR)
    return garments


def _parse_twist(values: Sequence[float]) -> Array | None:
    """Return cosines and sines (23, 2); None if there are none."""
    if not len(values):
        return None
    twist = read_numbers('twist', values, 2 * _NUM_TWISTS, -1.1, 1.1).reshape(-1, 2)
    squares = np.sum(twist**2, axis=1)
    wrong = np.flatnonzero(np.abs(squares - 1) > _MAX_NORM_ERROR)
    if len(wrong):
        joint = int(wrong[0]) + 1
        raise ValueError(
            f'the twist of joint {joint} is no cosine and sine: its length is '
            f'{np.sqrt(squares[joint - 1]):.3g}'
        )
    return twist


def _parse_betas(values: Sequence[float]) -> Array | None:
    if not len(values):
        return None
    return read_numbers('betas', values, _NUM_BETAS, -MAX_BETA, MAX_BETA)
