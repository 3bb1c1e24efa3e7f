"""The layers of the package: each imports only from those above it, each library has its place."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import hybrik_ros

PACKAGE = Path(hybrik_ros.__file__).parent

# From top to bottom.
LAYERS = (
    'arguments', 'arrays', 'angles', 'advice', 'limits', 'credentials', 'printable', 'untrusted',
    'deadline', 'compiling', 'vectors', 'share', 'stopping', 'timing', 'writing', 'skeleton',
    'rotations', 'human', 'settings', 'kinematics', 'camera', 'body', 'inference',
    'smoothing', 'confidence', 'perception', 'tracking', 'posing', 'reconstruction', 'snapshot',
    'warm_up', 'pipeline', 'fusion', 'drawing', 'motion', 'comparison', 'findings', 'messages',
    'media', 'node', 'network', 'bags', 'recordings', 'cli',
)  # fmt: skip

# These do not know each other, save that body uses kinematics.
INDEPENDENT = {'kinematics', 'body', 'camera', 'inference'}
EXCEPTION = ('body', 'kinematics')

PLACES = {
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

# Optional, or slow to import: never while a module of the layer loads.
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
            assert node.level == 0, 'relative imports hide the layer'
            names = [f'{node.module}.{alias.name}' for alias in node.names]
        for name in names:
            yield Import(name, id(node) in lazy_nodes)


def find_faults(layer: str, source: str) -> Iterator[str]:
    """Yield what a module of the layer imports against the rules."""
    for name, lazy in find_imports(source):
        top, *rest = name.split('.')
        if top == 'hybrik_ros' and rest[0] in LAYERS:
            other = rest[0]
            if LAYERS.index(other) > LAYERS.index(layer):
                yield f'{layer} imports {other}, which is below it'
            if other != layer and {layer, other} <= INDEPENDENT and (layer, other) != EXCEPTION:
                yield f'{layer} imports {other}, which it should not know'
            if (layer, other) in LAZY and not lazy:
                yield f'{layer} imports {other} while it loads'
        else:
            library = 'ROS' if ROS.match(top) or name.startswith('hybrik_ros.msg') else top
            if layer not in PLACES.get(library, {layer}):
                yield f'{layer} imports {top}'


def test_architecture_lists_the_layers_in_this_order() -> None:
    table = (Path(__file__).parents[1] / 'ARCHITECTURE.md').read_text().partition('## Layers')[2]
    rows = re.findall(r'^\| ([a-z_/, ]+) \|', table.partition('## ')[0], re.M)
    assert tuple(re.findall(r'\w+', ' '.join(rows[1:]))) == LAYERS


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix('').parts[0]


MODULES = sorted(
    path
    for path in PACKAGE.rglob('*.py')
    if path != PACKAGE / '__init__.py' and layer_of(path) not in ('_generated', 'msg')
)


@pytest.mark.parametrize('path', MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_imports_only_what_its_layer_may(path: Path) -> None:
    layer = layer_of(path)
    assert layer in LAYERS
    assert list(find_faults(layer, path.read_text())) == []


@pytest.mark.parametrize(
    ('layer', 'source'),
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
def test_a_breach_is_found(layer: str, source: str) -> None:
    assert len(list(find_faults(layer, source))) == 1


@pytest.mark.parametrize(
    ('layer', 'source'),
    [
        ('body', 'from hybrik_ros.kinematics import forward'),
        ('cli', 'def demo():\n    from hybrik_ros.node.node import main'),
        ('node', 'from hybrik_ros.msg import HumanMesh'),
        ('compiling', 'import numba'),
    ],
)
def test_what_is_allowed_is_no_breach(layer: str, source: str) -> None:
    assert list(find_faults(layer, source)) == []


# Cycles, names, and what a subscriber loads


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def find_module(name: str, modules: set[str]) -> str | None:
    """Return the module that an imported name is, or is defined in."""
    while name and name not in modules:
        name = name.rpartition('.')[0]
    return name or None


def import_graph(sources: dict[str, str]) -> dict[str, set[str]]:
    """Return which modules each module imports, lazily or not."""
    modules = set(sources)
    return {
        name: {
            found
            for imported in find_imports(source)
            if (found := find_module(imported.name, modules)) not in (None, name)
        }
        for name, source in sources.items()
    }


def find_cycle(graph: dict[str, set[str]]) -> list[str]:
    """Return the modules of an import cycle; empty where there is none."""
    finished: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return path[path.index(name) :]
        if name not in finished:
            for imported in sorted(graph[name]):
                if cycle := visit(imported, [*path, name]):
                    return cycle
            finished.add(name)
        return []

    return next(filter(None, (visit(name, []) for name in sorted(graph))), [])


def test_no_modules_import_each_other_in_a_cycle() -> None:
    sources = {module_name(path): path.read_text() for path in MODULES}
    assert len(sources) > 100
    assert find_cycle(import_graph(sources)) == []


def test_a_lazy_cycle_is_found() -> None:
    sources = {
        'hybrik_ros.a': 'from hybrik_ros.b import thing',
        'hybrik_ros.b': 'def f():\n    import hybrik_ros.c',
        'hybrik_ros.c': 'from hybrik_ros import a',
    }
    cycle = find_cycle(import_graph(sources))
    assert sorted(cycle) == ['hybrik_ros.a', 'hybrik_ros.b', 'hybrik_ros.c']


@pytest.mark.parametrize(
    'statement',
    [
        'from hybrik_ros.human import Human',
        'from hybrik_ros.messages.people import from_human_mesh',
        'from hybrik_ros.settings import Settings',
    ],
)
def test_a_subscriber_loads_nothing_heavy(statement: str) -> None:
    heavy = ('numba', 'scipy', 'cv2', 'onnxruntime', 'rclpy', 'torch')
    code = f'import sys\n{statement}\nprint([name for name in {heavy} if name in sys.modules])'
    ran = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == '[]'


def test_a_message_becomes_a_person_without_compiled_code() -> None:
    code = """
import sys
from types import SimpleNamespace as Fields
import numpy as np
from hybrik_ros.messages.people import from_human_mesh
joints = [Fields(x=0.05 * number, y=0.0, z=3.0) for number in range(24)]
point, turn = joints[0], Fields(x=0.0, y=0.0, z=0.0, w=1.0)
human = from_human_mesh(Fields(
    id='p1', confidence=1.0, box=np.zeros(4), joints=joints, joint_confidence=np.ones(24),
    rotations=[turn] * 24, betas=np.zeros(10), translation=point, translation_confidence=1.0,
    velocity=point, vertices=[]))
assert human.global_rotations.shape == (24, 3, 3)
print('numba' in sys.modules)
"""
    ran = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == 'False'


def test_modules_and_classes_have_names_of_their_own() -> None:
    # A command has the name of what it is about, and so has its benchmark.
    modules = [path.stem for path in MODULES if 'cli' not in path.parts]
    classes = [
        node.name
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    ]
    for names in (modules, classes):
        shared = {name for name in names if names.count(name) > 1}
        assert shared <= {'__init__', '__main__'}


def is_kernel_or_table(node: ast.FunctionDef) -> bool:
    """Return whether a function is compiled, or adds arguments to a parser one after the other."""
    decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
    return node.name == 'add_parser' or any(
        d.startswith(('kernel', 'compiled')) for d in decorators
    )


def test_functions_and_classes_are_short() -> None:
    found = []
    for path in PACKAGE.rglob('*.py'):
        if '_generated' in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                lines, limit = node.end_lineno - node.lineno + 1, 250
            elif isinstance(node, ast.FunctionDef) and not is_kernel_or_table(node):
                first = node.body[0]
                documented = first.end_lineno - first.lineno + 1 if ast.get_docstring(node) else 0
                lines, limit = node.end_lineno - node.lineno + 1 - documented, 40
            else:
                continue
            if lines > limit:
                found.append(f'{path.relative_to(PACKAGE)} {node.name}: {lines}')
    assert found == []
    for name in ('pipeline.py', 'node/node.py'):
        assert len((PACKAGE / name).read_text().splitlines()) <= 300
