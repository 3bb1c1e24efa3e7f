"""The motion of one person over time, and file formats for animation and robots."""

from hybrik_ros.motion.formats import FORMATS, write_motion
from hybrik_ros.motion.motion import Motion, MotionError, motions_of

__all__ = ['FORMATS', 'Motion', 'MotionError', 'motions_of', 'write_motion']
