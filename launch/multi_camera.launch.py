r"""Start one node per camera, each in its own namespace, and the node that fuses them.

Example: ros2 launch hybrik_ros multi_camera.launch.py cameras:=left,right \
    sources:=/dev/video0,/dev/video2 extrinsics:=room/extrinsics.launch.py

TF must connect the optical frames of the cameras with the fixed frame, by the file that `hybrik
calibrate` writes or by other nodes. People are published by the fusion: the nodes of the cameras
publish no TF frames and no REP-155. The prefix of their person ids is the camera's name and a p.
"""

from launch import Action, LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.some_substitutions_type import SomeSubstitutionsType
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
        'camera_infos',
        default_value='',
        description='Calibrations of sources, YAML files of camera_calibration, separated by '
        'commas, in the same order. Empty: as source_camera_info of camera.launch.py.',
    ),
    DeclareLaunchArgument(
        'extrinsics',
        default_value='',
        description='Launch file with the static transforms of the cameras: extrinsics.launch.py '
        'of hybrik calibrate. Empty: other nodes publish them.',
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
    DeclareLaunchArgument(
        'rviz',
        default_value='false',
        choices=['true', 'false'],
        description='Start RViz, which shows the fused people in fixed_frame.',
    ),
]


def create_actions(context: LaunchContext) -> list[Action]:
    """Return the actions that start the cameras, their transforms, the fusion and RViz."""
    names = LaunchConfiguration('cameras').perform(context).split(',')
    if len(set(names)) < len(names) or not all(
        name.isalnum() and name[0].isalpha() for name in names
    ):
        raise ValueError(
            f'cameras must be different names, separated by commas, each a letter followed by '
            f'letters or digits, such as left,right, not {",".join(names)!r}'
        )
    sources, calibrations = (
        read_list(context, argument, len(names)) for argument in ('sources', 'camera_infos')
    )
    extrinsics = LaunchConfiguration('extrinsics').perform(context)
    transforms = [include(extrinsics, {})] if extrinsics else []
    cameras = map(include_camera, names, sources, calibrations)
    return [*transforms, *cameras, create_fusion(names), create_rviz()]


def read_list(context: LaunchContext, argument: str, count: int) -> list[str]:
    """Return the values of an argument, one per camera; empty ones by default."""
    given = LaunchConfiguration(argument).perform(context)
    values = given.split(',') if given else [''] * count
    if len(values) != count:
        raise ValueError(f'{argument} must be one per camera ({count}), not {len(values)}')
    return values


def include(
    path: SomeSubstitutionsType, arguments: dict[str, SomeSubstitutionsType]
) -> GroupAction:
    """Return the launch file at a path, with arguments that hold in it alone."""
    source = PythonLaunchDescriptionSource(path)
    return GroupAction([IncludeLaunchDescription(source, launch_arguments=arguments.items())])


def include_camera(name: str, source: str, calibration: str) -> GroupAction:
    """Return camera.launch.py for a camera."""
    passed_on = {each: LaunchConfiguration(each) for each in ('image_topic', 'params_file')}
    return include(
        CAMERA,
        {
            'namespace': name,
            'id_prefix': f'{name}p',  # Ids stay unique: cam1p11 of cam1, cam11p1 of cam11.
            'source': source,
            'source_frame': f'{name}_optical_frame',
            'source_camera_info': calibration,
            'rep155': 'false',
            'tf': 'false',
            'rviz': 'false',
            **passed_on,
        },
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


def create_rviz() -> Node:
    """Return RViz with the markers of the fusion."""
    return Node(
        package='rviz2',
        executable='rviz2',
        name='rviz2',
        arguments=[
            *('-d', PathJoinSubstitution([SHARE, 'config', 'hybrik.rviz'])),
            *('-f', LaunchConfiguration('fixed_frame')),
        ],
        remappings=[('/hybrik_node/markers', '/fusion_node/markers')],
        condition=IfCondition(LaunchConfiguration('rviz')),
    )


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    environment = [
        SetEnvironmentVariable(name, EnvironmentVariable(name, default_value=value))
        for name, value in node_environment().items()
    ]
    return LaunchDescription([*ARGUMENTS, *environment, OpaqueFunction(function=create_actions)])
