"""Start a node for each of several cameras, each in a namespace of its own.

For example: ros2 launch hybrik_ros multi_camera.launch.py cameras:=front,rear

The ids of people begin with the camera's name and a p, so that their TF frames do not collide.
REP-155 has one list of bodies: of the nodes, the first sends its topics.
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
        description='Names of the cameras, separated by commas: the namespaces of their topics, '
        'and what the ids of their people begin with. Letters and digits, a letter first.',
    ),
    DeclareLaunchArgument(
        'image_topic',
        default_value='image',
        description='Topic of the images below each namespace, such as color/image_raw.',
    ),
    DeclareLaunchArgument(
        'params_file',
        default_value=PathJoinSubstitution(
            [FindPackageShare('hybrik_ros'), 'config', 'camera.yaml']
        ),
        description='YAML file with the parameters of all nodes.',
    ),
]


def include_cameras(context: LaunchContext) -> list[IncludeLaunchDescription]:
    """Return camera.launch.py for each of the cameras."""
    names = LaunchConfiguration('cameras').perform(context).split(',')
    if len(set(names)) < len(names) or not all(
        name.isalnum() and name[0].isalpha() for name in names
    ):
        raise ValueError(
            f'cameras must be different names of letters and digits, separated by commas, a letter '
            f'first, such as front,rear, not {",".join(names)!r}'
        )
    passed_on = {name: LaunchConfiguration(name) for name in ('image_topic', 'params_file')}
    return [
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(CAMERA),
            launch_arguments={
                'namespace': name,
                'id_prefix': f'{name}p',  # cam1p11 is not cam11p1
                'rep155': 'true' if name == names[0] else 'false',
                **passed_on,
            }.items(),
        )
        for name in names
    ]


def generate_launch_description() -> LaunchDescription:
    """Describe what `ros2 launch` starts."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=include_cameras)])
