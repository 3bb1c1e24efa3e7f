"""Reading of HybrIK's published checkpoints without executing code in them."""

import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from hybrik_ros.limits import MAX_CHECKPOINT_BYTES
from hybrik_ros.network.hybrik_net import ARCHITECTURES, HybrIKNet
from hybrik_ros.untrusted import open_regular

_SMPL = 'smpl.'  # prefix of the weights of the SMPL layer, which this package does not use
_MAX_SHOWN = 5  # maximum number of keys listed per kind of fault


class CheckpointError(ValueError):
    """A file is not a checkpoint of one of HybrIK's networks."""


def load_checkpoint(path: str | Path) -> HybrIKNet:
    """Load a network from a checkpoint.

    Parameters
    ----------
    path : str or Path
        A state dict as HybrIK publishes it, bare or under the key 'model'. Its keys determine the
        architecture.

    Returns
    -------
    HybrIKNet
        The network in eval mode.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    CheckpointError
        The file cannot be read safely; or a key is missing, unexpected or of wrong shape; or a
        value is complex or not finite.
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
    """Return the tensors of a file without those of SMPL."""
    try:
        with open_regular(Path(path)) as file:
            _check_size(file)
            content = torch.load(file, map_location='cpu', weights_only=True)
    except OSError:
        raise
    except pickle.UnpicklingError as error:
        # torch's own message advises to load the file without weights_only.
        raise CheckpointError(
            f'{path} is damaged, or contains objects other than tensors. It was not loaded, since '
            f'a pickle can run code: use a checkpoint as its authors published it'
        ) from error
    except Exception as error:  # torch raises many types for damaged files.
        reason = str(error) or 'it ends too early'
        raise CheckpointError(f'{path} is not a readable checkpoint: {reason}') from error
    state = content.get('model', content) if isinstance(content, Mapping) else content
    if not isinstance(state, Mapping):
        raise CheckpointError(f'{path} contains no state dict, but a {type(state).__name__}')
    for key, value in state.items():
        if not (isinstance(key, str) and isinstance(value, Tensor)):
            raise CheckpointError(f'{path} contains no state dict: {key!r} is not a tensor')
    return {key: value for key, value in state.items() if not key.startswith(_SMPL)}


def _check_size(file: BinaryIO) -> None:
    """Refuse a file that is too large, as stored or unpacked; leave it at its beginning."""
    size = file.seek(0, os.SEEK_END)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            size = max(size, sum(member.file_size for member in archive.infolist()))
    if size > MAX_CHECKPOINT_BYTES:
        raise ValueError(f'it has more than the maximum of {MAX_CHECKPOINT_BYTES} bytes')
    file.seek(0)


def _faults(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    """Return which keys are missing, unexpected, of wrong shape, complex or not finite."""
    kinds = {
        'missing': [key for key in wanted if key not in given],
        'unexpected': [key for key in given if key not in wanted],
        'of wrong shape': [
            f'{key} {tuple(given[key].shape)} instead of {tuple(value.shape)}'
            for key, value in wanted.items()
            if key in given and given[key].shape != value.shape
        ],
        'not of real numbers': [key for key, value in given.items() if value.is_complex()],
        # Only of the right shape: a tensor can be larger than its file.
        'not finite': [
            key
            for key, value in given.items()
            if key in wanted and value.shape == wanted[key].shape and not value.isfinite().all()
        ],
    }
    return [f'{kind}: {_shorten(keys)}' for kind, keys in kinds.items() if keys]


def _shorten(keys: list[str]) -> str:
    """Return the first keys and the number of the others, as text."""
    more = f' and {len(keys) - _MAX_SHOWN} more' if len(keys) > _MAX_SHOWN else ''
    return ', '.join(keys[:_MAX_SHOWN]) + more
