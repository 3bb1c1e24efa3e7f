"""The default networks of hybrik_ros/data, run by ONNX Runtime on frames of the sample clip."""

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from hybrik_ros.perception import blazepose, detector

CLIP = blazepose.MODEL.parent / 'sample.mp4'
SIDE = 320


def load(model: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(model), options, providers=['CPUExecutionProvider'])


@pytest.fixture(scope='module')
def movenet() -> onnxruntime.InferenceSession:
    return load(detector.MODEL)


@pytest.fixture(scope='module')
def landmarks() -> onnxruntime.InferenceSession:
    return load(blazepose.MODEL)


def read_frame(index: int) -> NDArray[np.uint8]:
    capture = cv2.VideoCapture(str(CLIP))
    for _ in range(index + 1):
        found, frame = capture.read()
        assert found
    return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def shrink(frame: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Fit a frame into the upper left of MoveNet's input; both sides are multiples of 32."""
    height, width = (round(side * SIDE / max(frame.shape)) for side in frame.shape[:2])
    canvas = np.zeros((1, -(-height // 32) * 32, SIDE, 3), np.int32)
    canvas[0, :height, :width] = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
    return canvas


def find_person(
    movenet: onnxruntime.InferenceSession, frame: NDArray[np.uint8]
) -> tuple[float, NDArray[np.float64]]:
    """Score and box (left, top, right, bottom), in pixels of the frame, of the likeliest person."""
    canvas = shrink(frame)
    people = movenet.run(None, {'input': canvas})[0][0]
    best = people[people[:, 55].argmax()]
    to_pixels = np.array([canvas.shape[2], canvas.shape[1]] * 2) * max(frame.shape) / SIDE
    return float(best[55]), best[[52, 51, 54, 53]] * to_pixels


def crop(frame: NDArray[np.uint8], box: NDArray[np.float64]) -> NDArray[np.float32]:
    """Cut a square about a box, in BlazePose's form."""
    centre, side = (box[:2] + box[2:]) / 2, 1.25 * np.max(box[2:] - box[:2])
    scale = 256 / side
    matrix = np.array([[scale, 0, 128 - scale * centre[0]], [0, scale, 128 - scale * centre[1]]])
    return cv2.warpAffine(frame, matrix, (256, 256)).astype(np.float32)[None] / 255


@pytest.fixture(scope='module')
def crops(movenet: onnxruntime.InferenceSession) -> NDArray[np.float32]:
    frames = [read_frame(index) for index in (40, 80)]
    return np.concatenate([crop(frame, find_person(movenet, frame)[1]) for frame in frames])


def describe(tensors: list[onnxruntime.NodeArg]) -> dict[str, tuple]:
    return {
        tensor.name: (tensor.type, *(n if isinstance(n, int) else None for n in tensor.shape))
        for tensor in tensors
    }


def test_movenet_has_the_inputs_and_outputs_that_the_detector_uses(movenet) -> None:
    assert describe(movenet.get_inputs()) == {'input': ('tensor(int32)', 1, None, None, 3)}
    assert describe(movenet.get_outputs()) == {'output_0': ('tensor(float)', 1, 6, 56)}


def test_blazepose_has_the_inputs_and_outputs_that_the_estimator_uses(landmarks) -> None:
    assert describe(landmarks.get_inputs()) == {'input_1': ('tensor(float)', None, 256, 256, 3)}
    assert describe(landmarks.get_outputs()) == {
        'Identity': ('tensor(float)', None, 39 * 5),
        'Identity_1': ('tensor(float)', None, 1),
        'Identity_3': ('tensor(float)', None, 64, 64, 39),
        'Identity_4': ('tensor(float)', None, 39 * 3),
    }


@pytest.mark.parametrize('model', [detector.MODEL, blazepose.MODEL], ids=lambda path: path.stem)
def test_a_model_names_its_source_and_licence(model) -> None:
    properties = load(model).get_modelmeta().custom_metadata_map
    assert properties['license'] == 'Apache-2.0'
    assert properties['source'].startswith('npm @')


def test_movenet_finds_the_woman_walking_from_right_to_left(movenet) -> None:
    scores, boxes = zip(*(find_person(movenet, read_frame(i)) for i in (20, 70, 120)), strict=True)
    left, top, right, bottom = np.transpose(boxes)
    assert min(scores) > 0.2
    assert np.all(np.diff(left + right) < -200)
    # She is about 400 pixels tall: 1.65 m at 10 m.
    np.testing.assert_allclose(bottom - top, 400, atol=100)


def test_movenet_takes_any_sides_that_are_multiples_of_32(movenet) -> None:
    for height, width in ((96, 256), (256, 96), (480, 640)):
        (people,) = movenet.run(None, {'input': np.zeros((1, height, width, 3), np.int32)})
        assert people.shape == (1, 6, 56)


def test_blazepose_sees_a_person_standing_upright(landmarks, crops) -> None:
    points, score, _, world = landmarks.run(None, {'input_1': crops})
    assert np.all(score > 0.5)
    nose, left_ankle, right_ankle = 0, 27, 28
    for height in (points.reshape(-1, 39, 5)[..., 1] / 256, world.reshape(-1, 39, 3)[..., 1]):
        assert np.all(height[:, [left_ankle, right_ankle]] - height[:, [nose]] > 0.5)


def test_blazepose_gives_in_a_batch_what_it_gives_one_by_one(landmarks, crops) -> None:
    together = landmarks.run(None, {'input_1': crops})
    alone = [landmarks.run(None, {'input_1': crops[i : i + 1]}) for i in range(len(crops))]
    for batch, *single in zip(together, *alone, strict=True):
        np.testing.assert_allclose(batch, np.concatenate(single), rtol=1e-4, atol=1e-4)


def test_runs_repeat_bit_by_bit(movenet, landmarks, crops) -> None:
    for session, feeds in (
        (movenet, {'input': shrink(read_frame(70))}),
        (landmarks, {'input_1': crops}),
    ):
        for first, second in zip(session.run(None, feeds), session.run(None, feeds), strict=True):
            np.testing.assert_array_equal(first, second)
