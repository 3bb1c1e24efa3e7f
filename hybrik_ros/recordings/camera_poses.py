"""Where the cameras of a bag are at the times of their images, by TF."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hybrik_ros.arrays import Array
from hybrik_ros.bags import BagReader, deserialise
from hybrik_ros.bags.observation_reader import ObservedFrame
from hybrik_ros.messages.frame_tree import FrameTree, TransformError
from hybrik_ros.messages.people import TF
from hybrik_ros.recordings.recording import RecordingError

REMEDY = (
    'record /tf and /tf_static too, choose another --fixed-frame, give --extrinsics FILE of hybrik '
    'calibrate, or choose the other cameras by their topics'
)
_TF, _TF_STATIC = '/tf', '/tf_static'
# Nanoseconds after the receipt of an image until which transforms of its time are received. The
# history of a FrameTree is longer.
_LOOK_AHEAD = 5 * 10**8


def check_connected(bag: Path, fixed_frame: str, frame_ids: Mapping[str, str]) -> None:
    """Check that TF connects cameras with the fixed frame, at any time.

    Parameters
    ----------
    bag : Path
        The bag with TF.
    fixed_frame : str
        The fixed frame.
    frame_ids : mapping
        Optical frame of each camera, by its name.

    Raises
    ------
    RecordingError
        A camera is not connected.
    BagError
        The bag cannot be read.
    """
    frames = FrameTree()
    with BagReader(bag) as reader:
        for _, transforms in _read(reader, _TF_STATIC):
            frames.update(transforms, is_static=True)
        missing = _unconnected(frames, fixed_frame, frame_ids)
        for _, transforms in _read(reader, _TF):
            if not missing:
                return
            frames.update(transforms)
            missing = _unconnected(frames, fixed_frame, missing)
    if missing:
        named = ', '.join(f'{name} ({frame})' for name, frame in missing.items())
        raise RecordingError(
            f'{bag}: TF does not connect the optical frame of camera {named} with {fixed_frame!r}: '
            f'{REMEDY}'
        )


def find_poses(
    bag: Path, fixed_frame: str, seen: Sequence[ObservedFrame]
) -> list[Array | TransformError]:
    """Return the transform (4, 4) from a camera to the fixed frame at the time of each image.

    Parameters
    ----------
    bag : Path
        The bag with TF.
    fixed_frame : str
        The fixed frame.
    seen : sequence of ObservedFrame
        The images, with the same clock of receipt as the bag.

    Returns
    -------
    list of ndarray or TransformError
        For each image the transform, or why it is unknown.
    """
    found: dict[int, Array | TransformError] = {}
    waiting = deque(sorted(range(len(seen)), key=lambda number: seen[number].received))
    frames = FrameTree()

    def resolve() -> None:
        number = waiting.popleft()
        image = seen[number]
        try:
            found[number] = frames.transform_between(fixed_frame, image.frame_id, image.stamp)
        except TransformError as error:
            found[number] = error

    with BagReader(bag) as reader:
        for _, transforms in _read(reader, _TF_STATIC):
            frames.update(transforms, is_static=True)
        for time, transforms in _read(reader, _TF):
            while waiting and seen[waiting[0]].received + _LOOK_AHEAD < time:
                resolve()
            frames.update(transforms)
    while waiting:
        resolve()
    return [found[number] for number in range(len(seen))]


def read_frames(bag: Path) -> FrameTree:
    """Return all transforms in a bag; of frames that move, the last ones.

    Raises
    ------
    BagError
        The bag cannot be read.
    """
    frames = FrameTree()
    with BagReader(bag) as reader:
        for topic in (_TF, _TF_STATIC):
            for _, transforms in _read(reader, topic):
                frames.update(transforms, is_static=topic == _TF_STATIC)
    return frames


def _unconnected(
    frames: FrameTree, fixed_frame: str, frame_ids: Mapping[str, str]
) -> dict[str, str]:
    return {
        name: frame
        for name, frame in frame_ids.items()
        if frames.rotation_between(fixed_frame, frame) is None
    }


def _read(reader: BagReader, name: str) -> Iterator[tuple[int, Sequence[Any]]]:
    """Yield time of receipt and transforms of each message of TF; damaged ones are left out."""
    topic = reader.topics.get(name)
    if topic is None or topic.type_name != TF:
        return
    store = topic.types()
    for message in reader.messages({name}):
        with suppress(ValueError):
            yield message.time, deserialise(message.data, TF, store).transforms
