"""Write bags for tests with rosbags alone."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore
from sample import read_camera

from hybrik_ros.camera import Camera

IMAGE, INFO, TEXT = '/camera/image_raw', '/camera/camera_info', '/chatter'
START = 1_700_000_000 * 10**9
RATE = 30.0

STORE: Typestore = get_typestore(Stores.ROS2_JAZZY)


def types(name: str) -> type:
    return STORE.types[name]


def header(nanoseconds: int, frame_id: str = 'camera') -> object:
    sec, nanosec = divmod(nanoseconds, 10**9)
    stamp = types('builtin_interfaces/msg/Time')(sec=sec, nanosec=nanosec)
    return types('std_msgs/msg/Header')(stamp=stamp, frame_id=frame_id)


def image(
    pixels: NDArray[np.uint8], stamp: int, coding: str, frame_id: str = 'camera'
) -> tuple[str, object]:
    """Return type name and message of an RGB image: raw, or encoded as a file of this format."""
    if coding == 'raw':
        height, width = pixels.shape[:2]
        return 'sensor_msgs/msg/Image', types('sensor_msgs/msg/Image')(
            header=header(stamp, frame_id), height=height, width=width, encoding='rgb8',
            is_bigendian=0, step=3 * width, data=pixels.ravel(),
        )  # fmt: skip
    data = cv2.imencode(f'.{coding}', pixels[..., ::-1])[1].ravel()
    return 'sensor_msgs/msg/CompressedImage', types('sensor_msgs/msg/CompressedImage')(
        header=header(stamp, frame_id), format=coding, data=data
    )


def camera_info(stamp: int, width: int, height: int, frame_id: str = 'camera') -> object:
    """Return the calibration of the sample clip; for images of other sizes a usual one."""
    camera = read_camera()
    if (width, height) != (camera.width, camera.height):
        camera = Camera.from_field_of_view(60, width, height)
    whole = types('sensor_msgs/msg/RegionOfInterest')(
        x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
    )
    return types('sensor_msgs/msg/CameraInfo')(
        header=header(stamp, frame_id), height=height, width=width, distortion_model='plumb_bob',
        d=np.asarray(camera.distortion), k=camera.matrix.ravel(), r=np.eye(3).ravel(),
        p=np.zeros(12), binning_x=0, binning_y=0, roi=whole,
    )  # fmt: skip


def write_bag(
    path: Path,
    frames: Sequence[NDArray[np.uint8]],
    *,
    plugin: str = 'MCAP',
    mode: str = 'NONE',
    coding: str = 'png',
    topic: str = IMAGE,
    info: bool = True,
    rate: float = RATE,
    stamps: Sequence[int] | None = None,
    damaged: Sequence[int] = (),
    damaged_info: Sequence[int] = (),
    frame_id: str = 'camera',
    start: int = START,
) -> Path:
    """Write a bag with images, their calibration and some text.

    Parameters
    ----------
    damaged, damaged_info : sequence of int
        Indices of the images, and of the calibrations, of which only the first half is written.
    start : int
        Time of receipt of the first message in nanoseconds.
    """
    writer = Writer(path, version=9, storage_plugin=StoragePlugin[plugin])
    writer.set_compression(CompressionMode[mode], CompressionFormat.ZSTD)
    height, width = frames[0].shape[:2]
    with writer:
        kind = image(frames[0], 0, coding)[0]
        images = writer.add_connection(topic, kind, typestore=STORE)
        text = writer.add_connection(TEXT, 'std_msgs/msg/String', typestore=STORE)
        if info:
            infos = writer.add_connection(INFO, 'sensor_msgs/msg/CameraInfo', typestore=STORE)
        for number, pixels in enumerate(frames):
            time = start + round(number / rate * 1e9)
            stamp = time if stamps is None else stamps[number]
            if info:
                message = camera_info(stamp, width, height, frame_id)
                data = STORE.serialize_cdr(message, message.__msgtype__)
                half = len(data) // 2
                writer.write(infos, time, data[:half] if number in damaged_info else data)
            data = STORE.serialize_cdr(image(pixels, stamp, coding, frame_id)[1], kind)
            writer.write(images, time + 1000, data[: len(data) // 2] if number in damaged else data)
            note = types('std_msgs/msg/String')(data=f'note {number}')
            writer.write(text, time + 2000, STORE.serialize_cdr(note, 'std_msgs/msg/String'))
    return path
