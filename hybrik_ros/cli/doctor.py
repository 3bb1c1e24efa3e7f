"""`hybrik doctor`: checks everything that the node needs, and advises what to do about problems."""

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from itertools import chain
from pathlib import Path
from xml.etree import ElementTree

from rich.text import Text

from hybrik_ros import __version__
from hybrik_ros.advice import (
    SETUP,
    RosEnvironmentError,
    check_ros_environment,
    middleware_advice,
    one_line,
    ros_advice,
)
from hybrik_ros.cli.options import given_name
from hybrik_ros.cli.terminal import Terminal
from hybrik_ros.findings import LEVELS, OK, PROBLEM, WARNING, Finding
from hybrik_ros.printable import printable
from hybrik_ros.share import MALLOC, share_path, transport_profile

# Other modules of the package are imported in the checks that need them, so that a missing library
# does not prevent the other checks.

_STYLES = dict(zip(LEVELS, ('green', 'yellow', 'bold red'), strict=True))
_LIBRARIES = {'numpy': 'numpy', 'scipy': 'scipy', 'numba': 'numba', 'cv2': 'opencv-python-headless',
              'onnxruntime': 'onnxruntime', 'rosbags': 'rosbags', 'yaml': 'PyYAML'}  # fmt: skip
_MIN_PYTHON = (3, 10)
_MAX_IMPORT_SECONDS = 60  # of rclpy
_PROBE = 'import rclpy; print(rclpy.get_rmw_implementation_identifier())'

_MIB = 2**20
# Minimum size in bytes of a socket's buffer for Cyclone DDS, recommended by ROS's documentation; a
# raw image of 1080p has 6 MB. For Fast DDS, the profile sets the size.
_CYCLONE_BUFFER = 10_000_000
_CYCLONE_SETTINGS = (
    '<CycloneDDS><Domain><Internal><SocketReceiveBufferSize min="10MB"/></Internal></Domain>'
    '</CycloneDDS>'
)
_PROCESSES = 4  # with shared memory: camera driver, node, RViz, and one tool of ros2


def add_parser(subparsers: 'argparse._SubParsersAction[argparse.ArgumentParser]') -> None:
    """Add the doctor command."""
    parser = subparsers.add_parser(
        'doctor',
        help='check ROS, middleware, camera, models and body, and advise what to do',
        description='Checks ROS, the middleware, cameras and their calibration, running '
        'hybrik_nodes, models, TensorRT and the body, and advises what to do about problems. The '
        'exit status is 1 if there is a problem; warnings do not count.',
    )
    parser.add_argument(
        'recordings',
        nargs='*',
        type=given_name,
        metavar='RECORDING',
        help='bags, videos or folders of images to check, instead of ROS and cameras',
    )
    parser.add_argument(
        '--image',
        type=given_name,
        metavar='TOPIC',
        help='topic of raw or compressed images (default: all published images)',
    )
    parser.add_argument(
        '--seconds',
        type=seconds,
        default=3.0,
        metavar='S',
        help='seconds to receive images for (default: 3), and up to 6 more for slow cameras',
    )
    parser.add_argument(
        '--model', type=Path, metavar='FILE', help="HybrIK's own network, written by hybrik export"
    )
    parser.add_argument(
        '--body', type=Path, metavar='FILE', help='SMPL file (default: the embedded body)'
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print all findings; return 1 if there is a problem, else 0."""
    console = Terminal(soft_wrap=True)
    counts: Counter[str] = Counter()
    with console.status('checking'):
        for finding in _findings(args):
            counts[finding.level] += 1
            _print_finding(finding, console)
    problems, warnings = counts[PROBLEM], counts[WARNING]
    console.print(f'{_count(problems, PROBLEM)}, {_count(warnings, WARNING)}.')
    return 1 if problems else 0


def _findings(args: argparse.Namespace) -> Iterator[Finding]:
    """Run all checks."""
    yield from check_software()
    yield from _if_importable(
        'compiled code',
        check_compiled_code(),
        'numba',
        'hybrik_ros.drawing',
        'hybrik_ros.perception.blazepose',
    )
    if args.recordings:
        yield from _if_importable(
            'recordings', _check_recordings(args.recordings), 'hybrik_ros.recordings.sources'
        )
    else:
        yield from _check_live(args)
    yield from _if_importable('models', check_models(args.model), 'hybrik_ros.perception.detector',
                        'hybrik_ros.inference.onnx_runtime')  # fmt: skip
    yield from _if_importable('TensorRT', check_tensorrt(), 'hybrik_ros.inference')
    yield from _if_importable('body', check_body(args.body, args.model), 'hybrik_ros.body')


def _check_recordings(names: list[str]) -> Iterator[Finding]:
    from hybrik_ros.cli.bag import recordings_in
    from hybrik_ros.media.url import is_url
    from hybrik_ros.recordings.checks import check_recording
    from hybrik_ros.recordings.recording import RecordingError

    for name in names:
        try:
            recordings, _ = recordings_in([name])
        except RecordingError as error:
            if is_url(name):
                yield Finding.of(PROBLEM, 'recordings', str(error))
                continue
            recordings = [Path(name)]  # The check names the reason.
        for recording in recordings:
            yield from check_recording(recording)


def _check_live(args: argparse.Namespace) -> Iterator[Finding]:
    """Check ROS and what runs in it."""
    middleware, no_ros = _probe()
    if no_ros is not None:
        yield no_ros
        yield from chain(check_kernel_buffers(''), check_shared_memory())
    else:
        yield from _if_importable('ROS', _check_ros(args, middleware), 'hybrik_ros.messages.images')


def _if_importable(subject: str, findings: Iterator[Finding], *modules: str) -> Iterator[Finding]:
    """Yield findings, or a warning where a module that their check needs cannot be imported."""
    try:
        for module in modules:
            import_module(module)
    except Exception as error:  # check_software has named the library.
        yield Finding(WARNING, subject, f'not checked: {one_line(error)}')
        return
    yield from findings


def _check_ros(args: argparse.Namespace, middleware: str) -> Iterator[Finding]:
    """Check ROS, its middleware, cameras and running nodes."""
    try:
        check_ros_environment(args.ros_arguments)
    except RosEnvironmentError as error:
        found, _, advice = str(error).partition(': ')
        yield Finding(PROBLEM, 'ROS', found, advice)
        return
    try:
        from hybrik_ros.node import graph_checks
    except ImportError as error:
        yield Finding(
            PROBLEM, 'ROS', f'a message package is missing: {error}',
            'in the workspace: rosdep install --from-paths src --ignore-src',
        )  # fmt: skip
        return
    yield from graph_checks.check_settings()
    yield from chain(
        check_middleware(middleware), check_kernel_buffers(middleware), check_shared_memory()
    )
    yield from graph_checks.check_graph(args.image, args.seconds, args.ros_arguments)


def _print_finding(finding: Finding, console: Terminal) -> None:
    level = f'{finding.level:8}', _STYLES[finding.level]
    console.print(Text.assemble(level, printable(f' {finding.subject}: {finding.found}')))
    if finding.advice:
        console.print(Text(printable(f'{"":9}-> {finding.advice}'), 'dim'))


def _count(number: int, noun: str) -> str:
    return f'{number} {noun}{"" if number == 1 else "s"}'


def seconds(text: str) -> float:
    """Parse --seconds."""
    seconds = float(text)
    if not 0 < seconds <= 60:
        raise argparse.ArgumentTypeError(f'must be between 0 and 60 seconds, not {text}')
    return seconds


def check_software() -> Iterator[Finding]:
    """Check Python, this package and its libraries."""
    yield Finding(OK, 'hybrik_ros', f'{__version__} in {Path(__file__).parent.parent}')
    is_old = sys.version_info < _MIN_PYTHON
    wanted = '.'.join(map(str, _MIN_PYTHON))
    yield Finding(
        PROBLEM if is_old else OK,
        'Python',
        f'{platform.python_version()}, {sys.executable}, {platform.machine()}',
        f'use Python {wanted} or newer' if is_old else '',
    )
    for name, package in _LIBRARIES.items():
        try:
            library = import_module(name)
        except Exception as error:  # A library built for another numpy can raise any exception.
            absent = isinstance(error, ModuleNotFoundError) and error.name == name
            found = 'is not installed' if absent else f'cannot be imported: {one_line(error)}'
            yield Finding(PROBLEM, package, f'{name} {found}', SETUP)
        else:
            yield Finding(OK, package, getattr(library, '__version__', 'installed'))


def check_compiled_code() -> Iterator[Finding]:
    """Check whether the inner loops are compiled, and where their code is stored."""
    from hybrik_ros import compiling
    from hybrik_ros.cli.compile import kernel_names

    subject = 'compiled code'
    if not compiling.is_enabled():
        yield Finding(
            WARNING, subject, 'NUMBA_DISABLE_JIT is set: the inner loops are slow, not compiled',
            'unset NUMBA_DISABLE_JIT',
        )  # fmt: skip
        return
    names = kernel_names()
    missing = [name for name in names if not compiling.is_on_disk(name)]
    folder = compiling.cache_folder(names[0])
    if folder is None:
        yield Finding(
            WARNING, subject, 'no writable folder: every start compiles it, for half a minute',
            'export NUMBA_CACHE_DIR=FOLDER with a writable folder',
        )  # fmt: skip
    elif missing:
        yield Finding(
            WARNING, subject,
            f'{len(missing)} of {len(names)} kernels are not compiled yet: the first start takes '
            'half a minute longer',
            'hybrik compile',
        )  # fmt: skip
    else:
        yield Finding(OK, subject, f'{len(names)} kernels, stored in {folder}')


def _probe() -> tuple[str, Finding | None]:
    """Return the name of ROS's middleware, or '' and the problem with ROS.

    rclpy is imported in another process, because ROS ends the process where the middleware of
    RMW_IMPLEMENTATION is missing.
    """
    try:
        process = subprocess.run(
            [sys.executable, '-c', _PROBE],
            capture_output=True,
            text=True,
            timeout=_MAX_IMPORT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        found = f'importing rclpy takes more than {_MAX_IMPORT_SECONDS} s'
        return '', Finding(PROBLEM, 'ROS', found, 'check what else keeps this machine busy')
    if process.returncode == 0:
        return process.stdout.strip(), None
    lines = process.stderr.strip().splitlines() or [f'exit status {process.returncode}']
    reason = lines[-1].rpartition(']: ')[2]
    wanted = os.environ.get('RMW_IMPLEMENTATION')
    advice = middleware_advice(wanted) if wanted and 'rmw' in reason.lower() else ros_advice()
    return '', Finding(PROBLEM, 'ROS', f'rclpy cannot be imported: {reason}', advice)


def check_middleware(middleware: str) -> Iterator[Finding]:
    """Check the settings of middleware and memory allocator for large images."""
    if 'fastrtps' in middleware:
        yield _check_fast_dds()
    elif 'cyclonedds' in middleware:
        yield _check_cyclone_dds()
    elif 'zenoh' in middleware:
        yield Finding(OK, middleware, 'requires its router: ros2 run rmw_zenoh_cpp rmw_zenohd')
    else:
        yield Finding(OK, middleware, 'its settings for large images are not checked')
    unset = [f'{name}={value}' for name, value in MALLOC.items() if name not in os.environ]
    if unset:
        yield Finding(
            WARNING, 'malloc', 'allocates the memory of each image anew, which is slow',
            f'before ros2 run: export {" ".join(unset)}; the launch files set it themselves',
        )  # fmt: skip
    else:
        yield Finding(OK, 'malloc', 'reuses the memory of images')


def _check_fast_dds() -> Finding:
    subject = 'Fast DDS profile'
    try:
        [(name, ours)] = transport_profile().items()
    except FileNotFoundError as error:
        return Finding(PROBLEM, subject, f'is not installed: {error}', 'reinstall hybrik_ros')
    advice = (
        f'before you start the camera driver: export {name}={ours}; '
        "this package's executables set it themselves"
    )
    given = os.environ.get(name)
    if not given:
        return Finding(
            WARNING, subject,
            f'{name} is not set: a camera driver started without it loses most large images',
            advice,
        )  # fmt: skip
    try:
        profile = ElementTree.parse(given)
        sizes = [int(size.text or 0) for size in profile.iterfind('.//{*}segment_size')]
    except (OSError, ElementTree.ParseError, ValueError) as error:
        return Finding(PROBLEM, subject, f'{name} cannot be read: {error}', advice)
    if max(sizes, default=0) < _segment_size():
        return Finding(
            WARNING, subject, f'{given} has too little shared memory for large images',
            f'set segment_size to {_segment_size()} in it, or {advice}',
        )  # fmt: skip
    return Finding(OK, subject, f'{name} is {given}')


def _check_cyclone_dds() -> Finding:
    subject = 'Cyclone DDS'
    given = os.environ.get('CYCLONEDDS_URI')
    if given:
        return Finding(OK, subject, f'CYCLONEDDS_URI is {given}')
    return Finding(
        WARNING, subject, 'CYCLONEDDS_URI is not set: default buffers lose large images',
        f"export CYCLONEDDS_URI='{_CYCLONE_SETTINGS}'",
    )  # fmt: skip


def check_kernel_buffers(
    middleware: str, folder: Path = Path('/proc/sys/net/core')
) -> Iterator[Finding]:
    """Check the kernel's maximum size of socket buffers.

    Parameters
    ----------
    middleware : str
        Name of the RMW implementation.
    folder : Path
        Folder of the kernel's settings.
    """
    needed = _CYCLONE_BUFFER if 'cyclonedds' in middleware else _read_profile('receiveBufferSize')
    for name in ('rmem_max', 'wmem_max'):
        subject = f'net.core.{name}'
        try:
            size = int((folder / name).read_text())
        except OSError:  # in a container
            yield Finding(OK, subject, f'cannot be read here; on the host: sysctl {subject}')
            continue
        if size >= needed:
            yield Finding(OK, subject, f'{size} bytes')
        else:
            yield Finding(
                WARNING,
                subject,
                f'{size} bytes, less than the {needed} for large images from other machines',
                f'sudo sysctl -w {subject}={needed}; permanently: echo {subject}={needed} | '
                'sudo tee -a /etc/sysctl.d/60-hybrik.conf',
            )


def check_shared_memory(folder: Path = Path('/dev/shm')) -> Iterator[Finding]:
    """Check the free space for shared memory, which transports images within a machine."""
    needed = _PROCESSES * _segment_size()
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        yield Finding(
            WARNING, str(folder), f'cannot be used: {error.strerror}', 'mount a tmpfs there'
        )
        return
    found = f'{free // _MIB} MiB are free'
    if free >= needed:
        yield Finding(OK, str(folder), found)
    else:
        yield Finding(
            WARNING,
            str(folder),
            f'{found}; {_PROCESSES} processes with Fast DDS need {needed // _MIB} MiB',
            f'in a container: docker run --ipc=host, or --shm-size={needed // _MIB}m; otherwise '
            'fastdds shm clean removes the memory of ended processes',
        )


def _segment_size() -> int:
    return _read_profile('segment_size')


def _read_profile(name: str) -> int:
    """Return a number of bytes that our Fast DDS profile sets."""
    profile = ElementTree.parse(share_path('config/fastdds.xml'))
    return max(int(size.text or 0) for size in profile.iterfind(f'.//{{*}}{name}'))


def check_models(own: Path | None) -> Iterator[Finding]:
    """Check that the networks load: the two of this package, and the user's own, if any."""
    from hybrik_ros.perception import blazepose, detector

    reinstall = 'reinstall hybrik_ros; in a clone: git lfs pull, or git checkout the file'
    for path in (detector.MODEL, blazepose.MODEL):
        yield _check_model(path, reinstall)
    if own is not None:
        yield _check_model(
            Path(os.path.expanduser(own)), 'export it anew: hybrik export', inputs={'image'}
        )


def _check_model(path: Path, advice: str, inputs: set[str] | None = None) -> Finding:
    """Load a network, and check the names of its inputs where they are given."""
    from hybrik_ros.inference.onnx_runtime import OnnxRuntimeRunner

    subject = f'model {path.name}'
    try:
        with OnnxRuntimeRunner(path) as runner:
            if inputs is not None and set(runner.inputs) != inputs:
                return Finding(
                    PROBLEM, subject, f'is not a model that hybrik export writes: {path}', advice
                )
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, RuntimeError) as error:
        return Finding(PROBLEM, subject, one_line(error), advice)
    return Finding(OK, subject, f'loads in ONNX Runtime; SHA-256 {digest[:12]}')


def check_tensorrt() -> Iterator[Finding]:
    """Check TensorRT, which is optional, and its engines."""
    from hybrik_ros.inference import engine_cache, tensorrt_engine
    from hybrik_ros.inference.engine_cache import CacheError, EngineCache

    reason = tensorrt_engine.missing()
    if reason is None:
        trt, gpu = tensorrt_engine.require()
        yield Finding(OK, 'TensorRT', f'{trt.__version__} works on {gpu.name}, CUDA {gpu.cuda}')
    else:
        yield Finding(OK, 'TensorRT', f'does not run here, so networks run on the CPU: {reason}')
    folder = engine_cache.default_folder()
    if not os.path.lexists(folder):
        build = 'hybrik engine build; otherwise the first start of the node builds them'
        level, advice = (WARNING, build) if reason is None else (OK, '')
        yield Finding(level, 'engines', f'none in {folder}', advice)
        return
    try:
        count = len(EngineCache().entries())
    except CacheError as error:
        level = PROBLEM if reason is None else WARNING
        what, _, advice = str(error).partition(': ')
        yield Finding(level, 'engines', what, advice)
        return
    yield Finding(OK, 'engines', f'{count} in {folder}, which is private; hybrik engine check')


def check_body(path: Path | None, model: Path | None) -> Iterator[Finding]:
    """Check that the body loads.

    Parameters
    ----------
    path : Path or None
        The user's own SMPL file; None for the embedded body.
    model : Path or None
        HybrIK's own network, if any.
    """
    from hybrik_ros.body import DEFAULT_BODY, BodyModel

    subject = f'body {(path or DEFAULT_BODY).name}'
    try:
        loaded = BodyModel.load(path)
    except (OSError, ValueError) as error:
        advice = 'download it again from https://smpl.is.tue.mpg.de, SMPL for Python, 10 betas'
        yield Finding(
            PROBLEM, subject, f'does not load: {error}',
            advice if path is not None else 'reinstall hybrik_ros',
        )  # fmt: skip
        return
    vertices = loaded.vertex_joints.size
    found = f'{vertices} vertices, {loaded.num_betas} betas'
    if model is not None and loaded.shape_names:
        yield Finding(
            WARNING, subject, f"{found}, not SMPL's betas, which HybrIK's network estimates",
            'use an SMPL file: --body here, the parameter body_model of the node',
        )  # fmt: skip
    else:
        yield Finding(OK, subject, found)
