"""Starts fusion_node."""

import sys

from hybrik_ros.node.start import start

_SUMMARY = """\
Fuse what the hybrik_nodes of several calibrated cameras see: one body per person, in a fixed
frame. Subscribes to human_observations of each camera and to TF.

set parameters:
  fusion_node --ros-args -p cameras:="[left, right]" -p fixed_frame:=map
  fusion_node --ros-args --params-file fusion.yaml

config/fusion.yaml lists all parameters. A running node describes them:
  ros2 param list /fusion_node
  ros2 param describe /fusion_node cameras"""


def main() -> int:
    """Run the node until SIGINT or SIGTERM; return the exit status."""
    return start('fusion_node', 'hybrik_ros.node.fusion_node', 'FusionNode', _SUMMARY)


if __name__ == '__main__':
    sys.exit(main())
