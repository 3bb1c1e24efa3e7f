"""`hybrik bench bag`: overhead of `hybrik bag`, speed-up by two workers, and memory."""

import sys
import time
from collections.abc import Sequence
from concurrent.futures import wait
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hybrik_ros.bags import BagWriter, serialise, typestore
from hybrik_ros.camera import Camera
from hybrik_ros.cli.bench.node import resident_megabytes
from hybrik_ros.cli.pictures import read_pictures
from hybrik_ros.cli.processes import process, require_running
from hybrik_ros.messages.calibration import guess_calibration
from hybrik_ros.messages.fields import stamp_fields
from hybrik_ros.pipeline import Pipeline
from hybrik_ros.recordings.process import Job, Processor
from hybrik_ros.recordings.recording import Recording
from hybrik_ros.recordings.workers import LocalWorker, run_jobs
from hybrik_ros.share import SAMPLE

_SIZE = (1280, 720)  # width and height in pixels
_RATE = 30.0  # frames per second
_FIELD_OF_VIEW = 60.0  # degrees
_FIRST_STAMP = 10**9  # nanoseconds
_IMAGE, _CAMERA_INFO = '/camera/image_raw/compressed', '/camera/camera_info'
_FRAMES = 145  # frames of a timed run: those of the sample clip
_RUNS = 4  # timed runs of each variant, in alternation
_WORKERS = 2
_BAGS = 4  # bags that the workers process
_WARM_UP_FRAMES = 5  # frames that a worker processes before it is timed, to load the networks
_WARM_UP_SHARE = 0.2  # share of a long run after which the memory should be constant
_SAMPLE_SECONDS = 1.0  # interval between two samples of the memory


def measure(console: Console, minutes: float) -> dict[str, Any]:
    """Time bags of the sample clip in 720p JPEG, and measure the memory during a long one.

    Parameters
    ----------
    console : Console
        Console for the tables.
    minutes : float
        Duration of the long bag; 0 leaves it out.

    Returns
    -------
    dict
        Figures by table and row.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        pictures = _read_sample()
        short = folder / 'short'
        write_bag(short, pictures, _FRAMES)
        figures = {
            'overhead': _overhead(short, folder, console),
            'two workers': _speed_up(short, folder, console),
        }
        if minutes > 0:
            long = folder / 'long'
            write_bag(long, pictures, round(60 * minutes * _RATE))
            figures['memory'] = _memory(long, folder, console)
    for title, rows in figures.items():
        table = Table('', '', title=f'hybrik bag: {title}', show_header=False)
        for row, value in rows.items():
            table.add_row(row, f'{value:.3f}')
        console.print(table)
    return figures


def _read_sample() -> list[NDArray[np.uint8]]:
    """Return the frames of the sample clip, resized to _SIZE."""
    return [
        np.asarray(cv2.resize(picture, _SIZE), np.uint8) for _, picture in read_pictures(SAMPLE)
    ]


def write_bag(path: Path, pictures: Sequence[NDArray[np.uint8]], length: int) -> None:
    """Write a bag of compressed images with camera_info.

    Parameters
    ----------
    path : Path
        Folder of the bag.
    pictures : sequence of ndarray
        RGB pictures (H, W, 3) of one size, which are repeated.
    length : int
        Number of images.
    """
    types = typestore().types
    jpegs = [cv2.imencode('.jpg', picture[..., ::-1])[1].ravel() for picture in pictures]
    height, width = pictures[0].shape[:2]
    calibration = guess_calibration(_FIELD_OF_VIEW, width, height)
    whole = types['sensor_msgs/msg/RegionOfInterest'](
        x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
    )
    fields = {
        name: np.array(value) if isinstance(value, list) else value
        for name, value in vars(calibration).items()
    }
    with BagWriter(path) as bag:
        bag.add_topic(_IMAGE, 'sensor_msgs/msg/CompressedImage')
        bag.add_topic(_CAMERA_INFO, 'sensor_msgs/msg/CameraInfo')
        for number, jpeg in enumerate(islice(cycle(jpegs), length)):
            time_ = _FIRST_STAMP + round(number / _RATE * 1e9)
            stamp = types['builtin_interfaces/msg/Time'](**stamp_fields(time_))
            header = types['std_msgs/msg/Header'](stamp=stamp, frame_id='camera_optical_frame')
            info = types['sensor_msgs/msg/CameraInfo'](
                header=header, binning_x=0, binning_y=0, roi=whole, **fields
            )
            image = types['sensor_msgs/msg/CompressedImage'](
                header=header, format='jpeg', data=jpeg
            )
            bag.write(_CAMERA_INFO, time_, serialise(info))
            bag.write(_IMAGE, time_, serialise(image))


def _overhead(bag: Path, folder: Path, console: Console) -> dict[str, float]:
    """Time the loop of `hybrik bag` and the pipeline alone on images in memory, in alternation."""
    pictures = _read_sample()[:_FRAMES]
    camera = Camera.from_field_of_view(_FIELD_OF_VIEW, *_SIZE)
    alone, whole = [], []
    with Processor({}) as processor, Pipeline.create() as pipeline:
        for run in track(range(_RUNS), 'Overhead', console=console, transient=True):
            started = time.perf_counter()
            for number, picture in enumerate(pictures):
                pipeline(picture, camera, number / _RATE)
            alone.append(time.perf_counter() - started)
            outcome = processor.process(Job(Recording(bag), folder / f'overhead{run}', {}))
            whole.append(outcome.seconds)
    ratios = np.array(whole) / alone
    return {
        'pipeline alone, ms per frame': 1e3 * float(np.median(alone)) / len(pictures),
        'hybrik bag, ms per frame': 1e3 * float(np.median(whole)) / len(pictures),
        'overhead, %, median': 100 * (float(np.median(ratios)) - 1),
        'overhead, %, fastest runs': 100 * (min(whole) / min(alone) - 1),
    }


def _speed_up(bag: Path, folder: Path, console: Console) -> dict[str, float]:
    """Time one worker and two in alternation, after they have loaded their networks."""
    seconds: dict[int, list[float]] = {1: [], _WORKERS: []}
    for run in track(range(_RUNS), 'Workers', console=console, transient=True):
        for count, times in seconds.items():
            workers = [LocalWorker({}) for _ in range(count)]
            warm_ups = [
                worker.submit(_job(bag, folder, f'warm{run}_{count}_{number}', _WARM_UP_FRAMES))
                for number, worker in enumerate(workers)
            ]
            wait(warm_ups)
            jobs = [_job(bag, folder, f'run{run}_{count}_{number}') for number in range(_BAGS)]
            started = time.perf_counter()
            run_jobs(jobs, workers.pop, count, lambda job, outcome: (), _fail)
            times.append(time.perf_counter() - started)
    ratios = np.array(seconds[1]) / seconds[_WORKERS]
    frames = _BAGS * _FRAMES
    return {
        'one worker, frames/s': frames / float(np.median(seconds[1])),
        'two workers, frames/s': frames / float(np.median(seconds[_WORKERS])),
        'speed-up, median': float(np.median(ratios)),
        'speed-up, fastest runs': min(seconds[1]) / min(seconds[_WORKERS]),
    }


def _job(bag: Path, folder: Path, name: str, frames: int | None = None) -> Job:
    """Return a job on a bag, or on its first frames."""
    stop = None if frames is None else _FIRST_STAMP + round(frames / _RATE * 1e9)
    return Job(Recording(bag, stop=stop), folder / name, {})


def _fail(job: Job, reason: str) -> None:
    """Raise RuntimeError: no job may fail."""
    raise RuntimeError(f'{job.recording.path}: {reason}')


def _memory(bag: Path, folder: Path, console: Console) -> dict[str, float]:
    """Return the resident memory of a process that works on a long bag."""
    command = [sys.executable, '-m', 'hybrik_ros.cli', 'bag', str(bag)]
    log = folder / 'log'
    samples = []
    with process([*command, '-o', str(folder / 'out')], log) as running:
        with console.status('Measuring the memory during a long bag ...'):
            while running.poll() is None:
                samples.append(resident_megabytes(running.pid))
                time.sleep(_SAMPLE_SECONDS)
        if running.returncode:
            require_running(running, log)
    settled = np.array(samples[round(_WARM_UP_SHARE * len(samples)) : -1])
    fifth = max(1, len(settled) // 5)
    return {
        'seconds': _SAMPLE_SECONDS * len(samples),
        'maximum, MB': float(max(samples)),
        'start, MB': float(settled[:fifth].mean()),
        'end, MB': float(settled[-fifth:].mean()),
    }
