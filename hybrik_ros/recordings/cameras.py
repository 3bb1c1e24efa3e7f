"""The cameras of a recording: their names and their optical frames."""

import re
from collections.abc import Mapping
from contextlib import closing

from hybrik_ros.recordings.prefetch import read_ahead
from hybrik_ros.recordings.recording import Recording, RecordingError, is_bag
from hybrik_ros.recordings.sources import open_source

# What follows the name of a camera in the topics of its images and of its people.
_TOPIC_NAMES = re.compile(r'/?(image\w*|compressed|human_poses|human_observations)$')


def name_camera(topic: str) -> str:
    """Return the name of a camera by the topic of its images or its people: the namespace."""
    name = topic
    while _TOPIC_NAMES.search(name):
        name = _TOPIC_NAMES.sub('', name)
    return name.strip('/') or topic.strip('/')


def find_optical_frames(recordings: Mapping[str, Recording]) -> dict[str, str]:
    """Return the optical frame of each camera: in one bag by its first image, else by its name.

    Parameters
    ----------
    recordings : mapping
        The recording of each camera, by its name.

    Raises
    ------
    RecordingError
        A camera has no usable image, or two have the same frame.
    MediaError, BagError, CalibrationError, OSError
        A recording cannot be read.
    """
    found = {}
    paths = {recording.path for recording in recordings.values()}
    are_in_bag = len(paths) == 1 and all(map(is_bag, paths))
    for name, recording in recordings.items():
        with open_source(recording) as source, closing(read_ahead(source.steps())) as steps:
            frames = (step.picture.header.frame_id for step in steps if step.picture is not None)
            frame = next(frames, None)
        if frame is None:
            raise RecordingError(f'{recording.path} has no usable image of camera {name}')
        found[name] = frame if frame and are_in_bag else f'{name}_optical_frame'
    check_frames(found)
    return found


def check_frames(frame_ids: Mapping[str, str]) -> None:
    """Raise a RecordingError if two cameras have the same optical frame."""
    for frame in frame_ids.values():
        same = [name for name, other in frame_ids.items() if other == frame]
        if len(same) > 1:
            raise RecordingError(
                f'cameras {", ".join(same)} have the same frame_id {frame}: set another one in '
                f'each driver'
            )
