"""Pictures of a video and the people found in it: an overlay video and a contact sheet."""

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hybrik_ros.arrays import Array
from hybrik_ros.body import BodyModel
from hybrik_ros.camera import Camera, Region
from hybrik_ros.drawing import contact_sheet, draw_humans, side_view, views
from hybrik_ros.human import Human
from hybrik_ros.media import MediaError
from hybrik_ros.media.photo import PhotoError, read_photo
from hybrik_ros.media.url import check_name
from hybrik_ros.media.video_file import FrameSource, VideoFile
from hybrik_ros.skeleton import PELVIS
from hybrik_ros.writing import write_file

Picture = NDArray[np.uint8]
Frames = Mapping[int, Sequence[Human]]

_NUM_ROWS = 6  # frames on the contact sheet
_NUM_COLUMNS = 4  # pictures of one frame
_CELL = 480  # side of a picture on the contact sheet in pixels
_MARGIN = 1.4  # ratio of the side of the visible region to the longer side of the people's box
# Maximum ratio of the side of the visible region to that of the nearest person; people farther
# away from each other would be too small to be seen.
_MAX_SPREAD = 3.0
_JPEG = ('.jpg', '.jpeg', '.jpe')
_SHEET_QUALITY = 75  # of JPEG
# VP8 is the only codec that all browsers play and all builds of OpenCV write: the wheels have no
# encoder for H.264, and that for VP9 takes seven times as long.
_CODEC = 'VP80'
# Maximum number of pixels of an overlay video: VP8 takes 80 ms of one slow CPU core for as many.
_MAX_OVERLAY_PIXELS = 1.1e6


def write_overlay_video(
    pictures: Iterable[tuple[int, Picture]],
    frames: Frames,
    body: BodyModel,
    camera: Camera,
    path: Path,
    rate: float,
) -> Iterator[int]:
    """Write a video of the processed frames with the people drawn in, reduced if it is large.

    Parameters
    ----------
    pictures : iterable of (int, ndarray)
        Number and RGB picture (H, W, 3) of each frame of the video.
    frames : mapping
        The people in each processed frame, by its number.
    body : BodyModel
        Body model of the people.
    camera : Camera
        Camera of the video.
    path : Path
        The .webm file to write.
    rate : float
        Frames per second.

    Yields
    ------
    int
        Number of each frame, after it is written.

    Raises
    ------
    MediaError
        OpenCV has no encoder, or the file cannot be written, as on a full disk.
    """
    scale = min(1.0, math.sqrt(_MAX_OVERLAY_PIXELS / (camera.width * camera.height)))
    size = (round(camera.width * scale), round(camera.height * scale))
    check_name(str(path))
    writer = cv2.VideoWriter()
    with _quiet_errors():  # FFmpeg remarks that WebM has no name of four letters for VP8.
        writer.open(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*_CODEC), rate, size)
    if not writer.isOpened():
        raise MediaError(f'{path} cannot be written: this OpenCV has no encoder for VP8')
    try:
        for number, picture in pictures:
            if number not in frames:
                continue
            drawn = draw_people(picture, frames[number], body, camera)
            reduced = cv2.resize(drawn, size, interpolation=cv2.INTER_AREA)
            writer.write(cv2.cvtColor(reduced, cv2.COLOR_RGB2BGR))
            yield number
    finally:
        writer.release()
    # OpenCV does not tell of a full disk. The length is written last.
    if cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT) < 1:
        path.unlink(missing_ok=True)
        raise MediaError(f'{path} cannot be written to its end: free some space on the disk')


def draw_people(
    picture: Picture, people: Sequence[Human], body: BodyModel, camera: Camera
) -> Picture:
    """Return an RGB picture (H, W, 3) with meshes and skeletons of the people drawn in."""
    drawn = picture.copy()
    draw_humans(drawn, _with_vertices(people, body), body.faces, camera)
    return drawn


def write_contact_sheet(
    pictures: Iterable[tuple[int, Picture]],
    frames: Frames,
    body: BodyModel,
    camera: Camera,
    path: Path,
) -> None:
    """Write a contact sheet: some frames, each as picture, skeleton, mesh, and side view.

    Parameters
    ----------
    pictures : iterable of (int, ndarray)
        Number and RGB picture (H, W, 3) of each frame of the video.
    frames : mapping
        The people in each processed frame, by its number.
    body : BodyModel
        Body model of the people.
    camera : Camera
        Camera of the video.
    path : Path
        The .jpg file to write.
    """
    numbers = [number for number in sorted(frames) if frames[number]] or sorted(frames)
    chosen = {numbers[i] for i in np.linspace(0, len(numbers) - 1, _NUM_ROWS).astype(int)}
    images: list[Picture] = []
    captions: list[str] = []
    for number, picture in pictures:
        if number not in chosen:
            continue
        people = _with_vertices(frames[number], body)
        plain, skeletons, meshes, _ = views(picture, people, body.faces, camera)
        images += [_crop_people(each, people) for each in (plain, skeletons, meshes)]
        images.append(_view_from_side(people, body))
        kinds = ['skeleton', 'mesh', 'side view of the nearest person']
        captions += [f'frame {number}', *(kinds if people else ['no person found', '', ''])]
    sheet = contact_sheet(images, captions, _NUM_COLUMNS)
    write_picture(path, sheet)


def write_picture(path: Path, picture: Picture) -> None:
    """Write an RGB picture (H, W, 3); the suffix of the file names the format.

    Raises
    ------
    OSError
        The file cannot be written.
    MediaError
        The format has no pictures of this size.
    """
    suffix = path.suffix.lower()
    if suffix == '.jfif':  # OpenCV does not know it.
        suffix = '.jpg'
    # OpenCV warns of options that a format does not have.
    options = [cv2.IMWRITE_JPEG_QUALITY, _SHEET_QUALITY] if suffix in _JPEG else []
    try:
        done, data = cv2.imencode(suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    except cv2.error:  # Some encoders return False instead.
        done = False
    if not done:
        height, width = picture.shape[:2]
        raise MediaError(
            f'{path} cannot be written: {path.suffix} has no pictures of {width} x {height} '
            f'pixels: choose .png'
        )
    write_file(path, data.tobytes())


def read_pictures(video: Path) -> Iterator[tuple[int, Picture]]:
    """Yield the number and the RGB picture (H, W, 3) of each frame of a video."""
    yield from pictures_of(VideoFile(str(video)))


def pictures_of(source: FrameSource) -> Iterator[tuple[int, Picture]]:
    """Yield the number and the RGB picture (H, W, 3) of each frame of a video or a photo.

    Broken frames do not count, since `hybrik video` does not publish them.
    """
    usable = (frame.bgr for frame in source.frames() if frame.bgr is not None)
    for number, bgr in enumerate(usable):
        yield number, np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def spread_pictures(source: Path, max_pictures: int) -> Iterator[Picture]:
    """Yield evenly spread pictures of a folder, or frames of a video.

    Parameters
    ----------
    source : Path
        A folder of pictures, or a video.
    max_pictures : int
        Maximum number of pictures.

    Yields
    ------
    ndarray
        RGB picture (H, W, 3).

    Raises
    ------
    FileNotFoundError
        The file or folder does not exist.
    """
    if not source.exists():
        raise FileNotFoundError(f'there is no video or folder {source}')
    if source.is_dir():
        files = sorted(source.iterdir())
        for file in files[:: -(-len(files) // max_pictures) or 1]:
            try:
                picture = read_photo(file)
            except PhotoError:  # The folder may contain other files.
                continue
            yield np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
        return
    video = VideoFile(str(source))
    step = max(1, -(-video.count() // max_pictures))
    for number, picture in pictures_of(video):
        if number % step == 0:
            yield picture


def _with_vertices(people: Sequence[Human], body: BodyModel) -> list[Human]:
    """Return people with their vertices."""
    return [
        replace(human, vertices=body.vertices(human.rotations, human.betas, human.translation))
        for human in people
    ]


def _crop_people(picture: Picture, people: Sequence[Human]) -> Picture:
    """Return the square around the people, with black only where the picture is too small."""
    height, width = picture.shape[:2]
    if not people:
        return Region(np.array([width, height]) / 2, float(min(width, height))).crop(picture, _CELL)
    low, high = _visible_box(people)
    size = min(_MARGIN * float(np.max(high - low)), float(max(width, height)))
    room = np.array([width, height]) - size
    centre = (low + high) / 2
    inside = np.clip(centre, size / 2, size / 2 + np.maximum(room, 0))
    centre = np.where(room > 0, inside, np.array([width, height]) / 2)
    return Region(centre, size).crop(picture, _CELL)


def _visible_box(people: Sequence[Human]) -> tuple[Array, Array]:
    """Return the corners of the box around the largest person and the people near it."""
    boxes = sorted((np.asarray(h.box, float) for h in people), key=lambda box: -_side(box))
    visible = boxes[0]
    for box in boxes[1:]:
        both = np.concatenate([np.minimum(visible[:2], box[:2]), np.maximum(visible[2:], box[2:])])
        if _side(both) <= _MAX_SPREAD * _side(boxes[0]):
            visible = both
    return visible[:2], visible[2:]


def _side(box: Array) -> float:
    """Return the longer side of a box (4)."""
    return float(np.max(box[2:] - box[:2]))


def _view_from_side(people: Sequence[Human], body: BodyModel) -> Picture:
    """Return the nearest person from the side, or an empty picture."""
    if not people:
        return np.zeros((_CELL, _CELL, 3), np.uint8)
    nearest = min(people, key=lambda human: float(human.joints[PELVIS][2]))
    return side_view(nearest, body.faces, _CELL, _CELL)


@contextmanager
def _quiet_errors() -> Iterator[None]:
    """Drop what libraries write to stderr meanwhile."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
