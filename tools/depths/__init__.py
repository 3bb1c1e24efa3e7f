"""Measurement of what the depths of BlazePose's landmarks are, on pictures with known joints.

Run it in a source tree, with a folder for the motion capture of which 1 MB is kept::

    python -m tools.depths ~/.cache/hybrik_ros/motions

A thousand scenes take about five minutes. The body of this package is drawn in real motion
(`motions`), before random cameras and backgrounds (`scenes`). Scenes in which the landmarks miss
the body in the image are left out. Printed are (`measurement`), for landmarks whose depth is along
the optical axis and for those that `hybrik_ros.perception.landmarks.observe` places:

- the PA-MPJPE in millimetres;
- by part of the body, the slope of the true on the estimated depth relative to the hips, with its
  standard error over the motions. `DEPTH_GAINS` of that module are such slopes; with them, those
  of its landmarks are near 1.
"""
