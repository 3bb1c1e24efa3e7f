"""Read the observations of people in a bag, which a fusion of cameras takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrik_ros.bags.topic_reader import LeftOut, read_topic
from hybrik_ros.human import HumanObservation
from hybrik_ros.messages.observations import HUMAN_OBSERVATION_ARRAY, observations_of


@dataclass(frozen=True, eq=False)
class ObservedFrame:
    """The observations in one image.

    Attributes
    ----------
    stamp : int
        Stamp of the image in nanoseconds.
    frame_id : str
        Its optical frame.
    body_model : str
        Name of the body model of the node that sent them.
    people : list of HumanObservation
        The people.
    """

    stamp: int
    frame_id: str
    body_model: str
    people: list[HumanObservation]


def read_observations(path: Path, topic: str = '') -> tuple[list[ObservedFrame], LeftOut]:
    """Read the observations in a bag. Invalid messages and people are left out.

    Parameters
    ----------
    path : Path
        Path of the bag.
    topic : str
        Topic of HumanObservationArray; the only one if empty.

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
    readings = read_topic(path, topic, (HUMAN_OBSERVATION_ARRAY,), _take)
    frames: dict[int, ObservedFrame] = {}
    for reading in readings.messages:
        frame_id, (body_model, people, _) = reading.content
        if reading.stamp in frames:
            readings.left_out.add(f'{reading.name}: a message before it has the same stamp')
            continue
        frames[reading.stamp] = ObservedFrame(reading.stamp, frame_id, body_model, people)
    return [frames[stamp] for stamp in sorted(frames)], readings.left_out


def _take(message: Any) -> tuple[Any, int, list[str]]:
    """Return the frame_id and the observations of a message."""
    found = observations_of(message)
    return (message.header.frame_id, found), len(found.people), found.faults
