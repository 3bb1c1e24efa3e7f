"""Start the node, and optionally a camera or video, RViz and a recorder.

Example: ros2 launch hybrik_ros camera.launch.py source:=/dev/video0 rviz:=true
"""

from launch import Action, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    GroupAction,
    SetEnvironmentVariable,
)
from launch.conditions import IfCondition
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.substitutions import (
    EnvironmentVariable,
    LaunchConfiguration,
    PathJoinSubstitution,
    PythonExpression,
)
from launch_ros.actions import Node, SetParameter, SetParametersFromFile, SetRemap
from launch_ros.substitutions import FindPackageShare

from hybrik_ros.share import node_environment

CONFIG = PathJoinSubstitution([FindPackageShare('hybrik_ros'), 'config'])

ARGUMENTS = [
    DeclareLaunchArgument(
        'image_topic',
        default_value='image',
        description='Image topic, sensor_msgs/Image.',
    ),
    DeclareLaunchArgument(
        'camera_info_topic',
        default_value='camera_info',
        description='Topic of the calibration, sensor_msgs/CameraInfo. Default: camera_info in the '
        'namespace of image_topic.',
    ),
    DeclareLaunchArgument(
        'image_transport',
        default_value='raw',
        choices=['raw', 'compressed'],
        description='raw subscribes to image_topic, compressed to image_topic/compressed. '
        'compressed overrides params_file.',
    ),
    DeclareLaunchArgument(
        'depth_topic',
        default_value='',
        description='Topic of depth images registered to the images; they provide the distances. '
        'Empty: none, unless params_file enables depth.',
    ),
    DeclareLaunchArgument(
        'detections_topic',
        default_value='',
        description='Topic of an external detector, vision_msgs/Detection2DArray. Empty: the '
        'internal detector, unless params_file enables an external one.',
    ),
    DeclareLaunchArgument(
        'imu_topic',
        default_value='',
        description="Topic of the camera's IMU, sensor_msgs/Imu, which tells the direction up. "
        'Empty: none, unless params_file enables it.',
    ),
    DeclareLaunchArgument(
        'source',
        default_value='',
        description='Video file, camera device (/dev/video0) or URL (rtsp://...) to publish on '
        'these topics. Empty: another node publishes them.',
    ),
    DeclareLaunchArgument(
        'source_size',
        default_value='',
        description="Size of the images of a camera device, such as 1280x720. Empty: the camera's.",
    ),
    DeclareLaunchArgument(
        'source_rate',
        default_value='',
        description="Images per second of a camera device. Empty: the camera's.",
    ),
    DeclareLaunchArgument(
        'source_mjpg',
        default_value='false',
        choices=['true', 'false'],
        description='Transfer JPEG images from a camera device, as large images at full rate over '
        'USB 2 need.',
    ),
    DeclareLaunchArgument(
        'source_frame',
        default_value='camera_optical_frame',
        description='Optical frame of the images of source.',
    ),
    DeclareLaunchArgument(
        'source_camera_info',
        default_value='',
        description='Calibration of source, a YAML file of camera_calibration. Empty: the file '
        'beside a video with the suffix .yaml; otherwise a field of view of 60 degrees.',
    ),
    DeclareLaunchArgument(
        'params_file',
        default_value=PathJoinSubstitution([CONFIG, 'camera.yaml']),
        description='YAML file with parameters of hybrik_node.',
    ),
    DeclareLaunchArgument(
        'backend',
        default_value='auto',
        choices=['auto', 'onnxruntime', 'tensorrt'],
        description='Inference backend. A value other than auto overrides params_file.',
    ),
    DeclareLaunchArgument(
        'rviz',
        default_value='false',
        choices=['true', 'false'],
        description='Show image, frames and bodies in RViz.',
    ),
    DeclareLaunchArgument(
        'fixed_frame',
        default_value='camera_optical_frame',
        description="RViz's fixed frame: the frame_id of the images, or one connected to it by TF.",
    ),
    DeclareLaunchArgument(
        'record',
        default_value='false',
        choices=['true', 'false'],
        description='Record the results in a bag.',
    ),
    DeclareLaunchArgument(
        'bag_path',
        default_value='hybrik_bag',
        description='Folder of the recorded bag; it must not exist.',
    ),
    DeclareLaunchArgument(
        'namespace',
        default_value='',
        description='Namespace of the nodes and topics.',
    ),
    DeclareLaunchArgument(
        'id_prefix',
        default_value='p',
        description='Prefix of person ids: a letter followed by letters or digits. Cameras that '
        'share one TF tree need different prefixes. A value other than p overrides params_file.',
    ),
    DeclareLaunchArgument(
        'rep155',
        default_value='true',
        choices=['true', 'false'],
        description="Publish REP-155's topics; at most one node of a system may do so. false "
        'overrides params_file.',
    ),
    DeclareLaunchArgument(
        'tf',
        default_value='true',
        choices=['true', 'false'],
        description='Publish TF frames of people. false overrides params_file.',
    ),
    DeclareLaunchArgument(
        'log_level',
        default_value='info',
        choices=['debug', 'info', 'warn', 'error', 'fatal'],
        description='Minimum severity of log messages.',
    ),
    DeclareLaunchArgument(
        'use_sim_time',
        default_value='false',
        choices=['true', 'false'],
        description='Take the time from /clock, published by a simulator or ros2 bag play --clock.',
    ),
]


def absolute(topic: str) -> PythonExpression:
    """Return the full name of a topic in the namespace of the nodes."""
    namespace = LaunchConfiguration('namespace')
    return PythonExpression(["'/", namespace, '/', topic, "'.replace('//', '/')"])


def differs(argument: str, value: str) -> IfCondition:
    """Return the condition that a launch argument differs from a value."""
    # Three quotation marks, since a file name may contain one.
    given = LaunchConfiguration(argument)
    return IfCondition(PythonExpression(["'''", given, f"''' != '{value}'"]))


def set_parameters() -> list[Action]:
    """Return the actions that set parameters and topics of the node; later ones take precedence."""
    return [
        SetParametersFromFile(LaunchConfiguration('params_file')),
        SetParameter(
            'backend', LaunchConfiguration('backend'), condition=differs('backend', 'auto')
        ),
        SetParameter(
            'image_transport',
            LaunchConfiguration('image_transport'),
            condition=differs('image_transport', 'raw'),
        ),
        SetParameter('depth.enabled', True, condition=differs('depth_topic', '')),
        SetRemap('depth', LaunchConfiguration('depth_topic'), condition=differs('depth_topic', '')),
        SetParameter('detector.external', True, condition=differs('detections_topic', '')),
        SetRemap(
            'detections',
            LaunchConfiguration('detections_topic'),
            condition=differs('detections_topic', ''),
        ),
        SetParameter('imu.enabled', True, condition=differs('imu_topic', '')),
        SetRemap('imu', LaunchConfiguration('imu_topic'), condition=differs('imu_topic', '')),
        SetParameter(
            'tracking.id_prefix',
            LaunchConfiguration('id_prefix'),
            condition=differs('id_prefix', 'p'),
        ),
        SetParameter('publish.rep155', False, condition=differs('rep155', 'true')),
        SetParameter('publish.tf', False, condition=differs('tf', 'true')),
        SetParameter(
            'use_sim_time', True, condition=IfCondition(LaunchConfiguration('use_sim_time'))
        ),
    ]


def create_nodes() -> list[Action]:
    """Return the node, the video source and RViz."""
    common = {
        'namespace': LaunchConfiguration('namespace'),
        'remappings': [
            ('image', LaunchConfiguration('image_topic')),
            ('camera_info', LaunchConfiguration('camera_info_topic')),
        ],
        'ros_arguments': ['--log-level', LaunchConfiguration('log_level')],
        'output': 'screen',
    }
    shown = ['hybrik_node/markers', 'hybrik_node/overlay']
    return [
        Node(package='hybrik_ros', executable='hybrik_node', name='hybrik_node', **common),
        Node(
            package='hybrik_ros',
            executable='hybrik',
            name='hybrik_video',
            arguments=['video', LaunchConfiguration('source'), *camera_options()],
            condition=differs('source', ''),
            **common,
        ),
        Node(
            package='rviz2',
            executable='rviz2',
            name='rviz2',
            arguments=[
                *('-d', PathJoinSubstitution([CONFIG, 'hybrik.rviz'])),
                *('-f', LaunchConfiguration('fixed_frame')),
            ],
            remappings=[(f'/{topic}', absolute(topic)) for topic in shown],
            condition=IfCondition(LaunchConfiguration('rviz')),
        ),
    ]


def camera_options() -> list[SomeSubstitutionsType]:
    """Return the options of the video source."""
    mjpg = LaunchConfiguration('source_mjpg')
    # Three quotation marks, since a file name may contain one.
    info = ["'''", LaunchConfiguration('source_camera_info'), "'''"]
    return [
        *('--subscribers', '1'),
        ['--size=', LaunchConfiguration('source_size')],
        ['--rate=', LaunchConfiguration('source_rate')],
        ['--frame-id=', LaunchConfiguration('source_frame')],
        # An empty file name is refused; the other option is the default.
        PythonExpression(["'--camera-info=' + ", *info, ' if ', *info, " else '--no-loop'"]),
        PythonExpression(["'--mjpg' if '", mjpg, "' == 'true' else '--no-mjpg'"]),
    ]


def create_recorder() -> Action:
    """Return the process that records the results in a bag."""
    recorded = ['human_pose', 'human_poses', 'human_observations']
    return ExecuteProcess(
        cmd=[
            *('ros2', 'bag', 'record', '-o', LaunchConfiguration('bag_path')),
            *(absolute(topic) for topic in recorded),
            *('/tf', '/tf_static', '/diagnostics'),
        ],
        output='screen',
        condition=IfCondition(LaunchConfiguration('record')),
    )


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    environment = [
        SetEnvironmentVariable(name, EnvironmentVariable(name, default_value=value))
        for name, value in node_environment().items()
    ]
    started = GroupAction([*set_parameters(), *create_nodes()])
    return LaunchDescription([*ARGUMENTS, *environment, started, create_recorder()])
