"""Several cameras: one body per person in a fixed frame. No ROS."""

from hybrik_ros.fusion.fusion import Fusion
from hybrik_ros.fusion.view import View

__all__ = ['Fusion', 'View']
