"""Start one node per camera, each in its own namespace.

Example: ros2 launch hybrik_ros multi_camera.launch.py cameras:=front,rear

The prefix of person ids is the camera's name and a p, so that TF frames do not collide. REP-155 has
one list of bodies per system: only the first node publishes its topics.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

CAMERA = PathJoinSubstitution([FindPackageShare('hybrik_ros'), 'launch', 'camera.launch.py'])

ARGUMENTS = [
    DeclareLaunchArgument(
        'cameras',
        description='Names of the cameras, separated by commas: namespaces of their topics and '
        'prefixes of their person ids. A letter followed by letters or digits.',
    ),
    DeclareLaunchArgument(
        'image_topic',
        default_value='image',
        description='Image topic relative to each namespace, such as color/image_raw.',
    ),
    DeclareLaunchArgument(
        'params_file',
        default_value=PathJoinSubstitution(
            [FindPackageShare('hybrik_ros'), 'config', 'camera.yaml']
        ),
        description='YAML file with parameters of all nodes.',
    ),
]


def include_cameras(context: LaunchContext) -> list[IncludeLaunchDescription]:
    """Return camera.launch.py with its arguments for each camera."""
    names = LaunchConfiguration('cameras').perform(context).split(',')
    if len(set(names)) < len(names) or not all(
        name.isalnum() and name[0].isalpha() for name in names
    ):
        raise ValueError(
            f'cameras must be different names, separated by commas, each a letter followed by '
            f'letters or digits, such as front,rear, not {",".join(names)!r}'
        )
    passed_on = {name: LaunchConfiguration(name) for name in ('image_topic', 'params_file')}
    return [
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(CAMERA),
            launch_arguments={
                'namespace': name,
                'id_prefix': f'{name}p',  # Ids stay unique: cam1p11 of cam1, cam11p1 of cam11.
                'rep155': 'true' if name == names[0] else 'false',
                **passed_on,
            }.items(),
        )
        for name in names
    ]


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=include_cameras)])
