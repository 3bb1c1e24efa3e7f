"""What a node or a recording can be told, by name: one table of default, range and meaning.

From it come what the node declares and checks, and, by tools/parameters.py, config/camera.yaml
and the table of the README.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml

from hybrik_ros.inference import BACKENDS
from hybrik_ros.pipeline import LOADED, RANGES, Settings

Value = bool | int | float | str

RAW, COMPRESSED = 'raw', 'compressed'


@dataclass(frozen=True)
class Declaration:
    """A parameter as the node declares it.

    Attributes
    ----------
    name, default, description: as the node declares them.
    limits: least and greatest value.
    choices: the only values allowed.
    setting: of the pipeline, the field of Settings that it is; empty for those of the node alone.
    dynamic: whether a new value takes effect with the next frame; otherwise with the next
        configure.
    """

    name: str
    default: Value
    description: str
    limits: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    setting: str = ''
    dynamic: bool = True

    @property
    def type(self) -> str:
        """Return the name that ROS has for its type."""
        return {bool: 'bool', int: 'integer', float: 'double', str: 'string'}[type(self.default)]


def _setting(name: str, field: str, description: str, choices: tuple[str, ...] = ()) -> Declaration:
    """Return the declaration of a field of the pipeline's Settings."""
    default = getattr(Settings, field)
    return Declaration(
        name, default, description, RANGES.get(field), choices, field, field not in LOADED
    )


DECLARATIONS: tuple[Declaration, ...] = (
    Declaration(
        'autostart', True,
        'Configure and activate by itself. Switch off where a lifecycle manager does.',
        dynamic=False,
    ),
    _setting(
        'backend', 'backend',
        'What runs the networks: onnxruntime, on the CPU; tensorrt, on an NVIDIA GPU, which takes '
        'minutes the first time (hybrik engine build does it beforehand); or auto, tensorrt where '
        'that works, else onnxruntime.',
        choices=BACKENDS,
    ),
    _setting('threads', 'threads', 'CPU threads of one inference.'),
    _setting(
        'body_model', 'body',
        'Path of a SMPL file (.pkl or .npz) of your own; empty for the embedded CC0 body.',
    ),
    _setting(
        'hybrik.model', 'hybrik_model',
        "Path of HybrIK's own network, an .onnx file that `hybrik export` wrote; empty for the "
        'embedded BlazePose. With it, set body_model to a SMPL file: it tells the shape of those.',
    ),
    _setting(
        'hybrik.flip_test', 'flip_test',
        "Show HybrIK's network the mirror image too: a little more accurate, twice as long.",
    ),
    Declaration(
        'image_transport', RAW,
        'How images come: raw, sensor_msgs/Image on the topic image, or compressed, '
        'sensor_msgs/CompressedImage on image/compressed.',
        choices=(RAW, COMPRESSED), dynamic=False,
    ),
    Declaration(
        'field_of_view', 0.0,
        'Horizontal field of view in degrees, assumed while there is no usable camera_info. '
        'With 0 the node waits for camera_info instead. Distances are only as good as this.',
        limits=(0.0, 170.0),
    ),
    Declaration(
        'depth.enabled', False,
        'Take distances from a depth image on the topic depth, registered to the colour image and '
        'of the same stamp.',
        dynamic=False,
    ),
    Declaration(
        'detector.external', False,
        'Take people from vision_msgs/Detection2DArray on the topic detections, of the same '
        'stamp as the image, and look for nobody else.',
        dynamic=False,
    ),
    _setting(
        'detector.size', 'detector_size',
        'Longer side, in pixels, of the image in which people are looked for. Larger finds '
        'people farther away, and takes longer.',
    ),
    _setting('detector.threshold', 'detector_threshold', 'Least score of a person found.'),
    _setting(
        'detector.interval', 'detector_interval',
        'Frames after which people are looked for again while everybody is followed; sooner when '
        'somebody is lost. Fewer finds newcomers earlier, and takes longer.',
    ),
    _setting(
        'presence_threshold', 'presence_threshold',
        'Least score at which a person is followed from frame to frame.',
    ),
    _setting(
        'tracking.confirm_after', 'confirm_after',
        'Seconds for which a person must be seen to be published.',
    ),
    _setting(
        'tracking.forget_after', 'forget_after',
        'Seconds for which the id of a person who is not seen is kept.',
    ),
    _setting(
        'tracking.id_prefix', 'id_prefix',
        'With which the ids of people begin: a letter, then letters and digits. Cameras that share '
        'one TF tree need different ones.',
    ),
    _setting(
        'smoothing.enabled', 'smoothing',
        'Smooth motion, by One-Euro filters: the cutoff frequency rises with speed. Lower cutoffs '
        'are steadier and later, higher slopes less late.',
    ),
    _setting(
        'smoothing.rotation_cutoff', 'rotation_cutoff', 'Hertz, for joints that do not turn.'
    ),
    _setting(
        'smoothing.rotation_slope', 'rotation_slope',
        'Hertz that the cutoff rises by for each radian per second.',
    ),
    _setting(
        'smoothing.bearing_cutoff', 'bearing_cutoff',
        'Hertz, for people who stay where they are in the image.',
    ),
    _setting(
        'smoothing.bearing_slope', 'bearing_slope',
        'Hertz that the cutoff rises by for each radian per second that they move by.',
    ),
    Declaration('publish.human_pose', True, 'Send HumanMesh, one message a person.'),
    Declaration('publish.human_poses', True, 'Send HumanMeshArray, one message a frame.'),
    Declaration(
        'publish.vertices', False,
        'Fill in the vertices of HumanMesh: 83 kB more per person and frame.',
    ),
    Declaration('publish.tf', True, 'Send a TF frame for every joint.'),
    Declaration('publish.markers', True, 'Send markers of bones, joints and mesh for RViz.'),
    Declaration('publish.overlay', True, 'Send the image with mesh, skeleton and box in it.'),
    Declaration(
        'publish.rep155', True,
        'Send the topics of REP-155, /humans/bodies/..., where hri_msgs is installed.',
    ),
    Declaration(
        'diagnostics.least_rate', 0.0,
        'Frames a second below which /diagnostics warns; below half of it, it is an error. 0: '
        'never.',
        limits=(0.0, 1000.0),
    ),
    Declaration(
        'diagnostics.greatest_latency', 0.0,
        'Seconds from the stamp of an image to the last message about it, median, above which '
        '/diagnostics warns; above twice of it, it is an error. 0: never.',
        limits=(0.0, 60.0),
    ),
    Declaration(
        'diagnostics.greatest_loss', 1.0,
        'Share of the images dropped for newer ones above which /diagnostics warns; 1: never.',
        limits=(0.0, 1.0),
    ),
)  # fmt: skip


def check_setting(declaration: Declaration, value: object) -> None:
    """Check a value of a parameter that is a setting of the pipeline.

    Raises
    ------
    ValueError
        The pipeline refuses the value. The message names the parameter, not the field of Settings.
    """
    fields: dict[str, Any] = {declaration.setting: value}
    try:
        Settings(**fields)
    except ValueError as error:
        raise ValueError(str(error).replace(declaration.setting, declaration.name, 1)) from error


def suggest(name: str, known: Iterable[str]) -> str:
    """Return the question whether the most similar known name is meant; empty where none is."""
    similar = difflib.get_close_matches(name, list(known), n=1)
    return f'did you mean {similar[0]}?' if similar else ''


def settings_of(words: Iterable[str]) -> dict[str, Any]:
    """Return the fields of Settings that words such as detector.size:=640 name, by name.

    Raises
    ------
    ValueError
        A word has another form, names no setting of the pipeline, or has a value that the pipeline
        refuses.
    """
    settings = {each.name: each for each in DECLARATIONS if each.setting}
    found: dict[str, Any] = {}
    for word in words:
        name, separator, text = word.partition(':=')
        if not separator or name not in settings:
            hint = f'{word!r} must be NAME:=VALUE, with a NAME of {", ".join(settings)}'
            raise ValueError('; '.join(filter(None, [hint, suggest(name, settings)])))
        value = _read_value(name, text)
        check_setting(settings[name], value)
        found[settings[name].setting] = value
    return found


def _read_value(name: str, text: str) -> Any:
    try:
        return yaml.safe_load(text) if text else ''
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f'{name} must have a value in YAML, not {text!r}') from error
