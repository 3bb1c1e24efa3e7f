"""Compare the people that two runs found in the same images."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from hybrik_ros.arrays import Array
from hybrik_ros.human import Human
from hybrik_ros.rotations import to_rotation_vector
from hybrik_ros.skeleton import NUM_JOINTS, PELVIS
from hybrik_ros.writing import write_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Frames = Mapping[int, Sequence[Human]]

# Maximum mean distance in the image between the joints of two detections of the same person,
# relative to the size of the person there (maximum distance of a joint from the pelvis).
_MAX_DISTANCE = 0.2
_MIN_DEPTH = 0.1  # metres; joints that are nearer or behind the camera are projected at this depth
_MIN_ZOOM, _MAX_ZOOM = 0.1, 10.0  # limits of the ratio of the focal lengths of two runs
_SECOND = 1e9  # nanoseconds
_PLOT_SIZE = (11.0, 12.0)  # inches
_MILLIMETRES = 1e3  # in a metre


@dataclass(frozen=True, eq=False)
class PoseDifference:
    """The differences between two runs for one person, in N frames with the person in both.

    Attributes
    ----------
    ids : tuple of str
        Ids of the person in the first and the second run.
    frames : tuple of int
        Numbers of frames with the person in the first and the second run.
    stamps : ndarray
        Stamps (N) in seconds.
    joints : ndarray
        Mean distance (N) of the joints in metres (MPJPE).
    pose : ndarray
        Mean distance (N) of the joints relative to the pelvis in metres (root-relative MPJPE).
    rotations : ndarray
        Mean angle (N) between the parent-relative rotations in radians.
    translation : ndarray
        Distance (N) of the translations in metres.
    jitter : ndarray
        Mean second difference (2, N) of the joints of each run, in metres per frame²; NaN where the
        frame before or after is missing.
    """

    ids: tuple[str, str]
    frames: tuple[int, int]
    stamps: Array
    joints: Array
    pose: Array
    rotations: Array
    translation: Array
    jitter: Array


def compare(first: Frames, second: Frames) -> list[PoseDifference]:
    """Return the differences between two runs.

    People are matched by the positions of their joints in the image. Ids are not used, and the
    runs may assume different focal lengths, and therefore distances. People in a fixed frame are
    matched by their positions there.

    Parameters
    ----------
    first, second : mapping
        The people in each frame of a run, by the stamp of its image in nanoseconds.

    Returns
    -------
    list of PoseDifference
        One for each person found in both runs; the largest number of common frames first.
    """
    shared = sorted(first.keys() & second.keys())
    every = sorted(first.keys() | second.keys())
    numbers = {stamp: number for number, stamp in enumerate(every)}
    tracks = [_tracks(run, shared) for run in (first, second)]
    ids = [list(track) for track in tracks]
    similarity = _similarity(*([_project(track) for track in run.values()] for run in tracks))
    found = []
    for row, column in zip(*linear_sum_assignment(-similarity), strict=True):
        if similarity[row, column] > 0:
            pair = ids[0][row], ids[1][column]
            found.append(_difference(pair, tracks[0][pair[0]], tracks[1][pair[1]], numbers))
    return sorted(found, key=lambda difference: -len(difference.stamps))


def jitters(points: Array, numbers: Sequence[int]) -> tuple[NDArray[np.int64], Array]:
    """Return the mean second differences of points.

    Parameters
    ----------
    points : ndarray
        Positions (N, J, 3) of J points.
    numbers : sequence of int
        Frame numbers (N), in ascending order.

    Returns
    -------
    tuple of ndarray
        Indices (M) of the frames that directly follow one and precede another, and their second
        differences (M), means over the points in their unit per frame².
    """
    if len(points) < 3:
        return np.zeros(0, np.int64), np.zeros(0)
    steps = np.diff(numbers)
    whole = np.flatnonzero((steps[1:] == 1) & (steps[:-1] == 1))
    return whole + 1, np.linalg.norm(np.diff(points, 2, axis=0)[whole], axis=-1).mean(axis=-1)


def plot(differences: Sequence[PoseDifference], names: tuple[str, str], path: Path) -> None:
    """Plot the differences over time into a PNG file.

    Parameters
    ----------
    differences : sequence of PoseDifference
        The differences, at least one.
    names : tuple of str
        Names of the two runs.
    path : Path
        Path of the file.

    Raises
    ------
    ModuleNotFoundError
        matplotlib is not installed.
    OSError
        The file cannot be written.
    """
    os.environ['MPLBACKEND'] = 'agg'  # The user's may be missing, and no window is opened.
    from matplotlib.figure import Figure

    figure = Figure(figsize=_PLOT_SIZE, layout='constrained')
    rows = figure.subplots(5, 1, sharex=True)
    start = min(difference.stamps[0] for difference in differences)
    for difference in differences:
        _draw(difference, rows, start, names)
    titles = ('MPJPE, mm', 'root-relative MPJPE, mm', 'rotations, degrees',
              'translation, mm', 'jitter, mm/frame²')  # fmt: skip
    for axes, title in zip(rows, titles, strict=True):
        axes.set_ylabel(title)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(loc='upper right', fontsize='small')
    rows[-1].set_xlabel('seconds')
    figure.suptitle(f'{names[0]} and {names[1]}')
    picture = BytesIO()
    figure.savefig(picture, format='png')
    write_file(path, picture.getvalue())


def _draw(
    difference: PoseDifference, rows: Sequence['Axes'], start: float, names: tuple[str, str]
) -> None:
    times = difference.stamps - start
    label = ' = '.join(difference.ids)
    lines = (
        _MILLIMETRES * difference.joints,
        _MILLIMETRES * difference.pose,
        np.degrees(difference.rotations),
        _MILLIMETRES * difference.translation,
    )
    for axes, values in zip(rows, lines, strict=False):
        axes.plot(times, values, label=label)
    for id, name, values in zip(difference.ids, names, difference.jitter, strict=True):
        rows[-1].plot(times, _MILLIMETRES * values, label=f'{id} of {name}')


def _tracks(run: Frames, stamps: Sequence[int]) -> dict[str, dict[int, Human]]:
    """Return each person of a run by id, then by stamp."""
    tracks: dict[str, dict[int, Human]] = {}
    for stamp in stamps:
        for human in run[stamp]:
            tracks.setdefault(human.id, {})[stamp] = human
    return tracks


def _project(track: dict[int, Human]) -> dict[int, Array]:
    """Return the joints (24, 3) of a person by stamp: in an image of focal length 1, where z is 0.

    Those of a person in a fixed frame stay as they are.
    """
    return {
        stamp: human.joints if human.is_in_fixed_frame else _in_image(human.joints)
        for stamp, human in track.items()
    }


def _in_image(joints: Array) -> Array:
    points = joints / np.maximum(joints[:, 2:], _MIN_DEPTH)
    points[:, 2] = 0.0
    return points


def _similarity(first: list[dict[int, Array]], second: list[dict[int, Array]]) -> Array:
    """Return the similarity (N, M) of each person of one run to each of the other.

    The focal lengths of all pairs have the ratio of the most similar pair.
    """
    pairs = {
        (row, column): _common_joints(a, b)
        for row, a in enumerate(first)
        for column, b in enumerate(second)
    }
    zooms = [_fit_zoom(*pair) for pair in pairs.values()]
    overlaps = [_overlap(*pair, zoom) for pair, zoom in zip(pairs.values(), zooms, strict=True)]
    zoom = zooms[int(np.argmax(overlaps))] if any(overlaps) else 1.0
    found = np.zeros((len(first), len(second)))
    for index, pair in pairs.items():
        found[index] = _overlap(*pair, zoom)
    return found


def _common_joints(first: dict[int, Array], second: dict[int, Array]) -> tuple[Array, Array]:
    """Return the joints (N, 24, 3) of two people in the frames with both."""
    stamps = sorted(first.keys() & second.keys())
    points, others = (
        np.array([track[stamp] for stamp in stamps]).reshape(len(stamps), NUM_JOINTS, 3)
        for track in (first, second)
    )
    return points, others


def _fit_zoom(points: Array, others: Array) -> float:
    """Return the least-squares scale from others to points; 1 if it is outside the limits."""
    zoom = float(np.sum(points * others) / max(np.sum(others**2), 1e-12))
    return zoom if _MIN_ZOOM < zoom < _MAX_ZOOM else 1.0


def _overlap(points: Array, others: Array, zoom: float) -> float:
    """Return a sum over frames of 1 for equal positions, down to 0 at the maximum distance."""
    lengths = np.linalg.norm(points - points[:, PELVIS, None], axis=-1).max(axis=-1)
    distances = np.linalg.norm(points - zoom * others, axis=-1).mean(axis=-1)
    return float(np.maximum(0, 1 - distances / (_MAX_DISTANCE * lengths)).sum())


def _difference(
    ids: tuple[str, str],
    first: dict[int, Human],
    second: dict[int, Human],
    numbers: dict[int, int],
) -> PoseDifference:
    stamps = sorted(first.keys() & second.keys())
    pairs = [(first[stamp], second[stamp]) for stamp in stamps]
    joints = np.array([[human.joints for human in pair] for pair in pairs])
    rotations = np.array([[human.rotations for human in pair] for pair in pairs])
    translations = np.array([[human.translation for human in pair] for pair in pairs])
    angles = to_rotation_vector(np.swapaxes(rotations[:, 0], -1, -2) @ rotations[:, 1])
    frames = [numbers[stamp] for stamp in stamps]
    relative = joints - joints[:, :, PELVIS, None]
    return PoseDifference(
        ids,
        (len(first), len(second)),
        np.array(stamps) / _SECOND,
        np.linalg.norm(joints[:, 0] - joints[:, 1], axis=-1).mean(axis=-1),
        np.linalg.norm(relative[:, 0] - relative[:, 1], axis=-1).mean(axis=-1),
        np.linalg.norm(angles, axis=-1).mean(axis=-1),
        np.linalg.norm(translations[:, 0] - translations[:, 1], axis=-1),
        np.array([_jitter(joints[:, run], frames) for run in range(2)]),
    )


def _jitter(points: Array, numbers: Sequence[int]) -> Array:
    """Return the jitter (N) of all frames; NaN where the frame before or after is missing."""
    found = np.full(len(points), np.nan)
    frames, values = jitters(points, numbers)
    found[frames] = values
    return found
