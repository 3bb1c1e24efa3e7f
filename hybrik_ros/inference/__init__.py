"""Networks behind one interface, whatever runs them."""

from hybrik_ros.inference.runner import BACKENDS, InputError, Runner, create_runner

__all__ = ['BACKENDS', 'InputError', 'Runner', 'create_runner']
