"""What `hybrik bag` costs beside inference, what two workers are worth, and what it holds."""

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

_SIZE = (1280, 720)
_RATE = 30.0
_FIELD_OF_VIEW = 60.0
_FIRST_STAMP = 10**9  # nanoseconds
_IMAGE, _CAMERA_INFO = '/camera/image_raw/compressed', '/camera/camera_info'
_FRAMES = 145  # of a run that is timed: the sample clip
_RUNS = 4  # by turns
_WORKERS = 2
_BAGS = 4  # for the workers
_FEW = 5  # frames, to load the networks
_WARM = 0.2  # of the run, after which memory is taken to be what it stays
_SAMPLE_SECONDS = 1.0


def measure(console: Console, minutes: float) -> dict[str, Any]:
    """Time bags of the sample clip in 720p JPEG, and watch the memory over one so long."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        pictures = _pictures()
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


def _pictures() -> list[NDArray[np.uint8]]:
    """Return the sample clip in the size that is measured."""
    return [
        np.asarray(cv2.resize(picture, _SIZE), np.uint8) for _, picture in read_pictures(SAMPLE)
    ]


def write_bag(path: Path, pictures: Sequence[NDArray[np.uint8]], length: int) -> None:
    """Write a bag of so many compressed images, RGB pictures over and over, and camera_info."""
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
    """Compare the command's own loop with the pipeline alone on images in memory, by turns."""
    pictures = _pictures()[:_FRAMES]
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
        'inference alone, ms a frame': 1e3 * float(np.median(alone)) / len(pictures),
        'hybrik bag, ms a frame': 1e3 * float(np.median(whole)) / len(pictures),
        'more, %, median': 100 * (float(np.median(ratios)) - 1),
        'more, %, of the quickest': 100 * (min(whole) / min(alone) - 1),
    }


def _speed_up(bag: Path, folder: Path, console: Console) -> dict[str, float]:
    """Compare one worker with two, all of which have loaded their networks, by turns."""
    seconds: dict[int, list[float]] = {1: [], _WORKERS: []}
    for run in track(range(_RUNS), 'Workers', console=console, transient=True):
        for workers, times in seconds.items():
            crew = [LocalWorker({}) for _ in range(workers)]
            warm = [
                worker.submit(_job(bag, folder, f'warm{run}_{workers}_{number}', _FEW))
                for number, worker in enumerate(crew)
            ]
            wait(warm)
            jobs = [_job(bag, folder, f'run{run}_{workers}_{number}') for number in range(_BAGS)]
            started = time.perf_counter()
            run_jobs(jobs, crew.pop, workers, lambda job, outcome: (), _fail)
            times.append(time.perf_counter() - started)
    ratios = np.array(seconds[1]) / seconds[_WORKERS]
    frames = _BAGS * _FRAMES
    return {
        'one worker, frames a second': frames / float(np.median(seconds[1])),
        'two workers, frames a second': frames / float(np.median(seconds[_WORKERS])),
        'times as fast, median': float(np.median(ratios)),
        'times as fast, of the quickest': min(seconds[1]) / min(seconds[_WORKERS]),
    }


def _job(bag: Path, folder: Path, name: str, frames: int | None = None) -> Job:
    stop = None if frames is None else _FIRST_STAMP + round(frames / _RATE * 1e9)
    return Job(Recording(bag, stop=stop), folder / name, {})


def _fail(job: Job, reason: str) -> None:
    raise RuntimeError(f'{job.recording.path}: {reason}')


def _memory(bag: Path, folder: Path, console: Console) -> dict[str, float]:
    """Return what a process holds while it works on a long bag."""
    command = [sys.executable, '-m', 'hybrik_ros.cli', 'bag', str(bag)]
    log = folder / 'log'
    samples = []
    with process([*command, '-o', str(folder / 'out')], log) as running:
        with console.status('Watching the memory over a long bag ...'):
            while running.poll() is None:
                samples.append(resident_megabytes(running.pid))
                time.sleep(_SAMPLE_SECONDS)
        if running.returncode:
            require_running(running, log)
    settled = np.array(samples[round(_WARM * len(samples)) : -1])
    fifth = max(1, len(settled) // 5)
    return {
        'seconds': _SAMPLE_SECONDS * len(samples),
        'most, MB': float(max(samples)),
        'at first, MB': float(settled[:fifth].mean()),
        'at last, MB': float(settled[-fifth:].mean()),
    }
