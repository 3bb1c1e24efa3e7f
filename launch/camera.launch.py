"""Start the node, and with it, where asked to, a camera, RViz and a recorder.

For example: ros2 launch hybrik_ros camera.launch.py source:=/dev/video0 rviz:=true
"""

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    GroupAction,
    SetEnvironmentVariable,
)
from launch.conditions import IfCondition
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
        description='Topic of the images, sensor_msgs/Image.',
    ),
    DeclareLaunchArgument(
        'camera_info_topic',
        default_value='camera_info',
        description='Topic of the calibration. By default the camera_info beside image_topic.',
    ),
    DeclareLaunchArgument(
        'image_transport',
        default_value='raw',
        choices=['raw', 'compressed'],
        description='Whether to take the images, or image_topic/compressed. compressed goes before '
        'params_file.',
    ),
    DeclareLaunchArgument(
        'depth_topic',
        default_value='',
        description='Topic of depth images that are registered to the images, which correct '
        'distances. Empty for none, or as params_file says.',
    ),
    DeclareLaunchArgument(
        'detections_topic',
        default_value='',
        description="Topic of another detector's people, vision_msgs/Detection2DArray, instead of "
        'our own. Empty for none, or as params_file says.',
    ),
    DeclareLaunchArgument(
        'source',
        default_value='',
        description='Video file or camera (/dev/video0) to play on these topics. Empty where '
        'something else publishes them.',
    ),
    DeclareLaunchArgument(
        'params_file',
        default_value=PathJoinSubstitution([CONFIG, 'camera.yaml']),
        description='YAML file with the parameters of hybrik_node.',
    ),
    DeclareLaunchArgument(
        'backend',
        default_value='auto',
        choices=['auto', 'onnxruntime', 'tensorrt'],
        description='What runs the networks. Anything but auto goes before params_file.',
    ),
    DeclareLaunchArgument(
        'rviz',
        default_value='false',
        choices=['true', 'false'],
        description='Whether to show image, frames and bodies in RViz.',
    ),
    DeclareLaunchArgument(
        'fixed_frame',
        default_value='camera_optical_frame',
        description="RViz's fixed frame: the frame_id of the images, or one that TF joins to it.",
    ),
    DeclareLaunchArgument(
        'record',
        default_value='false',
        choices=['true', 'false'],
        description='Whether to record the results into a bag.',
    ),
    DeclareLaunchArgument(
        'bag_path',
        default_value='hybrik_bag',
        description='Folder that record makes. It must not exist yet.',
    ),
    DeclareLaunchArgument(
        'namespace',
        default_value='',
        description='Namespace of the nodes and their topics.',
    ),
    DeclareLaunchArgument(
        'id_prefix',
        default_value='p',
        description='With which the ids of people begin. Cameras that share one TF tree need '
        'different ones. Anything but p goes before params_file.',
    ),
    DeclareLaunchArgument(
        'rep155',
        default_value='true',
        choices=['true', 'false'],
        description="Whether to send REP-155's topics, which one node in the system can do. false "
        'goes before params_file.',
    ),
    DeclareLaunchArgument(
        'log_level',
        default_value='info',
        choices=['debug', 'info', 'warn', 'error', 'fatal'],
        description='Least severity of what the nodes log.',
    ),
    DeclareLaunchArgument(
        'use_sim_time',
        default_value='false',
        choices=['true', 'false'],
        description='Whether time comes from /clock: a simulator, or a bag played with --clock.',
    ),
]


def absolute(topic: str) -> PythonExpression:
    """Return the full name of a topic of ours, with the namespace before it."""
    namespace = LaunchConfiguration('namespace')
    return PythonExpression(["'/", namespace, '/', topic, "'.replace('//', '/')"])


def differs(argument: str, value: str) -> IfCondition:
    """Return the condition that a launch argument has another value than this."""
    # A file's name may hold a quotation mark.
    given = LaunchConfiguration(argument)
    return IfCondition(PythonExpression(["'''", given, f"''' != '{value}'"]))


def generate_launch_description() -> LaunchDescription:
    """Describe what `ros2 launch` starts."""
    topics = [
        ('image', LaunchConfiguration('image_topic')),
        ('camera_info', LaunchConfiguration('camera_info_topic')),
    ]
    common = {
        'namespace': LaunchConfiguration('namespace'),
        'remappings': topics,
        'ros_arguments': ['--log-level', LaunchConfiguration('log_level')],
        'output': 'screen',
    }
    shown = ['hybrik_node/markers', 'hybrik_node/overlay']
    recorded = ['human_pose', 'human_poses']
    return LaunchDescription(
        [
            *ARGUMENTS,
            *(
                SetEnvironmentVariable(name, EnvironmentVariable(name, default_value=value))
                for name, value in node_environment().items()
            ),
            GroupAction(
                [
                    # The later goes before the earlier.
                    SetParametersFromFile(LaunchConfiguration('params_file')),
                    SetParameter(
                        'backend',
                        LaunchConfiguration('backend'),
                        condition=differs('backend', 'auto'),
                    ),
                    SetParameter(
                        'image_transport',
                        LaunchConfiguration('image_transport'),
                        condition=differs('image_transport', 'raw'),
                    ),
                    SetParameter('depth.enabled', True, condition=differs('depth_topic', '')),
                    SetRemap(
                        'depth',
                        LaunchConfiguration('depth_topic'),
                        condition=differs('depth_topic', ''),
                    ),
                    SetParameter(
                        'detector.external', True, condition=differs('detections_topic', '')
                    ),
                    SetRemap(
                        'detections',
                        LaunchConfiguration('detections_topic'),
                        condition=differs('detections_topic', ''),
                    ),
                    SetParameter(
                        'tracking.id_prefix',
                        LaunchConfiguration('id_prefix'),
                        condition=differs('id_prefix', 'p'),
                    ),
                    SetParameter(
                        'publish.rep155',
                        False,
                        condition=differs('rep155', 'true'),
                    ),
                    SetParameter(
                        'use_sim_time',
                        True,
                        condition=IfCondition(LaunchConfiguration('use_sim_time')),
                    ),
                    Node(
                        package='hybrik_ros',
                        executable='hybrik_node',
                        name='hybrik_node',
                        **common,
                    ),
                    Node(
                        package='hybrik_ros',
                        executable='hybrik',
                        name='hybrik_video',
                        arguments=[
                            'video',
                            LaunchConfiguration('source'),
                            '--subscribers',
                            '1',
                        ],
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
            ),
            ExecuteProcess(
                cmd=[
                    *('ros2', 'bag', 'record', '-o', LaunchConfiguration('bag_path')),
                    *(absolute(topic) for topic in recorded),
                    *('/tf', '/tf_static', '/diagnostics'),
                ],
                output='screen',
                condition=IfCondition(LaunchConfiguration('record')),
            ),
        ]
    )
