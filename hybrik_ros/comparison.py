"""Two accounts of the same images: in what the people in them differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from hybrik_ros.arrays import Array
from hybrik_ros.human import Human
from hybrik_ros.rotations import to_rotation_vector
from hybrik_ros.skeleton import NUM_JOINTS, PELVIS
from hybrik_ros.writing import writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Frames = Mapping[int, Sequence[Human]]

# Mean distance of joints in the picture, in lengths of the person there (from the pelvis to the
# joint farthest away): farther apart, two are not the same person.
_REACH = 0.2
_NEAREST = 0.1  # metres: what is nearer to the camera, or behind it, is taken to be there
_ZOOMS = (0.1, 10.0)  # by how much the focal lengths of two accounts may differ
_SECOND = 1e9  # nanoseconds
_SIZE = (11.0, 12.0)  # inches, of the plot
_MILLIMETRES = 1e3


@dataclass(frozen=True, eq=False)
class PoseDifference:
    """How two accounts of one person differ.

    Attributes
    ----------
    ids: of the person, in the first and the second account.
    frames: in how many the person is, in the first and the second account.
    stamps: (N), seconds, of the frames in which both have the person; so are all below.
    joints: (N), mean distance of the joints, metres.
    pose: (N), the same about the pelvis.
    rotations: (N), mean angle between the parent-relative rotations, radians.
    translation: (N), distance, metres.
    jitter: (2, N), of each account, mean second difference of the joints, metres; NaN where a
        frame has not both neighbours.
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
    """Return how two accounts differ, one for each person whom both have, most frames first.

    Parameters
    ----------
    first, second: the people in each frame, by the stamp of its image, nanoseconds. Who is who
        is found by where they are in the picture, though that be of unknown focal length, which
        may differ: the accounts need not agree about distances. Ids do not matter.
    """
    shared = sorted(first.keys() & second.keys())
    every = sorted(first.keys() | second.keys())
    numbers = {stamp: number for number, stamp in enumerate(every)}
    tracks = [_tracks(account, shared) for account in (first, second)]
    ids = [list(track) for track in tracks]
    likeness = _likeness(*([_seen(track) for track in account.values()] for account in tracks))
    found = []
    for row, column in zip(*linear_sum_assignment(-likeness), strict=True):
        if likeness[row, column] > 0:
            pair = ids[0][row], ids[1][column]
            found.append(_difference(pair, tracks[0][pair[0]], tracks[1][pair[1]], numbers))
    return sorted(found, key=lambda difference: -len(difference.stamps))


def jitters(points: Array, numbers: Sequence[int]) -> tuple[NDArray[np.int64], Array]:
    """Return the mean second difference of (N, J, 3) in the frames of these numbers (N).

    Returns
    -------
    (M) and (M): the indices of the frames that have both neighbours, and, in the points' unit, the
    second difference of each.
    """
    if len(points) < 3:
        return np.zeros(0, np.int64), np.zeros(0)
    steps = np.diff(numbers)
    whole = np.flatnonzero((steps[1:] == 1) & (steps[:-1] == 1))
    return whole + 1, np.linalg.norm(np.diff(points, 2, axis=0)[whole], axis=-1).mean(axis=-1)


def plot(differences: Sequence[PoseDifference], names: tuple[str, str], path: Path) -> None:
    """Draw the differences over time (PNG).

    Parameters
    ----------
    names: of the two accounts.

    Raises
    ------
    ModuleNotFoundError: matplotlib is missing.
    OSError: it cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout='constrained')
    rows = figure.subplots(5, 1, sharex=True)
    start = min(difference.stamps[0] for difference in differences)
    for difference in differences:
        _draw(difference, rows, start, names)
    titles = ('joints, mm', 'joints about the pelvis, mm', 'rotations, degrees',
              'translation, mm', 'jitter, mm a frame²')  # fmt: skip
    for axes, title in zip(rows, titles, strict=True):
        axes.set_ylabel(title)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(loc='upper right', fontsize='small')
    rows[-1].set_xlabel('seconds')
    figure.suptitle(f'{names[0]} and {names[1]}')
    with writing(path):
        figure.savefig(path, format='png')


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


def _tracks(account: Frames, stamps: Sequence[int]) -> dict[str, dict[int, Human]]:
    """Return every person of an account by stamp."""
    tracks: dict[str, dict[int, Human]] = {}
    for stamp in stamps:
        for human in account[stamp]:
            tracks.setdefault(human.id, {})[stamp] = human
    return tracks


def _seen(track: dict[int, Human]) -> dict[int, Array]:
    """Return where the joints (24, 2) of a person are in a picture of focal length 1, by stamp."""
    return {
        stamp: human.joints[:, :2] / np.maximum(human.joints[:, 2:], _NEAREST)
        for stamp, human in track.items()
    }


def _likeness(first: list[dict[int, Array]], second: list[dict[int, Array]]) -> Array:
    """Return in how many frames each of the one is where each of the other is (N, M).

    The nearer, the more. The zoom from the one to the other is that of the pair most alike.
    """
    pairs = {
        (row, column): _both(a, b) for row, a in enumerate(first) for column, b in enumerate(second)
    }
    zooms = [_zoom(*pair) for pair in pairs.values()]
    alike = [_overlap(*pair, zoom) for pair, zoom in zip(pairs.values(), zooms, strict=True)]
    zoom = zooms[int(np.argmax(alike))] if any(alike) else 1.0
    found = np.zeros((len(first), len(second)))
    for place, pair in pairs.items():
        found[place] = _overlap(*pair, zoom)
    return found


def _both(first: dict[int, Array], second: dict[int, Array]) -> tuple[Array, Array]:
    """Return the joints (N, 24, 2) of either in the frames that both are in."""
    stamps = sorted(first.keys() & second.keys())
    points, others = (
        np.array([track[stamp] for stamp in stamps]).reshape(len(stamps), NUM_JOINTS, 2)
        for track in (first, second)
    )
    return points, others


def _zoom(points: Array, others: Array) -> float:
    """Return how much larger the one is than the other; 1 where it cannot be the same picture."""
    zoom = float(np.sum(points * others) / max(np.sum(others**2), 1e-12))
    return zoom if _ZOOMS[0] < zoom < _ZOOMS[1] else 1.0


def _overlap(points: Array, others: Array, zoom: float) -> float:
    """Return in how many frames two are at the same place in the picture, the nearer the more."""
    lengths = np.linalg.norm(points - points[:, PELVIS, None], axis=-1).max(axis=-1)
    distances = np.linalg.norm(points - zoom * others, axis=-1).mean(axis=-1)
    return float(np.maximum(0, 1 - distances / (_REACH * lengths)).sum())


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
    turns = to_rotation_vector(np.swapaxes(rotations[:, 0], -1, -2) @ rotations[:, 1])
    frames = [numbers[stamp] for stamp in stamps]
    about = joints - joints[:, :, PELVIS, None]
    return PoseDifference(
        ids,
        (len(first), len(second)),
        np.array(stamps) / _SECOND,
        np.linalg.norm(joints[:, 0] - joints[:, 1], axis=-1).mean(axis=-1),
        np.linalg.norm(about[:, 0] - about[:, 1], axis=-1).mean(axis=-1),
        np.linalg.norm(turns, axis=-1).mean(axis=-1),
        np.linalg.norm(translations[:, 0] - translations[:, 1], axis=-1),
        np.array([_jitter(joints[:, account], frames) for account in range(2)]),
    )


def _jitter(points: Array, numbers: Sequence[int]) -> Array:
    """Return the jitter of every frame (N), NaN where it has not both neighbours."""
    found = np.full(len(points), np.nan)
    frames, values = jitters(points, numbers)
    found[frames] = values
    return found
