"""What `hybrik calibrate` concludes from people, tells and writes."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.table import Table

from hybrik_ros.body import BodyModel
from hybrik_ros.cli.pictures import write_picture
from hybrik_ros.cli.terminal import Terminal
from hybrik_ros.cli.top_view import draw_top_view
from hybrik_ros.fusion.extrinsics import (
    CameraPose,
    Difference,
    Extrinsics,
    ExtrinsicsError,
    Stream,
    check_extrinsics,
    estimate_extrinsics,
)
from hybrik_ros.fusion.extrinsics.checking import MAX_DIRECTION, known_scale
from hybrik_ros.fusion.extrinsics.files import to_launch, to_yaml
from hybrik_ros.writing import write_file, writing

EXTRINSICS, LAUNCH, TOP_VIEW = 'extrinsics.yaml', 'extrinsics.launch.py', 'top_view.png'
_FIXED_FRAME = 'map'
NOT_KNOWN = (
    'TF connects no two of the cameras, so there are no extrinsics to check: give -o FOLDER to '
    'find them, or --check FILE'
)


class CalibrationViews(NamedTuple):
    """What cameras see of people.

    Attributes
    ----------
    streams : mapping
        Stamps in seconds and people of the images of each camera, by its name.
    frame_ids : mapping
        Optical frame of each camera.
    max_offset : float
        Maximum clock offset between two cameras in seconds.
    """

    streams: Mapping[str, Stream]
    frame_ids: Mapping[str, str]
    max_offset: float


class Goal(NamedTuple):
    """What is wanted.

    Attributes
    ----------
    output : Path or None
        Folder to write; None only to check known extrinsics.
    stature : float or None
        Stature of the tallest person in metres, if it is known.
    known : mapping
        Known extrinsics of the cameras, by name.
    """

    output: Path | None
    stature: float | None
    known: Mapping[str, CameraPose]

    def or_known(self, known: Mapping[str, CameraPose]) -> 'Goal':
        """Return the goal with extrinsics that TF has, unless others are given.

        Raises
        ------
        ExtrinsicsError
            There is nothing to check, and nothing to write.
        """
        known = self.known or known
        if self.output is None and not known:
            raise ExtrinsicsError(NOT_KNOWN)
        return self._replace(known=known)


def conclude(views: CalibrationViews, goal: Goal, body: BodyModel, console: Terminal) -> int:
    """Find and write the extrinsics, and check the known ones.

    Returns
    -------
    int
        Exit status: 1 if known extrinsics are wrong and no new ones are written, or 0.

    Raises
    ------
    ExtrinsicsError
        The people do not determine the extrinsics.
    """
    found, reason = None, ''
    with console.status('Adjusting cameras and people ...'):
        try:
            found = estimate_extrinsics(
                views.streams, stature=goal.stature, body=body, max_offset=views.max_offset
            )
        except ExtrinsicsError as error:
            if goal.output is not None:
                raise
            reason = str(error)
    are_good = True
    if goal.known:
        try:
            are_good = _check(views.streams, goal.known, found, console)
        except ExtrinsicsError as error:
            if goal.output is None:
                raise
            console.print(f'known extrinsics are not checked: {error}', soft_wrap=True)
    if found is None or goal.output is None:
        if reason:
            console.print(
                f'the people alone do not tell where cameras are: {reason}', soft_wrap=True
            )
        return 0 if are_good else 1
    _tell(found, console)
    write_extrinsics(goal.output, found, views.frame_ids)
    console.print(f'Written to {goal.output}.', soft_wrap=True)
    return 0


def _check(
    streams: Mapping[str, Stream],
    known: Mapping[str, CameraPose],
    found: Extrinsics | None,
    console: Terminal,
) -> bool:
    """Print how well known extrinsics agree with the people; return whether all are good."""
    unknown = [name for name in streams if name not in known]
    for name in unknown:
        console.print(f'camera {name} is not checked: its extrinsics are unknown')
    chosen = {name: stream for name, stream in streams.items() if name in known}
    agreements = check_extrinsics(chosen, known, found)
    table = Table('camera', 'rays miss by', 'in one direction', 'people say', 'verdict')
    for name, agreement in agreements.items():
        table.add_row(
            name,
            f'{1e3 * agreement.distance:.0f} mm',
            f'{1e3 * agreement.direction:.0f} mm',
            'unknown' if agreement.difference is None else f'off by {_words(agreement.difference)}',
            'good' if agreement.is_good else 'wrong',
        )
    console.print(table)
    limit = next(iter(agreements.values())).limit
    console.print(f'limits: {1e3 * MAX_DIRECTION:.0f} mm in one direction, off by {_words(limit)}')
    if found is not None and found.report.is_stature_given:
        console.print(
            f'known distances between cameras are {known_scale(found, known):.2f} of those by the '
            f'stature of {found.report.scale.stature:.2f} m'
        )
    wrong = [name for name, agreement in agreements.items() if not agreement.is_good]
    if wrong:
        console.print(
            f'the extrinsics of {", ".join(wrong)} are wrong: calibrate again, with -o FOLDER',
            soft_wrap=True,
        )
    return not (unknown or wrong)


def _words(difference: Difference) -> str:
    return f'{np.degrees(difference.turn):.1f}°, {100 * difference.shift:.0f} cm'


def _tell(found: Extrinsics, console: Terminal) -> None:
    """Print cameras, repeatability, health and scale."""
    report, first = found.report, next(iter(found.cameras))
    table = Table('camera', 'x, y, z in m', 'clock offset', 'halves differ by', 'rays miss by')
    for name, pose in found.cameras.items():
        half = report.repeatability.get(name)
        halves = 'unknown'
        if half is not None:
            halves = _words(half)
        if name == first:
            halves = 'reference'
        table.add_row(
            name,
            ' '.join(f'{value + 0.0:.2f}' for value in pose.frame_from_camera[:3, 3].round(2)),
            f'{1e3 * pose.clock_offset:.0f} ms',
            halves,
            f'{1e3 * report.errors[name]:.0f} mm',
        )
    console.print(table)
    source = 'given' if report.is_stature_given else 'of a mean body of these proportions'
    console.print(
        f'scale: by a stature of {report.scale.stature:.2f} m ({source}), '
        f'uncertain by {100 * report.scale.sigma:.1f} %'
    )
    for note in report.notes:
        console.print(note, soft_wrap=True)


def write_extrinsics(folder: Path, found: Extrinsics, frame_ids: Mapping[str, str]) -> None:
    """Write all files into a new folder; frame_ids has the optical frame of each camera."""
    with writing(folder):
        folder.mkdir(parents=True)
    poses = {name: pose.frame_from_camera for name, pose in found.cameras.items()}
    arguments = found.cameras, frame_ids, _FIXED_FRAME
    write_file(folder / EXTRINSICS, to_yaml(*arguments).encode())
    write_file(folder / LAUNCH, to_launch(*arguments).encode())
    write_picture(folder / TOP_VIEW, draw_top_view(poses, paths=found.report.paths))
