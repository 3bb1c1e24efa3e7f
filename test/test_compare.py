"""`hybrik compare`: known differences are found exactly."""

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from test_motion import LENGTH, joints, stamps, walk, write_people

from hybrik_ros.cli import main
from hybrik_ros.comparison import compare
from hybrik_ros.human import Human


def by_stamp(people: list[Human]) -> dict[int, list[Human]]:
    return {stamp: [human] for stamp, human in zip(stamps(), people, strict=True)}


def test_equal_people_have_no_difference() -> None:
    people = by_stamp(walk(1))
    [found] = compare(people, people)
    assert found.ids == ('p1', 'p1')
    assert found.frames == (LENGTH, LENGTH)
    for values in (found.joints, found.pose, found.rotations, found.translation):
        np.testing.assert_allclose(values, np.zeros(LENGTH), atol=1e-7)
    second = np.linalg.norm(np.diff(joints(walk(1)), 2, axis=0), axis=-1).mean(axis=-1)
    np.testing.assert_allclose(found.jitter[:, 1:-1], [second, second])
    assert np.isnan(found.jitter[:, [0, -1]]).all()


def test_known_differences_are_found() -> None:
    people = walk(1)
    shift = np.array([0.03, 0.0, 0.04])
    turn = Rotation.from_rotvec([0, 0, 0.24]).as_matrix()
    moved = []
    for human in people:
        rotations = human.rotations.copy()
        rotations[5] = rotations[5] @ turn
        moved.append(
            replace(human, id='x', joints=human.joints + shift, rotations=rotations,
                    translation=human.translation + shift)
        )  # fmt: skip
    [found] = compare(by_stamp(people), by_stamp(moved))
    assert found.ids == ('p1', 'x')
    np.testing.assert_allclose(found.joints, 0.05)
    np.testing.assert_allclose(found.translation, 0.05)
    np.testing.assert_allclose(found.pose, 0, atol=1e-12)
    np.testing.assert_allclose(found.rotations, 0.24 / 24, atol=1e-7)


def test_people_are_matched_by_position() -> None:
    first, second = walk(1), walk(2)
    aside = np.array([1.5, 0, 0])
    second = [replace(h, joints=h.joints + aside, id='p2') for h in second]
    swapped = {
        stamp: [replace(a, id='p2'), replace(b, id='p7')]
        for stamp, a, b in zip(stamps(), first, second, strict=True)
        if stamp != stamps()[4]
    }
    both = {stamp: [a, b] for stamp, a, b in zip(stamps(), first, second, strict=True)}
    found = compare(both, swapped)
    assert {difference.ids for difference in found} == {('p1', 'p2'), ('p2', 'p7')}
    assert all(len(difference.stamps) == LENGTH - 1 for difference in found)
    # The frames beside the missing one have one neighbour only.
    assert np.isnan(found[0].jitter[0]).sum() == 4


def test_people_in_a_fixed_frame_are_matched_by_their_places() -> None:
    fixed = [replace(human, box=np.zeros(4)) for human in walk(1)]
    # On two floors below the origin: both are at one place in an image.
    ends = {
        name: [replace(h, id=name, joints=h.joints + [x, 0, z]) for h in fixed]
        for name, x, z in (('a', 0, -5), ('b', 0, -8), ('c', 0.05, -5), ('d', 0.05, -8))
    }
    first, second = (
        {
            stamp: list(pair)
            for stamp, *pair in zip(stamps(), *(ends[n] for n in names), strict=True)
        }
        for names in ('ab', 'dc')
    )
    found = compare(first, second)
    assert {difference.ids for difference in found} == {('a', 'c'), ('b', 'd')}
    np.testing.assert_allclose([difference.joints for difference in found], 0.05)


def test_people_are_matched_despite_different_focal_lengths() -> None:
    # With a field of view of 90 degrees instead of 60, people are nearer and have the same width.
    zoom = np.tan(np.pi / 4) / np.tan(np.pi / 6)
    places = ((0.0, 0.0), (1.0, 0.5), (-1.2, 2.0))
    first, second = {}, {}
    for stamp, *people in zip(stamps(), *(walk(seed) for seed in (1, 2, 3)), strict=True):
        shown = [
            replace(human, joints=human.joints + [x, 0, z])
            for human, (x, z) in zip(people, places, strict=True)
        ]
        first[stamp] = shown
        second[stamp] = [replace(h, id=f'{h.id}x', joints=h.joints / [1, 1, zoom]) for h in shown]
    assert np.abs(first[stamps()[0]][2].joints - second[stamps()[0]][2].joints).max() > 1
    for a, b in ((first, second), (second, first)):
        found = compare(a, b)
        assert {min(d.ids) + 'x' for d in found} == {max(d.ids) for d in found}
        assert len(found) == 3
        assert all(len(difference.stamps) == LENGTH for difference in found)


def test_different_people_are_not_matched(people_far_apart: tuple[dict, dict]) -> None:
    assert compare(*people_far_apart) == []


@pytest.fixture(params=['aside', 'mirrored', 'smaller'])
def people_far_apart(request: pytest.FixtureRequest) -> tuple[dict, dict]:
    moves = {'aside': [1.5, 0, 0], 'mirrored': [-1.5, 0, 0], 'smaller': [-1.0, 0, 4.0]}
    left = [replace(human, joints=human.joints + [1.0, 0, 0]) for human in walk(1)]
    other = [replace(human, joints=human.joints + moves[request.param]) for human in left]
    return by_stamp(left), by_stamp(other)


@pytest.fixture
def bags(tmp_path: Path) -> tuple[Path, Path]:
    people = walk(1)
    moved = [replace(human, joints=human.joints + 0.01, id='q7') for human in people]
    return (
        write_people(tmp_path / 'a', [[human] for human in people]),
        write_people(tmp_path / 'b', [[human] for human in moved]),
    )


def test_the_command_prints_a_table_and_draws_a_plot(
    bags: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv('MPLBACKEND', 'missing')
    plot = tmp_path / 'plot.png'
    assert main(['compare', *map(str, bags), '--plot', str(plot)]) == 0
    told = capsys.readouterr().out
    assert 'p1 of A is q7 of B' in told
    assert f'{10 * np.sqrt(3):.3f}' in told
    picture = cv2.imread(str(plot))
    assert picture.shape[0] > 500
    assert picture.std() > 10


def test_incomparable_bags_are_refused(
    bags: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    other = write_people(tmp_path / 'other', [[]] * LENGTH)
    far = [[replace(human, joints=human.joints + 9)] for human in walk(1)]
    for path, complaint in (
        (other, 'no person is in both'),
        (write_people(tmp_path / 'far', far), 'no person is in both'),
        (write_people(tmp_path / 'short', [[walk(1)[0]]]), ''),
        (tmp_path / 'nowhere', 'nowhere does not exist'),
    ):
        status = main(['compare', str(bags[0]), str(path)])
        assert status == (1 if complaint else 0)
        assert complaint in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, 'matplotlib.figure', None)
    assert main(['compare', *map(str, bags), '--plot', str(tmp_path / 'p.png')]) == 1
    assert 'pip install matplotlib' in capsys.readouterr().err
