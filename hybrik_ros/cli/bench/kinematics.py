"""`hybrik bench kinematics`: speed of solver and body model, and accuracy of the solver."""

import importlib.util
import pickle
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from hybrik_ros.arrays import Array
from hybrik_ros.body import DEFAULT_BODY, BodyModel
from hybrik_ros.cli.bench.accuracy import measure_accuracy
from hybrik_ros.drawing import vertex_normals
from hybrik_ros.kinematics import METHODS, forward, solve
from hybrik_ros.rotations import from_rotation_vector, to_rotation_vector
from hybrik_ros.share import share_path
from hybrik_ros.skeleton import NUM_JOINTS

Case = Callable[[], object]

_BATCHES = (1, 8, 64)
_SECONDS = 1.0  # duration of the measurement of each case
_MIN_RUNS = 5  # minimum number of runs of each case


def measure(console: Console) -> dict[str, Any]:
    """Time solver and body model, and measure the accuracy of the solver; print tables.

    Parameters
    ----------
    console : Console
        Console for the tables.

    Returns
    -------
    dict
        Figures by table.
    """
    return {
        'milliseconds': _time_all(console),
        'accuracy': measure_accuracy(console),
    }


def _time_all(console: Console) -> dict[str, dict[str, dict[str, float]]]:
    """Return the median and 95th percentile in milliseconds, by case and batch size."""
    table = Table('', *(f'batch {batch}' for batch in _BATCHES))
    table.title = 'Milliseconds on one thread, median / p95'
    figures: dict[str, dict[str, dict[str, float]]] = {}
    with console.status('Timing ...'):
        for batch in _BATCHES:
            for name, case in _cases(batch).items():
                figures.setdefault(name, {})[str(batch)] = _time(case)
    for name, by_batch in figures.items():
        cells = [by_batch.get(str(batch)) for batch in _BATCHES]
        table.add_row(name, *(f'{c["median"]:.4f} / {c["p95"]:.4f}' if c else '' for c in cells))
    console.print(table)
    return figures


def _time(case: Case) -> dict[str, float]:
    """Return the median and 95th percentile of a case in milliseconds."""
    case()  # compiles kernels and fills caches
    times: list[float] = []
    end = time.perf_counter() + _SECONDS
    while len(times) < _MIN_RUNS or time.perf_counter() < end:
        start = time.perf_counter()
        case()
        times.append(1e3 * (time.perf_counter() - start))
    return {'median': float(np.median(times)), 'p95': float(np.percentile(times, 95))}


def _cases(batch: int) -> dict[str, Case]:
    """Return the cases of a batch size, by name."""
    rng = np.random.default_rng(batch)
    body = BodyModel.load()
    rest = np.tile(body.rest_joints(), (batch, 1, 1))
    rotations = from_rotation_vector(rng.normal(0, 0.5, (batch, NUM_JOINTS, 3)))
    joints = forward(rotations, rest)[0] + rng.normal(0, 0.006, rest.shape)
    twist = np.tile([1.0, 0.0], (batch, NUM_JOINTS - 1, 1))
    cases: dict[str, Case] = {
        method: lambda m=method: solve(joints, rest, twist, method=m)  # type: ignore[misc]
        for method in METHODS
    }
    cases['forward kinematics'] = lambda: forward(rotations, rest)
    plain = _plain_transcription()
    if plain is not None:
        cases['adaptive, plain numpy'] = lambda: [
            plain.aim(j, r, t, adaptive=True) for j, r, t in zip(joints, rest, twist, strict=True)
        ]
    if batch == 1:
        cases.update(_vertex_cases(body, rotations[0]))
    cases.update(_smplx_cases(rotations))
    return cases


def _vertex_cases(body: BodyModel, rotations: Array) -> dict[str, Case]:
    """Return the cases of the body model."""
    betas, origin = np.ones(body.num_betas), np.zeros(3)
    arrays = _body_arrays()
    arrays['posedirs'] = np.random.default_rng(0).normal(0, 1e-3, arrays['posedirs'].shape)
    corrected = BodyModel(arrays, 'with posedirs')
    mesh = body.vertices(rotations, betas, origin)
    return {
        'vertices, betas cached': lambda: body.vertices(rotations, betas, origin),
        'vertices with posedirs': lambda: corrected.vertices(rotations, betas, origin),
        'vertex normals': lambda: vertex_normals(mesh, body.faces),
    }


def _smplx_cases(rotations: Array) -> dict[str, Case]:
    """Return the forward pass of the same body in smplx; empty if smplx is not installed."""
    if importlib.util.find_spec('smplx') is None:
        return {}
    smplx, torch = importlib.import_module('smplx'), importlib.import_module('torch')
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'SMPL_NEUTRAL.pkl')
        path.write_bytes(pickle.dumps(_body_arrays()))
        model = smplx.SMPL(str(path), batch_size=len(rotations))
    vectors = to_rotation_vector(rotations).reshape(len(rotations), -1)
    pose = torch.tensor(vectors, dtype=torch.float32)
    betas = torch.ones(len(rotations), 10)

    def case() -> object:
        with torch.no_grad():
            return model(betas=betas, global_orient=pose[:, :3], body_pose=pose[:, 3:])

    return {'smplx forward': case}


def _body_arrays() -> dict[str, NDArray[Any]]:
    """Return the arrays of the default body, with the zero posedirs that smplx requires."""
    with np.load(DEFAULT_BODY) as stored:
        names = ('v_template', 'shapedirs', 'J_regressor', 'weights', 'kintree_table', 'f')
        arrays = {name: stored[name] for name in names}
    arrays['posedirs'] = np.zeros((len(arrays['v_template']), 3, 9 * (NUM_JOINTS - 1)))
    return arrays


def _plain_transcription() -> Any:
    """Return the module test/plain_hybrik.py; None outside a source tree."""
    try:
        path = share_path('test/plain_hybrik.py')
    except FileNotFoundError:
        return None
    spec = importlib.util.spec_from_file_location('plain_hybrik', path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
