"""`hybrik bench network`: how fast the networks run, and what share of a frame they take."""

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
_RUNS = 15  # of every network, by turns
_SIDE = 256  # pixels, of what all of them see
_FIELD_OF_VIEW = 40.0  # degrees, of the sample's camera, about
_FRAMES = 10, 60  # of the clip: from and to where there is one person in it


def measure(console: Console) -> dict[str, Any]:
    """Time all networks in one run, and the stages of a frame; print tables.

    Raises
    ------
    ModuleNotFoundError: torch or onnx is missing.
    """
    with TemporaryDirectory() as folder:
        figures, models = {}, {'BlazePose': blazepose.MODEL}
        for architecture, name in _NETWORKS.items():
            figures[name], models[name] = _time_hybrik(architecture, name, Path(folder), console)
        figures['BlazePose'] = _time_blazepose(console)
        columns = list(dict.fromkeys(column for row in figures.values() for column in row))
        table = Table('', *columns, title='Milliseconds of an inference on one thread, median')
        for name, row in figures.items():
            table.add_row(name, *(f'{row[c]:.1f}' if c in row else '' for c in columns))
        table.caption = "HybrIK's networks have random weights here; BlazePose is not fit for INT8"
        console.print(table)
        frames = {name: _time_frames(name, model, console) for name, model in models.items()}
    _print_frames(frames, console)
    return {'milliseconds': figures, 'frame': frames}


def _time_hybrik(
    architecture: str, name: str, folder: Path, console: Console
) -> tuple[dict[str, float], Path]:
    """Return the milliseconds of each runtime and precision, and the model in FP32."""
    from hybrik_ros.network.speed import write_models

    image = np.random.default_rng(1).standard_normal((1, 3, _SIDE, _SIDE)).astype(np.float32)
    with ExitStack() as stack:
        with console.status(f'Making models of {name}, up to two minutes ...'):
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
    image = np.random.default_rng(1).random((1, _SIDE, _SIDE, 3)).astype(np.float32)
    with open_runner(blazepose.MODEL, 'onnxruntime') as runner:
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
    """A runner that adds up the seconds that its inferences take.

    Parameters
    ----------
    runner: does the work.
    answer: given in place of what random weights come to.
    """

    def __init__(self, runner: Runner, answer: dict[str, NDArray[Any]] | None = None) -> None:
        self.seconds = 0.0
        self.backend, self.inputs = runner.backend, runner.inputs
        self._runner = runner
        self._answer = answer

    def _run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        start = time.perf_counter()
        outputs = self._runner.infer(feeds)
        self.seconds += time.perf_counter() - start
        return self._answer or outputs

    def _free(self) -> None:
        self._runner.close()


def _time_frames(name: str, model: Path, console: Console) -> dict[str, float]:
    """Return the milliseconds of a frame of one person in the sample clip, by what takes them."""
    body = BodyModel.load()
    is_hybrik = model != blazepose.MODEL
    finder = _Timed(open_runner(detector.MODEL, 'onnxruntime'))
    network = _Timed(open_runner(model, 'onnxruntime'), _standing(body) if is_hybrik else None)
    settings = Settings(hybrik_model=str(model)) if is_hybrik else Settings()
    frames = [picture for _, picture in islice(read_pictures(SAMPLE), *_FRAMES)]
    camera = Camera.from_field_of_view(_FIELD_OF_VIEW, frames[0].shape[1], frames[0].shape[0])
    rows = []
    people = PersonDetector(finder, settings.detector_size, settings.detector_threshold)
    estimator = HybrikEstimator(model, network) if is_hybrik else BlazePoseEstimator(network)
    with Pipeline(settings, body, people, estimator) as pipeline:
        for number, frame in track(
            list(enumerate(frames)), f'Timing frames, {name}', console=console, transient=True
        ):
            finder.seconds = network.seconds = 0.0
            picture = frame.copy()  # as one from a camera, just written
            start = time.perf_counter()
            humans = pipeline(picture, camera, number / 30)
            whole = time.perf_counter() - start
            inferred, stages = finder.seconds + network.seconds, pipeline.stage_seconds
            if len(humans) == 1:
                rows.append(
                    {
                        'whole frame': whole,
                        'network of the joints': network.seconds,
                        'network of the detector': finder.seconds,
                        'crops, and what the networks say': sum(stages.values())
                        - stages['solve']
                        - inferred,
                        'body and motion': stages['solve'],
                        'tracking': whole - sum(stages.values()),
                        'all but the networks': whole - inferred,
                    }
                )
    return {row: 1e3 * float(np.median([one[row] for one in rows])) for row in rows[0]}


def _standing(body: BodyModel) -> dict[str, NDArray[Any]]:
    """Return what HybrIK's network would say of somebody who stands there, facing the camera."""
    joints = body.rest_joints()
    return {
        'uvd': ((joints - joints.mean(axis=0)) * [1, -1, -1] / CUBE)[None].astype(np.float32),
        'shape': np.zeros((1, 10), np.float32),
        'phi': np.tile(np.array([1, 0], np.float32), (1, 23, 1)),
        'cam': np.full((1, 1), 1 / CUBE, np.float32),
        'sigma': np.full((1, len(joints)), 0.01, np.float32),
    }


def _print_frames(frames: Mapping[str, Mapping[str, float]], console: Console) -> None:
    table = Table(
        '', *frames, title='A frame of the sample clip, one person: ms, median, and share'
    )
    for row in next(iter(frames.values())):
        table.add_row(
            row,
            *(f'{one[row]:.2f}, {one[row] / one["whole frame"]:.1%}' for one in frames.values()),
        )
    table.caption = 'The detector runs in one frame of several'
    console.print(table)
