"""The table of parameters, and what it refuses."""

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from rclpy.parameter import Parameter

from hybrik_ros.node.parameters import descriptor as descriptor_of
from hybrik_ros.node.parameters import validate
from hybrik_ros.parameters import DECLARATIONS
from hybrik_ros.pipeline import LOADED, Settings

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize('declaration', DECLARATIONS, ids=lambda d: d.name)
def test_every_parameter_is_described_and_ranged(declaration) -> None:
    descriptor = descriptor_of(declaration)
    assert len(descriptor.description) > 20
    if isinstance(declaration.default, bool | str):
        return
    [span] = [*descriptor.integer_range, *descriptor.floating_point_range]
    assert span.from_value <= declaration.default <= span.to_value


def test_every_setting_of_the_pipeline_is_a_parameter_with_its_default() -> None:
    defaults = {one.setting: one.default for one in DECLARATIONS if one.setting}
    assert defaults == asdict(Settings())


def test_all_but_what_is_loaded_takes_effect_at_once() -> None:
    assert {one.setting for one in DECLARATIONS if one.setting and not one.dynamic} == set(LOADED)


def test_yaml_and_readme_are_written_from_the_table() -> None:
    command = [sys.executable, ROOT / 'tools' / 'parameters.py', '--check']
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
