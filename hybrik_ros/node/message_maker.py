"""The makers of the messages of people and of observations, with ROS message classes."""

import array

import geometry_msgs.msg
import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from hybrik_ros.messages.observations import (
    HUMAN_OBSERVATION,
    HUMAN_OBSERVATION_ARRAY,
    ObservationMaker,
)
from hybrik_ros.messages.people import HUMAN_MESH, HUMAN_MESH_ARRAY, TF, MessageMaker
from hybrik_ros.msg import (
    HumanMesh,
    HumanMeshArray,
    HumanObservation,
    HumanObservationArray,
)

_GEOMETRY = ('Point', 'Quaternion', 'Transform', 'TransformStamped', 'Vector3')


def float_array(numbers: NDArray) -> array.array:
    """Return numbers as a flat float32 array, which a message field takes without a copy."""
    flat = array.array('f')
    flat.frombytes(np.ascontiguousarray(numbers, np.float32).data.cast('B'))
    return flat


make = MessageMaker(
    {
        HUMAN_MESH: HumanMesh,
        HUMAN_MESH_ARRAY: HumanMeshArray,
        TF: TFMessage,
        'std_msgs/msg/Header': Header,
        **{f'geometry_msgs/msg/{name}': getattr(geometry_msgs.msg, name) for name in _GEOMETRY},
    },
    float_array,
)

make_observations = ObservationMaker(
    {HUMAN_OBSERVATION: HumanObservation, HUMAN_OBSERVATION_ARRAY: HumanObservationArray},
    float_array,
)
