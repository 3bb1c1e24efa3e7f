"""Opens the networks that settings ask for, each proven where TensorRT runs it."""

import logging
import os
from functools import partial
from hashlib import sha256
from pathlib import Path

from hybrik_ros.inference import open_runner
from hybrik_ros.perception import blazepose, detector, proof
from hybrik_ros.perception.detector import PersonDetector
from hybrik_ros.perception.estimator import Estimator
from hybrik_ros.perception.hybrik import HybrikEstimator
from hybrik_ros.perception.landmarks import BlazePoseEstimator
from hybrik_ros.settings import Settings

_LOGGER = logging.getLogger(__name__)

FULL_NOTE = 'there are more people than max_people: only the nearest ones are reported'


def open_detector(settings: Settings) -> PersonDetector:
    """Load the person detector. Raises as `open_runner` does."""
    size = settings.detector_size
    prove = partial(proof.prove_detector, size=size)
    side = detector.padded(max(detector.look_sizes(size)))
    runner = open_runner(detector.MODEL, settings.backend, settings.threads, prove, side)
    return PersonDetector(runner, size, settings.detector_threshold)


def open_estimator(settings: Settings) -> Estimator:
    """Load the pose estimator.

    Raises
    ------
    FileNotFoundError, RuntimeError, ValueError
        As `open_runner`, or the file is the model of another network.
    """
    if not settings.hybrik_model:
        prove = partial(proof.prove_landmarks, people=blazepose.MAX_BATCH)
        runner = open_runner(blazepose.MODEL, settings.backend, settings.threads, prove)
        return BlazePoseEstimator(runner, settings.flip_test)
    model = Path(os.path.expanduser(settings.hybrik_model))
    prove_joints = partial(proof.prove_joints, model=model)
    runner = open_runner(model, settings.backend, settings.threads, prove_joints)
    try:
        return HybrikEstimator(model, runner, settings.flip_test)
    except BaseException:
        runner.close()
        raise


def describe_networks(*networks: PersonDetector | Estimator) -> dict[str, str]:
    """Return the hash and the backend of each network by the name of its file."""
    facts = {}
    for network in networks:
        digest = sha256(network.model.read_bytes()).hexdigest()[:12]
        facts[f'model {network.model.name}'] = f'{digest}, {network.backend}'
    return facts
