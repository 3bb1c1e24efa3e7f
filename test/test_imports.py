"""The rooms of the package: each imports only from those above it, each library has its place."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import hybrik_ros

PACKAGE = Path(hybrik_ros.__file__).parent

# From top to bottom.
ROOMS = (
    'arguments', 'arrays', 'advice', 'compiling', 'vectors', 'share', 'writing', 'skeleton',
    'rotations', 'human', 'settings', 'kinematics', 'camera', 'body', 'inference', 'smoothing',
    'perception', 'tracking', 'posing', 'snapshot', 'pipeline', 'drawing', 'motion', 'comparison',
    'findings', 'messages', 'node', 'network', 'bags', 'recordings', 'cli',
)  # fmt: skip

# These do not know each other, save that body uses kinematics.
STRANGERS = {'kinematics', 'body', 'camera', 'inference'}
FRIENDS = ('body', 'kinematics')

HOMES = {
    'numba': {'compiling'},
    'onnxruntime': {'inference', 'network'},  # which rounds to INT8 with it
    'tensorrt': {'inference'},
    'torch': {'network'},
    'onnx': {'inference', 'network'},
    'rosbags': {'bags', 'cli'},
    'ray': {'recordings'},
    'matplotlib': {'comparison'},
    'ROS': {'node'},
}
ROS = re.compile(
    r'(rclpy|rcl_interfaces|builtin_interfaces|ament_index_python|launch\w*|\w+_msgs)$'
)

# Optional, or slow to import: never while a module of the room loads.
LAZY = {('bags', 'node'), ('cli', 'node'), ('cli', 'network')}


class Import(NamedTuple):
    """One name that is imported: hybrik_ros.body.model, say. Lazy: inside a function."""

    name: str
    lazy: bool


def find_imports(source: str) -> Iterator[Import]:
    """Yield what a module imports; for typing only counts as lazy."""
    tree = ast.parse(source)
    lazy_nodes = {
        id(inner)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        or (isinstance(outer, ast.If) and 'TYPE_CHECKING' in ast.unparse(outer.test))
        for inner in ast.walk(outer)
    }
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, 'relative imports hide the room'
            names = [f'{node.module}.{alias.name}' for alias in node.names]
        for name in names:
            yield Import(name, id(node) in lazy_nodes)


def find_faults(room: str, source: str) -> Iterator[str]:
    """Yield what a module of the room imports against the rules."""
    for name, lazy in find_imports(source):
        top, *rest = name.split('.')
        if top == 'hybrik_ros' and rest[0] in ROOMS:
            other = rest[0]
            if ROOMS.index(other) > ROOMS.index(room):
                yield f'{room} imports {other}, which is below it'
            if other != room and {room, other} <= STRANGERS and (room, other) != FRIENDS:
                yield f'{room} imports {other}, which it should not know'
            if (room, other) in LAZY and not lazy:
                yield f'{room} imports {other} while it loads'
        else:
            library = 'ROS' if ROS.match(top) or name.startswith('hybrik_ros.msg') else top
            if room not in HOMES.get(library, {room}):
                yield f'{room} imports {top}'


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix('').parts[0]


MODULES = sorted(
    path
    for path in PACKAGE.rglob('*.py')
    if path != PACKAGE / '__init__.py' and room_of(path) not in ('_generated', 'msg')
)


@pytest.mark.parametrize('path', MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_imports_only_what_its_room_may(path: Path) -> None:
    room = room_of(path)
    assert room in ROOMS
    assert list(find_faults(room, path.read_text())) == []


@pytest.mark.parametrize(
    ('room', 'source'),
    [
        ('skeleton', 'from hybrik_ros import body'),
        ('drawing', 'def draw():\n    from hybrik_ros.node.node import main'),
        ('inference', 'import hybrik_ros.skeleton, hybrik_ros.camera'),
        ('camera', 'from hybrik_ros.kinematics import solve'),
        ('cli', 'from hybrik_ros.node.node import main'),
        ('pipeline', 'from sensor_msgs.msg import Image'),
        ('bags', 'from hybrik_ros.msg import HumanMesh'),
        ('perception', 'import onnxruntime as ort'),
        ('pipeline', 'import numba'),
        ('cli', 'def bench():\n    import torch.nn'),
    ],
)
def test_a_breach_is_found(room: str, source: str) -> None:
    assert len(list(find_faults(room, source))) == 1


@pytest.mark.parametrize(
    ('room', 'source'),
    [
        ('body', 'from hybrik_ros.kinematics import forward'),
        ('cli', 'def demo():\n    from hybrik_ros.node.node import main'),
        ('node', 'from hybrik_ros.msg import HumanMesh'),
        ('compiling', 'import numba'),
    ],
)
def test_what_is_allowed_is_no_breach(room: str, source: str) -> None:
    assert list(find_faults(room, source)) == []
