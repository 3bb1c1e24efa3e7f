"""Fused people, drawn into the pictures of all cameras and from above."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.body import BodyModel
from hybrik_ros.camera import Camera, bounding_box
from hybrik_ros.cli.bench.footage import Clip, Image
from hybrik_ros.cli.bench.fused_runs import FusedRun, world_from_camera
from hybrik_ros.cli.pictures import write_picture
from hybrik_ros.cli.top_view import draw_floor, draw_top_view
from hybrik_ros.drawing import NEAR, contact_sheet, draw_humans
from hybrik_ros.human import Human
from hybrik_ros.skeleton import PELVIS

_NUM_FRAMES = 4  # on a sheet
_CELL = 480  # width of a picture on a sheet in pixels
_ABOVE = 960  # side of a picture from above in pixels
_FLOOR = 3.0  # metres of the floor's grid on each side of the people


def write_fused_people(
    clips: Sequence[Clip], fused: FusedRun, body: BodyModel, folder: Path, name: str
) -> None:
    """Write some frames: NAME.png with the pictures of all cameras, NAME_above.png from above.

    Parameters
    ----------
    clips : sequence of Clip
        The clips of the cameras, with the extrinsics of the fusion.
    fused : FusedRun
        What the fusion found.
    body : BodyModel
        Body model of the people.
    folder : Path
        Folder of the pictures.
    name : str
        Start of their names.
    """
    numbers = [number for number, humans in fused.frames.items() if humans] or list(fused.frames)
    chosen = [numbers[i] for i in np.linspace(0, len(numbers) - 1, _NUM_FRAMES).astype(int)]
    frames = {number: fused.frames[number] for number in chosen}
    cameras = {f'camera {clip.number}': world_from_camera(clip) for clip in clips}
    by_camera = [_draw(clip, frames, body) for clip in clips]
    images = [drawn[number] for number in frames for drawn in by_camera]
    captions = [f'frame {number}, {camera}' for number in frames for camera in cameras]
    sheet = contact_sheet(images, captions, len(clips), _CELL * len(clips))
    write_picture(folder / f'{name}.png', sheet)
    above = [draw_top_view(cameras, humans, side=_ABOVE) for humans in frames.values()]
    captions = [f'frame {number}' for number in frames]
    write_picture(folder / f'{name}_above.png', contact_sheet(above, captions, 2, 2 * _ABOVE))


def _draw(clip: Clip, frames: Mapping[int, Sequence[Human]], body: BodyModel) -> dict[int, Image]:
    """Return a clip's pictures of some frames, with the floor and the people drawn in."""
    pictures = {}
    camera_from_world = np.asarray(np.linalg.inv(world_from_camera(clip)), np.float64)
    for number, picture in clip.frames():
        if number not in frames:
            continue
        humans = [_move(human, camera_from_world, clip.camera, body) for human in frames[number]]
        if humans:
            middle = frames[number][0].joints[PELVIS, :2]
            draw_floor(picture, clip.camera, camera_from_world, middle - _FLOOR, middle + _FLOOR)
        draw_humans(picture, [h for h in humans if _is_shown(h)], body.faces, clip.camera)
        pictures[number] = picture
    return pictures


def _is_shown(human: Human) -> bool:
    """Return whether a person in the optical frame is in the image."""
    return bool(human.joints[:, 2].min() > NEAR and (human.box[2:] > human.box[:2]).all())


def _move(human: Human, camera_from_world: Array, camera: Camera, body: BodyModel) -> Human:
    """Return a person in the world as a drawing in a camera's image needs it.

    Joints, vertices and box are those in the image; rotations and translation stay in the world.
    """
    rotation, translation = camera_from_world[:3, :3], camera_from_world[:3, 3]
    vertices = body.vertices(human.rotations, human.betas, human.translation)
    joints = human.joints @ rotation.T + translation
    return replace(
        human,
        joints=joints,
        vertices=(vertices @ rotation.T + translation).astype(np.float32),
        box=bounding_box(camera.project(joints), camera),
    )
