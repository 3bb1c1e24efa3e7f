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

_MOMENTS = 6  # of the contact sheet
_COLUMNS = 4  # pictures of one moment
_CELL = 480  # pixels, of each
_ROOM = 1.4  # side of the part that is shown, by the longer side of the person's box


def write_overlay_video(
    video: Path, frames: Frames, body: BodyModel, camera: Camera, path: Path, rate: float
) -> Iterator[int]:
    """Write the frames that were processed, people drawn over them; yield each frame's number.

    Parameters
    ----------
    video: that was processed.
    frames: by number of the frame, the people in it.
    body: of the people.
    camera: that took the video.
    path: of the .mp4 to write.
    rate: frames per second.
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
    """Write moments of a video side by side: plain, skeleton, mesh, and from the side (PNG).

    Parameters
    ----------
    pictures: of the video, each with its number.
    frames, body, camera: as write_overlay_video takes them.
    path: of the .png to write.
    """
    peopled = [number for number in sorted(frames) if frames[number]] or sorted(frames)
    moments = {peopled[i] for i in np.linspace(0, len(peopled) - 1, _MOMENTS).astype(int)}
    images: list[Picture] = []
    captions: list[str] = []
    for number, picture in pictures:
        if number not in moments:
            continue
        people = _with_vertices(frames[number], body)
        *overlays, side = views(picture, people, body.faces, camera)
        images += [_around(overlay, people) for overlay in overlays] + [_middle(side)]
        captions += [f'frame {number}', 'skeleton', 'mesh', 'from the side']
    sheet = contact_sheet(images, captions, _COLUMNS)
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def read_pictures(video: Path) -> Iterator[tuple[int, Picture]]:
    """Yield the number and the RGB picture of each frame of a video."""
    capture = cv2.VideoCapture(str(video))
    number = 0
    while capture.grab():
        decoded, picture = capture.retrieve()
        if not decoded:  # The video source leaves these out and does not count them.
            continue
        yield number, np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
        number += 1
    capture.release()


def spread_pictures(source: Path, most: int) -> Iterator[Picture]:
    """Yield RGB pictures of a folder, or frames of a video, evenly spread where they are too many.

    Raises
    ------
    FileNotFoundError: there is no such file or folder.
    """
    if not source.exists():
        raise FileNotFoundError(f'there is no video or folder {source}')
    if source.is_dir():
        files = sorted(source.iterdir())
        for file in files[:: -(-len(files) // most) or 1]:
            picture = cv2.imread(str(file))
            if picture is not None:  # Anything may lie in a folder.
                yield np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
        return
    frames = int(cv2.VideoCapture(str(source)).get(cv2.CAP_PROP_FRAME_COUNT))
    for number, picture in read_pictures(source):
        if number % max(1, -(-frames // most)) == 0:
            yield picture


def _with_vertices(people: Sequence[Human], body: BodyModel) -> list[Human]:
    return [
        replace(human, vertices=body.vertices(human.rotations, human.betas, human.translation))
        for human in people
    ]


def _around(picture: Picture, people: Sequence[Human]) -> Picture:
    """Return the square of a picture in which the people are, black outside of it."""
    if not people:
        return _middle(picture)
    low = np.min([human.box[:2] for human in people], axis=0)
    high = np.max([human.box[2:] for human in people], axis=0)
    return Region((low + high) / 2, _ROOM * float(np.max(high - low))).crop(picture, _CELL)


def _middle(picture: Picture) -> Picture:
    """Return the square in the middle of a picture."""
    height, width = picture.shape[:2]
    return Region(np.array([width, height]) / 2, float(min(width, height))).crop(picture, _CELL)
