"""`hybrik doctor`: looks at all that the node needs, and says what to do about what is amiss."""

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

from rich.console import Console
from rich.text import Text

from hybrik_ros import __version__
from hybrik_ros.advice import SETUP, one_line, pip_install, ros_advice
from hybrik_ros.findings import LEVELS, OK, PROBLEM, WARNING, Finding
from hybrik_ros.share import MALLOC, share_path, transport_profile

# All else of the package is imported where it is examined: it needs libraries, and one that is
# missing must not keep the rest from being examined.

_STYLES = dict(zip(LEVELS, ('green', 'yellow', 'bold red'), strict=True))
_LIBRARIES = {'numpy': 'numpy', 'scipy': 'scipy', 'numba': 'numba', 'cv2': 'opencv-python-headless',
              'onnxruntime': 'onnxruntime', 'rosbags': 'rosbags', 'yaml': 'PyYAML'}  # fmt: skip
_OLDEST_PYTHON = (3, 10)
_IMPORT_SECONDS = 60
_PROBE = 'import rclpy; print(rclpy.get_rmw_implementation_identifier())'

_MIB = 2**20
# Fast DDS asks for what the profile says; Cyclone DDS does not say how much it needs, and 10 MB is
# what ROS's documentation has it ask for: a raw image of 1080p has 6 MB.
_CYCLONE_BUFFER = 10_000_000
_CYCLONE_SETTINGS = (
    '<CycloneDDS><Domain><Internal><SocketReceiveBufferSize min="10MB"/></Internal></Domain>'
    '</CycloneDDS>'
)
_PROCESSES = 4  # that share memory: camera, node, RViz, and one of ros2's tools


def add_parser(subparsers: 'argparse._SubParsersAction[argparse.ArgumentParser]') -> None:
    """Add the doctor command."""
    parser = subparsers.add_parser(
        'doctor',
        help='check ROS, middleware, camera, models and body, and say what to do',
        description='Checks ROS, the middleware, cameras and their calibration, a hybrik_node '
        'that runs, models, TensorRT and the body, and says what to do about each. Ends with '
        'status 1 where there is a problem; warnings are none.',
    )
    parser.add_argument(
        '--image',
        metavar='TOPIC',
        help='of the images, raw or compressed (default: all images that somebody publishes)',
    )
    parser.add_argument(
        '--seconds',
        type=_seconds,
        default=3.0,
        metavar='S',
        help='for which cameras are listened to (default: 3)',
    )
    parser.add_argument(
        '--model', type=Path, metavar='FILE', help="HybrIK's own network, as hybrik export wrote it"
    )
    parser.add_argument(
        '--body', type=Path, metavar='FILE', help='a SMPL file (default: the embedded body)'
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what is found; return 1 if there is a problem, else 0."""
    console = Console(soft_wrap=True, highlight=False)
    counts: Counter[str] = Counter()
    with console.status('looking and listening'):
        for finding in _findings(args):
            counts[finding.level] += 1
            _show(finding, console)
    problems, warnings = counts[PROBLEM], counts[WARNING]
    console.print(f'{_count(problems, PROBLEM)}, {_count(warnings, WARNING)}.')
    return 1 if problems else 0


def _findings(args: argparse.Namespace) -> Iterator[Finding]:
    yield from software()
    yield from _needing('compiled code', compiled_code(), 'drawing', 'perception.blazepose')
    middleware, no_ros = _probe()
    if no_ros is not None:
        yield no_ros
        yield from chain(kernel_buffers(''), memory())
    else:
        yield from _needing('ROS', _ros(args, middleware), 'messages.images')
    yield from _needing('models', models(args.model), 'perception.detector',
                        'inference.onnx_runtime')  # fmt: skip
    yield from _needing('TensorRT', tensorrt(), 'inference')
    yield from _needing('body', body(args.body, args.model), 'body')


def _needing(subject: str, findings: Iterator[Finding], *modules: str) -> Iterator[Finding]:
    """Examine a part of the package, or say that modules which it needs cannot be imported."""
    try:
        for module in modules:
            import_module(f'hybrik_ros.{module}')
    except Exception as error:  # software() has named the library.
        yield Finding(WARNING, subject, f'not examined: {one_line(error)}')
        return
    yield from findings


def _ros(args: argparse.Namespace, middleware: str) -> Iterator[Finding]:
    try:
        from hybrik_ros.node import graph_checks
    except ImportError as error:
        yield Finding(
            PROBLEM, 'ROS', f'a package of messages is missing: {error}',
            'in the workspace: rosdep install --from-paths src --ignore-src',
        )  # fmt: skip
        return
    yield from graph_checks.settings()
    yield from chain(middleware_settings(middleware), kernel_buffers(middleware), memory())
    yield from graph_checks.graph(args.image, args.seconds, args.ros_arguments)


def _show(finding: Finding, console: Console) -> None:
    level = f'{finding.level:8}', _STYLES[finding.level]
    console.print(Text.assemble(level, f' {finding.subject}: {finding.found}'))
    if finding.advice:
        console.print(Text(f'{"":9}-> {finding.advice}', 'dim'))


def _count(number: int, noun: str) -> str:
    return f'{number} {noun}{"" if number == 1 else "s"}'


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 60:
        raise argparse.ArgumentTypeError(f'{text} is not between 0 and 60')
    return seconds


def software() -> Iterator[Finding]:
    """Examine Python, this package and the libraries that it needs."""
    yield Finding(OK, 'hybrik_ros', f'{__version__} in {Path(__file__).parent.parent}')
    old = sys.version_info < _OLDEST_PYTHON
    wanted = '.'.join(map(str, _OLDEST_PYTHON))
    yield Finding(
        PROBLEM if old else OK,
        'Python',
        f'{platform.python_version()}, {sys.executable}, {platform.machine()}',
        f'use {wanted} or newer' if old else '',
    )
    for name, package in _LIBRARIES.items():
        try:
            library = import_module(name)
        except Exception as error:  # Libraries built for another numpy raise all sorts of things.
            absent = isinstance(error, ModuleNotFoundError) and error.name == name
            found = 'is not installed' if absent else f'cannot be imported: {one_line(error)}'
            yield Finding(
                PROBLEM, package, f'{name} {found}', f'{SETUP}, or {pip_install(package)}'
            )
        else:
            yield Finding(OK, package, getattr(library, '__version__', 'installed'))


def compiled_code() -> Iterator[Finding]:
    """Examine where the inner loops are kept once they are compiled."""
    from hybrik_ros import compiling
    from hybrik_ros.cli.compile import kernel_names

    subject = 'compiled code'
    if not compiling.is_enabled():
        yield Finding(
            WARNING, subject, 'there is none: numba is told not to compile, and all is slow',
            'unset NUMBA_DISABLE_JIT',
        )  # fmt: skip
        return
    names = kernel_names()
    missing = [name for name in names if not compiling.is_on_disk(name)]
    folder = compiling.cache_folder(names[0])
    if folder is None:
        yield Finding(
            WARNING, subject, 'can be kept nowhere: every start compiles it, for half a minute',
            'export NUMBA_CACHE_DIR=, and the name of a folder that can be written',
        )  # fmt: skip
    elif missing:
        yield Finding(
            WARNING, subject,
            f'{len(missing)} of {len(names)} kernels are not compiled yet: the first start does '
            f'that, for half a minute',
            'hybrik compile',
        )  # fmt: skip
    else:
        yield Finding(OK, subject, f'{len(names)} kernels, kept in {folder}')


def _probe() -> tuple[str, Finding | None]:
    """Return the name of ROS's middleware, or what is amiss with ROS.

    In a process of its own: where the middleware that is asked for is missing, ROS ends it.
    """
    try:
        process = subprocess.run(
            [sys.executable, '-c', _PROBE],
            capture_output=True,
            text=True,
            timeout=_IMPORT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        found = f'rclpy is not imported in {_IMPORT_SECONDS} s'
        return '', Finding(PROBLEM, 'ROS', found, 'look at what else keeps this machine busy')
    if process.returncode == 0:
        return process.stdout.strip(), None
    lines = process.stderr.strip().splitlines() or [f'it ends with {process.returncode}']
    said = lines[-1].rpartition(']: ')[2]
    asked = os.environ.get('RMW_IMPLEMENTATION')
    if asked and 'rmw' in said.lower():
        package = f'ros-{os.environ.get("ROS_DISTRO", "<distribution>")}-{asked.replace("_", "-")}'
        advice = f'unset RMW_IMPLEMENTATION, or sudo apt install {package}'
    else:
        advice = ros_advice()
    return '', Finding(PROBLEM, 'ROS', f'rclpy cannot be imported: {said}', advice)


def middleware_settings(middleware: str) -> Iterator[Finding]:
    """Examine what the middleware and the allocator are told for large images."""
    if 'fastrtps' in middleware:
        yield _fast_dds()
    elif 'cyclonedds' in middleware:
        yield _cyclone_dds()
    elif 'zenoh' in middleware:
        yield Finding(OK, middleware, 'needs its router: ros2 run rmw_zenoh_cpp rmw_zenohd')
    else:
        yield Finding(OK, middleware, 'nothing is known here of its settings for large images')
    unset = [f'{name}={value}' for name, value in MALLOC.items() if name not in os.environ]
    if unset:
        yield Finding(
            WARNING, 'malloc', 'gives the memory of every image back, and asks for it again',
            f'before you start the node by hand: export {" ".join(unset)}; launch does so',
        )  # fmt: skip
    else:
        yield Finding(OK, 'malloc', 'keeps the memory of images')


def _fast_dds() -> Finding:
    subject = 'Fast DDS profile'
    try:
        [(name, ours)] = transport_profile().items()
    except FileNotFoundError as error:
        return Finding(PROBLEM, subject, f'is not installed: {error}', 'install hybrik_ros anew')
    advice = f'before you start it: export {name}={ours}; ours set it themselves'
    given = os.environ.get(name)
    if not given:
        return Finding(
            WARNING, subject,
            f'{name} is not set: a camera driver that is started so loses most large images',
            advice,
        )  # fmt: skip
    try:
        profile = ElementTree.parse(given)
    except (OSError, ElementTree.ParseError) as error:
        return Finding(PROBLEM, subject, f'{name} is of no use: {error}', advice)
    sizes = [int(size.text or 0) for size in profile.iterfind('.//{*}segment_size')]
    if max(sizes, default=0) < _segment_size():
        return Finding(
            WARNING, subject, f'{given} has less shared memory than large images take',
            f'set segment_size to {_segment_size()} in it as in ours, or {advice}',
        )  # fmt: skip
    return Finding(OK, subject, f'{name} is {given}')


def _cyclone_dds() -> Finding:
    subject = 'Cyclone DDS'
    given = os.environ.get('CYCLONEDDS_URI')
    if given:
        return Finding(OK, subject, f'CYCLONEDDS_URI is {given}')
    return Finding(
        WARNING, subject, 'has its default buffers: large images get lost',
        f"export CYCLONEDDS_URI='{_CYCLONE_SETTINGS}'",
    )  # fmt: skip


def kernel_buffers(middleware: str, folder: Path = Path('/proc/sys/net/core')) -> Iterator[Finding]:
    """Examine how large a socket's buffers may be.

    Parameters
    ----------
    middleware: name of the RMW implementation.
    folder: of these settings of the kernel.
    """
    needed = _CYCLONE_BUFFER if 'cyclonedds' in middleware else _profiled('receiveBufferSize')
    for name in ('rmem_max', 'wmem_max'):
        subject = f'net.core.{name}'
        try:
            size = int((folder / name).read_text())
        except OSError:  # Not to be seen in a container.
            yield Finding(OK, subject, 'cannot be read here; on the host, sysctl tells')
            continue
        if size >= needed:
            yield Finding(OK, subject, f'{size} bytes')
        else:
            yield Finding(
                WARNING,
                subject,
                f'{size} bytes, less than the {needed} that large images from other machines take',
                f'sudo sysctl -w {subject}={needed}; to keep it: echo {subject}={needed} | '
                'sudo tee -a /etc/sysctl.d/60-hybrik.conf',
            )


def memory(folder: Path = Path('/dev/shm')) -> Iterator[Finding]:
    """Examine the room for shared memory, through which images go within a machine."""
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
            f'{found}; {_PROCESSES} processes with Fast DDS take {needed // _MIB}',
            f'in a container: docker run --ipc=host, or --shm-size={needed // _MIB}m; otherwise '
            'fastdds shm clean removes what dead processes left',
        )


def _segment_size() -> int:
    return _profiled('segment_size')


def _profiled(name: str) -> int:
    """Return a number of bytes that our Fast DDS profile asks for."""
    profile = ElementTree.parse(share_path('config/fastdds.xml'))
    return max(int(size.text or 0) for size in profile.iterfind(f'.//{{*}}{name}'))


def models(own: Path | None) -> Iterator[Finding]:
    """Examine the networks: the two that come along, and the user's own, if any."""
    from hybrik_ros.perception import blazepose, detector

    reinstall = 'install hybrik_ros anew; in a clone: git lfs pull, or git checkout the file'
    for path in (detector.MODEL, blazepose.MODEL):
        yield _model(path, reinstall)
    if own is not None:
        yield _model(own.expanduser(), 'write it anew: hybrik export', inputs={'image'})


def _model(path: Path, advice: str, inputs: set[str] | None = None) -> Finding:
    """Load a network; inputs: their names, where it must have these."""
    from hybrik_ros.inference.onnx_runtime import OnnxRuntimeRunner

    subject = f'model {path.name}'
    try:
        with OnnxRuntimeRunner(path) as runner:
            if inputs is not None and set(runner.inputs) != inputs:
                return Finding(
                    PROBLEM, subject, f'is no model that hybrik export writes: {path}', advice
                )
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, RuntimeError) as error:
        return Finding(PROBLEM, subject, ' '.join(str(error).split()), advice)
    return Finding(OK, subject, f'loads in ONNX Runtime; SHA-256 {digest[:12]}')


def tensorrt() -> Iterator[Finding]:
    """Examine TensorRT, which is optional, and the engines built for it."""
    from hybrik_ros.inference import engine_cache, tensorrt_engine
    from hybrik_ros.inference.engine_cache import CacheError, EngineCache

    reason = tensorrt_engine.missing()
    if reason is None:
        trt, gpu = tensorrt_engine.require()
        yield Finding(OK, 'TensorRT', f'{trt.__version__} works on {gpu.name}, CUDA {gpu.cuda}')
    else:
        yield Finding(OK, 'TensorRT', f'does not run here, so the CPU does the work: {reason}')
    folder = engine_cache.default_folder()
    if not os.path.lexists(folder):
        build = 'the node builds them at its first start, or beforehand: hybrik engine build'
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


def body(path: Path | None, model: Path | None) -> Iterator[Finding]:
    """Load the body.

    Parameters
    ----------
    path: of the user's own SMPL file; None for the embedded body.
    model: HybrIK's own network, if any.
    """
    from hybrik_ros.body import DEFAULT_BODY, BodyModel

    subject = f'body {(path or DEFAULT_BODY).name}'
    try:
        loaded = BodyModel.load(path)
    except (OSError, ValueError) as error:
        advice = 'download it again from https://smpl.is.tue.mpg.de, SMPL for Python, 10 betas'
        yield Finding(
            PROBLEM, subject, f'does not load: {error}',
            advice if path is not None else 'install hybrik_ros anew',
        )  # fmt: skip
        return
    vertices = loaded.vertex_joints.size
    found = f'{vertices} vertices, {loaded.num_betas} betas'
    if model is not None and loaded.shape_names:
        yield Finding(
            WARNING, subject, f"{found}, which are not those of SMPL that HybrIK's network tells",
            'name a SMPL file: --body here, the parameter body_model of the node',
        )  # fmt: skip
    else:
        yield Finding(OK, subject, found)
