"""Run everything once, so that the first frame is not a slow one."""

import numpy as np

from hybrik_ros.body import BodyModel
from hybrik_ros.camera import Camera, Region
from hybrik_ros.perception.blazepose import MAX_BATCH
from hybrik_ros.perception.detector import PersonDetector
from hybrik_ros.perception.estimator import Estimator
from hybrik_ros.perception.landmarks import random_observation
from hybrik_ros.posing import pose, start_memory
from hybrik_ros.settings import Settings

_SIZE = 256  # width and height of a blank image in pixels


def warm_up(
    detector: PersonDetector, estimator: Estimator, body: BodyModel, settings: Settings
) -> None:
    """Run the networks and the solver once: kernels compile, networks allocate memory.

    Parameters
    ----------
    detector : PersonDetector
        Runs on a blank image.
    estimator : Estimator
        Runs on as many regions of it as an inference takes.
    body : BodyModel
        Is posed.
    settings : Settings
        Whether and how to smooth.
    """
    blank = np.zeros((_SIZE, _SIZE, 3), np.uint8)
    camera = Camera.from_field_of_view(60, _SIZE, _SIZE)
    middle = Region(np.full(2, _SIZE / 2), _SIZE)
    detector(blank)
    # The second time in a row with as many regions as possible, networks take the last memory.
    for _ in range(2):
        estimator.observe(blank, [middle] * MAX_BATCH, camera, 0.0)
    memory = start_memory(body)
    for elapsed in (np.inf, 0.1):
        posed = pose(random_observation(middle), memory, body, settings, elapsed)
        memory = posed.memory
    body.vertices(posed.rotations, posed.betas, posed.translation)
