"""One interface to networks for all inference libraries."""

from hybrik_ros.inference.choice import open_runner
from hybrik_ros.inference.runner import InputError, Runner

__all__ = ['InputError', 'Runner', 'open_runner']
