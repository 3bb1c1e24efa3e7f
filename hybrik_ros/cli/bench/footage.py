"""Footage of real people for benchmarks, which is downloaded and not part of this package.

pose2sim (BSD-3-Clause, David Pagnon and contributors): a man balances in front of four calibrated
cameras, alone and with a woman beside him. sports2d (same licence and authors): a woman walks past
while a man does a backflip off a wall.
"""

import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.camera import Camera
from hybrik_ros.cli.bench.packages import DownloadError, download
from hybrik_ros.cli.pictures import read_pictures
from hybrik_ros.media import MediaError
from hybrik_ros.media.url import check_name

Image = NDArray[np.uint8]

_POSE2SIM = 'pose2sim==0.10.49'
_SPORTS2D = 'sports2d==0.8.34'
_CALIBRATION = 'Pose2Sim/Demo_SinglePerson/calibration/Calib.qca.txt'
_ONE = 'Pose2Sim/Demo_SinglePerson/videos/cam0{}.mp4'
_TWO = 'Pose2Sim/Demo_MultiPerson/videos/cam0{}.mp4'
_WALK = 'Sports2D/Demo/demo.mp4'

_CAMERAS = (1, 2, 3, 4)
_SUBPIXELS = 64  # subpixels per pixel, the unit of Qualisys intrinsics
_DISTORTION = ('radialDistortion1', 'radialDistortion2',
               'tangentalDistortion1', 'tangentalDistortion2')  # fmt: skip
# Focal length in pixels of sports2d's uncalibrated camera: the walker's stature seen from an
# assumed distance of 10 m.
_WALK_FOCAL = 2520.09
_WALK_TOP = 400  # rows that show the man, cropped for the walker alone


@dataclass(frozen=True, eq=False)
class Clip:
    """A section of a video and its camera.

    Attributes
    ----------
    name : str
        Title.
    video : Path
        The file.
    camera : Camera
        Camera of the cropped frames.
    rate : float
        Frames per second.
    people : int
        Number of people to track.
    number : int
        Number of the camera, from 1; 0 without ground truth.
    extrinsics : tuple of ndarray, optional
        Rotation (3, 3) and translation (3) in metres from the world to the camera.
    first, stop : int
        Range of the frames, as in a slice.
    top : int
        Number of rows that are cropped at the top.
    """

    name: str
    video: Path
    camera: Camera
    rate: float = 0.0
    people: int = 1
    number: int = 0
    extrinsics: tuple[Array, Array] | None = None
    first: int = 0
    stop: int | None = None
    top: int = 0

    def frames(self) -> Iterator[tuple[int, Image]]:
        """Yield number and picture (H, W, 3) RGB of each frame."""
        for number, picture in islice(read_pictures(self.video), self.first, self.stop):
            yield number, picture[self.top :]


def default_folder() -> Path:
    """Return the default folder of the footage: hybrik_ros/footage in the user's cache folder."""
    cache = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    return Path(os.path.expanduser(cache)) / 'hybrik_ros' / 'footage'


def clips(folder: Path) -> list[Clip]:
    """Return all clips; download files that are missing.

    Parameters
    ----------
    folder : Path
        Folder of the footage.

    Returns
    -------
    list of Clip
        The clips.

    Raises
    ------
    DownloadError
        A download failed, or a video is damaged.
    """
    names = [pattern.format(camera) for pattern in (_ONE, _TWO) for camera in _CAMERAS]
    download(_POSE2SIM, [*names, _CALIBRATION], folder)
    download(_SPORTS2D, [_WALK], folder)
    cameras = _read_qualisys((folder / _CALIBRATION).read_text())
    found = [
        _sized(Clip(f'{title}, camera {number}', folder / pattern.format(number), camera,
                    people=people, number=number, extrinsics=extrinsics))
        for title, pattern, people in (('man', _ONE, 1), ('pair', _TWO, 2))
        for number, (camera, extrinsics) in enumerate(cameras, start=1)
    ]  # fmt: skip
    whole = Camera(np.array([[_WALK_FOCAL, 0, 884], [0, _WALK_FOCAL, 497], [0, 0, 1]]))
    lower = Camera(whole.matrix - [[0, 0, 0], [0, 0, _WALK_TOP], [0, 0, 0]])
    return [
        *found,
        _sized(Clip('walk', folder / _WALK, lower, first=41, stop=186, top=_WALK_TOP)),
        _sized(Clip('walk and backflip', folder / _WALK, whole, people=2)),
    ]


def _sized(clip: Clip) -> Clip:
    """Return a clip with the size and rate of its video; raise DownloadError if it is damaged."""
    try:
        check_name(str(clip.video))
    except MediaError as error:
        raise DownloadError(str(error)) from error
    capture = cv2.VideoCapture(str(clip.video))
    if not capture.isOpened():
        raise DownloadError(f'{clip.video} is not a readable video: remove it and try again')
    width = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
    height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)) - clip.top
    rate = float(capture.get(cv2.CAP_PROP_FPS))
    capture.release()
    return replace(clip, camera=replace(clip.camera, width=width, height=height), rate=rate)


def _read_qualisys(text: str) -> list[tuple[Camera, tuple[Array, Array]]]:
    """Return intrinsics and extrinsics of all cameras of a Qualisys calibration, in its order."""
    cameras = []
    for element in ElementTree.fromstring(text).iter('camera'):
        transform, intrinsic = (
            {name: float(value) for child in element.iter(tag) for name, value in child.items()}
            for tag in ('transform', 'intrinsic')
        )
        matrix = np.eye(3)
        matrix[0, 0], matrix[0, 2] = intrinsic['focalLengthU'], intrinsic['centerPointU']
        matrix[1, 1], matrix[1, 2] = intrinsic['focalLengthV'], intrinsic['centerPointV']
        matrix[:2] /= _SUBPIXELS
        distortion = np.array([intrinsic[name] for name in _DISTORTION])
        # Qualisys cameras look along -z, with y up; lengths are in millimetres.
        turned = [[transform[f'r{row}{column}'] for column in (1, 2, 3)] for row in (1, 2, 3)]
        rotation = np.diag([1.0, -1.0, -1.0]) @ turned
        position = np.array([transform[axis] for axis in 'xyz']) / 1000
        cameras.append((Camera(matrix, distortion), (rotation, -rotation @ position)))
    return cameras
