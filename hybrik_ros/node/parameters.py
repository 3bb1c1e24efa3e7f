"""The node's parameters: one table of name, default, range and meaning.

config/camera.yaml and the launch file repeat the defaults; a test compares them.
"""

from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from hybrik_ros.inference import BACKENDS
from hybrik_ros.pipeline import RANGES


@dataclass(frozen=True)
class Declaration:
    """A parameter as the node declares it.

    Attributes
    ----------
    limits: least and greatest value, of the default's type.
    choices: the only values allowed.
    dynamic: whether a new value takes effect with the next frame; otherwise with the next
        configure.
    """

    name: str
    default: bool | int | float | str
    description: str
    limits: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    dynamic: bool = False

    def descriptor(self) -> ParameterDescriptor:
        """Return the descriptor that tools such as rqt and `ros2 param describe` show."""
        descriptor = ParameterDescriptor(description=self.description)
        if self.choices:
            descriptor.additional_constraints = f'One of: {", ".join(self.choices)}.'
        if self.limits is not None:
            low, high = self.limits
            if isinstance(self.default, float):
                span = FloatingPointRange(from_value=float(low), to_value=float(high))
                descriptor.floating_point_range = [span]
            else:
                span = IntegerRange(from_value=int(low), to_value=int(high), step=1)
                descriptor.integer_range = [span]
        return descriptor


DECLARATIONS: tuple[Declaration, ...] = (
    Declaration(
        'autostart', True,
        'Configure and activate by itself. Switch off where a lifecycle manager does.',
    ),
    Declaration(
        'backend', 'auto',
        'What runs the networks: onnxruntime on the CPU, or tensorrt on an NVIDIA GPU, which takes '
        'minutes the first time; auto takes tensorrt where that works.',
        choices=BACKENDS,
    ),
    Declaration('threads', 1, 'CPU threads of one inference.', limits=RANGES['threads']),
    Declaration(
        'body_model', '',
        'Path of a SMPL file (.pkl or .npz) of your own; empty for the embedded CC0 body.',
    ),
    Declaration(
        'hybrik.model', '',
        "Path of HybrIK's own network, an .onnx file that `hybrik export` wrote; empty for the "
        'embedded BlazePose.',
    ),
    Declaration(
        'hybrik.flip_test', False,
        "Show HybrIK's network the mirror image too: a little more accurate, twice as long.",
    ),
    Declaration(
        'detector.size', 320,
        'Longer side, in pixels, of the image in which people are looked for. Larger finds '
        'people farther away, and takes longer.',
        limits=RANGES['detector_size'],
    ),
    Declaration(
        'detector.threshold', 0.2, 'Least score of a person found.',
        limits=RANGES['detector_threshold'],
    ),
    Declaration(
        'detector.interval', 15,
        'Frames after which people are looked for again while everybody is followed; sooner when '
        'somebody is lost. Fewer finds newcomers earlier, and takes longer.',
        limits=RANGES['detector_interval'],
    ),
    Declaration(
        'presence_threshold', 0.5,
        'Least score at which a person is followed from frame to frame.',
        limits=RANGES['presence_threshold'],
    ),
    Declaration(
        'tracking.confirm_after', 0.05,
        'Seconds for which a person must be seen to be published.',
        limits=RANGES['confirm_after'],
    ),
    Declaration(
        'tracking.forget_after', 1.5,
        'Seconds for which the id of a person who is not seen is kept.',
        limits=RANGES['forget_after'],
    ),
    Declaration(
        'smoothing.enabled', True,
        'Smooth motion, by One-Euro filters: the cutoff frequency rises with speed.',
    ),
    Declaration(
        'smoothing.rotation_cutoff', 3.0,
        'Hertz, for joints that do not turn. Lower is steadier and later.',
        limits=RANGES['rotation_cutoff'],
    ),
    Declaration(
        'smoothing.rotation_slope', 1.5,
        'Hertz that the cutoff rises by for each radian per second. Higher is less late.',
        limits=RANGES['rotation_slope'],
    ),
    Declaration(
        'smoothing.bearing_cutoff', 1.0,
        'Hertz, for people who stay where they are in the image.',
        limits=RANGES['bearing_cutoff'],
    ),
    Declaration(
        'smoothing.bearing_slope', 10.0,
        'Hertz that the cutoff rises by for each radian per second that they move by.',
        limits=RANGES['bearing_slope'],
    ),
    Declaration(
        'field_of_view', 0.0,
        'Horizontal field of view in degrees, assumed while there is no usable camera_info. '
        'With 0 the node waits for camera_info instead. Distances are only as good as this.',
        limits=(0.0, 170.0), dynamic=True,
    ),
    Declaration(
        'publish.vertices', False,
        'Fill in the vertices of HumanMesh: 83 kB more per person and frame.',
        dynamic=True,
    ),
    Declaration('publish.tf', True, 'Send a TF frame for every joint.', dynamic=True),
)  # fmt: skip

# What of them goes to the pipeline, by the names of its Settings.
_SETTINGS = {
    'backend': 'backend',
    'threads': 'threads',
    'body_model': 'body',
    'hybrik.model': 'hybrik_model',
    'hybrik.flip_test': 'flip_test',
    'detector.size': 'detector_size',
    'detector.threshold': 'detector_threshold',
    'detector.interval': 'detector_interval',
    'presence_threshold': 'presence_threshold',
    'tracking.confirm_after': 'confirm_after',
    'tracking.forget_after': 'forget_after',
    'smoothing.enabled': 'smoothing',
    'smoothing.rotation_cutoff': 'rotation_cutoff',
    'smoothing.rotation_slope': 'rotation_slope',
    'smoothing.bearing_cutoff': 'bearing_cutoff',
    'smoothing.bearing_slope': 'bearing_slope',
}

_BY_NAME = {declaration.name: declaration for declaration in DECLARATIONS}


def declare(node: Node) -> None:
    """Declare all parameters on a node."""
    for declaration in DECLARATIONS:
        node.declare_parameter(declaration.name, declaration.default, declaration.descriptor())


def settings(node: Node) -> dict[str, Any]:
    """Return the present Settings of the pipeline, by name."""
    return {field: node.get_parameter(name).value for name, field in _SETTINGS.items()}


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
        if configured and not declaration.dynamic:
            return SetParametersResult(
                successful=False,
                reason=f'{parameter.name} takes effect on configure: deactivate and clean up '
                f'the node first (ros2 lifecycle set)',
            )
    return SetParametersResult(successful=True)
