"""Parameters of a node, as ROS declares and checks them."""

from collections.abc import Sequence
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from hybrik_ros.printable import printable
from hybrik_ros.settings import PARAMETERS, RENAMED, SETTINGS, Parameter, suggest

_QOS_OVERRIDES = 'qos_overrides.'


def descriptor(parameter: Parameter) -> ParameterDescriptor:
    """Return the descriptor that tools such as rqt and `ros2 param describe` show."""
    unit = f' Unit: {parameter.unit}.' if parameter.unit else ''
    descriptor = ParameterDescriptor(description=parameter.description + unit)
    if parameter.choices:
        descriptor.additional_constraints = f'One of: {", ".join(parameter.choices)}.'
    if parameter.limits is not None:
        low, high = parameter.limits
        if isinstance(parameter.default, float):
            span = FloatingPointRange(from_value=float(low), to_value=float(high))
            descriptor.floating_point_range = [span]
        else:
            span = IntegerRange(from_value=int(low), to_value=int(high), step=1)
            descriptor.integer_range = [span]
    return descriptor


def declare(node: Node, parameters: Sequence[Parameter] = PARAMETERS) -> None:
    """Declare parameters on a node; warn of unknown parameters that it was started with.

    Parameters
    ----------
    node : Node
        The node.
    parameters : sequence of Parameter
        Its parameters; those of hybrik_node by default.

    Raises
    ------
    ValueError
        The node was started with a value that ROS lets pass and that is not allowed, or with the
        earlier name of a parameter.
    """
    _refuse_renamed(node)
    for parameter in parameters:
        whole = _whole_number(node, parameter)
        node.declare_parameter(
            parameter.name,
            parameter.default if whole is None else whole,
            descriptor(parameter),
            ignore_override=whole is not None,
        )
    _warn_of_unknown(node, parameters)
    given = [node.get_parameter(parameter.name) for parameter in parameters]
    checked = validate(given, configured=False, parameters=parameters)
    if not checked.successful:
        raise ValueError(checked.reason)


def overrides(node: Node) -> dict[str, Any]:
    """Return the values that a node was started with by the names of their parameters."""
    return {name: parameter.value for name, parameter in _overrides(node).items()}


def warn_of_unused_qos(node: Node) -> None:
    """Name the overrides of QoS that a node was started with and does not use.

    To be called when all publishers and subscriptions exist, which declare theirs.
    """
    unused = [
        name
        for name in sorted(_overrides(node))
        if name.startswith(_QOS_OVERRIDES) and not node.has_parameter(name)
    ]
    if unused:
        node.get_logger().warning(
            f'QoS overrides are ignored: {printable(", ".join(unused))}. history, depth, '
            f'reliability and durability of the subscriptions to images, camera_info, depth, '
            f'detections and imu can be overridden, by the full names of their topics'
        )


def _overrides(node: Node) -> dict[str, RosParameter]:
    """Return the parameters that a node was started with; rclpy has no public way to list them."""
    given: dict[str, RosParameter] = node._parameter_overrides
    return given


def _refuse_renamed(node: Node) -> None:
    renamed = [
        f'{name} is called {RENAMED[name]} now' for name in _overrides(node) if name in RENAMED
    ]
    if renamed:
        raise ValueError(f'renamed parameters: {", ".join(sorted(renamed))}')


def _whole_number(node: Node, parameter: Parameter) -> float | None:
    """Return the integer that a node was started with for a double, which ROS would refuse."""
    given = _overrides(node).get(parameter.name)
    if given is None or not isinstance(parameter.default, float):
        return None
    return float(given.value) if given.type_ == RosParameter.Type.INTEGER else None


def _warn_of_unknown(node: Node, parameters: Sequence[Parameter]) -> None:
    """Name the parameters that a node was started with and does not have.

    No error: a params file may be shared with other nodes. Publishers and subscriptions declare
    qos_overrides later.
    """
    known = [parameter.name for parameter in parameters]
    unknown = [
        f'{name} ({question})' if (question := suggest(name, known)) else name
        for name in sorted(_overrides(node))
        if not node.has_parameter(name) and not name.startswith(_QOS_OVERRIDES)
    ]
    if unknown:
        names = printable(', '.join(unknown))
        node.get_logger().warning(f'unknown parameters are ignored: {names}')


def settings(node: Node) -> dict[str, Any]:
    """Return the present values of the pipeline's Settings by field."""
    return {
        field: node.get_parameter(parameter.name).value for field, parameter in SETTINGS.items()
    }


def dynamic_settings(node: Node) -> dict[str, Any]:
    """Return the present values of those Settings that a running pipeline can change, by field."""
    return {
        field: node.get_parameter(parameter.name).value
        for field, parameter in SETTINGS.items()
        if parameter.dynamic
    }


def validate(
    changes: list[RosParameter], configured: bool, parameters: Sequence[Parameter] = PARAMETERS
) -> SetParametersResult:
    """Refuse, with the reason, values that the ranges of descriptors cannot catch.

    Parameters
    ----------
    changes : list of rclpy.parameter.Parameter
        Parameters about to be set.
    configured : bool
        Whether the node is configured with its present values.
    parameters : sequence of Parameter
        The parameters of the node.

    Returns
    -------
    SetParametersResult
        With the reason of a refusal.
    """
    by_name = {parameter.name: parameter for parameter in parameters}
    for given in changes:
        parameter = by_name.get(given.name)
        if parameter is None:
            continue
        try:
            parameter.check(given.value)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=printable(error))
        if configured and not parameter.dynamic:
            return SetParametersResult(
                successful=False,
                reason=f'{given.name} takes effect on configure: deactivate and clean up '
                f'the node first (ros2 lifecycle set)',
            )
    return SetParametersResult(successful=True)
