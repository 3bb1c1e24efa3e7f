"""HybrIK's networks in torch and their export to ONNX; used by `hybrik export`, not by the node."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybrik_ros.network.checkpoint import load_checkpoint
    from hybrik_ros.network.hybrik_net import HybrIKNet

__all__ = ['HybrIKNet', 'load_checkpoint']

_MODULES = {'HybrIKNet': 'hybrik_net', 'load_checkpoint': 'checkpoint'}


def __getattr__(name: str) -> Any:
    """Import a name that needs torch, an optional package, at its first use."""
    if name in _MODULES:
        return getattr(import_module(f'{__name__}.{_MODULES[name]}'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
