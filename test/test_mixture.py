"""Images of several cameras on one topic, and images that repeat a stamp."""

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.logging import get_logger
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from hybrik_ros.messages.fields import strip_slash
from hybrik_ros.messages.images import UnusableInputError
from hybrik_ros.messages.mixture import MixtureFinder
from hybrik_ros.node.complaints import Complaints
from hybrik_ros.node.diagnostics import Diagnostics
from hybrik_ros.node.stamps import StampCheck


def image(frame_id: str = 'camera', width: int = 640, encoding: str = 'rgb8') -> Image:
    return Image(header=Header(frame_id=frame_id), width=width, height=480, encoding=encoding)


def infos(*focal_lengths: float) -> list[CameraInfo]:
    return [CameraInfo(k=[f, 0.0, 320.0, 0.0, f, 240.0, 0.0, 0.0, 1.0]) for f in focal_lengths]


def differences(
    images: Sequence[Image | CompressedImage], numbers: Sequence[int] | None = None
) -> list[str]:
    """What is said of each image; without numbers the middleware gives none, as in Humble."""
    finder = MixtureFinder()
    given = numbers or [None] * len(images)
    return [finder.find(*each) for each in zip(images, given, strict=True)]


@pytest.mark.parametrize(
    ('other', 'words'),
    [
        (image('rear'), ('frame_id', "'camera', 'rear'")),
        (image(width=800), ('size', "'640 x 480', '800 x 480'")),
        (image(encoding='mono8'), ('encoding', "'mono8', 'rgb8'")),
    ],
)
@pytest.mark.parametrize('rarity', [1, 20])
def test_two_cameras_alternate(other: Image, words: tuple[str, ...], rarity: int) -> None:
    found = differences([*[image()] * rarity, other] * 3)
    assert all(word in found[-1] for word in words)
    # Before the first one comes back it may have been set to something else.
    assert not any(found[: rarity + 1])


def test_two_cameras_of_compressed_images_alternate() -> None:
    front, rear = (CompressedImage(header=Header(frame_id=name)) for name in ('front', 'rear'))
    assert "'front', 'rear'" in differences([front, rear] * 2)[-1]


@pytest.mark.parametrize('numbers', [[100, 7, 101, 8, 102, 9], [4, 4, 5, 5, 6, 6]])
def test_two_cameras_alike_are_told_apart_by_their_publishers(numbers: list[int]) -> None:
    assert any('publishers' in found for found in differences([image()] * 6, numbers))


def test_two_cameras_alike_are_told_apart_by_their_calibrations() -> None:
    finder = MixtureFinder()
    found = [finder.find_in_calibration(info) for info in infos(*[600.0, 601.5] * 5)]
    assert not any(found[:5])
    assert '600, 601.5 pixels' in found[-1]


@pytest.mark.parametrize(
    'focal_lengths',
    [
        [600.0] * 60,
        [600.0] * 20 + [800.0] * 20 + [600.0] * 20,  # zoomed in and out
        [600.0 + 10 * np.sin(n / 5) for n in range(60)],  # autofocus
    ],
)
def test_one_lens_does_not_alternate(focal_lengths: list[float]) -> None:
    finder = MixtureFinder()
    assert not any(finder.find_in_calibration(info) for info in infos(*focal_lengths))


def test_damaged_images_are_none_of_another_camera() -> None:
    whole = cv2.imencode('.jpg', np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    datas = [whole, whole[:-9], b'', whole] * 5
    assert not any(differences([CompressedImage(format='jpeg', data=data) for data in datas]))


@pytest.mark.parametrize(
    ('images', 'numbers'),
    [
        ([image()] * 60, None),
        ([image()] * 30 + [image(width=1280)] * 30, None),  # set to another resolution
        ([image()] * 60, [*range(100, 130), *range(30)]),  # restarted
        ([image()] * 60, list(range(0, 600, 10))),  # lost on the way
    ],
)
def test_images_of_one_camera_are_no_mixture(
    images: list[Image], numbers: list[int] | None
) -> None:
    assert not any(differences(images, numbers))


def test_a_mixture_that_is_over_is_not_named_any_more() -> None:
    found = differences([image(), image('rear')] * 3 + [image()] * 5)
    assert found[6]
    assert not any(found[7:])


@pytest.mark.parametrize(
    ('given', 'name'),
    [('/camera', 'camera'), ('//camera', 'camera'), ('/robot/camera', 'robot/camera')],
)
def test_leading_slashes_are_removed(given: str, name: str) -> None:
    header = Header(frame_id=given)
    assert strip_slash(header)
    assert header.frame_id == name
    assert not strip_slash(header)
    assert header.frame_id == name


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def stamps(said: list[str], monkeypatch: pytest.MonkeyPatch) -> StampCheck:
    complaints = Complaints(get_logger('test'), Diagnostics('node'))
    monkeypatch.setattr(complaints, 'warn', said.append)
    return StampCheck(get_logger('test'), complaints)


def header(seconds: float) -> Header:
    return Header(stamp=Time(sec=int(seconds), nanosec=round(seconds % 1 * 1e9)))


def test_an_image_with_the_stamp_of_the_one_before_is_repeated(
    stamps: StampCheck, said: list[str]
) -> None:
    assert not stamps.note_repetition(header(5.0))
    assert stamps.advance(header(5.0)) == 5.0
    assert stamps.note_repetition(header(5.0))
    assert not stamps.note_repetition(header(5.1))
    assert 'each image once' in said[0]


def test_an_image_that_could_not_be_processed_may_come_again(stamps: StampCheck) -> None:
    stamps.advance(header(5.0))
    assert not stamps.note_repetition(header(4.9))
    with pytest.raises(UnusableInputError):
        stamps.advance(header(4.9))
    assert not stamps.note_repetition(header(5.2))
    assert not stamps.note_repetition(header(5.2))


def test_stamps_that_run_backwards_are_named_once(stamps: StampCheck, said: list[str]) -> None:
    for seconds in range(100, 90, -1):
        stamps.advance(header(seconds))
    assert {'again and again' in text for text in said} == {True}
    for seconds in range(100, 160):
        stamps.advance(header(seconds))
    said.clear()
    stamps.advance(header(1))  # a bag that loops
    assert not said


@pytest.mark.parametrize('time', [Time(sec=-3), Time(sec=3, nanosec=10**9)])
def test_an_image_whose_stamp_is_no_time_is_refused(stamps: StampCheck, time: Time) -> None:
    with pytest.raises(UnusableInputError, match='is invalid'):
        stamps.note_repetition(Header(stamp=time))


def test_stamps_that_stand_still_are_named(stamps: StampCheck, said: list[str]) -> None:
    stamps.advance(header(0.0))
    assert all(stamps.note_repetition(header(0.0)) for _ in range(20))
    assert 'do not advance' in said[-1]


def test_images_too_far_apart_to_confirm_a_person_are_counted(stamps: StampCheck) -> None:
    gaps = []
    for seconds in (0.0, 2.0, 4.0, 14.0, 24.0, 24.1):
        stamps.advance(header(seconds))
        gaps.append(stamps.long_gaps)
    assert gaps == [0, 0, 0, 1, 2, 0]
