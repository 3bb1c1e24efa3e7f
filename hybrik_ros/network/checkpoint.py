"""Reading of HybrIK's published checkpoints, with nothing in them able to run code."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from hybrik_ros.network.hybrik_net import ARCHITECTURES, HybrIKNet

_SMPL = 'smpl.'  # Copies of SMPL's body, which our solver and body model take the place of.
_SHOWN = 5  # faults of a kind in an error


class CheckpointError(ValueError):
    """A file is no checkpoint of one of HybrIK's networks."""


def load_checkpoint(path: str | Path) -> HybrIKNet:
    """Read a network, ready for inference.

    Parameters
    ----------
    path: a state dict as HybrIK publishes it, bare or under the key 'model'; which architecture
        it belongs to is seen from its keys.

    Raises
    ------
    FileNotFoundError: there is no such file.
    CheckpointError: it cannot be read safely, or a key is missing, unexpected or of wrong shape.
    """
    state = _read_state_dict(path)
    has_stages = any(key.startswith('preact.stage') for key in state)
    net = HybrIKNet('hrw48' if has_stages else 'res34')
    faults = _faults(state, net.state_dict())
    if faults:
        title = ARCHITECTURES[net.architecture]
        raise CheckpointError(f"{path} does not fit HybrIK's {title} network: {'; '.join(faults)}")
    net.load_state_dict(state)
    return net.eval()


def _read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a file but for those of SMPL."""
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except FileNotFoundError:
        raise
    except pickle.UnpicklingError as error:
        # torch advises to load it all the same. We do not.
        raise CheckpointError(
            f'{path} holds something else than tensors, or is damaged. It was not loaded: a '
            f'pickle can run code. Use a checkpoint as its authors published it.'
        ) from error
    except Exception as error:  # Damaged files make torch raise nearly anything.
        reason = str(error) or 'it ends too early'
        raise CheckpointError(f'{path} is no readable checkpoint: {reason}') from error
    state = content.get('model', content) if isinstance(content, Mapping) else content
    if not isinstance(state, Mapping):
        raise CheckpointError(f'{path} holds no state dict, but a {type(state).__name__}')
    for key, value in state.items():
        if not (isinstance(key, str) and isinstance(value, Tensor)):
            raise CheckpointError(f'{path} holds no state dict: {key!r} names no tensor')
    return {key: value for key, value in state.items() if not key.startswith(_SMPL)}


def _faults(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    """Say which keys are missing, unexpected, of wrong shape, or hold no numbers to count with."""
    kinds = {
        'missing': [key for key in wanted if key not in given],
        'unexpected': [key for key in given if key not in wanted],
        'of wrong shape': [
            f'{key} {tuple(given[key].shape)} instead of {tuple(value.shape)}'
            for key, value in wanted.items()
            if key in given and given[key].shape != value.shape
        ],
        'not of real numbers': [key for key, value in given.items() if value.is_complex()],
        'not finite': [key for key, value in given.items() if not value.isfinite().all()],
    }
    return [f'{kind}: {_shorten(keys)}' for kind, keys in kinds.items() if keys]


def _shorten(keys: list[str]) -> str:
    more = f' and {len(keys) - _SHOWN} more' if len(keys) > _SHOWN else ''
    return ', '.join(keys[:_SHOWN]) + more
