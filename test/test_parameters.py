"""The table of parameters, and what it refuses."""

from dataclasses import asdict

import pytest
from rclpy.parameter import Parameter

from hybrik_ros.node.parameters import _SETTINGS, DECLARATIONS, validate
from hybrik_ros.pipeline import Settings


@pytest.mark.parametrize('declaration', DECLARATIONS, ids=lambda d: d.name)
def test_every_parameter_is_described_and_ranged(declaration) -> None:
    descriptor = declaration.descriptor()
    assert len(descriptor.description) > 20
    if isinstance(declaration.default, bool | str):
        return
    [span] = [*descriptor.integer_range, *descriptor.floating_point_range]
    assert span.from_value <= declaration.default <= span.to_value


def test_defaults_are_the_pipelines() -> None:
    defaults = {declaration.name: declaration.default for declaration in DECLARATIONS}
    assert {field: defaults[name] for name, field in _SETTINGS.items()} == asdict(Settings())


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
