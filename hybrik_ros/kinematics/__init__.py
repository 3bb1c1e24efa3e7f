"""Forward and inverse kinematics on SMPL's tree: the solver of all pose estimators."""

from hybrik_ros.kinematics.forward import forward, global_rotations
from hybrik_ros.kinematics.inverse import METHODS, Method, solve
from hybrik_ros.kinematics.twist import Pointer, Pointers, twist_from_pointers, twist_of

__all__ = [
    'METHODS',
    'Method',
    'Pointer',
    'Pointers',
    'forward',
    'global_rotations',
    'solve',
    'twist_from_pointers',
    'twist_of',
]
