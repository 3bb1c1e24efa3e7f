"""Which camera_info an image gets."""

import threading
import time

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from hybrik_ros.messages.camera_info import CameraInfoBuffer, are_rectified
from hybrik_ros.messages.images import UnusableInputError
from hybrik_ros.settings import AUTO, RAW, RECTIFIED


def header(milliseconds: int, frame_id: str = 'camera') -> Header:
    message = Header(frame_id=frame_id)
    message.stamp.sec, message.stamp.nanosec = divmod(milliseconds * 10**6, 10**9)
    return message


def info(
    milliseconds: int, focal: float = 500.0, width: int = 640, frame_id: str = 'camera'
) -> CameraInfo:
    k = [focal, 0.0, 320.0, 0.0, focal, 240.0, 0.0, 0.0, 1.0]
    return CameraInfo(header=header(milliseconds, frame_id), width=width, height=480, k=k)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def camera_infos(said: list[str]) -> CameraInfoBuffer:
    return CameraInfoBuffer('/camera/camera_info', said.append)


def focal(
    camera_infos: CameraInfoBuffer, *where: object, width: int = 640, view: float = 0.0
) -> float:
    return float(camera_infos.camera_of(header(*where), width, 480, view).matrix[0, 0])


def test_an_image_gets_the_calibration_of_its_time(camera_infos: CameraInfoBuffer) -> None:
    for milliseconds, length in ((0, 500.0), (33, 510.0), (66, 520.0)):
        camera_infos.take(info(milliseconds, length))
    assert [focal(camera_infos, m) for m in (0, 33, 66, 99)] == [500, 510, 520, 520]
    assert camera_infos.state == 'camera_info'


def test_an_image_gets_the_calibration_of_its_frame(
    camera_infos: CameraInfoBuffer, said: list[str]
) -> None:
    camera_infos.take(info(0, 500.0, frame_id='left'))
    camera_infos.take(info(1, 600.0, frame_id='right'))
    assert focal(camera_infos, 1, 'left') == 500
    assert focal(camera_infos, 0, 'right') == 600
    assert said == []
    assert focal(camera_infos, 0, 'other') == 500
    [message] = said
    assert "'left'" in message
    assert "'other'" in message


def test_of_many_calibrations_few_are_kept(camera_infos: CameraInfoBuffer) -> None:
    for milliseconds in range(1000):
        camera_infos.take(info(milliseconds, 500.0 + milliseconds))
    assert focal(camera_infos, 0) > 1400


def test_a_new_resolution_loses_no_frame(camera_infos: CameraInfoBuffer) -> None:
    camera_infos.take(info(0, 500.0))
    assert focal(camera_infos, 0) == 500
    later = threading.Timer(0.02, camera_infos.take, [info(33, 1000.0, width=1280)])
    later.start()
    assert focal(camera_infos, 33, width=1280) == 1000
    # An image of before may still be on its way.
    assert focal(camera_infos, 0) == 500
    later.join()


def test_a_wrong_size_is_waited_for_once(camera_infos: CameraInfoBuffer) -> None:
    camera_infos.take(info(0))
    assert focal(camera_infos, 0) == 500
    took = []
    for milliseconds in (33, 66):
        start = time.monotonic()
        with pytest.raises(UnusableInputError, match='640 x 480') as fault:
            focal(camera_infos, milliseconds, width=320)
        took.append(time.monotonic() - start)
        assert fault.value.kind == 'camera_info size'
    assert took[1] < took[0]


def test_no_calibration_names_the_topic_and_what_to_do(camera_infos: CameraInfoBuffer) -> None:
    with pytest.raises(UnusableInputError, match='/camera/camera_info') as fault:
        focal(camera_infos, 0)
    assert 'field_of_view' in str(fault.value)


def test_a_calibration_with_more_distortion_than_any_lens_is_not_kept(
    camera_infos: CameraInfoBuffer,
) -> None:
    message = info(0)
    message.d = [0.0] * 15
    with pytest.raises(UnusableInputError, match='D has 15 numbers'):
        camera_infos.take(message)
    with pytest.raises(UnusableInputError, match='D has 15 numbers'):
        focal(camera_infos, 0)
    camera_infos.take(info(33, 600.0))
    assert focal(camera_infos, 0) == 600


def test_a_field_of_view_stands_in_and_says_so(
    camera_infos: CameraInfoBuffer, said: list[str]
) -> None:
    assert focal(camera_infos, 0, view=90.0) == pytest.approx(320)
    assert camera_infos.assumed
    assert 'field of view of 90' in camera_infos.state
    assert said == []
    camera_infos.take(CameraInfo(header=header(0), width=640, height=480))
    assert focal(camera_infos, 0, view=90.0) == pytest.approx(320)
    assert 'all-zero K' in said[0]
    camera_infos.take(info(0))
    assert focal(camera_infos, 0, view=90.0) == 500
    assert not camera_infos.assumed


def test_region_and_binning_belong_to_the_image(camera_infos: CameraInfoBuffer) -> None:
    message = info(0)
    message.binning_x = message.binning_y = 2
    camera_infos.take(message)
    camera = camera_infos.camera_of(header(0), 320, 240, 0.0)
    assert np.allclose(camera.matrix[[0, 1], [0, 1]], 250)


@pytest.mark.parametrize(
    'topic',
    [
        '/camera/image_rect',
        '/camera/image_rect_color',
        '/camera/infra1/image_rect_raw',
        '/zed/zed_node/rgb_rect/image/compressed',
        '/stereo/left/rect/image',
        '/camera/image_rectified',
        '/camera/imageRectified',
        '/camera/IMAGE_RECT',
        '/camera/undist/image',
        '/front/Rectified/image',
        '/camera/image_undistorted',
        '/camera/image_rectcolor',
        '/camera/imagerect/compressed',
        '/camera/image_colorrect',
        '/stereo/leftrect',
        '/camera/rectRaw',
        '/camera/image_dewarped',
    ],
)
def test_names_of_rectified_images_are_known(topic: str) -> None:
    assert are_rectified(AUTO, topic)
    assert not are_rectified(RAW, topic)


@pytest.mark.parametrize(
    'topic',
    [
        '/camera/image_raw',
        '/image',
        '/direct/image_raw',
        '/camera/image_corrected',
        '/camera/image_unrectified',
        '/camera/image_not_rectified',
        '/camera/no_rect/image',
        '/camera/unRectified',
        '/camera/rectangle/image',
        '/rectangle/image_color',
        '/rectangles/image',
        '/directcolor/image',
        '/camera/image_color_corrected',
        '/thermal/image_corrected/compressed',
        '/correction/image',
        '/camera/image_distorted',
        '/camera/imageunrect',
        '/camera/not_undistorted',
        '/rectal_probe/image',
        '/erect/image',
        '/recto/image',
        '',
    ],
)
def test_other_names_are_those_of_raw_images(topic: str) -> None:
    assert not are_rectified(AUTO, topic)
    assert are_rectified(RECTIFIED, topic)


def test_rectified_images_get_p(said: list[str]) -> None:
    camera_infos = CameraInfoBuffer('/camera_info', said.append, rectified=True)
    message = info(0)
    message.d = [-0.3, 0.1, 0.0, 0.0, 0.0]
    message.p = [400.0, 0.0, 320.0, 0.0, 0.0, 400.0, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    camera_infos.take(message)
    camera = camera_infos.camera_of(header(0), 640, 480, 0.0)
    assert camera.matrix[0, 0] == 400
    assert not camera.distorted
    assert camera_infos.state == 'P of camera_info, for rectified images'
    assert said == []


def test_a_doubtful_calibration_is_used_and_warned_of(
    camera_infos: CameraInfoBuffer, said: list[str]
) -> None:
    camera_infos.take(info(0, focal=15000.0))
    assert focal(camera_infos, 0) == 15000
    assert 'field of view of 2.444 degrees' in said[0]


def test_an_impossible_calibration_gives_way_to_a_field_of_view(
    camera_infos: CameraInfoBuffer, said: list[str]
) -> None:
    camera_infos.take(info(0, focal=0.004))
    with pytest.raises(UnusableInputError, match='not in metres'):
        focal(camera_infos, 0)
    assert focal(camera_infos, 0, view=90.0) == pytest.approx(320)
    assert 'not in metres' in said[0]
