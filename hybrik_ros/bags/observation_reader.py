"""Read the observations of people in a bag, which a fusion of cameras takes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hybrik_ros.bags.topic_reader import LeftOut, read_topic
from hybrik_ros.human import Human, HumanObservation
from hybrik_ros.messages.fields import strip_slash
from hybrik_ros.messages.observations import HUMAN_OBSERVATION_ARRAY, observations_of
from hybrik_ros.messages.people import HUMAN_MESH_ARRAY, PersonError, people_of

OBSERVED_TYPES = (HUMAN_OBSERVATION_ARRAY, HUMAN_MESH_ARRAY)


@dataclass(frozen=True, eq=False)
class ObservedFrame:
    """The people in one image.

    Attributes
    ----------
    stamp, received : int
        Stamp of the image, and time of receipt of the message, in nanoseconds.
    frame_id : str
        Its optical frame.
    body_model : str
        Name of the body model of the node that sent them; empty for bodies of which there are none.
    people : sequence of HumanObservation or Human
        The people: observations, or whole bodies.
    """

    stamp: int
    received: int
    frame_id: str
    body_model: str
    people: Sequence[HumanObservation | Human]


def read_observations(path: Path, topic: str = '') -> tuple[list[ObservedFrame], LeftOut]:
    """Read the observations of one camera in a bag. Invalid messages and people are left out.

    Parameters
    ----------
    path : Path
        Path of the bag.
    topic : str
        Topic of HumanObservationArray, or of HumanMeshArray, which older bags have instead. If
        empty, the only one of the first type that the bag has.

    Returns
    -------
    tuple of list of ObservedFrame and LeftOut
        The observations in the order of their stamps, of each stamp the first message; and what is
        left out.

    Raises
    ------
    BagError
        The bag cannot be read, or has no such topic or several of them, or too many people.
    """
    readings = read_topic(path, topic, OBSERVED_TYPES, _take)
    frames: dict[int, ObservedFrame] = {}
    for reading in readings.messages:
        if reading.stamp in frames:
            readings.left_out.add(f'{reading.name}: a message before it has the same stamp')
            continue
        frames[reading.stamp] = ObservedFrame(reading.stamp, reading.received, *reading.content)
    return [frames[stamp] for stamp in sorted(frames)], readings.left_out


def _take(message: Any) -> tuple[Any, int, list[str]]:
    """Return frame_id, body and people of a message."""
    strip_slash(message.header)
    frame_id = message.header.frame_id
    if hasattr(message, 'humans'):
        bodies, faults = people_of(message)
        names = {name for _, name in bodies}
        if len(names) > 1:
            raise PersonError(f'its people have several bodies: {", ".join(sorted(names))}')
        # Poses and shapes have all that vertices say.
        people = [replace(human, vertices=None) for human, _ in bodies]
        return (frame_id, next(iter(names), ''), people), len(people), faults
    name, observations, faults = observations_of(message)
    return (frame_id, name, observations), len(observations), faults
