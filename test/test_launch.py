"""The launch file, config/camera.yaml and the node agree.

launch itself is not on PyPI: the launch file is read, not run.
"""

import ast
from pathlib import Path

import pytest
import rclpy
import yaml
from rclpy.node import Node

from hybrik_ros import settings
from hybrik_ros.node.parameters import declare
from hybrik_ros.settings import BACKENDS
from hybrik_ros.share import share_path

PARAMETERS = {parameter.name: parameter.default for parameter in settings.PARAMETERS}


def calls(tree: ast.AST, name: str) -> list[ast.Call]:
    """Return the calls of a function or class by its name."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
    ]


def flatten(tree: dict, prefix: str = '') -> dict[str, object]:
    """Return {'a.b': c} for {'a': {'b': c}}."""
    flat: dict[str, object] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f'{prefix}{name}.'))
        else:
            flat[f'{prefix}{name}'] = value
    return flat


@pytest.fixture(scope='module')
def launch_file() -> ast.Module:
    return ast.parse(share_path('launch/camera.launch.py').read_text())


@pytest.fixture(scope='module')
def arguments(launch_file: ast.Module) -> dict[str, dict[str, ast.expr]]:
    """Return what each launch argument is declared with."""
    return {
        ast.literal_eval(call.args[0]): {
            keyword.arg: keyword.value for keyword in call.keywords if keyword.arg
        }
        for call in calls(launch_file, 'DeclareLaunchArgument')
    }


@pytest.fixture(scope='module')
def camera_yaml() -> dict[str, object]:
    content = yaml.safe_load(share_path('config/camera.yaml').read_text())
    return flatten(content['/**']['hybrik_node']['ros__parameters'])


def test_yaml_has_every_parameter_with_its_default(camera_yaml: dict[str, object]) -> None:
    assert camera_yaml == PARAMETERS
    # Numbers compare equal whatever their type, but a parameter of ROS has one type.
    types = {name: type(value) for name, value in PARAMETERS.items()}
    assert {name: type(value) for name, value in camera_yaml.items()} == types


def test_launch_arguments_that_are_parameters_have_their_defaults(
    arguments: dict[str, dict[str, ast.expr]],
) -> None:
    shared = arguments.keys() & PARAMETERS.keys()
    assert 'backend' in shared
    for name in shared:
        assert ast.literal_eval(arguments[name]['default_value']) == str(PARAMETERS[name])


@pytest.mark.parametrize(
    ('argument', 'parameter'), [('backend', 'backend'), ('id_prefix', 'tracking.id_prefix')]
)
def test_arguments_go_before_params_file_unless_they_are_the_default(
    launch_file: ast.Module,
    arguments: dict[str, dict[str, ast.expr]],
    argument: str,
    parameter: str,
) -> None:
    compared = [
        ast.literal_eval(call.args[1])
        for call in calls(launch_file, 'differs')
        if ast.literal_eval(call.args[0]) == argument
    ]
    assert compared == [PARAMETERS[parameter]]
    assert ast.literal_eval(arguments[argument]['default_value']) == PARAMETERS[parameter]


def test_backends_to_choose_from(arguments: dict[str, dict[str, ast.expr]]) -> None:
    assert tuple(ast.literal_eval(arguments['backend']['choices'])) == BACKENDS


def test_default_is_among_the_choices(arguments: dict[str, dict[str, ast.expr]]) -> None:
    chosen = {name: given for name, given in arguments.items() if 'choices' in given}
    assert chosen
    for given in chosen.values():
        assert ast.literal_eval(given['default_value']) in ast.literal_eval(given['choices'])


@pytest.mark.parametrize('name', ['camera', 'multi_camera'])
def test_every_argument_is_described_and_used(name: str) -> None:
    text = share_path(f'launch/{name}.launch.py').read_text()
    declared = calls(ast.parse(text), 'DeclareLaunchArgument')
    assert declared
    for call in declared:
        argument = ast.literal_eval(call.args[0])
        assert text.count(f"'{argument}'") > 1, argument
        [description] = [each.value for each in call.keywords if each.arg == 'description']
        assert len(ast.literal_eval(description)) > 10


def test_topics_are_those_of_the_node(arguments: dict[str, dict[str, ast.expr]]) -> None:
    for topic in ('image', 'camera_info'):
        assert ast.literal_eval(arguments[f'{topic}_topic']['default_value']) == topic


def test_default_files_exist(launch_file: ast.Module) -> None:
    paths = {
        Path(ast.literal_eval(call.args[0].elts[-1]))
        for call in calls(launch_file, 'PathJoinSubstitution')
        if isinstance(call.args[0], ast.List)
    }
    assert {path.name for path in paths} == {'config', 'camera.yaml', 'hybrik.rviz'}
    for path in paths - {Path('config')}:
        assert share_path(f'config/{path}').is_file()


def test_rviz_shows_the_topics_that_the_launch_file_maps(launch_file: ast.Module) -> None:
    content = yaml.safe_load(share_path('config/hybrik.rviz').read_text())
    displays = content['Visualization Manager']['Displays']
    topics = {display['Topic']['Value'] for display in displays if 'Topic' in display}
    (shown,) = (
        ast.literal_eval(node.value)
        for node in ast.walk(launch_file)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == 'shown'
    )
    assert topics == {f'/{topic}' for topic in shown}


def test_parameters_reach_the_node_in_any_namespace(
    ros_environment: dict[str, str], tmp_path: Path
) -> None:
    text = share_path('config/camera.yaml').read_text()
    changed = tmp_path / 'changed.yaml'
    changed.write_text(text.replace('threads: 1', 'threads: 3').replace('size: 320', 'size: 640'))
    context = rclpy.Context()
    rclpy.init(args=['--ros-args', '--params-file', str(changed)], context=context)
    try:
        for namespace in ('', 'robot', 'robot/head'):
            node = Node('hybrik_node', namespace=namespace, context=context)
            declare(node)
            values = {name: node.get_parameter(name).value for name in PARAMETERS}
            assert values == {**PARAMETERS, 'threads': 3, 'detector.size': 640}
            node.destroy_node()
    finally:
        context.try_shutdown()


def test_cameras_of_a_fusion_publish_neither_tf_nor_rep155(
    arguments: dict[str, dict[str, ast.expr]],
) -> None:
    several = ast.parse(share_path('launch/multi_camera.launch.py').read_text())
    [passed] = [
        node
        for node in ast.walk(several)
        if isinstance(node, ast.Dict)
        and any(isinstance(key, ast.Constant) and key.value == 'id_prefix' for key in node.keys)
    ]
    given = {
        key.value: value
        for key, value in zip(passed.keys, passed.values, strict=True)
        if isinstance(key, ast.Constant)
    }
    assert given.keys() <= arguments.keys()
    for name in ('tf', 'rep155', 'rviz'):
        assert ast.literal_eval(given[name]) == 'false'
    # Arguments of an included file hold after it, unless it is in a group.
    assert (
        len(calls(several, 'GroupAction')) == len(calls(several, 'IncludeLaunchDescription')) == 1
    )
