"""`hybrik bench network`: inference time of the networks, and their share of a frame's time."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from itertools import islice
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
from hybrik_ros.inference import Runner, open_runner
from hybrik_ros.perception import blazepose, detector
from hybrik_ros.perception.detector import PersonDetector
from hybrik_ros.perception.hybrik import CUBE, HybrikEstimator
from hybrik_ros.perception.landmarks import BlazePoseEstimator
from hybrik_ros.pipeline import Pipeline
from hybrik_ros.settings import Settings
from hybrik_ros.share import SAMPLE

_NETWORKS = {'res34': 'ResNet-34', 'hrw48': 'HRNet-W48'}
_RUNS = 15  # timed runs of every network, in alternation
_SIDE = 256  # side of the input images of all networks in pixels
_FIELD_OF_VIEW = 40.0  # approximate field of view of the sample clip in degrees
_FRAMES = 10, 60  # range of frames of the sample clip that show one person


def measure(console: Console) -> dict[str, Any]:
    """Time all networks, and the stages of a frame; print tables.

    Parameters
    ----------
    console : Console
        Console for the tables.

    Returns
    -------
    dict
        Figures by table.

    Raises
    ------
    ModuleNotFoundError
        torch or onnx is not installed.
    """
    with TemporaryDirectory() as folder:
        figures, models = {}, {'BlazePose': blazepose.MODEL}
        for architecture, name in _NETWORKS.items():
            figures[name], models[name] = _time_hybrik(architecture, name, Path(folder), console)
        figures['BlazePose'] = _time_blazepose(console)
        columns = list(dict.fromkeys(column for row in figures.values() for column in row))
        table = Table('', *columns, title='Inference time on one thread: ms, median')
        for name, row in figures.items():
            table.add_row(name, *(f'{row[c]:.1f}' if c in row else '' for c in columns))
        table.caption = "HybrIK's networks have random weights; BlazePose does not support INT8"
        console.print(table)
        frames = {name: _time_frames(name, model, console) for name, model in models.items()}
    _print_frames(frames, console)
    return {'milliseconds': figures, 'frame': frames}


def _time_hybrik(
    architecture: str, name: str, folder: Path, console: Console
) -> tuple[dict[str, float], Path]:
    """Return the milliseconds by runtime and precision, and the FP32 model."""
    from hybrik_ros.network.speed import write_models

    image = np.random.default_rng(1).standard_normal((1, 3, _SIDE, _SIDE)).astype(np.float32)
    with ExitStack() as stack:
        with console.status(f'Exporting {name}, up to two minutes ...'):
            in_torch, paths = write_models(architecture, folder)
        runners = {
            precision: stack.enter_context(open_runner(path, 'onnxruntime'))
            for precision, path in paths.items()
        }
        medians = _medians(
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
    return medians, paths['FP32']


def _time_blazepose(console: Console) -> dict[str, float]:
    """Return the milliseconds of BlazePose."""
    image = np.random.default_rng(1).random((1, _SIDE, _SIDE, 3)).astype(np.float32)
    with open_runner(blazepose.MODEL, 'onnxruntime') as runner:
        return _medians(
            {'ONNX Runtime FP32': lambda: runner.infer({'input_1': image})}, 'BlazePose', console
        )


def _medians(
    runs: Mapping[str, Callable[[], object]], name: str, console: Console
) -> dict[str, float]:
    """Return the milliseconds of each function, timed in alternation, since speed may drift."""
    times: dict[str, list[float]] = {kind: [] for kind in runs}
    for _ in track(range(_RUNS + 1), f'Timing {name}', console=console, transient=True):
        for kind, run in runs.items():
            start = time.perf_counter()
            run()
            times[kind].append(1e3 * (time.perf_counter() - start))
    return {kind: float(np.median(taken[1:])) for kind, taken in times.items()}


class _Timed(Runner):
    """A runner that accumulates the duration of its inferences.

    Parameters
    ----------
    runner : Runner
        The runner to time.
    outputs : dict, optional
        Outputs that replace those of a network with random weights.
    """

    def __init__(self, runner: Runner, outputs: dict[str, NDArray[Any]] | None = None) -> None:
        self.seconds = 0.0
        self.backend, self.inputs = runner.backend, runner.inputs
        self._runner = runner
        self._outputs = outputs

    def _run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        start = time.perf_counter()
        outputs = self._runner.infer(feeds)
        self.seconds += time.perf_counter() - start
        return self._outputs or outputs

    def _free(self) -> None:
        self._runner.close()


def _time_frames(name: str, model: Path, console: Console) -> dict[str, float]:
    """Return the milliseconds of each stage of a frame with one person in the sample clip."""
    body = BodyModel.load()
    is_hybrik = model != blazepose.MODEL
    finder = _Timed(open_runner(detector.MODEL, 'onnxruntime'))
    network = _Timed(open_runner(model, 'onnxruntime'), _rest_outputs(body) if is_hybrik else None)
    settings = Settings(hybrik_model=str(model)) if is_hybrik else Settings()
    frames = [picture for _, picture in islice(read_pictures(SAMPLE), *_FRAMES)]
    camera = Camera.from_field_of_view(_FIELD_OF_VIEW, frames[0].shape[1], frames[0].shape[0])
    rows = []
    people = PersonDetector(finder, settings.detector_size, settings.detector_threshold)
    estimator = HybrikEstimator(model, network) if is_hybrik else BlazePoseEstimator(network)
    # The stand-in for HybrIK's network shows another pose, so the detector would not agree.
    first = [found.box for found in people(frames[0])] if is_hybrik else None
    with Pipeline(settings, body, people, estimator) as pipeline:
        for number, frame in track(
            list(enumerate(frames)), f'Timing frames, {name}', console=console, transient=True
        ):
            finder.seconds = network.seconds = 0.0
            picture = frame.copy()  # recently written memory, as from a camera
            start = time.perf_counter()
            humans = pipeline(picture, camera, number / 30, boxes=None if number else first)
            whole = time.perf_counter() - start
            inferred, stages = finder.seconds + network.seconds, pipeline.stage_seconds
            if len(humans) == 1:
                rows.append(
                    {
                        'whole frame': whole,
                        'pose network': network.seconds,
                        'detector network': finder.seconds,
                        'pre- and postprocessing': sum(stages.values())
                        - stages['solve']
                        - inferred,
                        'body and motion': stages['solve'],
                        'tracking': whole - sum(stages.values()),
                        'all except inference': whole - inferred,
                    }
                )
    return {row: 1e3 * float(np.median([one[row] for one in rows])) for row in rows[0]}


def _rest_outputs(body: BodyModel) -> dict[str, NDArray[Any]]:
    """Return the outputs of HybrIK's network for a body at rest that faces the camera."""
    joints = body.rest_joints()
    return {
        'uvd': ((joints - joints.mean(axis=0)) * [1, -1, -1] / CUBE)[None].astype(np.float32),
        'shape': np.zeros((1, 10), np.float32),
        'phi': np.tile(np.array([1, 0], np.float32), (1, 23, 1)),
        'cam': np.full((1, 1), 1 / CUBE, np.float32),
        'sigma': np.full((1, len(joints)), 0.01, np.float32),
    }


def _print_frames(frames: Mapping[str, Mapping[str, float]], console: Console) -> None:
    """Print the table of stages."""
    table = Table(
        '', *frames, title='Time of a frame with one person: ms, median, and share of the frame'
    )
    for row in next(iter(frames.values())):
        table.add_row(
            row,
            *(f'{one[row]:.2f}, {one[row] / one["whole frame"]:.1%}' for one in frames.values()),
        )
    table.caption = 'The detector runs in one of several frames'
    console.print(table)
