"""What several test modules need: a ROS 2 domain, processes that never stay, fakes of a GPU."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from itertools import count
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest

from hybrik_ros.cli.bench import footage
from hybrik_ros.cli.bench.packages import DownloadError
from hybrik_ros.inference import cuda
from hybrik_ros.share import node_environment

# Every run is the same, and a busy machine fails none.
hypothesis.settings.register_profile('hybrik_ros', deadline=None, derandomize=True)
hypothesis.settings.register_profile(
    'brief', hypothesis.settings.get_profile('hybrik_ros'), max_examples=10
)
# Hours of other inputs each time, for test_fuzz.py.
hypothesis.settings.register_profile(
    'fuzz',
    deadline=None,
    derandomize=False,
    max_examples=100_000,
    phases=(hypothesis.Phase.generate,),  # Not minutes of shrinking.
)
hypothesis.settings.load_profile('hybrik_ros')


# Modules that take more than a few seconds, and need not run after every change.
SLOW = {
    'bench', 'body_files', 'calibrate', 'compiling', 'difficult_cameras', 'distributions',
    'docs', 'export', 'extrinsics', 'first_contact', 'footage', 'fused_bags', 'fuzz', 'golden',
    'half', 'hybrik_pipeline', 'image', 'inference', 'int8', 'kinematics', 'lag', 'limits', 'media',
    'models', 'motions', 'network', 'packaging', 'pipeline', 'pipeline_inputs', 'posing',
    'previous', 'processes', 'proof', 'recordings', 'rep155', 'requirements', 'scripts',
    'signals', 'stills', 'teleoperation', 'tensorrt_rtx', 'twist', 'ubuntu',
}  # fmt: skip


# They measure delays, so scripts/test runs nothing beside them.
ALONE = {'load', 'loading'}
# The longest modules begin, so that no worker is left with one at the end.
LONGEST = (
    'distributions', 'ubuntu', 'node', 'doctor', 'recordings', 'pipeline', 'compiling', 'packaging',
    'demo', 'video', 'requirements', 'export', 'half', 'bench', 'rep155', 'scripts',
    'first_contact',
)  # fmt: skip


def module_of(item: pytest.Item) -> str:
    return item.path.stem.removeprefix('test_')


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that start nodes, those that run alone, and quick ones; the longest come first."""
    for item in items:
        if 'ros_environment' in getattr(item, 'fixturenames', ()):
            item.add_marker('ros')
        elif module_of(item) not in SLOW:
            item.add_marker('quick')
        if module_of(item) in ALONE:
            item.add_marker('alone')
    ranks = {module: rank for rank, module in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(module_of(item), len(LONGEST)))


_MODULES = count()


@pytest.fixture(scope='module')
def ros_environment() -> Iterator[dict[str, str]]:
    """Set this process apart from every other ROS 2, and return the environment for children.

    Each module of each worker has a domain of its own: nodes that were killed linger in theirs for
    a while.
    """
    run = int(os.environ.get('PYTEST_XDIST_TESTRUNUID', f'{os.getpid():x}')[-6:], 16)
    worker = int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0').removeprefix('gw'))
    with pytest.MonkeyPatch.context() as patch:
        # On Linux, ports of domains above 101 may be those of other programs.
        domain = 1 + (run + 33 * worker + next(_MODULES)) % 101
        patch.setenv('ROS_DOMAIN_ID', str(domain))
        patch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
        for name, value in node_environment().items():
            patch.setenv(name, value)
        yield dict(os.environ)


Spawn = Callable[..., 'subprocess.Popen[str]']


@pytest.fixture
def spawn(ros_environment: dict[str, str], tmp_path: Path) -> Iterator[Spawn]:
    """Return what starts `python -m ARGUMENTS`; output goes to pipes. Nothing outlives the test."""
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> 'subprocess.Popen[str]':
        # Of a run in the background, children would ignore it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        process = subprocess.Popen(
            [sys.executable, '-m', *arguments],
            env=ros_environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


FAKES = Path(__file__).parent / 'fakes'


@pytest.fixture(scope='session')
def fake_driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the FAKE of NVIDIA's driver; see fakes/libcuda.c."""
    library = tmp_path_factory.mktemp('fakes') / 'libcuda.so'
    command = ['cc', '-shared', '-fPIC', '-o', str(library), str(FAKES / 'libcuda.c')]
    subprocess.run(command, check=True)
    return library


@pytest.fixture
def fake_tensorrt(fake_driver: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Put the FAKES of TensorRT and the driver in their places; engines are kept in tmp_path."""
    spec = spec_from_file_location('tensorrt', FAKES / 'tensorrt.py')
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    module.driver = ctypes.CDLL(str(fake_driver))
    monkeypatch.setitem(sys.modules, 'tensorrt', module)
    monkeypatch.setattr(cuda, 'LIBRARY', str(fake_driver))
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    return module


@pytest.fixture(scope='session')
def real_footage(request: pytest.FixtureRequest) -> Path:
    """A folder that stays, with the footage."""
    folder = request.config.cache.mkdir('footage')
    try:
        footage.clips(folder)
    except DownloadError as error:
        pytest.skip(str(error))
    return folder
