"""Settings of the pipeline and parameters of the node, each declared once.

The node's ROS parameters, `hybrik bag --param`, config/camera.yaml, doc/parameters.md and all
checks follow from these declarations.
"""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from hybrik_ros.untrusted import parse_yaml

Value = bool | int | float | str
Names = tuple[str, ...]  # a list of texts
T = TypeVar('T', bool, int, float, str)

MAX_PEOPLE = 24  # maximum number of people in an image, of which all are found in photos
BACKENDS = ('auto', 'onnxruntime', 'tensorrt')
RAW, COMPRESSED = 'raw', 'compressed'
AUTO, RECTIFIED = 'auto', 'rectified'
INTRINSICS = (AUTO, RAW, RECTIFIED)

# What is accepted for the type of a default. numpy's numbers come from users' own computations.
_ACCEPTED: dict[type, Any] = {
    bool: (bool, np.bool_), int: Integral, float: Real, str: (str, Path), tuple: (list, tuple),
}  # fmt: skip
_ROS_TYPES = {
    bool: 'bool', int: 'integer', float: 'double', str: 'string', tuple: 'string array',
}  # fmt: skip


@dataclass(frozen=True)
class Parameter:
    """The declaration of a parameter.

    Attributes
    ----------
    name : str
        Name as a ROS parameter, such as 'detector.size'.
    default : bool, int, float, str or tuple of str
        Default value; its type is the type of the parameter.
    description : str
        Meaning in one or two sentences.
    unit : str
        Unit of a number; empty where it has none.
    limits : tuple of float, optional
        Minimum and maximum of a number.
    choices : tuple of str
        The allowed texts; empty where any is allowed.
    pattern : str
        Regular expression that a text must match entirely; empty where any is allowed.
    form : str
        The pattern in words.
    dynamic : bool
        Whether a new value takes effect with the next frame; otherwise with the next configure.
    setting : str
        Field of Settings that the parameter sets; empty for a parameter of the node alone.
    """

    name: str
    default: Value | Names
    description: str
    unit: str = ''
    limits: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    pattern: str = ''
    form: str = ''
    dynamic: bool = True
    setting: str = ''

    @property
    def type(self) -> str:
        """ROS's name for the type."""
        return _ROS_TYPES[type(self.default)]

    def check(self, value: object, name: str = '') -> None:
        """Refuse a value of another type or outside its limits.

        Parameters
        ----------
        value : object
            The value.
        name : str
            What the message calls the parameter; its own name by default.

        Raises
        ------
        ValueError
            The value is refused. The message names the parameter, what it must be, and the value.
        """
        name, kind = name or self.name, type(self.default)
        is_bool = isinstance(value, _ACCEPTED[bool])
        if not isinstance(value, _ACCEPTED[kind]) or is_bool != (kind is bool):
            raise ValueError(f'{name} must be of type {kind.__name__}, not {value!r}')
        if self.limits is not None and isinstance(value, Real):
            low, high = self.limits
            if not low <= float(value) <= high:
                raise ValueError(f'{name} must be a number from {low} to {high}, not {value!r}')
        if self.choices and value not in self.choices:
            raise ValueError(f'{name} must be one of {", ".join(self.choices)}, not {value!r}')
        if self.pattern and not re.fullmatch(self.pattern, str(value)):
            raise ValueError(f'{name} must be {self.form}, not {value!r}')


def _setting(name: str, default: T, description: str, **declaration: Any) -> T:
    """Return a field of Settings with the declaration of its parameter."""
    made: T = field(default=default, metadata={'declaration': (name, description, declaration)})
    return made


@dataclass(frozen=True)
class Settings:
    """Settings of a Pipeline. Each field is described where it is declared, in this module.

    Raises
    ------
    ValueError
        A field has a value of another type, or outside its limits; the message names it.
    """

    backend: str = _setting(
        'backend',
        'auto',
        'Inference backend: onnxruntime runs on the CPU; tensorrt runs on an NVIDIA GPU, and takes '
        'minutes the first time (`hybrik engine build` does it beforehand); auto uses tensorrt if '
        'it works, otherwise onnxruntime.',
        choices=BACKENDS,
        dynamic=False,
    )
    threads: int = _setting(
        'threads',
        1,
        'CPU threads of one inference.',
        limits=(1, 64),
        dynamic=False,
    )
    body: str = _setting(
        'body_model',
        '',
        'Path of your own SMPL file (.pkl or .npz); empty for the embedded CC0 body.',
        dynamic=False,
    )
    hybrik_model: str = _setting(
        'hybrik.model',
        '',
        "Path of HybrIK's own network, an .onnx file written by `hybrik export`; empty for the "
        'embedded BlazePose. Set body_model to an SMPL file too: the network estimates the shape '
        'of SMPL bodies.',
        dynamic=False,
    )
    flip_test: bool = _setting(
        'flip_test',
        False,
        'Average the predictions of the pose network for the image and its mirror image. Less '
        'jitter and slightly more accurate, twice the inference time.',
        dynamic=False,
    )
    detector_size: int = _setting(
        'detector.size',
        320,
        'Longer side of the image that the detector sees. It also looks at images of 0.6 and 1.6 '
        'times this size, in turn, for people nearer and farther away. Larger values find people '
        'farther away and take longer.',
        unit='pixels',
        limits=(128, 1280),
        dynamic=False,
    )
    detector_threshold: float = _setting(
        'detector.threshold',
        0.1,
        'Minimum score of a detection. The landmarks found there must agree with it.',
        limits=(0, 1),
    )
    max_people: int = _setting(
        'max_people',
        6,
        'Maximum number of people; of more, the nearest ones are tracked. The pose network takes '
        'as long for each of them. In photos up to 24 people are found, whatever this value is.',
        limits=(1, MAX_PEOPLE),
    )
    detector_interval: float = _setting(
        'detector.interval',
        0.5,
        'Maximum time between two runs of the detector while all people are tracked; it runs at '
        'once when a track is lost. Smaller values find new people earlier and take longer.',
        unit='seconds',
        limits=(0, 10),
    )
    presence_threshold: float = _setting(
        'presence_threshold',
        0.5,
        'Minimum score of the pose network for a person to be tracked.',
        limits=(0, 1),
    )
    confirm_after: float = _setting(
        'tracking.confirm_after',
        0.05,
        'Minimum time that a person must be seen before it is published.',
        unit='seconds',
        limits=(0, 10),
    )
    forget_after: float = _setting(
        'tracking.forget_after',
        1.5,
        'Maximum time that the id of a person is kept while the person is not seen.',
        unit='seconds',
        limits=(0, 60),
    )
    id_prefix: str = _setting(
        'tracking.id_prefix',
        'p',
        'Prefix of person ids: a letter followed by letters or digits. Cameras that share one TF '
        'tree need different prefixes.',
        pattern='[A-Za-z][A-Za-z0-9]*',
        form='a letter followed by letters or digits',
        dynamic=False,
    )
    smoothing: bool = _setting(
        'smoothing.enabled',
        True,
        'Smooth the motion with One-Euro filters, whose cutoff frequency rises with speed. Lower '
        'cutoffs reduce jitter and add latency; a higher beta reduces the latency of fast motion.',
    )
    rotation_min_cutoff: float = _setting(
        'smoothing.rotation_min_cutoff',
        3.0,
        'One-Euro minimum cutoff frequency of the joint rotations.',
        unit='Hz',
        limits=(0.01, 1000),
    )
    rotation_beta: float = _setting(
        'smoothing.rotation_beta',
        1.5,
        'One-Euro beta of the joint rotations: increase of the cutoff (Hz) per rad/s.',
        limits=(0, 1000),
    )
    bearing_min_cutoff: float = _setting(
        'smoothing.bearing_min_cutoff',
        1.0,
        'One-Euro minimum cutoff frequency of the direction from the camera to the person.',
        unit='Hz',
        limits=(0.01, 1000),
    )
    bearing_beta: float = _setting(
        'smoothing.bearing_beta', 10.0,
        'One-Euro beta of the direction from the camera to the person: increase of the cutoff '
        '(Hz) per rad/s.',
        limits=(0, 1000),
    )  # fmt: skip

    def __post_init__(self) -> None:
        for name, parameter in SETTINGS.items():
            parameter.check(getattr(self, name), name)

    @classmethod
    def of(cls, **values: Value) -> 'Settings':
        """Return settings with some values by field; a wrong type is refused like a wrong value.

        Raises
        ------
        ValueError
            A name is not that of a field, or a value is refused.
        """
        for name in values:
            if name not in SETTINGS:
                hint = f'{name!r} is not a setting: choose one of {", ".join(SETTINGS)}'
                raise ValueError('; '.join(filter(None, [hint, suggest(name, SETTINGS)])))
        checked: Any = values
        return cls(**checked)

    def changed(self, **values: Value) -> 'Settings':
        """Return these settings with other values of some fields."""
        return Settings.of(**{**vars(self), **values})


def _declared() -> dict[str, Parameter]:
    found = {}
    for each in fields(Settings):
        name, description, declaration = each.metadata['declaration']
        default: Any = each.default
        found[each.name] = Parameter(name, default, description, setting=each.name, **declaration)
    return found


# The parameters that set a field of Settings, by the field.
SETTINGS: dict[str, Parameter] = _declared()

# Settings for a photo: no second image confirms a person, or is smoothed with.
PHOTO_SETTINGS: dict[str, Any] = {
    'confirm_after': 0.0, 'smoothing': False, 'max_people': MAX_PEOPLE,
}  # fmt: skip

_NODE = (
    Parameter(
        'autostart', True,
        'Configure and activate at start. Set to false where a lifecycle manager does it.',
        dynamic=False,
    ),
    Parameter(
        'image_transport', RAW,
        'Image transport: raw subscribes to sensor_msgs/Image on image, compressed to '
        'sensor_msgs/CompressedImage on image/compressed.',
        choices=(RAW, COMPRESSED), dynamic=False,
    ),
    Parameter(
        'intrinsics', AUTO,
        'Intrinsics of camera_info that fit the images: raw uses K and D, rectified uses P without '
        'distortion, auto uses P if the name of the image topic says that the images are '
        'rectified, such as image_rect_color, and otherwise K and D.',
        choices=INTRINSICS, dynamic=False,
    ),
    Parameter(
        'field_of_view', 0.0,
        'Horizontal field of view, assumed while there is no usable camera_info; 0 waits for '
        'camera_info. Distances are only as accurate as this value.',
        unit='degrees', limits=(0, 170),
    ),
    Parameter(
        'gravity_frame', '',
        'TF frame whose z points up, such as map: the trunks of people whose hips are not seen are '
        'turned towards it. Empty: the vertical of the image.',
        dynamic=False,
    ),
    Parameter(
        'imu.enabled', False,
        'Take the direction up from the acceleration, or else the orientation, in sensor_msgs/Imu '
        'on the topic imu. TF must connect its frame with that of the image. Without effect where '
        'gravity_frame is set.',
        dynamic=False,
    ),
    Parameter(
        'depth.enabled', False,
        'Take distances from a depth image on the topic depth, registered to the colour image and '
        'with the same stamp.',
        dynamic=False,
    ),
    Parameter(
        'detector.external', False,
        'Take detections from vision_msgs/Detection2DArray on the topic detections, with the same '
        'stamp as the image, instead of running the detector.',
        dynamic=False,
    ),
    Parameter('publish.human_pose', True, 'Publish HumanMesh, one message per person.'),
    Parameter('publish.human_poses', True, 'Publish HumanMeshArray, one message per frame.'),
    Parameter(
        'publish.observations', True,
        'Publish HumanObservationArray, one message per frame, for the fusion of several cameras.',
    ),
    Parameter(
        'publish.vertices', False,
        'Fill in the vertices of HumanMesh: 83 kB more per person and frame.',
    ),
    Parameter('publish.tf', True, 'Publish a TF frame for every joint.'),
    Parameter('publish.markers', True, 'Publish markers of bones, joints and mesh for RViz.'),
    Parameter('publish.overlay', True, 'Publish the image with mesh, skeleton and box drawn in.'),
    Parameter(
        'publish.rep155', True,
        'Publish the topics of REP-155, /humans/bodies/..., where hri_msgs is installed.',
    ),
    Parameter(
        'diagnostics.min_rate', 0.0,
        'Minimum rate of processed frames: WARN below this value, ERROR below half this value, '
        '0 disables.',
        unit='Hz', limits=(0, 1000),
    ),
    Parameter(
        'diagnostics.max_latency', 0.0,
        'Maximum median latency from the stamp of an image to the last message about it: WARN '
        'above this value, ERROR above twice this value, 0 disables.',
        unit='seconds', limits=(0, 60),
    ),
    Parameter(
        'diagnostics.max_drop_ratio', 1.0,
        'Maximum share of images dropped for newer ones: WARN above this value, 1 disables.',
        limits=(0, 1),
    ),
)  # fmt: skip


def _grouped(parameters: Iterable[Parameter]) -> tuple[Parameter, ...]:
    """Bring parameters of one group, such as detector, together; keep the order otherwise."""
    groups: dict[str, list[Parameter]] = {}
    for parameter in parameters:
        group, _, _ = parameter.name.rpartition('.')
        groups.setdefault(group or parameter.name, []).append(parameter)
    return tuple(parameter for group in groups.values() for parameter in group)


# All parameters of hybrik_node.
PARAMETERS: tuple[Parameter, ...] = _grouped([*_NODE, *SETTINGS.values()])

_FUSION = (
    Parameter(
        'cameras', ('',),
        'Namespaces of the hybrik_nodes of the cameras, such as left and right, whose topics '
        'human_observations are fused. There is no default.',
        dynamic=False,
    ),
    Parameter(
        'fixed_frame', 'map',
        'TF frame of the people, z up. TF must connect it with the optical frames of all cameras.',
        dynamic=False,
    ),
    Parameter(
        'id_prefix', 'f',
        'Prefix of person ids: a letter followed by letters or digits; another one than those of '
        'the cameras.',
        pattern='[A-Za-z][A-Za-z0-9]*', form='a letter followed by letters or digits',
        dynamic=False,
    ),
    Parameter(
        'correct_clocks', False,
        'Correct the clocks of cameras that are late or early, by at most 0.08 s, as people show. '
        'The offsets are always reported.',
        dynamic=False,
    ),
)  # fmt: skip
# Parameters of hybrik_node that fusion_node has too.
_SHARED = (
    'autostart', 'body_model', 'smoothing.enabled', 'publish.human_pose', 'publish.human_poses',
    'publish.vertices', 'publish.tf', 'publish.markers', 'publish.rep155', 'diagnostics.min_rate',
    'diagnostics.max_latency', 'diagnostics.max_drop_ratio',
)  # fmt: skip

# All parameters of fusion_node.
FUSION_PARAMETERS: tuple[Parameter, ...] = _grouped(
    [*_FUSION, *(parameter for parameter in PARAMETERS if parameter.name in _SHARED)]
)

# Names of earlier versions, which are refused with the present name.
RENAMED: dict[str, str] = {
    'hybrik.flip_test': 'flip_test',
    'smoothing.rotation_cutoff': 'smoothing.rotation_min_cutoff',
    'smoothing.rotation_slope': 'smoothing.rotation_beta',
    'smoothing.bearing_cutoff': 'smoothing.bearing_min_cutoff',
    'smoothing.bearing_slope': 'smoothing.bearing_beta',
    'diagnostics.least_rate': 'diagnostics.min_rate',
    'diagnostics.greatest_latency': 'diagnostics.max_latency',
    'diagnostics.greatest_loss': 'diagnostics.max_drop_ratio',
}
# The same, and the fields of Settings that they set.
_RENAMED = RENAMED | {
    old.rpartition('.')[2]: new.rpartition('.')[2] for old, new in RENAMED.items()
}


def suggest(name: str, known: Iterable[str]) -> str:
    """Return what an unknown name may mean: its new name, or the most similar known one.

    Parameters
    ----------
    name : str
        The unknown name of a parameter, or of a field of Settings.
    known : iterable of str
        The known names.

    Returns
    -------
    str
        Empty where no known name is similar.
    """
    if name in _RENAMED:
        return f'it is called {_RENAMED[name]} now'
    similar = difflib.get_close_matches(name, list(known), n=1)
    return f'did you mean {similar[0]}?' if similar else ''


def parse_settings(assignments: Iterable[str]) -> dict[str, Any]:
    """Return the fields of Settings that assignments such as 'detector.size:=640' set.

    Parameters
    ----------
    assignments : iterable of str
        NAME:=VALUE, with names of ROS parameters and values in YAML.

    Returns
    -------
    dict
        Values by field of Settings.

    Raises
    ------
    ValueError
        An assignment has another form, names no setting of the pipeline, or has a value that is
        refused.
    """
    settings = {parameter.name: parameter for parameter in SETTINGS.values()}
    found: dict[str, Any] = {}
    for assignment in assignments:
        name, separator, text = assignment.partition(':=')
        if not separator or name not in settings:
            hint = f'{assignment!r} must be NAME:=VALUE, with a NAME of {", ".join(settings)}'
            raise ValueError('; '.join(filter(None, [hint, suggest(name, settings)])))
        value = _read_value(name, text)
        settings[name].check(value)
        found[settings[name].setting] = value
    return found


def _read_value(name: str, text: str) -> Any:
    try:
        return parse_yaml(text) if text else ''
    except ValueError as error:
        raise ValueError(f'{name} must have a value in YAML, not {text!r}') from error
