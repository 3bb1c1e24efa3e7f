"""A FAKE of TensorRT 10, for tests of our own plumbing: it proves nothing about TensorRT.

Its "models" are JSON, {"shape": [-1, 3], "type": "FLOAT", "half": false}; all have an input
'image' and an output 'twice' of the same shape, and double their input by the fake driver. Its
"plans" are JSON too, and say how they were built.
"""

import ctypes
import enum
import json

import onnx
from google.protobuf.message import DecodeError

from hybrik_ros.inference.half import convolves_in_half

__version__ = '10.3.0'

DataType = enum.Enum('DataType', ['FLOAT', 'HALF', 'INT32', 'UINT8', 'INT64'])
TensorIOMode = enum.Enum('TensorIOMode', ['INPUT', 'OUTPUT'])
LayerType = enum.Enum('LayerType', ['CONSTANT', 'CONVOLUTION'])

driver = None  # The fake one, loaded by ctypes.
built = 0


class NetworkDefinitionCreationFlag:
    EXPLICIT_BATCH, STRONGLY_TYPED = 0, 1


class BuilderFlag:
    FP16, TF32 = 'FP16', 'TF32'


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class IProgressMonitor:
    pass


class Tensor:
    def __init__(self, name, shape, dtype):
        self.name, self.shape, self.dtype = name, tuple(shape), dtype


class Layer:
    def __init__(self, kind, dtype):
        self.type, self._output = kind, Tensor('', (), dtype)

    def get_output(self, _index):
        return self._output


class Network:
    def __init__(self, flags):
        self.flags = [i for i in range(8) if flags >> i & 1]
        self.num_inputs, self.num_layers = 1, 2

    def take(self, model):
        self.model = model
        self._input = Tensor('image', model['shape'], DataType[model['type']])

    def get_input(self, _index):
        return self._input

    def get_layer(self, index):
        if index == 0:  # Weights are kept in half precision whatever they are used in.
            return Layer(LayerType.CONSTANT, DataType.HALF)
        return Layer(LayerType.CONVOLUTION, DataType['HALF' if self.model['half'] else 'FLOAT'])


class ParserError:
    def desc(self):
        return 'no model of the fake'


class OnnxParser:
    num_errors = 1

    def __init__(self, network, _logger):
        self._network = network

    def parse(self, content):
        try:
            self._network.take(json.loads(content))
        except ValueError:
            return self._parse_onnx(content)
        return True

    def _parse_onnx(self, content):
        """Of a real model, the input's shape and whether it convolves in half precision count."""
        try:
            graph = onnx.load_from_string(content).graph
        except DecodeError:
            return False
        dims = graph.input[0].type.tensor_type.shape.dim
        shape = [dim.dim_value or -1 for dim in dims]
        self._network.take({'shape': shape, 'type': 'FLOAT', 'half': convolves_in_half(graph)})
        return True

    def get_error(self, _index):
        return ParserError()


class Profile:
    def set_shape(self, _name, *limits):
        self.limits = limits


class Config:
    progress_monitor = None

    def __init__(self):
        self.flags = {BuilderFlag.TF32}

    def set_flag(self, flag):
        self.flags.add(flag)

    def clear_flag(self, flag):
        self.flags.discard(flag)

    def add_optimization_profile(self, profile):
        self.limits = profile.limits


class Builder:
    def __init__(self, logger):
        self._logger = logger

    def create_network(self, flags):
        return Network(flags)

    def create_builder_config(self):
        return Config()

    def create_optimization_profile(self):
        return Profile()

    def build_serialized_network(self, network, config):
        global built
        if network.model['type'] == 'INT64':
            self._logger.log(ILogger.ERROR, 'a fake reason')
            return None
        if (monitor := getattr(config, 'progress_monitor', None)) and not self._report(monitor):
            return None
        built += 1
        plan = {
            'version': __version__,
            **network.model,
            'shape': network.get_input(0).shape,
            'network_flags': network.flags,
            'builder_flags': sorted(config.flags),
            'limits': config.limits,
        }
        return json.dumps(plan).encode()

    def _report(self, monitor):
        """Tell of two steps, and whether to go on; dies, as the real one might, of exceptions."""
        try:
            monitor.phase_start('Fake building', None, 2)
            going_on = all(monitor.step_complete('Fake building', step) for step in range(2))
            monitor.phase_finish('Fake building')
        except BaseException as error:
            raise AssertionError('something was raised through TensorRT') from error
        return going_on


class Context:
    def __init__(self):
        self._shape, self._addresses = None, {}

    def set_input_shape(self, _name, shape):
        self._shape = tuple(shape)
        return True

    def get_tensor_shape(self, _name):
        return self._shape

    def set_tensor_address(self, name, address):
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream):
        size = 4
        for extent in self._shape:
            size *= extent
        addresses = (ctypes.c_ulonglong(self._addresses[name]) for name in ('twice', 'image'))
        return driver.fake_double(ctypes.c_void_p(stream), *addresses, ctypes.c_size_t(size)) == 0


class Engine:
    num_io_tensors = 2

    def __init__(self, plan):
        self._plan = plan

    def get_tensor_name(self, index):
        return ('image', 'twice')[index]

    def get_tensor_mode(self, name):
        return TensorIOMode.INPUT if name == 'image' else TensorIOMode.OUTPUT

    def get_tensor_shape(self, _name):
        return self._plan['shape']

    def get_tensor_dtype(self, _name):
        return DataType[self._plan['type']]

    def get_tensor_profile_shape(self, _name, _profile):
        return [tuple(limit) for limit in self._plan['limits']]

    def create_execution_context(self):
        return Context()


class Runtime:
    def __init__(self, _logger):
        pass

    def deserialize_cuda_engine(self, content):
        try:
            plan = json.loads(content)
        except ValueError:
            return None
        return Engine(plan) if plan['version'] == __version__ else None
