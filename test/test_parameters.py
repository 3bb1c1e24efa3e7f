"""The table of parameters, and what it refuses."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
import rclpy
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from hybrik_ros.node.parameters import declare, validate
from hybrik_ros.node.parameters import descriptor as descriptor_of
from hybrik_ros.pipeline import Pipeline
from hybrik_ros.settings import (
    PARAMETERS,
    RENAMED,
    SETTINGS,
    Settings,
    parse_settings,
)

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize('parameter', PARAMETERS, ids=lambda p: p.name)
def test_every_parameter_is_described_and_ranged(parameter) -> None:
    descriptor = descriptor_of(parameter)
    assert len(descriptor.description) > 20
    if isinstance(parameter.default, bool | str):
        return
    [span] = [*descriptor.integer_range, *descriptor.floating_point_range]
    assert span.from_value <= parameter.default <= span.to_value


def test_every_setting_of_the_pipeline_is_a_parameter_with_its_default() -> None:
    defaults = {one.setting: one.default for one in PARAMETERS if one.setting}
    assert defaults == asdict(Settings())
    assert len(defaults) == len(SETTINGS) > 15


def test_names_of_parameters_are_unique_and_new_names_exist() -> None:
    names = [parameter.name for parameter in PARAMETERS]
    assert len(set(names)) == len(names)
    assert set(RENAMED.values()) < set(names)
    assert not set(RENAMED) & set(names)


def test_yaml_and_docs_are_written_from_the_declarations() -> None:
    command = [sys.executable, ROOT / 'tools' / 'write_parameters.py', '--check']
    assert subprocess.run(command, check=False).returncode == 0


def test_an_unknown_backend_is_refused_with_the_choices() -> None:
    result = validate([Parameter('backend', value='cuda')], configured=False)
    assert not result.successful
    assert 'auto, onnxruntime' in result.reason


def test_what_takes_effect_on_configure_is_refused_later() -> None:
    change = [Parameter('threads', value=2)]
    assert validate(change, configured=False).successful
    refused = validate(change, configured=True)
    assert not refused.successful
    assert 'configure' in refused.reason


def test_dynamic_parameters_may_change_at_any_time() -> None:
    assert validate([Parameter('publish.tf', value=False)], configured=True).successful


def test_parameters_of_others_are_left_alone() -> None:
    assert validate([Parameter('use_sim_time', value=True)], configured=True).successful


def test_a_refused_value_is_named_as_the_parameter_is() -> None:
    result = validate([Parameter('detector.size', value=7)], configured=False)
    assert result.reason.startswith('detector.size must be a number from ')


# What a node is started with


@contextmanager
def started_node(*arguments: str) -> Iterator[Node]:
    """Yield a node that was started with these ROS arguments and declares the parameters."""
    context = rclpy.Context()
    rclpy.init(args=['--ros-args', *arguments], context=context)
    node = Node('hybrik_node', context=context)
    try:
        declare(node)
        yield node
    finally:
        node.destroy_node()
        context.try_shutdown()


def test_unknown_parameters_are_named_with_the_nearest_known_one(
    ros_environment: dict[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / 'mine.yaml'
    file.write_text(
        '/**:\n'
        '  ros__parameters:\n'
        '    detector: {sizee: 640, threshold: 0.3}\n'
        '    wheel_radius: 0.1\n'
        '    use_sim_time: true\n'
        '    qos_overrides: {/image: {subscription: {reliability: reliable}}}\n'
    )
    arguments = ('--params-file', str(file), '-p', 'detector.sise:=320', '-p', 'threads:=2')
    with started_node(*arguments) as node:
        assert node.get_parameter('detector.threshold').value == 0.3
        assert not node.has_parameter('detector.sizee')
    [line] = [line for line in capfd.readouterr().err.splitlines() if 'unknown' in line]
    assert '[WARN]' in line
    assert line.endswith(
        'unknown parameters are ignored: detector.sise (did you mean detector.size?), '
        'detector.sizee (did you mean detector.size?), wheel_radius'
    )


def test_known_parameters_are_not_warned_of(
    ros_environment: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    with started_node('-p', 'detector.size:=640', '-p', 'use_sim_time:=false'):
        pass
    assert 'unknown' not in capfd.readouterr().err


def test_a_whole_number_is_taken_for_a_double(
    ros_environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / 'mine.yaml'
    file.write_text('/**: {ros__parameters: {tracking: {confirm_after: 1}}}')
    with started_node('--params-file', str(file), '-p', 'field_of_view:=60') as node:
        for name, value in (('field_of_view', 60.0), ('tracking.confirm_after', 1.0)):
            parameter = node.get_parameter(name)
            assert (parameter.type_, parameter.value) == (Parameter.Type.DOUBLE, value)


@pytest.mark.parametrize(
    ('argument', 'error'),
    [
        ('field_of_view:=200', InvalidParameterValueException),
        ('field_of_view:=true', InvalidParameterTypeException),
        ('threads:=2.0', InvalidParameterTypeException),
    ],
)
def test_values_that_do_not_fit_are_refused(
    ros_environment: dict[str, str], argument: str, error: type[Exception]
) -> None:
    with pytest.raises(error, match=argument.partition(':=')[0]), started_node('-p', argument):
        pass


@pytest.mark.parametrize('old', RENAMED)
def test_the_earlier_name_of_a_parameter_is_refused_with_the_present_one(
    ros_environment: dict[str, str], old: str
) -> None:
    with (
        pytest.raises(ValueError, match=f'{old} is called {RENAMED[old]} now'),
        started_node('-p', f'{old}:=1.0'),
    ):
        pass


# What a recording is told


@pytest.mark.parametrize(
    ('word', 'complaint'),
    [
        ('detector.size:=99999', r'^detector\.size must be a number from .* not 99999$'),
        ('detector.sise:=640', r'did you mean detector\.size\?$'),
        ('smoothing.rotation_slope:=1', r'it is called smoothing\.rotation_beta now$'),
        ('detector.size=640', r'must be NAME:=VALUE, .* did you mean detector\.size\?$'),
        ('detector.size:=[', r"^detector\.size must have a value in YAML, not '\['$"),
        ('detector.size:=' + '[' * 5000, r'^detector\.size must have a value in YAML'),
        ('detector.size:=2024-99-99', r'^detector\.size must have a value in YAML'),
        ('detector.size:=!!python/name:os.system', r'^detector\.size must have a value in YAML'),
        ('detector.size:=', r"^detector\.size must be of type int, not ''$"),
    ],
    ids=range(9),
)
def test_wrong_words_are_answered_by_the_name_of_the_parameter(word: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as refused:
        parse_settings([word])
    assert '\n' not in str(refused.value)


@pytest.mark.parametrize(
    ('name', 'hint'),
    [('rotation_slope', 'it is called rotation_beta now'),
     ('detector_sise', 'did you mean detector_size?')],
)  # fmt: skip
def test_unknown_fields_of_settings_are_refused_with_the_known_ones(name: str, hint: str) -> None:
    with pytest.raises(ValueError, match=f'{name!r} is not a setting: .* {re.escape(hint)}$'):
        Settings.of(**{name: 1.0})
    with pytest.raises(ValueError, match=f'{name!r} is not a setting'):
        Settings().changed(**{name: 1.0})
    with pytest.raises(ValueError, match=f'{name!r} is not a setting'):
        Pipeline.create(**{name: 1.0})


def test_words_become_settings_of_the_pipeline() -> None:
    words = ['detector.size:=640', 'detector.threshold:=1', 'smoothing.enabled:=false']
    found = {'detector_size': 640, 'detector_threshold': 1, 'smoothing': False}
    assert parse_settings(words) == found
