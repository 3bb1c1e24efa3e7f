"""Command line of the measurement; see the docstring of the package."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hybrik_ros.body import BodyModel
from hybrik_ros.inference import open_runner
from hybrik_ros.perception import blazepose as bp
from hybrik_ros.perception.blazepose import BlazePose

from .measurement import PARTS, deviation, error, measure, slope
from .motions import read_all
from .scenes import Scene, draw_scene


def _scenes(folder: Path, count: int) -> Iterator[tuple[str, Scene]]:
    """Yield the name of the motion and the picture of random poses."""
    rng, body = np.random.default_rng(0), BodyModel.load()
    clips = read_all(folder)
    names = sorted(clips)
    for _ in range(count):
        name = names[rng.integers(len(names))]
        poses, _ = clips[name]
        yield name, draw_scene(body, poses[rng.integers(len(poses))], rng)


def main() -> None:
    """Print the accuracy of the landmarks and the slopes of their depths."""
    parser = argparse.ArgumentParser(prog='python -m tools.depths', description=main.__doc__)
    parser.add_argument('folder', type=Path, help='folder of the motion capture')
    parser.add_argument('--scenes', type=int, default=1000, help='number of scenes')
    arguments = parser.parse_args()
    with open_runner(bp.MODEL) as runner:
        network = BlazePose(runner)
        scenes = _scenes(arguments.folder, arguments.scenes)
        found = [measure(network, scene, clip) for clip, scene in scenes]
    samples = [sample for sample in found if sample]
    print(f'{len(samples)} of {len(found)} scenes')
    for placement in ('along_axis', 'observed'):
        print(f'{placement}: PA-MPJPE {error(samples, placement):.1f}; slopes:')
        for part in PARTS:
            value, doubt = slope(samples, placement, part), deviation(samples, placement, part)
            print(f'  {part:8} {value:.2f} ± {doubt:.2f}')


if __name__ == '__main__':
    main()
