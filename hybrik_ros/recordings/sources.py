"""Read the images of a recording one after the other, each with its camera."""

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from hybrik_ros.bags import BagReader, Message, Topic, deserialise, typestore
from hybrik_ros.bags.reader import files_of, log_of
from hybrik_ros.bags.storage import CUT_OFF, DAMAGED_MESSAGE, closing_on_error
from hybrik_ros.camera import ASSUMED_FIELD_OF_VIEW, Camera
from hybrik_ros.media import MediaError
from hybrik_ros.media.photo import PHOTOS, PhotoError, is_still, read_photo
from hybrik_ros.media.video_file import VideoFile
from hybrik_ros.messages.calibration import Calibration, describe_assumption, read_calibration
from hybrik_ros.messages.camera_info import CameraInfoBuffer, are_rectified
from hybrik_ros.messages.exposure import ExposureCheck
from hybrik_ros.messages.fields import stamp_fields, strip_slash
from hybrik_ros.messages.images import (
    UnusableInputError,
    check_image_stamp,
    check_lengths,
    decompress,
    to_rgb,
)
from hybrik_ros.messages.mixture import MixtureFinder
from hybrik_ros.messages.people import HUMAN_MESH, HUMAN_MESH_ARRAY
from hybrik_ros.printable import printable
from hybrik_ros.recordings.image_folder import sort_files
from hybrik_ros.recordings.recording import Recording, RecordingError, is_bag, is_video
from hybrik_ros.recordings.similarity import are_unrelated
from hybrik_ros.untrusted import check_regular, describe_unreadable

_IMAGE, _COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
IMAGE_TYPES = frozenset((_IMAGE, _COMPRESSED))
_CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
# Pattern of topic names that are not those of colour images.
_NO_COLOURS = re.compile('depth|disparity|confidence|infra', re.IGNORECASE)
_RATE = 30.0  # default for folders, images per second
# Maximum number of files that are named as left out, and of notes about messages, which can each
# name another frame.
_MAX_NOTES, _MAX_MESSAGE_NOTES = 20, 100
_FRAME_ID = 'camera_optical_frame'
# Stamp of the first image of a video or folder in nanoseconds; ROS uses 0 for an unset stamp.
_FIRST_STAMP = 10**9
_SECOND = 1e9  # nanoseconds
# Maximum share of frames without a time in the file; a larger share is reported.
_MAX_ESTIMATED = 0.1

_PHOTOS_NOTE = (
    'the images differ too much for a video: each is processed alone; if they are the frames of '
    'a video, set --rate'
)
_SEQUENCE_NOTE = (
    f'the images seem to be the frames of a video: {_RATE:g} images/s are assumed, or set --rate'
)


class Picture(NamedTuple):
    """An image of a recording.

    Attributes
    ----------
    time : int
        Time of receipt in nanoseconds.
    header : Header
        The std_msgs/Header, with the stamp.
    rgb : ndarray
        Pixels (H, W, 3), uint8.
    camera : Camera
        Intrinsics of the camera.
    """

    time: int
    header: Any
    rgb: NDArray[np.uint8]
    camera: Camera


class Fault(NamedTuple):
    """The reason why something is left out.

    Attributes
    ----------
    kind : str
        Kind of the fault in a few words, by which faults are counted.
    reason : str
        Description of the fault.
    """

    kind: str
    reason: str


class Step(NamedTuple):
    """A message or an image of a recording.

    Attributes
    ----------
    message : Message or None
        The message to copy; None if messages are not copied.
    picture : Picture or None
        The image to process; None for another message, or an image that is left out.
    fault : Fault or None
        The reason why the image, or another message, is left out.
    is_image : bool
        Whether this is an image, processed or left out.
    """

    message: Message | None = None
    picture: Picture | None = None
    fault: Fault | None = None
    is_image: bool = False


class PictureSource(ABC):
    """The images of a recording. A context manager.

    Attributes
    ----------
    length : int
        Number of images according to the recording.
    files : list of Path
        Files of the recording.
    calibration_file : Path or None
        Calibration file that is used; None if camera_info or an assumed lens is used.
    copied : list of Topic
        Topics to copy.
    faults : Counter
        Number of times that damage of the files was found so far, by kind.
    notes : list of str
        Information for the user.
    are_photos : bool
        Whether each image is a picture of its own, not one of a sequence; also the only image of
        a bag or a video.
    """

    def __init__(self) -> None:
        self.length = 0
        self.files: list[Path] = []
        self.calibration_file: Path | None = None
        self.copied: list[Topic] = []
        self.faults: Counter[str] = Counter()
        self.notes: list[str] = []
        self._exposure = ExposureCheck()
        self.are_photos = False

    def __enter__(self) -> 'PictureSource':
        return self

    def __exit__(self, *_: object) -> None:
        return

    @abstractmethod
    def steps(self, skipped: int = 0) -> Iterator[Step]:
        """Yield the steps in order, the same on each call.

        Parameters
        ----------
        skipped : int
            Number of first steps to skip.

        Yields
        ------
        Step
            A message or an image.
        """

    def _note(self, text: str) -> None:
        text = printable(text)
        if text not in self.notes and len(self.notes) < _MAX_MESSAGE_NOTES:
            self.notes.append(text)

    def _camera(
        self, calibration: Calibration, rgb: NDArray[np.uint8], rectified: bool = False
    ) -> Camera:
        """Return the camera of an image by a calibration file; note what is improbable of it."""
        height, width = rgb.shape[:2]
        camera, doubts = calibration.intrinsics((width, height), rectified)
        for doubt in doubts:
            self._note(doubt)
        return camera

    def _check_exposure(self, rgb: NDArray[np.uint8]) -> None:
        if fault := self._exposure.check(rgb):
            self._note(fault)


def open_source(recording: Recording) -> PictureSource:
    """Return the source of a recording, a context manager to be entered.

    Parameters
    ----------
    recording : Recording
        The recording and its options.

    Returns
    -------
    PictureSource
        The source. Entering it raises the same errors.

    Raises
    ------
    RecordingError, MediaError, BagError, CalibrationError
        The recording or its calibration cannot be read, or an option does not apply to it.
    """
    path = recording.path
    try:
        if not path.is_dir():
            check_regular(path)
    except OSError as error:
        raise RecordingError(describe_unreadable(path, error)) from error
    if is_bag(path):
        source: PictureSource = BagSource(recording)
    elif path.is_dir() or is_still(path):
        source = _ImageSource(recording)
    else:
        source = _VideoSource(recording)
    _check_options(recording, source)
    return source


def _check_options(recording: Recording, source: PictureSource) -> None:
    """Raise a RecordingError if an option is not for recordings of this kind."""
    path = recording.path
    topics = recording.image_topic or recording.camera_info_topic or recording.copy
    if topics and not isinstance(source, BagSource):
        raise RecordingError(f'{path} is not a bag: it has no topics to choose or to copy')
    if recording.rate and not isinstance(source, _ImageSource):
        raise RecordingError(f'{path} has its own rate: --rate is for folders of images only')


class BagSource(PictureSource):
    """The images of a bag.

    Attributes
    ----------
    image : Topic
        The topic of the images, once entered.
    camera_info : Topic or None
        The topic of the calibrations, once entered; None if a file or an assumed lens is used.
    camera_info_name : str
        Its name; empty for none.
    """

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self._recording = recording
        self._reader = BagReader(recording.path)
        self.faults, self.notes = self._reader.faults, self._reader.notes
        files = files_of(recording.path)
        self.files = [*files, *filter(None, map(log_of, files))]
        self._mixture = MixtureFinder()
        self._calibration: Calibration | None = None
        if recording.calibration:
            self.calibration_file = Path(recording.calibration)
            self._calibration = read_calibration(self.calibration_file)

    def __enter__(self) -> 'BagSource':
        self._reader.__enter__()
        with closing_on_error(self._reader.__exit__):
            self._find_topics()
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.__exit__()

    @property
    def span(self) -> tuple[int, int]:
        """The times of receipt of the first and the last message in nanoseconds."""
        return self._reader.span

    def raw(self) -> Iterator[Message]:
        """Return the messages of the topics that are read, not deserialised, in order of time."""
        return self._reader.messages(self._topics)

    def steps(self, skipped: int = 0) -> Iterator[Step]:
        """Yield the steps; see PictureSource."""
        recording = self._recording
        self._exposure = ExposureCheck(self.length)
        camera_infos = CameraInfoBuffer(self.camera_info_name, self._note, self._rectified)
        for data in self._first_calibrations():
            camera_infos.take(deserialise(data, _CAMERA_INFO))
        messages = self._reader.messages(self._topics, recording.start, recording.stop)
        for number, message in enumerate(messages):
            picture = fault = None
            try:
                if message.topic == self.camera_info_name:
                    calibration = deserialise(message.data, _CAMERA_INFO)
                    camera_infos.take(calibration)
                    self._note_mixture(self._mixture.find_in_calibration(calibration))
                elif message.topic == self.image.name and number >= skipped:
                    picture = self._picture(message, camera_infos)
            except UnusableInputError as error:
                fault = Fault(error.kind, str(error))
            except ValueError as error:
                fault = Fault(DAMAGED_MESSAGE, str(error))
            if number >= skipped:
                is_image = message.topic == self.image.name
                yield Step(message if recording.copy else None, picture, fault, is_image)

    def pixels(self, message: Message) -> NDArray[np.uint8]:
        """Return the pixels of a message of the image topic.

        Parameters
        ----------
        message : Message
            The message.

        Returns
        -------
        ndarray
            RGB pixels (H, W, 3), uint8.

        Raises
        ------
        ValueError
            The message is damaged.
        """
        return self._decode(deserialise(message.data, self.image.type_name))

    def _find_topics(self) -> None:
        """Find the topics of images and calibrations, and those to copy."""
        recording, topics = self._recording, self._reader.topics
        share = self._time_share()  # Refuses a bag without messages.
        self.image = self._find_image(recording.image_topic)
        self._rectified = are_rectified(recording.intrinsics, self.image.name)
        self.length = round(self.image.length * share)
        self.are_photos = self.image.length == 1
        self.camera_info: Topic | None = None
        if self._calibration is None:
            self.camera_info = self._find_camera_info(recording.camera_info_topic)
        self.camera_info_name = self.camera_info.name if self.camera_info else ''
        self._topics = {self.image.name, self.camera_info_name} - {''}
        if recording.copy:
            made = [
                t.name for t in topics.values() if t.type_name in (HUMAN_MESH, HUMAN_MESH_ARRAY)
            ]
            if made:
                raise RecordingError(
                    f'{recording.path} already contains people ({", ".join(made)}), which cannot '
                    f'be copied beside new ones: use the original recording, or no --all-topics'
                )
            self.copied = self._reader.find_copyable()
            self._topics |= {topic.name for topic in self.copied}

    def _time_share(self) -> float:
        """Return the share of the duration of the bag that is read."""
        first, last = self.span
        start, stop = self._recording.start, self._recording.stop
        begin = first if start is None else max(start, first)
        end = last if stop is None else min(stop, last)
        return max(0, end - begin) / (last - first) if last > first else 1.0

    def _find_image(self, name: str) -> Topic:
        """Return the image topic of a name; if empty, the only topic of colour images."""
        topics = self._reader.topics
        images = {t.name: t for t in topics.values() if t.type_name in IMAGE_TYPES}
        if name:
            name = self._reader.full_name(name)
            if name not in images:
                raise self._missing_topic('image', name, images)
            return images[name]
        found = colour_topics(topics)
        if len(found) != 1:
            raise self._ambiguous_images(images, bool(found))
        [topic] = found.values()
        return topic

    def _ambiguous_images(self, images: Collection[str], are_several: bool) -> RecordingError:
        """Return the error of a bag with none or several topics of colour images."""
        notes = ''.join(f'; {note}' for note in self._reader.notes)
        if not images:
            listed = ', '.join(f'{t.name} ({t.type_name})' for t in self._reader.topics.values())
            return RecordingError(
                f'{self._recording.path} has no topic of images, only {listed or "none"}{notes}: '
                f'record a topic of sensor_msgs/msg/Image or CompressedImage'
            )
        many = 'several topics' if are_several else 'no topic'
        fusion = ', or fuse all cameras with --fixed-frame map' if are_several else ''
        return RecordingError(
            f'{self._recording.path} has {many} of colour images{notes}: choose one with '
            f'--image-topic (images are on {", ".join(images)}){fusion}'
        )

    def _find_camera_info(self, name: str) -> Topic | None:
        """Return the camera_info topic of a name; if empty, that in the namespace of the images."""
        topics = self._reader.topics
        infos = {t.name: t for t in topics.values() if t.type_name == _CAMERA_INFO and t.length}
        if name:
            name = self._reader.full_name(name)
            if name not in infos:
                raise self._missing_topic('camera_info', name, infos)
            return infos[name]
        raw = self.image.name.removesuffix('/compressed')
        beside = infos.get(f'{raw.rpartition("/")[0]}/camera_info')
        if beside is None and not self._recording.field_of_view:
            raise RecordingError(
                f'{self._recording.path} has no camera_info beside {self.image.name}, so distances '
                f'are unknown: set --camera-info-topic (found: {", ".join(infos) or "none"}), a '
                f'calibration file with --camera-info, or --field-of-view'
            )
        return beside

    def _check_origin(self, image: Any) -> None:
        """Remove slashes from the frame of an image; note what is wrong with its origin."""
        if strip_slash(image.header):
            self._note(
                'frame_ids begin with a slash, which tf2 refuses, and are used without: remove it '
                'in the driver'
            )
        self._note_mixture(self._mixture.find(image))

    def _note_mixture(self, difference: str) -> None:
        if difference:
            self._note(
                f'images of several cameras come on {self.image.name}, as {difference}. One '
                f'tracker follows people through all of them: record a topic for each camera'
            )

    def _missing_topic(self, kind: str, name: str, topics: dict[str, Topic]) -> RecordingError:
        listed = ', '.join(topics) or 'none'
        return RecordingError(f'{self._recording.path} has no {kind} topic {name}; it has {listed}')

    def _first_calibrations(self) -> Iterator[bytes | memoryview]:
        """Yield the calibrations before the part, or the first one of a whole bag."""
        if self._recording.calibrations:
            yield from self._recording.calibrations
        elif self.camera_info is not None:
            before = self.faults.copy()  # Damage found here is counted when the images are read.
            for message in self._reader.messages({self.camera_info.name}):
                if is_usable_calibration(message.data):
                    yield message.data
                    break
            self.faults.clear()
            self.faults.update(before)

    def _picture(self, message: Message, camera_infos: CameraInfoBuffer) -> Picture:
        image = deserialise(message.data, self.image.type_name)
        check_lengths(image)
        check_image_stamp(image.header)
        self._check_origin(image)
        rgb = self._decode(image)
        self._check_exposure(rgb)
        if self._calibration is not None:
            camera = self._camera(self._calibration, rgb, self._rectified)
        else:
            height, width = rgb.shape[:2]
            view = self._recording.field_of_view
            camera = camera_infos.camera_of(image.header, width, height, view)
        return Picture(message.time, image.header, rgb, camera)

    def _decode(self, image: Any) -> NDArray[np.uint8]:
        return decompress(image) if self.image.type_name == _COMPRESSED else to_rgb(image)


def colour_topics(topics: Mapping[str, Topic]) -> dict[str, Topic]:
    """Return the topics of a bag that have colour images, each camera's once, by name."""
    images = {t.name: t for t in topics.values() if t.type_name in IMAGE_TYPES}
    return {
        name: topic
        for name, topic in images.items()
        if topic.length
        and not _NO_COLOURS.search(name)
        and name.removesuffix('/compressed') not in images.keys() - {name}
    }


def is_usable_calibration(calibration: bytes | memoryview) -> bool:
    """Return whether data is a message of camera_info (CDR), undamaged and not too large."""
    try:
        check_lengths(deserialise(calibration, _CAMERA_INFO))
        return True
    except ValueError:
        return False


class _FileSource(PictureSource):
    """Images without stamps and camera_info, the first one at 1 s."""

    def __init__(self, recording: Recording, beside: Path | None) -> None:
        super().__init__()
        self._calibration: Calibration | None = None
        self._rectified = are_rectified(recording.intrinsics, '')
        self._field_of_view = recording.field_of_view or ASSUMED_FIELD_OF_VIEW
        if recording.calibration:
            self.calibration_file = Path(recording.calibration)
        elif not recording.field_of_view:
            self.calibration_file = beside
        if self.calibration_file is not None:
            self._calibration = read_calibration(self.calibration_file)
        else:
            self.notes.append(describe_assumption(self._field_of_view))

    def steps(self, skipped: int = 0) -> Iterator[Step]:
        """Yield the steps; see PictureSource."""
        types = typestore().types
        self._exposure = ExposureCheck(self.length)
        for seconds, bgr in self._images(skipped):
            time = _FIRST_STAMP + round(seconds * _SECOND)
            stamp = types['builtin_interfaces/msg/Time'](**stamp_fields(time))
            header = types['std_msgs/msg/Header'](stamp=stamp, frame_id=_FRAME_ID)
            try:
                yield Step(picture=self._picture(time, header, bgr), is_image=True)
            except UnusableInputError as error:
                yield Step(fault=Fault(error.kind, str(error)), is_image=True)

    @abstractmethod
    def _images(self, skipped: int) -> Iterator[tuple[float, NDArray[np.uint8] | str]]:
        """Yield time since the first image and BGR pixels of each; of a broken one the reason."""

    def _picture(self, time: int, header: Any, bgr: NDArray[np.uint8] | str) -> Picture:
        if isinstance(bgr, str):
            raise UnusableInputError('broken image', bgr)
        rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
        self._check_exposure(rgb)
        if self._calibration is None:
            height, width = rgb.shape[:2]
            camera = Camera.from_field_of_view(self._field_of_view, width, height)
        else:
            camera = self._camera(self._calibration, rgb, self._rectified)
        return Picture(time, header, rgb, camera)


class _VideoSource(_FileSource):
    """The frames of a video. The file of the same name with suffix .yaml is its calibration."""

    def __init__(self, recording: Recording) -> None:
        path = recording.path
        try:
            self._video = VideoFile(str(path))
        except MediaError as error:
            if is_video(path):
                raise
            raise RecordingError(
                f'{path} is neither a bag nor a photo ({", ".join(PHOTOS)}); {error}'
            ) from error
        beside = path.with_suffix('.yaml')
        super().__init__(recording, beside if beside.is_file() else None)
        self.files = [path]
        self.length = self._video.length
        self.are_photos = self._video.is_still

    def _images(self, skipped: int) -> Iterator[tuple[float, NDArray[np.uint8] | str]]:
        number = 0
        for number, frame in enumerate(self._video.frames(), 1):
            if number > skipped:
                yield frame.seconds, 'a frame cannot be decoded' if frame.bgr is None else frame.bgr
        if self._video.is_cut_off:
            self.faults[CUT_OFF] += 1
        if self._video.estimated > _MAX_ESTIMATED * number:
            self.notes.append(
                f'the file has no times for {self._video.estimated} of {number} images: they '
                f'follow each other at its nominal rate, {self._video.rate:g} images/s'
            )


class _ImageSource(_FileSource):
    """A photo, or the images of a folder in the order of their names; numbers count by value."""

    def __init__(self, recording: Recording) -> None:
        super().__init__(recording, None)
        self._rate = recording.rate or _RATE
        path = recording.path
        if path.is_dir():
            self.files, left_out = sort_files(path)
            for text in left_out:
                self._note(text)
        else:
            self.files = [path]
            read_photo(path)  # Otherwise its error would come after networks are loaded.
        self.length = len(self.files)
        is_sequence = recording.rate > 0 and len(self.files) > 1
        self.are_photos = not is_sequence and are_unrelated(self.files)
        if path.is_dir() and not recording.rate:
            self.notes.append(_PHOTOS_NOTE if self.are_photos else _SEQUENCE_NOTE)

    def _images(self, skipped: int) -> Iterator[tuple[float, NDArray[np.uint8] | str]]:
        for number, file in enumerate(self.files[skipped:], skipped):
            try:
                image: NDArray[np.uint8] | str = read_photo(file)
            except PhotoError as error:
                image = str(error)
                if len(self.notes) < _MAX_NOTES:
                    self.notes.append(f'left out: {image}')
            yield number / self._rate, image
