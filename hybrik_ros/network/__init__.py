"""HybrIK's networks in torch, and their way to ONNX: for `hybrik export`, never for the node."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybrik_ros.network.checkpoint import load_checkpoint
    from hybrik_ros.network.hybrik_net import HybrIKNet

__all__ = ['HybrIKNet', 'load_checkpoint']

_MODULES = {'HybrIKNet': 'hybrik_net', 'load_checkpoint': 'checkpoint'}


def __getattr__(name: str) -> Any:
    """Import what needs torch, which may be missing, once it is asked for."""
    if name in _MODULES:
        return getattr(import_module(f'{__name__}.{_MODULES[name]}'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
