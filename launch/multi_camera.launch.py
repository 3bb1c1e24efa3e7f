"""Start one node per camera, each in its own namespace, and the node that fuses them.

Example: ros2 launch hybrik_ros multi_camera.launch.py cameras:=left,right

TF must connect the optical frames of the cameras with the fixed frame. People are published by the
fusion: the nodes of the cameras publish no TF frames and no REP-155. The prefix of their person ids
is the camera's name and a p.
"""

from launch import Action, LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from hybrik_ros.share import node_environment

SHARE = FindPackageShare('hybrik_ros')
CAMERA = PathJoinSubstitution([SHARE, 'launch', 'camera.launch.py'])

ARGUMENTS = [
    DeclareLaunchArgument(
        'cameras',
        description='Names of the cameras, separated by commas: namespaces of their topics and '
        'prefixes of their person ids. A letter followed by letters or digits.',
    ),
    DeclareLaunchArgument(
        'sources',
        default_value='',
        description='Video files, camera devices or URLs to publish as the cameras, separated by '
        'commas, in the same order; their frames are <camera>_optical_frame. Empty: other nodes '
        'publish the images.',
    ),
    DeclareLaunchArgument(
        'image_topic',
        default_value='image',
        description='Image topic relative to each namespace, such as color/image_raw.',
    ),
    DeclareLaunchArgument(
        'fixed_frame',
        default_value='map',
        description='TF frame of the fused people, z up. It overrides fusion_params_file.',
    ),
    DeclareLaunchArgument(
        'params_file',
        default_value=PathJoinSubstitution([SHARE, 'config', 'camera.yaml']),
        description='YAML file with parameters of the nodes of the cameras.',
    ),
    DeclareLaunchArgument(
        'fusion_params_file',
        default_value=PathJoinSubstitution([SHARE, 'config', 'fusion.yaml']),
        description='YAML file with parameters of fusion_node; cameras is set by cameras.',
    ),
]


def create_actions(context: LaunchContext) -> list[Action]:
    """Return camera.launch.py with its arguments for each camera, and the fusion."""
    names = LaunchConfiguration('cameras').perform(context).split(',')
    if len(set(names)) < len(names) or not all(
        name.isalnum() and name[0].isalpha() for name in names
    ):
        raise ValueError(
            f'cameras must be different names, separated by commas, each a letter followed by '
            f'letters or digits, such as left,right, not {",".join(names)!r}'
        )
    given = LaunchConfiguration('sources').perform(context)
    sources = given.split(',') if given else [''] * len(names)
    if len(sources) != len(names):
        raise ValueError(f'sources must be one per camera ({len(names)}), not {len(sources)}')
    return [*map(include_camera, names, sources), create_fusion(names)]


def include_camera(name: str, source: str) -> IncludeLaunchDescription:
    """Return camera.launch.py for a camera."""
    passed_on = {each: LaunchConfiguration(each) for each in ('image_topic', 'params_file')}
    return IncludeLaunchDescription(
        PythonLaunchDescriptionSource(CAMERA),
        launch_arguments={
            'namespace': name,
            'id_prefix': f'{name}p',  # Ids stay unique: cam1p11 of cam1, cam11p1 of cam11.
            'source': source,
            'source_frame': f'{name}_optical_frame',
            'rep155': 'false',
            'tf': 'false',
            **passed_on,
        }.items(),
    )


def create_fusion(names: list[str]) -> Node:
    """Return the node that fuses the cameras."""
    return Node(
        package='hybrik_ros',
        executable='fusion_node',
        name='fusion_node',
        parameters=[
            LaunchConfiguration('fusion_params_file'),
            {'cameras': names, 'fixed_frame': LaunchConfiguration('fixed_frame')},
        ],
        output='screen',
    )


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    environment = [
        SetEnvironmentVariable(name, EnvironmentVariable(name, default_value=value))
        for name, value in node_environment().items()
    ]
    return LaunchDescription([*ARGUMENTS, *environment, OpaqueFunction(function=create_actions)])
