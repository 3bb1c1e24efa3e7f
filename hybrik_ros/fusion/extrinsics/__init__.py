"""Extrinsics and clock offsets of cameras, from the people that they see. No ROS."""

from hybrik_ros.fusion.extrinsics.checking import (
    CameraAgreement,
    align_extrinsics,
    check_extrinsics,
)
from hybrik_ros.fusion.extrinsics.estimation import (
    MAX_OFFSET,
    CameraPose,
    Difference,
    Extrinsics,
    ExtrinsicsError,
    Report,
    estimate_extrinsics,
    shared_seconds,
)
from hybrik_ros.fusion.extrinsics.tracks import Stream

__all__ = [
    'MAX_OFFSET',
    'CameraAgreement',
    'CameraPose',
    'Difference',
    'Extrinsics',
    'ExtrinsicsError',
    'Report',
    'Stream',
    'align_extrinsics',
    'check_extrinsics',
    'estimate_extrinsics',
    'shared_seconds',
]
