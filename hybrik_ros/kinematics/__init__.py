"""Forward and inverse kinematics on SMPL's tree: the one solver for every estimator."""

from hybrik_ros.kinematics.forward import forward
from hybrik_ros.kinematics.inverse import METHODS, solve

__all__ = ['METHODS', 'forward', 'solve']
