"""HybrIK's network in the pipeline, here one that says the same of every image."""

import logging
from pathlib import Path

import numpy as np
import onnx
import pytest
from depths import render_depth
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from poses import angles_between
from sample import read_frames
from scipy.spatial.transform import Rotation

from hybrik_ros.body import DEFAULT_BODY, BodyModel
from hybrik_ros.body.model import MAX_BETAS
from hybrik_ros.camera import Camera, Region
from hybrik_ros.fusion import Fusion, View
from hybrik_ros.human import Human
from hybrik_ros.inference import open_runner
from hybrik_ros.kinematics import forward
from hybrik_ros.perception import blazepose
from hybrik_ros.perception.hybrik import HybrIK
from hybrik_ros.pipeline import Pipeline
from hybrik_ros.skeleton import NUM_JOINTS

DEPTH = 2.2  # metres, the side of HybrIK's cube
MARGIN = 1.25
FACING = np.diag([1.0, -1.0, -1.0])
SHAPE = np.linspace(-1.0, 1.0, MAX_BETAS)
COUNT = 50
# Around the woman. The network below shows another pose than hers, so the detector would disagree.
BOX = [910.0, 130.0, 1140.0, 535.0]


@pytest.fixture(scope='module')
def frames() -> list[NDArray]:
    return read_frames(60, 1) * COUNT


@pytest.fixture(scope='module')
def camera() -> Camera:
    # The network sees by a parallel projection: so it is in the middle of the image only.
    width, height = 1768, 594
    return Camera(
        np.array([[2500.0, 0, 1020], [0, 2500, 324], [0, 0, 1]]), np.zeros(0), width, height
    )


@pytest.fixture(scope='module')
def smpl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded body in a file of SMPL's kind, whose betas have no names."""
    path = tmp_path_factory.mktemp('body') / 'smpl.npz'
    with np.load(DEFAULT_BODY) as stored:
        np.savez(path, **{name: stored[name] for name in stored if name != 'shape_axis_names'})
    return path


@pytest.fixture(scope='module')
def pose() -> NDArray:
    """Rotations of a person facing the camera, arms down, one forearm raised."""
    rotations = np.tile(np.eye(3), (NUM_JOINTS, 1, 1))
    rotations[0] = FACING
    rotations[[16, 17]] = Rotation.from_euler('z', [[-75], [75]], degrees=True).as_matrix()
    rotations[18] = Rotation.from_euler('y', -100, degrees=True).as_matrix()
    return rotations


@pytest.fixture(scope='module')
def answers(pose: NDArray) -> dict[str, NDArray]:
    """What the network says of one person: this pose in the middle of the crop."""
    body = BodyModel.load()
    joints = forward(pose, body.rest_joints(SHAPE))[0]
    middle = (joints.min(axis=0) + joints.max(axis=0)) / 2
    size = MARGIN * np.ptp(joints[:, :2], axis=0).max()  # of the crop, metres: the next is the same
    return {
        'uvd': (joints - middle) / [size, size, DEPTH],
        'phi': np.tile([1.0, 0.0], (NUM_JOINTS - 1, 1)),
        'shape': SHAPE,
        'cam': np.array([1 / size, 0, 0]),
        'sigma': np.full(29, 0.02),
    }


def write_model(
    path: Path, answers: dict[str, NDArray], batch: int = 1, image: int = TensorProto.FLOAT
) -> Path:
    """Write a model of HybrIK's interface that says the same of all images."""
    repeated = {
        name: np.repeat(value[None].astype(np.float32), batch, axis=0)
        for name, value in answers.items()
    }
    graph = helper.make_graph(
        [
            helper.make_node('Cast', ['image'], ['numbers'], to=TensorProto.FLOAT),
            helper.make_node('ReduceMin', ['numbers'], ['least'], keepdims=0),
            helper.make_node('Mul', ['least', 'nothing'], ['zero']),
            *(helper.make_node('Add', [f'{name}_', 'zero'], [name]) for name in repeated),
        ],
        'constant',
        [helper.make_tensor_value_info('image', image, [batch, 3, 256, 256])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape)
            for name, value in repeated.items()
        ],
        [
            *(numpy_helper.from_array(value, f'{name}_') for name, value in repeated.items()),
            numpy_helper.from_array(np.float32(0), 'nothing'),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    onnx.save(made, path)
    return path


@pytest.fixture(scope='module')
def model(tmp_path_factory: pytest.TempPathFactory, answers: dict[str, NDArray]) -> Path:
    return write_model(tmp_path_factory.mktemp('model') / 'hybrik.onnx', answers)


def followed(frames: list[NDArray], camera: Camera, **settings: str) -> list[Human]:
    """The person of each frame; there is exactly one."""
    with Pipeline.create(confirm_after=0.0, smoothing=False, **settings) as pipeline:
        found = [
            pipeline(frame, camera, index / 15, boxes=[BOX]) for index, frame in enumerate(frames)
        ]
    assert [len(people) for people in found] == [1] * len(frames)
    assert len({human.id for [human] in found}) == 1
    return [human for [human] in found]


@pytest.fixture(scope='module')
def with_smpl(frames, camera, model: Path, smpl: Path) -> list[Human]:
    return followed(frames, camera, hybrik_model=str(model), body=str(smpl))


@pytest.fixture(scope='module')
def with_default(frames, camera, model: Path) -> list[Human]:
    return followed(frames, camera, hybrik_model=str(model))


def test_boxes_and_depth_are_for_this_network_too(frames, camera, model: Path, smpl: Path):
    settings = {'hybrik_model': str(model), 'body': str(smpl)}
    with Pipeline.create(confirm_after=0.0, smoothing=False, **settings) as pipeline:
        pipeline.with_vertices = True
        [by_image] = pipeline(frames[0], camera, 0.0, boxes=[BOX])
        pipeline.reset()
        depth = render_depth(0.8 * by_image.vertices, pipeline.body.faces, camera)
        # The box stands in for the detector.
        nearer = pipeline(frames[0], camera, 0.1, depth.astype(np.float32), [by_image.box])
        assert 'detect' not in pipeline.stage_seconds
    assert nearer[0].joints[0] == pytest.approx(0.8 * by_image.joints[0], rel=0.01)


def test_twist_of_the_network_reaches_the_fusion(
    frames, camera, model: Path, answers: dict[str, NDArray], pose: NDArray
):
    fusion = Fusion(smoothing=False)
    with Pipeline.create(confirm_after=0.0, smoothing=False, hybrik_model=str(model)) as pipeline:
        for index, frame in enumerate(frames[:20]):
            pipeline(frame, camera, index / 15, boxes=[BOX])
            [seen] = pipeline.human_observations
            people = fusion({'camera': View(index / 15, np.eye(4), [seen])})
    assert seen.twist == pytest.approx(answers['phi'].reshape(-1, 2), abs=1e-6)
    [human] = people
    # The tilt of the whole body is left out: one camera tells little of it.
    assert angles_between(human.rotations[1:], pose[1:]).max() < 20


@pytest.mark.parametrize('people', ['with_smpl', 'with_default'])
def test_the_pose_is_the_networks(people: str, pose: NDArray, request: pytest.FixtureRequest):
    last = request.getfixturevalue(people)[-1]
    # What little perspective there is bends the short bones most.
    assert angles_between(last.rotations, pose).max() < 8
    assert last.joint_confidence.min() > 0.8


def test_a_smpl_body_takes_the_networks_shape(with_smpl: list[Human]):
    betas = np.array([human.betas for human in with_smpl])
    assert betas[-1] == pytest.approx(SHAPE, abs=1e-5)
    assert np.array_equal(betas[-1], betas[-5])  # frozen


def test_the_default_body_is_fitted_to_the_bones(
    frames, camera, model: Path, with_default: list[Human], caplog: pytest.LogCaptureFixture
):
    assert np.abs(with_default[-1].betas - SHAPE).max() > 0.1
    with caplog.at_level(logging.WARNING, 'hybrik_ros'):
        Pipeline.create(hybrik_model=str(model)).close()
    assert 'its shape is fitted to bone lengths' in caplog.text


def test_with_a_smpl_body_nothing_is_said(
    model: Path, smpl: Path, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING, 'hybrik_ros.pipeline'):
        Pipeline.create(hybrik_model=str(model), body=str(smpl)).close()
    assert 'shape' not in caplog.text


def test_another_model_is_refused():
    with pytest.raises(ValueError, match='is not a model that `hybrik export` writes'):
        Pipeline.create(hybrik_model=str(blazepose.MODEL))


def test_a_missing_model_is_named():
    with pytest.raises(FileNotFoundError, match=r'/nowhere/hybrik\.onnx'):
        Pipeline.create(hybrik_model='/nowhere/hybrik.onnx')


@pytest.mark.parametrize(
    ('changed', 'image', 'reason'),
    [
        ({'uvd': np.zeros((24, 3))}, TensorProto.FLOAT, r"'uvd' has shape .24, 3. .* .29, 3."),
        ({'phi': None}, TensorProto.FLOAT, "'phi' is missing"),
        ({}, TensorProto.INT64, r"an input 'image' of .*type tensor.int64."),
        ({'uvd': np.full((29, 3), np.nan)}, TensorProto.FLOAT, "'uvd' contains NaN"),
    ],
    ids=['24 joints', 'no twist', 'whole numbers', 'nothing finite'],
)
def test_a_model_that_is_none_of_hybriks_is_named(tmp_path, answers, changed, image, reason):
    said = {name: value for name, value in {**answers, **changed}.items() if value is not None}
    path = write_model(tmp_path / 'other.onnx', said, image=image)
    with pytest.raises(RuntimeError, match=reason):
        Pipeline.create(hybrik_model=str(path))


@pytest.mark.parametrize('batch', [2, 4])
@pytest.mark.parametrize('flip_test', [False, True])
def test_a_model_of_several_images_at_once_says_the_same(
    tmp_path, frames, answers, model, batch, flip_test
):
    several = write_model(tmp_path / 'several.onnx', answers, batch)
    regions = [Region(np.array([x, 300.0]), 400.0) for x in (300, 700, 1100)]
    found = []
    for path in (model, several):
        with open_runner(path, 'onnxruntime') as runner:
            found.append(HybrIK(runner, flip_test)(frames[0], regions))
    for one, other in zip(*found, strict=True):
        assert np.array_equal(one.pixels, other.pixels)
        assert np.array_equal(one.twist, other.twist)
