"""The TensorRT backend, as far as that goes without a GPU: TensorRT itself never runs here.

What it is told is compared with recorded lists of what each version has. Our own plumbing runs on
FAKES of TensorRT and of NVIDIA's driver, which prove nothing about either.
"""

import ast
import ctypes
import json
import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint, c_ulonglong, c_void_p
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest

from hybrik_ros.cli import engine
from hybrik_ros.inference import (
    InputError,
    Runner,
    cuda,
    open_runner,
    runner,
    tensorrt,
    tensorrt_engine,
)
from hybrik_ros.inference.half import halve
from hybrik_ros.inference.tensorrt import TensorRTRunner
from hybrik_ros.perception import blazepose, detector
from hybrik_ros.perception.blazepose import MAX_BATCH
from hybrik_ros.settings import Settings

DATA = Path(__file__).parent / 'data'
NAMES = json.loads((DATA / 'tensorrt_names.json').read_text())
VERSIONS = ('8.6', '10.3', '10.13', '11.4')

# Variables of these names, or with an underscore before them, are of these classes of TensorRT.
MODULE = 'the module'
OURS = {'trt': MODULE, 'tensorrt': MODULE, 'engine': 'ICudaEngine', 'context': 'IExecutionContext'}
CLASSES = {
    tensorrt: OURS,
    engine: OURS,
    tensorrt_engine: {
        **OURS,
        'builder': 'Builder', 'network': 'INetworkDefinition', 'config': 'IBuilderConfig',
        'parser': 'OnnxParser', 'problem': 'ParserError', 'profile': 'IOptimizationProfile',
        'layer': 'ILayer', 'tensor': 'ITensor', 'creation': 'NetworkDefinitionCreationFlag',
        'runtime': 'Runtime',
    },
}  # fmt: skip
BRANCHES = {'EXPLICIT_BATCH', 'STRONGLY_TYPED', 'FP16', 'progress_monitor'}


def functions(source: str) -> Iterator[ast.AST]:
    """Yield the functions of a module, and the methods of its classes."""
    for node in ast.parse(source).body:
        yield from node.body if isinstance(node, ast.ClassDef) else [node]


def asked_for(function: ast.AST) -> set[str]:
    """Return the names that a function looks for before it uses them."""
    return {
        ast.literal_eval(node.args[1])
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'hasattr'
    }


def used(function: ast.AST, classes: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the names of TensorRT that a function uses, each with the class that has it."""

    def class_of(node: ast.AST) -> str | None:
        if isinstance(node, ast.Call):
            callee = node.func.value if isinstance(node.func, ast.Attribute) else node.func
            assert class_of(callee) is None, f'give {ast.unparse(node)} a name'
        if isinstance(node, ast.Attribute) and class_of(node.value) == MODULE:
            return node.attr
        name = getattr(node, 'id', getattr(node, 'attr', ''))
        return classes.get(name.lstrip('_'))

    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and (owner := class_of(node.value)):
            yield owner, node.attr
        if isinstance(node, ast.ClassDef):
            for base in node.bases:
                if owner := class_of(base):
                    yield from ((owner, method.name) for method in node.body)


def lacking(source: str, classes: dict[str, str], version: str) -> set[str]:
    """Return what a module uses and a version has not, unless it is looked for first."""
    names = NAMES[version]
    found = set()
    for function in functions(source):
        asked = asked_for(function)
        if 'progress_monitor' in asked and 'IProgressMonitor' not in names:
            asked |= {'IProgressMonitor', *NAMES['10.3']['IProgressMonitor']}
        for owner, name in used(function, classes):
            has = name in (names if owner == MODULE else names.get(owner, ()))
            if not has and name not in asked and not name.startswith('_'):
                found.add(f'{owner}.{name}')
    return found


@pytest.mark.parametrize('version', VERSIONS)
@pytest.mark.parametrize('module', CLASSES, ids=lambda module: module.__name__)
def test_every_version_has_the_names_that_are_used(module: ModuleType, version: str) -> None:
    assert lacking(Path(module.__file__).read_text(), CLASSES[module], version) == set()


def test_the_names_of_all_classes_are_found() -> None:
    """Else the test above would pass for want of names."""
    found = {
        owner
        for module, classes in CLASSES.items()
        for function in functions(Path(module.__file__).read_text())
        for owner, _ in used(function, classes)
    }
    assert {kind for classes in CLASSES.values() for kind in classes.values()} <= found


def test_there_are_four_branches_for_building() -> None:
    sources = [Path(module.__file__).read_text() for module in CLASSES]
    asked = {name for source in sources for f in functions(source) for name in asked_for(f)}
    assert asked == BRANCHES | {'Builder'}  # That one tells TensorRT from modules of its name.


@pytest.mark.parametrize(
    ('source', 'missing_from'),
    [
        ('def f(config): config.max_workspace_size = 1', ['10.3', '10.13', '11.4']),
        ('def f(trt): return trt.BuilderFlag.FP16', ['11.4']),
        ('class A:\n def f(self): self._context.execute_async_v2()', ['10.3', '10.13', '11.4']),
        ('def f(config, m): config.progress_monitor = m', ['8.6']),
        ('def f(trt):\n class A(trt.ILogger):\n  def lag(self): pass', list(VERSIONS)),
        ('def f(trt):\n if hasattr(trt.BuilderFlag, "FP16"): return trt.BuilderFlag.FP16', []),
        (
            'def f(trt, config):\n if hasattr(config, "progress_monitor"):\n'
            '  class A(trt.IProgressMonitor):\n   def phase_end(self): pass',
            list(VERSIONS),
        ),
    ],
)
def test_a_name_that_a_version_lacks_is_found(source: str, missing_from: list[str]) -> None:
    classes = CLASSES[tensorrt_engine]
    assert [version for version in VERSIONS if lacking(source, classes, version)] == missing_from


def test_every_version_has_the_types_that_are_known() -> None:
    for version in VERSIONS:
        assert set(tensorrt._DTYPES) <= set(NAMES[version]['DataType'])


@pytest.mark.parametrize('model', [blazepose.MODEL, detector.MODEL], ids=lambda path: path.stem)
def test_every_version_has_the_operators_of_our_models(model: Path) -> None:
    supported = json.loads((DATA / 'tensorrt_operators.json').read_text())
    operators = {node.op_type for node in onnx.load(model).graph.node}
    assert len(operators) > 5
    for version in ('8.5', '8.6', '10.1'):
        assert operators <= set(supported[version]), version


# What cuda.h calls them.
C_TYPES = {
    'int': c_int, 'CUdevice': c_int, 'CUdevice_attribute': c_int, 'CUresult': c_int,
    'CUstreamCaptureMode': c_int, 'unsigned int': c_uint, 'unsigned long long': c_ulonglong,
    'CUdeviceptr': c_ulonglong, 'size_t': c_size_t, 'char *': c_char_p, 'void *': c_void_p,
    'const char *': c_char_p, 'const void *': c_void_p, 'CUcontext': c_void_p,
    'CUstream': c_void_p, 'CUgraph': c_void_p, 'CUgraphExec': c_void_p,
}  # fmt: skip


def c_type(text: str) -> type:
    return C_TYPES.get(text) or POINTER(C_TYPES[text.removesuffix('*').rstrip()])


def test_functions_of_the_driver_are_called_as_cuda_h_declares_them() -> None:
    declared = json.loads((DATA / 'cuda_driver.json').read_text())
    assert {
        name: tuple(c_type(text) for text in types) for name, types in declared.items()
    } == cuda.PROTOTYPES


# The choice of a backend.


def backend_of(model: Path) -> str:
    """Return what runs a model where nothing is asked for."""
    with open_runner(model) as runner:
        assert runner.inputs
        return runner.backend


@pytest.fixture
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a file that is imported as tensorrt, once it is there."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, 'tensorrt', raising=False)
    yield tmp_path / 'tensorrt.py'
    sys.modules.pop('tensorrt', None)


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        ('raise ImportError("libnvinfer.so.10: cannot open")', 'libnvinfer.*JetPack'),
        ('', 'tensorrt.py is not NVIDIA.*no Builder'),
        ('class Builder: pass', "NVIDIA's driver is missing.*--gpus all"),
    ],
    ids=['libraries missing', 'empty module', 'no driver'],
)
def test_auto_takes_onnx_runtime_where_tensorrt_does_not_work_and_says_why(
    content: str,
    reason: str,
    importable: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    importable.write_text(content)
    monkeypatch.setattr(cuda, 'LIBRARY', 'libnowhere.so.1')
    with caplog.at_level(logging.INFO):
        assert backend_of(detector.MODEL) == 'onnxruntime'
    assert caplog.messages[0].startswith('movenet_multipose.onnx runs in ONNX Runtime on the CPU')
    with pytest.raises(RuntimeError, match=reason):
        open_runner(detector.MODEL, 'tensorrt')
    assert tensorrt_engine.missing() in caplog.messages[0]


def test_auto_takes_onnx_runtime_where_the_driver_finds_no_gpu(
    fake_tensorrt: ModuleType, fake_driver: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = shutil.copy(fake_driver, tmp_path)  # One that is not initialised yet.
    monkeypatch.setattr(cuda, 'LIBRARY', str(driver))
    monkeypatch.setenv('FAKE_NO_GPU', '1')
    assert backend_of(detector.MODEL) == 'onnxruntime'
    assert 'no CUDA-capable device' in tensorrt_engine.missing()


def test_auto_takes_tensorrt_where_it_works(
    fake_tensorrt: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert backend_of(detector.MODEL) == 'tensorrt'
    assert caplog.messages[-1] == 'movenet_multipose.onnx runs in TensorRT, which works here'


def test_auto_takes_onnx_runtime_for_a_model_that_tensorrt_does_not_take(
    fake_tensorrt: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = onnx.load(detector.MODEL)
    halve(model)
    path = tmp_path / 'half.onnx'
    onnx.save(model, path)
    with caplog.at_level(logging.INFO):
        assert backend_of(path) == 'onnxruntime'
    assert 'half.onnx runs in ONNX Runtime on the CPU' in caplog.messages[-1]
    assert 'the model computes in fp16' in caplog.messages[-1]


def test_an_engine_that_is_wrong_is_not_used(
    fake_tensorrt: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    def prove(runner: Runner) -> None:
        assert runner.backend == 'tensorrt'
        assert runner.inputs
        proven.append(runner)
        raise RuntimeError('two and two make five')

    proven: list[Runner] = []
    with pytest.raises(RuntimeError, match='make five'):
        open_runner(detector.MODEL, 'tensorrt', prove=prove)
    with pytest.raises(RuntimeError, match='closed'):
        proven[0].infer({})
    with caplog.at_level(logging.INFO), open_runner(detector.MODEL, prove=prove) as runner:
        assert runner.backend == 'onnxruntime'
    assert caplog.messages[-1].endswith('on the CPU: two and two make five')


# How an engine is built, by the fake.


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a model that only the fake understands."""
    return write_model(tmp_path / 'fake.onnx')


def write_model(path: Path, **changes: object) -> Path:
    path.write_text(json.dumps({'shape': [-1, 3], 'type': 'FLOAT', 'half': False, **changes}))
    return path


def plan_of(trt: ModuleType, model: Path, precision: str) -> dict:
    plan = tensorrt_engine.build_plan(trt, model.read_bytes(), precision, 256, lambda *_: None)
    return json.loads(plan)


# What version 8 and version 11 lack of what the fake has, which is version 10's.
OLD = {'NetworkDefinitionCreationFlag': 'STRONGLY_TYPED', 'Config': 'progress_monitor'}
NEW = {'NetworkDefinitionCreationFlag': 'EXPLICIT_BATCH', 'BuilderFlag': 'FP16'}


def take_away(absent: dict[str, str], trt: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, name in absent.items():
        monkeypatch.delattr(getattr(trt, owner), name)


@pytest.mark.parametrize(
    ('absent', 'half', 'precision', 'network_flags', 'builder_flags'),
    [
        (OLD, False, 'fp32', [0], []),
        (OLD, False, 'fp16', [0], ['FP16']),
        ({}, False, 'fp32', [0, 1], []),
        ({}, True, 'fp16', [0, 1], []),
        (NEW, False, 'fp32', [1], []),
        (NEW, True, 'fp16', [1], []),
    ],
)
def test_flags_are_those_that_a_version_has_and_never_tf32(
    absent: dict[str, str],
    half: bool,
    precision: str,
    network_flags: list[int],
    builder_flags: list[str],
    fake_tensorrt: ModuleType,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take_away(absent, fake_tensorrt, monkeypatch)
    plan = plan_of(fake_tensorrt, write_model(model, half=half), precision)
    assert (plan['network_flags'], plan['builder_flags']) == (network_flags, builder_flags)


@pytest.mark.parametrize(('half', 'precision'), [(False, 'fp16'), (True, 'fp32')])
def test_a_precision_that_is_not_the_models_is_refused(
    half: bool, precision: str, fake_tensorrt: ModuleType, model: Path
) -> None:
    with pytest.raises(RuntimeError, match=rf'--precision {"fp16" if half else "fp32"}'):
        plan_of(fake_tensorrt, write_model(model, half=half), precision)


def test_open_dimensions_are_batches_of_up_to_six_and_sides_of_one_length(
    fake_tensorrt: ModuleType, model: Path
) -> None:
    write_model(model, shape=[-1, -1, 224, 3])
    plan = plan_of(fake_tensorrt, model, 'fp32')
    assert plan['shape'] == [-1, 256, 224, 3]
    assert plan['limits'] == [[1, 256, 224, 3], [1, 256, 224, 3], [6, 256, 224, 3]]


def test_the_last_errors_are_told_not_the_very_last_alone(fake_tensorrt: ModuleType) -> None:
    logger = tensorrt_engine.logger(fake_tensorrt)
    tensorrt_engine._ERRORS.clear()
    assert tensorrt_engine.last_errors() == 'TensorRT gives no reason'
    for message in ('long ago', 'no implementation', 'engine != nullptr failed'):
        logger.log(fake_tensorrt.ILogger.ERROR, message)
    logger.log(fake_tensorrt.ILogger.WARNING, 'no error')
    assert tensorrt_engine.last_errors() == 'no implementation; engine != nullptr failed'


def test_a_model_that_cannot_be_built_is_named_with_tensorrts_reason(
    fake_tensorrt: ModuleType, model: Path
) -> None:
    with pytest.raises(RuntimeError, match=r'10\.3\.0, .*fake\.onnx: .*a fake reason'):
        tensorrt_engine.load_engine(write_model(model, type='INT64'))
    model.write_bytes(b'?')
    with pytest.raises(RuntimeError, match=r'fake\.onnx: it cannot be parsed: no model of the'):
        tensorrt_engine.load_engine(model)


def test_ctrl_c_ends_a_build_and_nothing_is_raised_through_tensorrt(
    fake_tensorrt: ModuleType, model: Path
) -> None:
    phases = []

    def interrupt(phase: str, done: int, _steps: int) -> None:
        phases.append((phase, done))
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tensorrt_engine.build_plan(fake_tensorrt, model.read_bytes(), 'fp32', 320, interrupt)
    assert phases == [('Fake building', 0), ('Fake building', 1), ('Fake building', 2)]


def test_a_build_on_activation_logs_how_far_it_is(
    fake_tensorrt: ModuleType,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(tensorrt_engine, '_LOG_SECONDS', 0.0)
    with caplog.at_level(logging.INFO), TensorRTRunner(model):
        assert 'building an engine: Fake building, step 1 of 2' in caplog.messages


# The runner, on the fakes.


def image(rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    return {'image': np.random.default_rng(seed).random((rows, 3), np.float32)}


@pytest.fixture
def driver(fake_driver: Path) -> ctypes.CDLL:
    return ctypes.CDLL(str(fake_driver))


def count(driver: ctypes.CDLL, name: str) -> ctypes.c_int:
    return c_int.in_dll(driver, name)


@pytest.mark.parametrize('graph', [True, False])
def test_every_inference_answers_to_its_own_input(
    graph: bool, fake_tensorrt: ModuleType, model: Path, driver: ctypes.CDLL
) -> None:
    launches = count(driver, 'fake_launches').value
    kept = []
    with TensorRTRunner(model, graph=graph) as runner:
        for seed, rows in enumerate((2, 2, 2, 6, 6, 1, 2)):
            feeds = image(rows, seed)
            outputs = runner.infer(feeds)
            assert list(outputs) == ['twice']
            np.testing.assert_array_equal(outputs['twice'], 2 * feeds['image'])
            kept.append((outputs['twice'], 2 * feeds['image']))
    for output, expected in kept:  # Outputs are the caller's: later ones leave them alone.
        np.testing.assert_array_equal(output, expected)
    # The second and third of the first shape, and the second of the next.
    assert count(driver, 'fake_launches').value - launches == (3 if graph else 0)


def test_without_a_graph_it_runs_all_the_same(
    fake_tensorrt: ModuleType, model: Path, driver: ctypes.CDLL, caplog: pytest.LogCaptureFixture
) -> None:
    refuses = count(driver, 'fake_refuses_graphs')
    refuses.value = 1
    try:
        with TensorRTRunner(model) as runner, caplog.at_level(logging.INFO):
            for seed in range(4):
                feeds = image(2, seed)
                np.testing.assert_array_equal(runner.infer(feeds)['twice'], 2 * feeds['image'])
    finally:
        refuses.value = 0
    said = [message for message in caplog.messages if 'without a CUDA graph' in message]
    assert len(said) == 1


def test_it_works_in_any_thread_and_frees_all_memory(
    fake_tensorrt: ModuleType, model: Path, driver: ctypes.CDLL
) -> None:
    def elsewhere(function: Callable, *arguments: object) -> object:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(function, *arguments).result()

    def taken() -> tuple[int, int]:
        return count(driver, 'fake_blocks').value, count(driver, 'fake_graphs').value

    for _ in range(2):
        runner = TensorRTRunner(model)
        for seed in range(2):
            feeds = image(4, seed)
            outputs = elsewhere(runner.infer, feeds)
            np.testing.assert_array_equal(outputs['twice'], 2 * feeds['image'])
        assert taken() == (4, 1)  # Two tensors, each on both sides, and a graph.
        elsewhere(runner.close)
        assert taken() == (0, 0)
        with pytest.raises(RuntimeError, match='closed'):
            runner.infer(image(4))
        runner.close()  # Once more does nothing.
    assert fake_tensorrt.built == 1


@pytest.mark.parametrize(
    ('array', 'message'),
    [
        (np.zeros((2, 4), np.float32), r"'image' must be float32 .*'any', 3\), not .*\(2, 4\)"),
        (np.zeros((2, 3), np.int32), r"'image' must be float32 .*, not int32"),
        (np.zeros((7, 3), np.float32), r"'image' .* from \(1, 3\) to \(6, 3\).* not \(7, 3\)"),
        (np.zeros((0, 3), np.float32), r"'image' .* from \(1, 3\) to \(6, 3\).* not \(0, 3\)"),
    ],
)
def test_an_input_that_does_not_fit_is_named(
    array: np.ndarray, message: str, fake_tensorrt: ModuleType, model: Path
) -> None:
    with TensorRTRunner(model) as runner:
        with pytest.raises(InputError, match=message):
            runner.infer({'image': array})
        np.testing.assert_array_equal(runner.infer(image(3))['twice'], 2 * image(3)['image'])


def test_a_model_that_is_not_there_is_named(fake_tensorrt: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'nowhere\.onnx'):
        TensorRTRunner(tmp_path / 'nowhere.onnx')


def test_the_precision_is_that_of_the_engine_used_last(
    fake_tensorrt: ModuleType, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_away(OLD, fake_tensorrt, monkeypatch)  # Only there can one model have both.

    def flags(precision: str | None) -> list[str]:
        return tensorrt_engine.load_engine(model, precision)._plan['builder_flags']

    assert flags(None) == []
    assert flags('fp16') == flags(None) == ['FP16']
    assert flags('fp32') == flags(None) == []
    assert fake_tensorrt.built == 2


def test_engines_are_built_for_what_the_pipeline_asks_by_default() -> None:
    assert tensorrt_engine._BATCH[2] == MAX_BATCH
    largest = max(detector.look_sizes(Settings().detector_size))
    assert detector.padded(largest) == runner.SIDE
