"""Many people in many cameras, for long: their places, and memory."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from views import around, blur, observe, standing

from hybrik_ros.body import BodyModel
from hybrik_ros.fusion import Fusion, View

PEOPLE, CAMERAS = 10, 6
RATE = 20
MISSED = 0.2  # share of people that a camera does not see


@pytest.fixture(scope='module')
def body() -> BodyModel:
    return BodyModel.load()


def test_ten_people_in_six_cameras_stay_ten(body):
    rng = np.random.default_rng(0)
    cameras = around(CAMERAS, 6.0)
    angles = 2 * np.pi * np.arange(PEOPLE) / PEOPLE
    people = [standing(body, seed) for seed in range(PEOPLE)]
    fusion = Fusion(body)
    ids, errors = [], []
    for number in range(5 * RATE):
        stamp = number / RATE
        turn = angles + 0.4 * stamp  # They walk around a circle, 0.8 m/s.
        places = 2.0 * np.column_stack([np.cos(turn), np.sin(turn), 0 * turn])
        true = [joints + place for (joints, _), place in zip(people, places, strict=True)]
        landmarks = [points + place for (_, points), place in zip(people, places, strict=True)]
        found = fusion(crowded(landmarks, cameras, stamp, rng))
        pelvis = np.array([human.joints[0] for human in found])
        away = np.linalg.norm(pelvis[:, None] - [joints[0] for joints in true], axis=2)
        # One body for each person, and none between two.
        assert sorted(away.argmin(axis=1)) == list(range(PEOPLE))
        ids.append([found[i].id for i in away.argmin(axis=0)])
        errors.append(away.min(axis=0))
    assert len(set(map(tuple, ids))) == 1
    assert np.median(errors) < 0.03
    assert np.max(errors) < 0.15


def crowded(landmarks, cameras, stamp, rng):
    """What cameras see, with errors, in any order; each misses people, and some have new ids."""
    seen = {}
    for name, camera in enumerate(cameras):
        shown = [n for n in rng.permutation(len(landmarks)) if rng.random() > MISSED]
        people = [blur(observe(landmarks[n], camera, f'p{n}'), rng) for n in shown]
        renamed = [replace(one, id=f'{one.id}x') if rng.random() < 0.1 else one for one in people]
        seen[f'camera{name}'] = View(stamp, camera, renamed)
    return seen


def test_memory_does_not_grow_with_people_that_come_and_go(body):
    fusion = Fusion(body)
    cameras = around(3)
    person, passer = standing(body, 0)[1], standing(body, 1, (0.5, 0.9))[1]

    def play(begin, end):
        for number in range(begin, end):
            views = {}
            for name, camera in enumerate(cameras):
                # In one camera, ten others appear for one image each.
                ids = [f'v{number}n{n}' for n in range(10 if name == 0 else 0)]
                seen = [observe(person, camera)] + [observe(passer, camera, id) for id in ids]
                views[f'camera{name}'] = View(number / 30, camera, seen)
            fusion(views)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        early = play(0, 100)
        late = play(100, 500)
    finally:
        tracemalloc.stop()
    assert late - early < 100_000  # bytes
