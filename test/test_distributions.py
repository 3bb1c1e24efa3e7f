"""The package on the versions of Ubuntu 22.04 and 24.04: solver, images, pipeline and recordings.

Each file in distributions/ pins what an Ubuntu has. With what Ubuntu lacks, in the versions of
constraints.txt, it makes an environment, which pytest's cache keeps.
"""

import json
import os
import platform
import re
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from interpreters import find_python
from sample import CLIP
from test_camera import LENSES, MATRIX

from hybrik_ros.camera import Camera

ROOT = Path(__file__).parent.parent
PYTHONS = {'ubuntu_22_04': '3.10', 'ubuntu_24_04': '3.12'}
# From PyPI, with what they need and Ubuntu's packages do not bring along; to run tests; and ROS's
# messages, whose classes tests of images and calibrations use.
ADDED = (
    'apsw', 'backports-zstd', 'lz4', 'markdown-it-py', 'mdurl', 'onnxruntime', 'pygments',
    'rosbags', 'ruamel-yaml', 'typing-extensions',
    'exceptiongroup', 'hypothesis', 'iniconfig', 'mcap', 'mcap-ros2-support', 'packaging',
    'pluggy', 'pytest', 'sortedcontainers', 'tomli', 'zstandard',
    'ros-builtin-interfaces', 'ros-geometry-msgs', 'ros-rosidl-parser', 'ros-rosidl-pycommon',
    'ros-rpyutils', 'ros-sensor-msgs', 'ros-std-msgs',
)  # fmt: skip
MODULES = (
    'appearance', 'body_data', 'body_files', 'calibration', 'camera', 'camera_info', 'cli', 'depth',
    'depth_images', 'detections', 'drawing', 'exposure', 'hybrik', 'image_headers', 'images',
    'measures', 'models', 'motion', 'perception', 'plausibility', 'previous', 'progress',
    'rotations', 'sample_range', 'skeleton', 'smoothing', 'tracking', 'twist',
)  # fmt: skip
# Of modules that take minutes, some tests.
TESTS = (
    'bags::test_every_kind_reads_as_rosbags_reads_it',
    'kinematics::test_forward_poses_as_the_plain_way',
    'kinematics::test_clean_joints_give_themselves_and_the_true_rotations',
    'kinematics::test_degenerate_joints_with_a_previous_give_rotations',
    'kinematics::test_refining_makes_the_squares_smaller_whatever_the_joints',
    'kinematics::test_what_is_no_array_of_real_numbers_is_named',
    'pipeline::test_joints_are_forward_kinematics_of_the_rest',
    'pipeline::test_one_person_keeps_one_id',
    'pipeline::test_two_people_are_two_with_ids_that_last',
    'pipeline_inputs::test_depth_that_comes_late_moves_no_person',
)
LEFT_OUT = (
    # Its limit holds for frames as OpenCV 5 decodes them: those of OpenCV 4 differ by up to 13 of
    # 255 levels.
    'perception.py::test_the_one_walker_is_found[84]',
    # They take long, and hang on no version.
    'body_files.py::test_an_npz_that_unpacks_to_gigabytes_is_refused',
    'previous.py::test_what_one_direction_leaves_open_does_not_drift',
    'previous.py::test_the_bone_to_an_unseen_joint_does_not_drift',
    'twist.py::test_a_hinge_that_bends_20_degrees_the_wrong_way_does_not_flip_its_limb',
)
# Packages by the modules that tell their versions.
PACKAGES = {
    'cv2': 'opencv-python-headless', 'llvmlite': 'llvmlite', 'numba': 'numba', 'numpy': 'numpy',
    'scipy': 'scipy', 'yaml': 'PyYAML',
}  # fmt: skip


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the versions of a distribution."""

    interpreter: Path
    pins: dict[str, str]
    kernels: Path

    def run(self, *arguments: str, folder: Path) -> str:
        """Return what `python ARGUMENTS` prints, run in a folder, with the package of this tree."""
        own = ('AMENT_', 'LD_LIBRARY_', 'PYTEST_', 'PYTHON')  # Of the Python that runs this.
        others = {name: os.environ[name] for name in os.environ if not name.startswith(own)}
        result = subprocess.run(
            [self.interpreter, *arguments],
            env={**others, 'PYTHONPATH': str(ROOT), 'NUMBA_CACHE_DIR': str(self.kernels)},
            cwd=folder,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout


def added() -> list[str]:
    """Return the lines of constraints.txt for what Ubuntu lacks; pip reads their markers."""
    lines = (ROOT / 'constraints.txt').read_text().splitlines()
    found = [line for line in lines if line.split(' ')[0] in ADDED]
    assert {line.split(' ')[0] for line in found} == set(ADDED)
    return found


def fill(folder: Path, python: Path, pins: list[str]) -> Path:
    """Make an environment in the folder unless it is there; return its interpreter."""
    done, interpreter = folder / 'done', folder / 'venv/bin/python'
    wanted = '\n'.join([str(python), *pins])
    if not done.exists() or done.read_text() != wanted:
        done.unlink(missing_ok=True)
        subprocess.run([python, '-m', 'venv', '--clear', folder / 'venv'], check=True)
        options = ('--no-deps', '--only-binary', ':all:', '--no-compile', '--quiet')
        subprocess.run([interpreter, '-m', 'pip', 'install', *options, *pins], check=True)
        done.write_text(wanted)
    return interpreter


@pytest.fixture(scope='module', params=PYTHONS)
def environment(request: pytest.FixtureRequest) -> Environment:
    if platform.machine() != 'x86_64':
        pytest.skip("PyPI has ROS's messages for x86_64 only")
    lines = (ROOT / f'test/distributions/{request.param}.txt').read_text().splitlines()
    pins = [re.sub(r' *#.*', '', line) for line in lines if not line.startswith('#')]
    folder = request.config.cache.mkdir(request.param)
    interpreter = fill(folder, find_python(PYTHONS[request.param]), [*pins, *added()])
    versions = dict(pin.split(' ==') for pin in pins)
    return Environment(interpreter, versions, folder / 'kernels')


def test_versions_are_those_of_the_distribution(environment: Environment, tmp_path: Path) -> None:
    code = f"""
import importlib, json, hybrik_ros
from importlib.metadata import version
modules = {{name: importlib.import_module(name) for name in {list(PACKAGES)}}}
versions = {{name: module.__version__ for name, module in modules.items()}}
print(json.dumps([hybrik_ros.__file__, {{**versions, 'rich': version('rich')}}]))
"""
    package, versions = json.loads(environment.run('-c', code, folder=tmp_path))
    assert package == str(ROOT / 'hybrik_ros' / '__init__.py')
    for name, version in versions.items():
        # The wheel of OpenCV 4.5.4 is 4.5.4.60.
        assert f'{environment.pins[PACKAGES.get(name, name)]}.'.startswith(f'{version}.')


def outcomes(report: Path) -> Iterator[tuple[str, str]]:
    """Yield the module and the outcome of each test of JUnit's report."""
    for case in ET.parse(report).iter('testcase'):
        # A module that is skipped is a test without a class.
        module = (case.get('classname') or case.get('name')).rpartition('.')[2]
        other = [child.tag for child in case if child.tag in ('error', 'failure', 'skipped')]
        yield module.removeprefix('test_'), other[0] if other else 'passed'


def test_tests_of_the_package_pass(environment: Environment, tmp_path: Path) -> None:
    chosen = [(module, '') for module in MODULES] + [tuple(test.split('::')) for test in TESTS]
    places = [f'{ROOT}/test/test_{module}.py::{test}'.rstrip(':') for module, test in chosen]
    report = tmp_path / 'report.xml'
    environment.run(
        *('-m', 'pytest', '-p', 'no:cacheprovider', '--hypothesis-profile', 'brief'),
        *('-k', 'not plain_transcription', '--junitxml', str(report)),
        *(f'--deselect=test/test_{test}' for test in LEFT_OUT),
        *places,
        folder=tmp_path,
    )
    passed = {module for module, outcome in outcomes(report) if outcome == 'passed'}
    assert passed == {module for module, _ in chosen}


def test_rays_of_distorted_pixels_are_those_of_todays_opencv(
    environment: Environment, tmp_path: Path
) -> None:
    """No name of the function that takes out the distortion is in every OpenCV."""
    pixels = [[20.0, 30], [300, 20], [600, 450]]
    code = f"""
import json, numpy as np
from hybrik_ros.camera import Camera
lenses = [Camera(np.array({MATRIX.tolist()}), np.array(distortion), fisheye=fisheye)
          for distortion, fisheye in {list(LENSES.values())}]
print(json.dumps([lens.rays({pixels}).tolist() for lens in lenses]))
"""
    found = json.loads(environment.run('-c', code, folder=tmp_path))
    for rays, (distortion, fisheye) in zip(found, LENSES.values(), strict=True):
        lens = Camera(MATRIX, np.array(distortion), fisheye=fisheye)
        np.testing.assert_allclose(rays, lens.rays(pixels), rtol=0, atol=1e-9)


def test_commands_turn_the_sample_clip_into_a_bag_and_a_motion(
    environment: Environment, tmp_path: Path
) -> None:
    def hybrik(*arguments: str) -> str:
        return environment.run('-m', 'hybrik_ros.cli', *arguments, folder=tmp_path)

    assert 'COMMAND' in hybrik('--help')
    hybrik('bag', str(CLIP), '--output', 'people')
    report = json.loads((tmp_path / 'people/report.json').read_text())
    assert (report['images'], report['ids'], report['faults']) == (145, 1, {})
    assert report['person_frames'] > 135
    hybrik('motion', 'people', '--output', 'walk.bvh')
    assert (tmp_path / 'walk.bvh').read_text().startswith('HIERARCHY')
