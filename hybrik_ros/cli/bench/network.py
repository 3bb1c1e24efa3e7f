"""`hybrik bench network`: how fast the networks run, and what share of a frame they take."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hybrik_ros.body import BodyModel
from hybrik_ros.camera import Camera
from hybrik_ros.cli.pictures import read_pictures
from hybrik_ros.cli.video import SAMPLE
from hybrik_ros.inference import Runner, create_runner
from hybrik_ros.perception import blazepose, detector
from hybrik_ros.pipeline import Pipeline, Settings

_NETWORKS = {'res34': 'ResNet-34', 'hrw48': 'HRNet-W48'}
_RUNS = 15  # of every network, by turns
_SIDE = 256  # pixels, of what all of them see
_FIELD_OF_VIEW = 40.0  # degrees, of the sample's camera, about


def measure(console: Console) -> dict[str, Any]:
    """Time all networks in one run, and the stages of a frame; print tables.

    Raises
    ------
    ModuleNotFoundError: torch or onnx is missing.
    """
    figures = {
        name: _time_hybrik(architecture, name, console) for architecture, name in _NETWORKS.items()
    }
    figures['BlazePose'] = _time_blazepose(console)
    columns = list(dict.fromkeys(column for row in figures.values() for column in row))
    table = Table('', *columns, title='Milliseconds of an inference on one thread, median')
    for name, row in figures.items():
        table.add_row(name, *(f'{row[c]:.1f}' if c in row else '' for c in columns))
    table.caption = "HybrIK's networks have random weights here; BlazePose is not fit for INT8"
    console.print(table)
    return {'milliseconds': figures, 'frame': _time_frames(console)}


def _time_hybrik(architecture: str, name: str, console: Console) -> dict[str, float]:
    from hybrik_ros.network.speed import write_models

    image = np.random.default_rng(1).standard_normal((1, 3, _SIDE, _SIDE)).astype(np.float32)
    with TemporaryDirectory() as folder, ExitStack() as stack:
        with console.status(f'Making models of {name}, up to two minutes ...'):
            in_torch, paths = write_models(architecture, Path(folder))
        runners = {
            precision: stack.enter_context(create_runner(path, 'onnxruntime'))
            for precision, path in paths.items()
        }
        return _medians(
            {
                'torch': lambda: in_torch(image),
                **{
                    f'ONNX Runtime {precision}': partial(runner.infer, {'image': image})
                    for precision, runner in runners.items()
                },
            },
            name,
            console,
        )


def _time_blazepose(console: Console) -> dict[str, float]:
    image = np.random.default_rng(1).random((1, _SIDE, _SIDE, 3)).astype(np.float32)
    with create_runner(blazepose.MODEL, 'onnxruntime') as runner:
        return _medians(
            {'ONNX Runtime FP32': lambda: runner.infer({'input_1': image})}, 'BlazePose', console
        )


def _medians(
    runs: Mapping[str, Callable[[], object]], name: str, console: Console
) -> dict[str, float]:
    """Return the milliseconds of each, taken by turns: a machine is now fast, now slow."""
    times: dict[str, list[float]] = {kind: [] for kind in runs}
    for _ in track(range(_RUNS + 1), f'Timing {name}', console=console, transient=True):
        for kind, run in runs.items():
            start = time.perf_counter()
            run()
            times[kind].append(1e3 * (time.perf_counter() - start))
    return {kind: float(np.median(taken[1:])) for kind, taken in times.items()}


class _Timed(Runner):
    """A runner that adds up the seconds that its inferences take."""

    def __init__(self, runner: Runner) -> None:
        self.seconds = 0.0
        self.backend = runner.backend
        self._runner = runner

    def activate(self) -> None:
        """Load the network."""
        self._runner.activate()
        self.inputs = self._runner.inputs

    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the network."""
        start = time.perf_counter()
        outputs = self._runner.infer(feeds)
        self.seconds += time.perf_counter() - start
        return outputs

    def deactivate(self) -> None:
        """Free the network."""
        self._runner.deactivate()


def _time_frames(console: Console) -> dict[str, float]:
    """Return the milliseconds of a frame of one person in the sample clip, by what takes them."""
    finder, network = (
        _Timed(create_runner(model, 'onnxruntime')) for model in (detector.MODEL, blazepose.MODEL)
    )
    frames = [picture for _, picture in read_pictures(SAMPLE)]
    camera = Camera.from_field_of_view(_FIELD_OF_VIEW, frames[0].shape[1], frames[0].shape[0])
    rows = []
    with finder, network, Pipeline(Settings(), BodyModel.load(), finder, network) as pipeline:
        for number, frame in track(
            list(enumerate(frames)), 'Timing frames', console=console, transient=True
        ):
            finder.seconds = network.seconds = 0.0
            start = time.perf_counter()
            people = pipeline(frame, camera, number / 30)
            whole = time.perf_counter() - start
            inferred = finder.seconds + network.seconds
            if len(people) == 1:
                rows.append(
                    {
                        'whole frame': whole,
                        'landmark network': network.seconds,
                        'detector network': finder.seconds,
                        'solve': pipeline.stage_seconds['solve'],
                        'all but the networks': whole - inferred,
                    }
                )
    means = {name: 1e3 * float(np.mean([row[name] for row in rows])) for name in rows[0]}
    table = Table('', 'ms, mean', 'share', title='A frame of the sample clip, one person')
    for name, milliseconds in means.items():
        table.add_row(name, f'{milliseconds:.2f}', f'{milliseconds / means["whole frame"]:.1%}')
    console.print(table)
    return means
