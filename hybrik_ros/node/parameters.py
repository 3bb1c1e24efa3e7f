"""The node's parameters, as ROS declares and checks them."""

from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from hybrik_ros.parameters import DECLARATIONS, Declaration, check_setting, suggest

_BY_NAME = {declaration.name: declaration for declaration in DECLARATIONS}


def descriptor(declaration: Declaration) -> ParameterDescriptor:
    """Return the descriptor that tools such as rqt and `ros2 param describe` show."""
    descriptor = ParameterDescriptor(description=declaration.description)
    if declaration.choices:
        descriptor.additional_constraints = f'One of: {", ".join(declaration.choices)}.'
    if declaration.limits is not None:
        low, high = declaration.limits
        if isinstance(declaration.default, float):
            span = FloatingPointRange(from_value=float(low), to_value=float(high))
            descriptor.floating_point_range = [span]
        else:
            span = IntegerRange(from_value=int(low), to_value=int(high), step=1)
            descriptor.integer_range = [span]
    return descriptor


def declare(node: Node) -> None:
    """Declare all parameters on a node; warn of those that it was started with and does not have.

    Raises
    ------
    ValueError
        The node was started with a value that ROS lets pass and that is not allowed.
    """
    for declaration in DECLARATIONS:
        whole = _whole_number(node, declaration)
        node.declare_parameter(
            declaration.name,
            declaration.default if whole is None else whole,
            descriptor(declaration),
            ignore_override=whole is not None,
        )
    _warn_of_unknown(node)
    given = [node.get_parameter(declaration.name) for declaration in DECLARATIONS]
    checked = validate(given, configured=False)
    if not checked.successful:
        raise ValueError(checked.reason)


def _overrides(node: Node) -> dict[str, Parameter]:
    """Return the parameters that a node was started with; rclpy has no public way to list them."""
    overrides: dict[str, Parameter] = node._parameter_overrides
    return overrides


def _whole_number(node: Node, declaration: Declaration) -> float | None:
    """Return the integer that a node was started with for a double, which ROS would refuse."""
    given = _overrides(node).get(declaration.name)
    if given is None or not isinstance(declaration.default, float):
        return None
    return float(given.value) if given.type_ == Parameter.Type.INTEGER else None


def _warn_of_unknown(node: Node) -> None:
    """Name the parameters that a node was started with and does not have.

    No error: a params file may be shared with other nodes. Publishers and subscriptions declare
    qos_overrides later.
    """
    unknown = [
        f'{name} ({question})' if (question := suggest(name, _BY_NAME)) else name
        for name in sorted(_overrides(node))
        if not node.has_parameter(name) and not name.startswith('qos_overrides.')
    ]
    if unknown:
        node.get_logger().warning(f'unknown parameters are ignored: {", ".join(unknown)}')


def settings(node: Node) -> dict[str, Any]:
    """Return the present Settings of the pipeline, by name."""
    return {
        declaration.setting: node.get_parameter(declaration.name).value
        for declaration in DECLARATIONS
        if declaration.setting
    }


def adjustable(node: Node) -> dict[str, Any]:
    """Return those of the present Settings that a running pipeline can change to, by name."""
    return {
        declaration.setting: node.get_parameter(declaration.name).value
        for declaration in DECLARATIONS
        if declaration.setting and declaration.dynamic
    }


def validate(parameters: list[Parameter], configured: bool) -> SetParametersResult:
    """Refuse, with the reason, values that the ranges of descriptors cannot catch.

    Parameters
    ----------
    parameters: about to be set.
    configured: whether the node is running on its present values.
    """
    for parameter in parameters:
        declaration = _BY_NAME.get(parameter.name)
        if declaration is None:
            continue
        if declaration.choices and parameter.value not in declaration.choices:
            return SetParametersResult(
                successful=False,
                reason=f'{parameter.name} must be one of {", ".join(declaration.choices)}, '
                f'not {parameter.value!r}',
            )
        try:
            if declaration.setting:
                check_setting(declaration, parameter.value)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        if configured and not declaration.dynamic:
            return SetParametersResult(
                successful=False,
                reason=f'{parameter.name} takes effect on configure: deactivate and clean up '
                f'the node first (ros2 lifecycle set)',
            )
    return SetParametersResult(successful=True)
