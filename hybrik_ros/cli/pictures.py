"""Pictures of a video and the people found in it: an overlay video and a contact sheet."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hybrik_ros.body import BodyModel
from hybrik_ros.camera import Camera, Region
from hybrik_ros.drawing import contact_sheet, draw_humans, views
from hybrik_ros.human import Human

Picture = NDArray[np.uint8]
Frames = Mapping[int, Sequence[Human]]

_NUM_ROWS = 6  # frames on the contact sheet
_NUM_COLUMNS = 4  # pictures of one frame
_CELL = 480  # side of a picture on the contact sheet in pixels
_MARGIN = 1.4  # ratio of the side of the visible region to the longer side of the people's box


def write_overlay_video(
    video: Path, frames: Frames, body: BodyModel, camera: Camera, path: Path, rate: float
) -> Iterator[int]:
    """Write a video of the processed frames with the people drawn in.

    Parameters
    ----------
    video : Path
        The processed video.
    frames : mapping
        The people in each processed frame, by its number.
    body : BodyModel
        Body model of the people.
    camera : Camera
        Camera of the video.
    path : Path
        The .mp4 file to write.
    rate : float
        Frames per second.

    Yields
    ------
    int
        Number of each frame, after it is written.
    """
    size = (camera.width, camera.height)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), rate, size)
    try:
        for number, picture in read_pictures(video):
            if number not in frames:
                continue
            draw_humans(picture, _with_vertices(frames[number], body), body.faces, camera)
            writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
            yield number
    finally:
        writer.release()


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
        The .png file to write.
    """
    numbers = [number for number in sorted(frames) if frames[number]] or sorted(frames)
    chosen = {numbers[i] for i in np.linspace(0, len(numbers) - 1, _NUM_ROWS).astype(int)}
    images: list[Picture] = []
    captions: list[str] = []
    for number, picture in pictures:
        if number not in chosen:
            continue
        people = _with_vertices(frames[number], body)
        *overlays, side = views(picture, people, body.faces, camera)
        images += [_crop_people(overlay, people) for overlay in overlays] + [_crop_middle(side)]
        captions += [f'frame {number}', 'skeleton', 'mesh', 'side view']
    sheet = contact_sheet(images, captions, _NUM_COLUMNS)
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def read_pictures(video: Path) -> Iterator[tuple[int, Picture]]:
    """Yield the number and the RGB picture (H, W, 3) of each frame of a video."""
    capture = cv2.VideoCapture(str(video))
    number = 0
    while capture.grab():
        decoded, picture = capture.retrieve()
        if not decoded:  # as in VideoSource: broken frames do not count
            continue
        yield number, np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
        number += 1
    capture.release()


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
            picture = cv2.imread(str(file)) if file.is_file() else None
            if picture is not None:  # The folder may contain other files.
                yield np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
        return
    frames = int(cv2.VideoCapture(str(source)).get(cv2.CAP_PROP_FRAME_COUNT))
    for number, picture in read_pictures(source):
        if number % max(1, -(-frames // max_pictures)) == 0:
            yield picture


def _with_vertices(people: Sequence[Human], body: BodyModel) -> list[Human]:
    """Return people with their vertices."""
    return [
        replace(human, vertices=body.vertices(human.rotations, human.betas, human.translation))
        for human in people
    ]


def _crop_people(picture: Picture, people: Sequence[Human]) -> Picture:
    """Return the square around the people, with black outside of the picture."""
    if not people:
        return _crop_middle(picture)
    low = np.min([human.box[:2] for human in people], axis=0)
    high = np.max([human.box[2:] for human in people], axis=0)
    return Region((low + high) / 2, _MARGIN * float(np.max(high - low))).crop(picture, _CELL)


def _crop_middle(picture: Picture) -> Picture:
    """Return the square in the middle of a picture."""
    height, width = picture.shape[:2]
    return Region(np.array([width, height]) / 2, float(min(width, height))).crop(picture, _CELL)
