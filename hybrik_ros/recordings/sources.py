"""The images of a recording, one after the other, each with its camera."""

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from hybrik_ros.bags import BagReader, Message, Topic, deserialise, typestore
from hybrik_ros.bags.reader import CUT_OFF, DAMAGED_MESSAGE, by_number, files_of, log_of
from hybrik_ros.camera import Camera
from hybrik_ros.messages.calibration import Calibration, read_calibration
from hybrik_ros.messages.camera_info import CameraInfoBuffer
from hybrik_ros.messages.fields import stamp_fields
from hybrik_ros.messages.images import UnusableInputError, decompress, to_rgb
from hybrik_ros.messages.people import HUMAN_MESH, HUMAN_MESH_ARRAY
from hybrik_ros.recordings.recording import IMAGES, Recording, RecordingError, is_bag

_IMAGE, _COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
_CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
_NO_COLOURS = re.compile('depth|disparity|confidence|infra', re.IGNORECASE)
_RATE = 30.0  # images a second, of a folder
_FIELD_OF_VIEW = 60.0  # degrees, of a video of which nobody knows more, as `hybrik video` takes it
_FRAME_ID = 'camera_optical_frame'
_FIRST_STAMP = 10**9  # nanoseconds; for ROS, 0 is no time at all
_SECOND = 1e9


class Picture(NamedTuple):
    """An image of a recording.

    Attributes
    ----------
    time: nanoseconds, of its receipt.
    header: std_msgs/Header.
    rgb: (H, W, 3) uint8.
    camera: that took it.
    """

    time: int
    header: Any
    rgb: NDArray[np.uint8]
    camera: Camera


class Fault(NamedTuple):
    """Why something is left out.

    Attributes
    ----------
    kind: short, the same for all with the same fault.
    reason: in full.
    """

    kind: str
    reason: str


class Step(NamedTuple):
    """What comes next in a recording.

    Attributes
    ----------
    message: to be copied; None where nothing is.
    picture: None where there is none.
    fault: why not, where there should be one, or why something else is left out.
    is_image: whether this is an image, be it left out.
    """

    message: Message | None = None
    picture: Picture | None = None
    fault: Fault | None = None
    is_image: bool = False


class PictureSource(ABC):
    """The images of a recording; a context manager.

    Attributes
    ----------
    length: how many images there are, as far as the recording says.
    files: that it consists of.
    calibration_file: that counts; None where there is none, or camera_info does.
    copied: the topics whose messages are copied.
    faults: how often the file itself was found damaged so far, by the kind of damage.
    notes: what the user should know.
    """

    def __init__(self) -> None:
        self.length = 0
        self.files: list[Path] = []
        self.calibration_file: Path | None = None
        self.copied: list[Topic] = []
        self.faults: Counter[str] = Counter()
        self.notes: list[str] = []

    def __enter__(self) -> 'PictureSource':
        return self

    def __exit__(self, *_: object) -> None:
        return

    @abstractmethod
    def steps(self, skipped: int = 0) -> Iterator[Step]:
        """Yield the steps after those that are skipped, the same ones each time."""


def open_source(recording: Recording) -> PictureSource:
    """Return the source of a recording, to be entered.

    Raises
    ------
    RecordingError, BagError, CalibrationError: it cannot be read.
    """
    path = recording.path
    if not path.exists():
        raise RecordingError(f'there is no {path}')
    if is_bag(path):
        source: PictureSource = BagSource(recording)
    else:
        source = _FolderSource(recording) if path.is_dir() else _VideoSource(recording)
    _check_options(recording, source)
    return source


def _check_options(recording: Recording, source: PictureSource) -> None:
    """Raise a RecordingError where something is asked for that such a recording has not."""
    path = recording.path
    topics = recording.image_topic or recording.camera_info_topic or recording.copy
    if topics and not isinstance(source, BagSource):
        raise RecordingError(f'{path} is no bag: it has no topics to be chosen or copied')
    if recording.rate and not isinstance(source, _FolderSource):
        raise RecordingError(f'{path} has a rate of its own: --rate is for folders of images')


class BagSource(PictureSource):
    """The images of a bag.

    Attributes
    ----------
    image, camera_info: the topics; camera_info is None where a file or a guess counts instead.
    """

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self._recording = recording
        self._reader = BagReader(recording.path)
        self.faults = self._reader.faults
        files = files_of(recording.path)
        self.files = [*files, *filter(None, map(log_of, files))]
        self._calibration: Calibration | None = None
        if recording.calibration:
            self.calibration_file = Path(recording.calibration)
            self._calibration = read_calibration(self.calibration_file)

    def __enter__(self) -> 'BagSource':
        self._reader.__enter__()
        try:
            self._choose()
        except BaseException:
            self._reader.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.__exit__()

    @property
    def span(self) -> tuple[int, int]:
        """When the first and the last message was received, nanoseconds."""
        return self._reader.span

    def raw(self) -> Iterator[Message]:
        """Yield all messages that count, as they are."""
        return self._reader.messages(self._read)

    def steps(self, skipped: int = 0) -> Iterator[Step]:
        """Yield the steps after those that are skipped."""
        recording = self._recording
        camera_infos = CameraInfoBuffer(self.camera_info_name, self._note)
        for data in self._first_calibrations():
            camera_infos.take(deserialise(data, _CAMERA_INFO))
        messages = self._reader.messages(self._read, recording.start, recording.stop)
        for number, message in enumerate(messages):
            picture = fault = None
            try:
                if message.topic == self.camera_info_name:
                    camera_infos.take(deserialise(message.data, _CAMERA_INFO))
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
        """Return the pixels (H, W, 3) of a message of the image topic.

        Raises
        ------
        ValueError: it is damaged.
        """
        return self._decoded(deserialise(message.data, self.image.type_name))

    def _choose(self) -> None:
        """Find the topics."""
        recording, topics = self._recording, self._reader.topics
        self.image = self._find_image(recording.image_topic)
        self.length = round(self.image.length * self._share())
        self.camera_info: Topic | None = None
        if self._calibration is None:
            self.camera_info = self._find_camera_info(recording.camera_info_topic)
        self.camera_info_name = self.camera_info.name if self.camera_info else ''
        self._read = {self.image.name, self.camera_info_name} - {''}
        if recording.copy:
            made = [
                t.name for t in topics.values() if t.type_name in (HUMAN_MESH, HUMAN_MESH_ARRAY)
            ]
            if made:
                raise RecordingError(
                    f'{recording.path} holds people already ({", ".join(made)}): give the '
                    f'recording that it was made of, or do not copy all topics'
                )
            self.copied = list(topics.values())
            self._read |= topics.keys()

    def _share(self) -> float:
        """Return how much of the time of the bag is read."""
        first, last = self.span
        start, stop = self._recording.start, self._recording.stop
        begin = first if start is None else max(start, first)
        end = last if stop is None else min(stop, last)
        return max(0, end - begin) / (last - first) if last > first else 1.0

    def _find_image(self, told: str) -> Topic:
        topics = self._reader.topics
        images = {t.name: t for t in topics.values() if t.type_name in (_IMAGE, _COMPRESSED)}
        if told:
            if told not in images:
                raise self._missing('image', told, images)
            return images[told]
        found = {
            name: topic
            for name, topic in images.items()
            if topic.length
            and not _NO_COLOURS.search(name)
            and name.removesuffix('/compressed') not in images.keys() - {name}
        }
        if len(found) != 1:
            many = 'several topics of images' if found else 'no topic of colour images'
            raise RecordingError(
                f'{self._recording.path} has {many}; name one by --image-topic: '
                f'{", ".join(images) or "but there is none"}'
            )
        [topic] = found.values()
        return topic

    def _find_camera_info(self, told: str) -> Topic | None:
        topics = self._reader.topics
        infos = {t.name: t for t in topics.values() if t.type_name == _CAMERA_INFO and t.length}
        if told:
            if told not in infos:
                raise self._missing('camera_info', told, infos)
            return infos[told]
        raw = self.image.name.removesuffix('/compressed')
        beside = infos.get(f'{raw.rpartition("/")[0]}/camera_info')
        if beside is None and not self._recording.field_of_view:
            raise RecordingError(
                f'{self._recording.path} has no camera_info beside {self.image.name}: name its '
                f'topic by --camera-info-topic ({", ".join(infos) or "there is none"}), give a '
                f'calibration by --camera-info, or a --field-of-view'
            )
        return beside

    def _missing(self, what: str, told: str, topics: dict[str, Topic]) -> RecordingError:
        listed = ', '.join(topics) or 'none'
        return RecordingError(f'{self._recording.path} has no {what} {told}; it has {listed}')

    def _first_calibrations(self) -> Iterator[bytes | memoryview]:
        """Yield what camera_info said before, or, of a whole bag, says first."""
        if self._recording.calibrations:
            yield from self._recording.calibrations
        elif self.camera_info is not None:
            met = self.faults.copy()  # Of what is damaged on the way, the images will tell.
            for message in self._reader.messages({self.camera_info.name}):
                if is_whole_calibration(message.data):
                    yield message.data
                    break
            self.faults.clear()
            self.faults.update(met)

    def _picture(self, message: Message, camera_infos: CameraInfoBuffer) -> Picture:
        image = deserialise(message.data, self.image.type_name)
        rgb = self._decoded(image)
        height, width = rgb.shape[:2]
        if self._calibration is not None:
            camera = self._calibration.camera((width, height))
        else:
            view = self._recording.field_of_view
            camera = camera_infos.camera_of(image.header, width, height, view)
        return Picture(message.time, image.header, rgb, camera)

    def _decoded(self, image: Any) -> NDArray[np.uint8]:
        return decompress(image) if self.image.type_name == _COMPRESSED else to_rgb(image)

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def is_whole_calibration(calibration: bytes | memoryview) -> bool:
    """Tell whether this is an undamaged message of camera_info (CDR)."""
    try:
        deserialise(calibration, _CAMERA_INFO)
        return True
    except ValueError:
        return False


class _FileSource(PictureSource):
    """What has neither stamps nor camera_info: images at a steady rate, from a second on."""

    def __init__(self, recording: Recording, rate: float, beside: Path | None) -> None:
        super().__init__()
        self._rate = rate
        self._calibration: Calibration | None = None
        self._field_of_view = recording.field_of_view or _FIELD_OF_VIEW
        if recording.calibration:
            self.calibration_file = Path(recording.calibration)
        elif not recording.field_of_view:
            self.calibration_file = beside
        if self.calibration_file is not None:
            self._calibration = read_calibration(self.calibration_file)
        else:
            self.notes.append(
                f'no calibration: a horizontal field of view of {self._field_of_view:g} degrees is '
                f'assumed, and distances are only as good as that'
            )

    def steps(self, skipped: int = 0) -> Iterator[Step]:
        """Yield the steps after those that are skipped."""
        types = typestore().types
        for number, bgr in self._images(skipped):
            time = _FIRST_STAMP + round(number / self._rate * _SECOND)
            stamp = types['builtin_interfaces/msg/Time'](**stamp_fields(time))
            header = types['std_msgs/msg/Header'](stamp=stamp, frame_id=_FRAME_ID)
            try:
                yield Step(picture=self._picture(time, header, bgr), is_image=True)
            except UnusableInputError as error:
                yield Step(fault=Fault(error.kind, str(error)), is_image=True)

    @abstractmethod
    def _images(self, skipped: int) -> Iterator[tuple[int, NDArray | None]]:
        """Yield number and pixels, blue first, of the images after those that are skipped."""

    def _picture(self, time: int, header: Any, bgr: NDArray | None) -> Picture:
        if bgr is None:
            raise UnusableInputError('broken image', 'an image is broken')
        height, width = bgr.shape[:2]
        if self._calibration is None:
            camera = Camera.from_field_of_view(self._field_of_view, width, height)
        else:
            camera = self._calibration.camera((width, height))
        rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
        return Picture(time, header, rgb, camera)


class _VideoSource(_FileSource):
    """The frames of a video; its calibration may lie beside it, named .yaml."""

    def __init__(self, recording: Recording) -> None:
        self._capture = cv2.VideoCapture(str(recording.path))
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        if not self._capture.isOpened():
            raise RecordingError(f'{recording.path} is no bag, and no video that OpenCV can read')
        if not rate > 0:
            raise RecordingError(f'{recording.path} does not say how many frames a second it has')
        beside = recording.path.with_suffix('.yaml')
        super().__init__(recording, rate, beside if beside.is_file() else None)
        self.files = [recording.path]
        self.length = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def __exit__(self, *_: object) -> None:
        self._capture.release()

    def _images(self, skipped: int) -> Iterator[tuple[int, NDArray | None]]:
        number = 0
        while self._capture.grab():
            if number >= skipped:
                decoded, picture = self._capture.retrieve()
                yield number, picture if decoded else None
            number += 1
        if number < self.length:
            self.faults[CUT_OFF] += 1


class _FolderSource(_FileSource):
    """The images of a folder, in the order of their names, numbers by their value."""

    def __init__(self, recording: Recording) -> None:
        super().__init__(recording, recording.rate or _RATE, None)
        files = (f for f in recording.path.iterdir() if f.suffix.lower() in IMAGES)
        self.files = sorted(files, key=by_number)
        self.length = len(self.files)
        if not self.files:
            raise RecordingError(
                f'{recording.path} holds neither a bag nor images ({", ".join(IMAGES)})'
            )

    def _images(self, skipped: int) -> Iterator[tuple[int, NDArray | None]]:
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        for number, file in enumerate(self.files[skipped:], skipped):
            yield number, cv2.imread(str(file), flags)
