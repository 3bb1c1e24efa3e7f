"""`hybrik engine`: build, list and check TensorRT engines."""

import argparse
import functools
from pathlib import Path
from typing import Any

from rich.progress import Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from hybrik_ros.cli.output import fail
from hybrik_ros.cli.progress import UNKNOWN, Bar
from hybrik_ros.cli.terminal import Terminal
from hybrik_ros.inference import engine_cache, tensorrt_engine
from hybrik_ros.inference.engine_cache import EngineCache, Entry, UnusableError
from hybrik_ros.inference.runner import SIDE
from hybrik_ros.perception import blazepose, detector
from hybrik_ros.settings import SETTINGS


def add_parser(subparsers: 'argparse._SubParsersAction[argparse.ArgumentParser]') -> None:
    """Add the engine command."""
    parser = subparsers.add_parser(
        'engine',
        help='build, list and check TensorRT engines',
        description='TensorRT compiles a model into an engine for one GPU, which takes minutes. '
        'The node does this at its first start; this command does it beforehand. Engines are '
        f'stored in {engine_cache.default_folder()}.',
    )
    actions = parser.add_subparsers(required=True, metavar='ACTION')
    build = actions.add_parser('build', help='build the engines of models, unless they exist')
    build.add_argument(
        'models',
        nargs='*',
        type=Path,
        metavar='MODEL',
        default=[detector.MODEL, blazepose.MODEL],
        help='.onnx files (default: the two models of this package)',
    )
    build.add_argument(
        '--precision',
        choices=tensorrt_engine.PRECISIONS,
        default='fp32',
        help='precision of the convolutions; from TensorRT 10 on, fp16 needs the Python package '
        'onnx (default: fp32)',
    )
    build.add_argument(
        '--side',
        type=side,
        default=str(SETTINGS['detector_size'].default),
        metavar='PIXELS',
        help="image size of the detector's engine, equal to the parameter detector.size "
        '(default: %(default)s)',
    )
    build.set_defaults(run=run, action=_build)
    actions.add_parser('list', help='list the engines').set_defaults(run=run, action=_list)
    check = actions.add_parser('check', help='check TensorRT and the stored engines')
    check.set_defaults(run=run, action=_check)


def side(text: str) -> int:
    """Parse and check --side; return it padded as the detector does."""
    side = int(text)
    try:
        SETTINGS['detector_size'].check(side, 'it')
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return detector.padded(max(detector.look_sizes(side)))


def run(args: argparse.Namespace) -> int:
    """Run the chosen action; return 0, or 1 with the reason on stderr."""
    try:
        return int(args.action(args, Terminal(soft_wrap=True)))
    except (OSError, RuntimeError) as error:
        return fail('hybrik engine', error)


def _build(args: argparse.Namespace, console: Terminal) -> int:
    """Build the engines of models; return the exit status."""
    tensorrt_engine.require()  # fails before the progress bar appears
    columns = TextColumn('{task.description}', markup=False), Bar(), TimeElapsedColumn()
    for model in args.models:
        with Progress(*columns, console=console, transient=True) as progress:
            progress.add_task(model.name, total=UNKNOWN)
            side = args.side if model.name == detector.MODEL.name else SIDE
            tensorrt_engine.load_engine(model, args.precision, _show_phases(progress), side)
        console.print(f'{model.name} has an engine in {args.precision}.')
    return 0


def _show_phases(progress: Progress) -> tensorrt_engine.Progress:
    """Return a function that shows each phase of a build while it lasts."""
    tasks: dict[str, TaskID] = {}

    def show(phase: str, done: int, steps: int) -> None:
        if phase not in tasks:
            tasks[phase] = progress.add_task(f'  {phase}', total=steps)
        progress.update(tasks[phase], completed=done)
        if done == steps:
            progress.remove_task(tasks.pop(phase))

    return show


def _list(args: argparse.Namespace, console: Terminal) -> int:
    """Print a table of the engines; return the exit status."""
    cache = EngineCache()
    missing = tensorrt_engine.missing()
    table = Table('model', 'precision', 'side', 'MB', 'TensorRT', 'CUDA', 'GPU', 'usable here')
    for entry in cache.entries():
        key = entry.key
        size = f'{cache.size(key) / 1e6:.1f}'
        gpu = f'{key.gpu} ({key.compute_capability})'
        usable = '?' if missing else '; '.join(_differences(entry)) or _fault(cache, entry) or 'yes'
        side = str(key.side)
        table.add_row(entry.name, key.precision, side, size, key.tensorrt, key.cuda, gpu, usable)
    console.print(table if table.rows else f'There are no engines in {cache.folder}.')
    _print_unusable(cache, console)
    if missing:
        console.print(f'TensorRT does not work here: {missing}.')
    return 0


def _check(args: argparse.Namespace, console: Terminal) -> int:
    """Check TensorRT and all engines; return 1 if any engine is unusable, else 0."""
    trt, gpu = tensorrt_engine.require()
    console.print(
        f'TensorRT {trt.__version__} works on {gpu.name}, compute capability '
        f'{gpu.compute_capability}, CUDA {gpu.cuda}.'
    )
    cache = EngineCache()
    console.print(f'{cache.folder} is private.')
    status = 0
    for entry in cache.entries():
        try:
            state = _state(trt, cache, entry)
        except UnusableError as fault:
            state = f'is unusable: {fault}. Run hybrik engine build with this model'
            status = 1
        console.print(f'{entry.name}, {entry.key.precision}, {state}.')
    return 1 if _print_unusable(cache, console) else status


def _print_unusable(cache: EngineCache, console: Terminal) -> int:
    """Print the files that are not valid entries; return their number."""
    files = cache.find_unusable()
    for path, reason in files:
        console.print(f'{path} is unusable: {reason}. It can be removed.')
    return len(files)


def _fault(cache: EngineCache, entry: Entry) -> str:
    """Return why an engine cannot be loaded; empty if it can."""
    try:
        cache.read(entry.key)
    except UnusableError as fault:
        return str(fault)
    return ''


def _state(trt: Any, cache: EngineCache, entry: Entry) -> str:
    """Return the state of an engine; raise UnusableError if it is unusable."""
    if differences := _differences(entry):
        cache.read(entry.key)
        return f'is valid, but not for this machine: {"; ".join(differences)}'
    cache.check(entry, functools.partial(tensorrt_engine.deserialise, trt))
    return 'can be loaded'


def _differences(entry: Entry) -> list[str]:
    """Return the properties that an engine was built for and this machine does not have."""
    trt, gpu = tensorrt_engine.require()
    key = entry.key
    here = tensorrt_engine.make_key(trt, gpu, key.model, key.precision, key.side)
    return here.differences(key)
