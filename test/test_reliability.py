"""Reliability of confidence, from made bodies, and the pictures of cut and hidden people."""

import math

import numpy as np
import pytest

from hybrik_ros.camera import Camera
from hybrik_ros.cli.bench.covering import excerpts
from hybrik_ros.cli.bench.diagram import draw_reliability
from hybrik_ros.cli.bench.reliability import Sample, summarise

pytestmark = pytest.mark.filterwarnings('error')

# Pixels of TRUE_JOINTS: shoulders, elbows, wrists, hips, knees, ankles.
PIXELS = np.array([[x, y] for y in (100, 150, 200, 220, 300, 380) for x in (260, 340)], float)
WIDTH, HEIGHT = 640, 480


def make_samples(confidence: float, near: float, count: int, seen: float = 1.0) -> list[Sample]:
    return [Sample(confidence, near, seen)] * count


def test_bins_hold_mean_confidence_and_measured_share() -> None:
    found = summarise(
        [*make_samples(0.82, 0.5, 1), *make_samples(0.88, 1.0, 3), *make_samples(0.15, 0.25, 2)]
    )
    assert found['bodies'] == 6
    assert list(found['bins']) == ['0.1 to 0.2', '0.8 to 0.9']
    low, high = found['bins'].values()
    assert low == pytest.approx({'bodies': 2, 'confidence': 0.15, 'measured': 0.25})
    assert high == pytest.approx({'bodies': 4, 'confidence': 0.865, 'measured': 0.875})


@pytest.mark.parametrize(
    ('confidence', 'name'),
    [(0.0, '0.0 to 0.1'), (0.3, '0.3 to 0.4'), (0.1 + 0.2, '0.3 to 0.4'), (0.7, '0.7 to 0.8'),
     (0.6999, '0.6 to 0.7'), (1.0, '0.9 to 1.0')],
)  # fmt: skip
def test_bins_include_their_lower_limit(confidence: float, name: str) -> None:
    assert list(summarise(make_samples(confidence, 0.5, 1))['bins']) == [name]


def test_calibration_error_is_weighted_by_bodies() -> None:
    found = summarise([*make_samples(0.95, 0.95, 6), *make_samples(0.55, 0.15, 2)])
    assert found['calibration error'] == pytest.approx(0.4 * 2 / 8)
    # Errors within a bin cancel.
    even = summarise([*make_samples(0.45, 0.2, 1), *make_samples(0.45, 0.7, 1)])
    assert even['calibration error'] == pytest.approx(0)


def test_correlations_are_those_of_numpy() -> None:
    values = np.random.default_rng(1).uniform(0, 1, (50, 3))
    found = summarise([Sample(*row) for row in values])
    near, seen = (np.corrcoef(values[:, 0], values[:, i])[0, 1] for i in (1, 2))
    assert found['correlation with measured'] == pytest.approx(near)
    assert found['correlation with seen'] == pytest.approx(seen)


def test_bodies_under_half_seen_are_those_with_fewer_than_half_of_the_joints() -> None:
    found = summarise(
        [Sample(0.2, 0, 0.3), Sample(0.4, 0, 0.49), Sample(0.6, 0, 0.1), Sample(0.9, 1, 0.5)]
    )
    assert found['bodies under half seen'] == 3
    assert found['confidence under half seen'] == pytest.approx(0.4)


def test_joints_are_counted_over_all_bodies() -> None:
    first = Sample(0.9, 1, 1, 4, 1, joints_seen=8, joint_confidence=7.2, joints_near=8)
    second = Sample(0.5, 1, 1, 6, 3, joints_seen=2, joint_confidence=1.2, joints_near=1)
    found = summarise([first, second])
    assert found['hidden joints'] == 10
    assert found['share of them counted as seen'] == pytest.approx(0.4)
    assert found['joint confidence'] == pytest.approx(0.84)
    assert found['joints near'] == pytest.approx(0.9)
    assert math.isnan(summarise(make_samples(0.5, 0.5, 3))['share of them counted as seen'])


def test_excerpts_hide_what_is_outside_or_behind_the_board() -> None:
    hidden = {e.name: e.hides(PIXELS) for e in excerpts(PIXELS, WIDTH, HEIGHT)}
    assert not hidden['whole'].any()
    rows = PIXELS[:, 1]
    assert np.array_equal(hidden['cut at the hips'], rows >= 220)
    assert np.array_equal(hidden['legs only'], rows < 220)
    assert np.array_equal(hidden['legs hidden'], rows >= 220)
    assert np.array_equal(hidden['right half hidden'], PIXELS[:, 0] == 340)
    assert np.array_equal(hidden['left half'], PIXELS[:, 0] == 340)


def test_without_bodies_nothing_is_known() -> None:
    found = summarise([])
    assert found['bodies'] == 0
    assert found['bins'] == {}
    assert math.isnan(found['calibration error'])
    assert math.isnan(found['confidence under half seen'])
    assert math.isnan(summarise(make_samples(0.5, 0.5, 3))['correlation with seen'])


def test_diagram_has_bars_of_the_measured_height() -> None:
    bins = summarise([*make_samples(0.25, 0.5, 4), *make_samples(0.95, 1.0, 9)])['bins']
    picture = draw_reliability(bins)
    white = (picture == 255).all(axis=2)
    side = picture.shape[0]
    assert picture.shape == (side, side, 3)
    left, right = (int(side * (0.11 + 0.78 * x)) for x in (0.22, 0.72))  # a bar, and no bar
    rows = slice(side // 8, -side // 8)
    assert white[rows, left].mean() < 0.6  # half of the height is a bar
    assert white[rows, right].mean() > 0.95


def test_excerpts_keep_the_place_of_everything_in_space() -> None:
    camera = Camera(np.array([[500, 0, 320], [0, 500, 240], [0, 0, 1.0]]), [0.1, 0, 0, 0],
                    WIDTH, HEIGHT)  # fmt: skip
    picture = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    names = []
    for excerpt in excerpts(PIXELS, WIDTH, HEIGHT):
        names.append(excerpt.name)
        part, own = excerpt.picture(picture), excerpt.camera(camera)
        assert part.shape == (own.height, own.width, 3)
        left, top, *_ = excerpt.window
        point = np.array([[0.1, 0.05, 3.0]])
        np.testing.assert_allclose(own.project(point) + [left, top], camera.project(point))
    assert len(set(names)) == len(names) == 9


def test_people_are_cut_off_and_hidden_where_the_names_say() -> None:
    found = {excerpt.name: excerpt for excerpt in excerpts(PIXELS, WIDTH, HEIGHT)}
    bottoms = [found[f'cut at the {part}'].window[3] for part in ('chest', 'hips', 'knees')]
    assert bottoms == [160, 220, 300]
    assert found['legs only'].window[1] == 220
    assert found['left half'].window[2] == found['right half'].window[0] == 300
    white = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    hidden = {name: (excerpt.picture(white) < 255).all(axis=2) for name, excerpt in found.items()}
    assert hidden['legs hidden'][220:].all()
    assert not hidden['legs hidden'][:220].any()
    assert hidden['right half hidden'][:, 300:].all()
    assert not hidden['right half hidden'][:, :300].any()
    assert not any(hidden[name].any() for name in found if 'hidden' not in name)
    assert white.min() == 255
