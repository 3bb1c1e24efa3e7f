"""Starts hybrik_node."""

import sys

from hybrik_ros.node.start import start

_SUMMARY = """\
Find the people in the images of a camera and publish their bodies: 3D joints, SMPL rotations
and a TF frame for every joint. Subscribes to image and to camera_info beside it.

set parameters and remap topics:
  hybrik_node --ros-args -p detector.size:=640 -p field_of_view:=60.0
  hybrik_node --ros-args --params-file camera.yaml
  hybrik_node --ros-args -r image:=/camera/image_raw

README.md and config/camera.yaml list all parameters. A running node describes them:
  ros2 param list /hybrik_node
  ros2 param describe /hybrik_node detector.size"""


def main() -> int:
    """Run the node until SIGINT or SIGTERM; return the exit status."""
    return start('hybrik_node', 'hybrik_ros.node.node', 'HybrikNode', _SUMMARY)


if __name__ == '__main__':
    sys.exit(main())
