"""Extrinsics and clock offsets of cameras, from the people that they see. No ROS."""

from hybrik_ros.fusion.extrinsics.estimation import (
    CameraPose,
    Extrinsics,
    ExtrinsicsError,
    estimate_extrinsics,
)

__all__ = ['CameraPose', 'Extrinsics', 'ExtrinsicsError', 'estimate_extrinsics']
