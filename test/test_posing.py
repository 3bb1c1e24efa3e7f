"""One person's pose in one frame: pure, and refused whole where no person can look like that."""

import json
from dataclasses import dataclass, fields, replace
from hashlib import sha256

import numpy as np
import pytest
from sample import RATE, read_camera, read_frames
from shown import landmark_points, landmarks_of

from hybrik_ros import posing, snapshot
from hybrik_ros.body import BodyModel
from hybrik_ros.camera import Camera, ImpossiblePoseError
from hybrik_ros.inference import choice
from hybrik_ros.inference.runner import Runner
from hybrik_ros.kinematics import forward
from hybrik_ros.perception import blazepose, opening
from hybrik_ros.perception.estimator import Estimator, Observation
from hybrik_ros.perception.landmarks import BlazePoseEstimator, LandmarkObservation, observe
from hybrik_ros.perception.observer import ObserverState
from hybrik_ros.pipeline import Pipeline
from hybrik_ros.posing import pose, start_memory
from hybrik_ros.settings import Settings
from hybrik_ros.snapshot import Snapshot, from_plain, to_plain
from hybrik_ros.tracking import Sighting, Track

SETTINGS = Settings(confirm_after=0.0)
UPRIGHT = np.tile(np.eye(3), (24, 1, 1))
UPRIGHT[0] = np.diag([1.0, -1.0, -1.0])


@pytest.fixture(scope='module')
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope='module')
def standing(body: BodyModel) -> LandmarkObservation:
    """A person in the T-pose, four metres before the camera."""
    _, points = landmark_points(body, np.zeros(body.num_betas), UPRIGHT, np.array([0, 0, 4.0]))
    camera = Camera.from_field_of_view(90, 1280, 960)
    return observe(landmarks_of(points, camera), camera)


def as_text(memory: posing.Memory) -> str:
    """Everything that is remembered, to the bit."""
    return json.dumps(to_plain(memory, LandmarkObservation))


def test_a_pose_changes_nothing_that_it_is_given(body, standing):
    memory = pose(standing, start_memory(body), body, SETTINGS, np.inf).memory
    before = as_text(memory)
    shifted = replace(standing, points=standing.points + [0.1, 0, 0.2])
    seen = shifted.points.copy(), shifted.confidence.copy(), shifted.rays.copy()
    first, second = (pose(shifted, memory, body, SETTINGS, 0.1) for _ in range(2))
    assert as_text(memory) == before
    after = shifted.points, shifted.confidence, shifted.rays
    assert all(np.array_equal(*pair) for pair in zip(seen, after, strict=True))
    assert np.array_equal(first.joints, second.joints)
    assert as_text(first.memory) == as_text(second.memory) != before


def test_what_a_pose_returns_is_the_callers(body, standing):
    posed = pose(standing, start_memory(body), body, SETTINGS, np.inf)
    before = as_text(posed.memory)
    for name in ('joints', 'rotations', 'global_rotations', 'betas', 'translation', 'velocity'):
        getattr(posed, name)[...] = 7.0
    assert as_text(posed.memory) == before


def test_global_rotations_are_forward_kinematics(body, standing):
    posed = pose(standing, start_memory(body), body, SETTINGS, np.inf)
    _, turned = forward(posed.rotations, body.rest_joints(posed.betas))
    assert posed.global_rotations == pytest.approx(turned, abs=1e-12)


def test_a_person_behind_the_camera_is_impossible(body, standing):
    behind = replace(standing, distance=-4.0, points=standing.points * [1, 1, -1])
    with pytest.raises(ImpossiblePoseError):
        pose(behind, start_memory(body), body, SETTINGS, np.inf)


# In the pipeline


def refuse(*_: object, **__: object) -> None:
    raise ImpossiblePoseError('for the test')


@pytest.fixture(scope='module')
def frames() -> list[np.ndarray]:
    return read_frames(60, 6)


@pytest.fixture
def pipeline():
    with Pipeline.create(confirm_after=0.0) as pipeline:
        yield pipeline


def test_the_estimators_are_what_the_pipeline_asks_for(pipeline, frames):
    estimator: Estimator = pipeline._estimator
    assert isinstance(estimator, BlazePoseEstimator)
    assert estimator.model == blazepose.MODEL
    humans = pipeline(frames[0], read_camera(), 0.0)
    observations: list[Observation] = pipeline.observations
    assert len(observations) == len(humans) == 1
    assert np.array_equal(observations[0].box, humans[0].box)
    assert pipeline(np.zeros_like(frames[0]), read_camera(), 1 / RATE) == []
    assert pipeline.observations == []


@pytest.mark.parametrize('moment', ['first', 'with_depths', 'located'])
def test_a_refused_frame_leaves_the_track_unchanged(pipeline, frames, monkeypatch, moment):
    camera = read_camera()
    for number in range(3):
        [before] = pipeline(frames[number], camera, number / RATE)
    [track] = pipeline._tracker.tracks
    known = dict(vars(track))
    memory = as_text(track.memory)

    with monkeypatch.context() as patch:
        if moment == 'first':
            patch.setattr('hybrik_ros.reconstruction.pose', refuse)
        elif moment == 'with_depths':
            patch.setattr(LandmarkObservation, 'with_depths', refuse)
        else:  # After the depths were smoothed, the shape measured, and the rotations solved.
            patch.setattr(posing, 'locate', refuse)
        assert pipeline(frames[3], camera, 3 / RATE) == []
    [after] = pipeline._tracker.tracks
    assert after is track
    assert all(getattr(after, name) is value for name, value in known.items())
    assert as_text(track.memory) == memory
    # As if the frame had not been there.
    [found] = pipeline(frames[4], camera, 4 / RATE)
    assert found.id == before.id


@pytest.mark.parametrize('confirm_after', [0.0, 2.5 / RATE])
def test_a_refused_frame_is_as_if_it_had_not_been(frames, monkeypatch, confirm_after):
    camera = read_camera()
    states = []
    for is_refused in (True, False):
        with Pipeline.create(confirm_after=confirm_after, detector_interval=10.0) as pipeline:
            for number in range(3):
                pipeline(frames[number], camera, number / RATE)
            if is_refused:  # If confirmed after 2.5 frames, its track is still tentative here.
                with monkeypatch.context() as patch:
                    patch.setattr(posing, 'locate', refuse)
                    assert pipeline(frames[3], camera, 3 / RATE) == []
                    assert pipeline.observations == []
            [human] = pipeline(frames[4], camera, 4 / RATE)
            assert human.id == 'p1'
            states.append(to_plain(pipeline._tracker.tracks, pipeline._estimator.observation_type))
    assert states[0] == states[1]


def test_observations_are_what_people_were_posed_from(pipeline, frames):
    for number in range(3):
        people = pipeline(frames[number], read_camera(), number / RATE)
    [track] = pipeline._tracker.tracks
    [observation] = pipeline.observations
    assert len(people) == 1
    assert observation is track.memory.observation


@pytest.mark.parametrize('error', [TypeError, ValueError, KeyError])
def test_an_error_of_the_code_is_not_taken_for_an_impossible_pose(
    pipeline, frames, monkeypatch, error
):
    camera = read_camera()
    [before] = pipeline(frames[0], camera, 0.0)

    def fail(*_: object, **__: object) -> None:
        raise error('a fault of the program')

    with monkeypatch.context() as patch:
        patch.setattr(posing, 'solve', fail)
        with pytest.raises(error, match='a fault of the program'):
            pipeline(frames[1], camera, 1 / RATE)
    assert pipeline.observations == []
    [after] = pipeline(frames[2], camera, 2 / RATE)
    assert after.id == before.id


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Runner]:
    """Every network that is opened from here on."""
    found: list[Runner] = []

    def open_runner(*arguments: object, **named: object) -> Runner:
        found.append(choice.open_runner(*arguments, **named))
        return found[-1]

    monkeypatch.setattr(opening, 'open_runner', open_runner)
    return found


@pytest.mark.parametrize('model', ['/nowhere/hybrik.onnx', str(blazepose.MODEL)])
def test_a_pipeline_that_cannot_be_created_frees_what_it_opened(opened, model):
    with pytest.raises((FileNotFoundError, ValueError), match=r'hybrik\.onnx|hybrik export'):
        Pipeline.create(hybrik_model=model)
    assert len(opened) == (1 if 'nowhere' in model else 2)
    for runner in opened:
        with pytest.raises(RuntimeError, match='closed'):
            runner.infer({})


@pytest.mark.parametrize('culprit', ['compiling.load_kernels', 'warm_up.pose'])
@pytest.mark.parametrize('error', [RuntimeError, KeyboardInterrupt])
def test_a_pipeline_that_fails_late_frees_what_it_opened(opened, monkeypatch, culprit, error):
    def fail(*_: object) -> None:
        raise error('for the test')

    monkeypatch.setattr(f'hybrik_ros.{culprit}', fail)
    with pytest.raises(error, match='for the test'):
        Pipeline.create()
    assert len(opened) == 2
    for runner in opened:
        with pytest.raises(RuntimeError, match='closed'):
            runner.infer({})


def test_a_pipeline_frees_all_networks_once(opened):
    with Pipeline.create() as pipeline:
        pass
    pipeline.close()
    assert len(opened) == 2
    for runner in opened:
        with pytest.raises(RuntimeError, match='closed'):
            runner.infer({})


# Snapshots


@dataclass(frozen=True, eq=False)
class ToyObservation(LandmarkObservation):
    """An observation of another estimator."""


def test_observations_of_another_estimator_are_stored_too(body, standing):
    toy = ToyObservation(**{each.name: getattr(standing, each.name) for each in fields(standing)})
    memory = pose(toy, start_memory(body), body, SETTINGS, np.inf).memory
    seen = Sighting(toy.hips, toy.box, toy.keypoints, 1.0)
    track = Track.start('p1', seen, toy.next_region, memory, False, 0.0)
    plain = json.loads(
        json.dumps(to_plain(Snapshot([track], ObserverState(), 0.0, 0.0), ToyObservation))
    )
    [restored] = from_plain(plain, ToyObservation).tracks
    assert isinstance(restored.memory.observation, ToyObservation)
    assert np.array_equal(restored.memory.observation.points, toy.points)
    with pytest.raises(ValueError, match='ToyObservation'):
        from_plain(plain, LandmarkObservation)


def test_the_version_of_snapshots_changes_with_their_fields():
    """Where this fails, raise VERSION in snapshot.py, then copy the hash."""
    known = {kind.__name__: [each.name for each in fields(kind)] for kind in snapshot._CLASSES}
    digest = sha256(json.dumps([snapshot.VERSION, known]).encode()).hexdigest()[:12]
    assert digest == 'dce5ae2de7f1'


def test_a_snapshot_is_json_with_a_version_and_named_fields(pipeline, frames):
    pipeline(frames[0], read_camera(), 0.0)
    state = json.loads(json.dumps(pipeline.state()))
    assert state['version'] >= 2
    text = json.dumps(state)
    assert '"memory"' in text
    assert '"_' not in text  # no private attribute


def nest(depth: int) -> list:
    found: list = []
    for _ in range(depth):
        found = [found]
    return found


@pytest.mark.parametrize(
    'change',
    [
        lambda state: state.update(version=1),
        lambda state: state.pop('version'),
        lambda state: state['content']['fields']['tracks'][0]['fields'].pop('id'),
        lambda state: state['content']['fields']['tracks'][0]['fields'].update(extra=1),
        lambda state: state['content']['fields']['tracks'][0].update({'class': 'Popen'}),
        lambda state: state['content']['fields'].pop('stamp'),
        lambda state: state['content']['fields'].update(tracks=[7]),
        lambda state: state['content']['fields'].update(stamp='now'),
        lambda state: state['content']['fields']['tracks'][0]['fields'].update(memory=None),
        lambda state: state['content']['fields']['tracks'][0]['fields'].update(last='0'),
        lambda state: state['content']['fields'].update(tracks=nest(5000)),
    ],
    ids=[
        'old version',
        'no version',
        'field missing',
        'field unknown',
        'class',
        'no stamp',
        'no track',
        'no time',
        'no memory',
        'text for a number',
        'too deeply nested',
    ],
)
def test_a_changed_snapshot_is_refused_and_changes_nothing(pipeline, frames, change):
    [before] = pipeline(frames[0], read_camera(), 0.0)
    state = json.loads(json.dumps(pipeline.state()))
    change(state)
    with pytest.raises(ValueError, match=r'snapshot|state'):
        pipeline.restore(state)
    [after] = pipeline(frames[1], read_camera(), 1 / RATE)
    assert after.id == before.id
