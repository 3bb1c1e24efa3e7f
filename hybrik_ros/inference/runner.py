"""The interface of a loaded network."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Side in pixels of the images for which TensorRT builds an engine, where a model takes any size.
SIDE = 512


class InputError(ValueError):
    """An array given to a network does not fit it."""


@dataclass(frozen=True)
class TensorSpec:
    """Type and shape of a network's input; a dimension of None may have any size."""

    dtype: np.dtype
    shape: tuple[int | None, ...]

    def check(self, name: str, array: NDArray[Any]) -> None:
        """Raise an InputError that names tensor, expected and given type and shape."""
        fits = len(array.shape) == len(self.shape) and all(
            wanted in (None, size) for wanted, size in zip(self.shape, array.shape, strict=True)
        )
        if not fits or array.dtype != self.dtype:
            wanted_shape = tuple('any' if size is None else size for size in self.shape)
            raise InputError(
                f'input {name!r} must be {self.dtype} of shape {wanted_shape}, '
                f'not {array.dtype} of shape {array.shape}'
            )


class Runner(ABC):
    """A loaded network; `open_runner` creates one. A context manager that closes it.

    Attributes
    ----------
    backend : str
        Inference library that runs it: 'onnxruntime' or 'tensorrt'.
    inputs : dict
        Type and shape of each input by name.
    """

    backend: str
    inputs: dict[str, TensorSpec]
    _is_closed = False

    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the network.

        Parameters
        ----------
        feeds : mapping
            An array for each input by name.

        Returns
        -------
        dict
            The outputs by name.

        Raises
        ------
        InputError
            An input is missing, unknown, or of another type or shape than expected.
        RuntimeError
            The runner is closed, or the network fails.
        """
        if self._is_closed:
            raise RuntimeError('the network is closed: open another with open_runner')
        if set(feeds) != set(self.inputs):
            raise InputError(f'the inputs are {sorted(self.inputs)}, not {sorted(feeds)}')
        for name, array in feeds.items():
            self.inputs[name].check(name, array)
        return self._run(feeds)

    def close(self) -> None:
        """Free the network; closing it again does nothing."""
        if not self._is_closed:
            self._is_closed = True
            self._free()

    @abstractmethod
    def _run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the network on checked inputs."""

    @abstractmethod
    def _free(self) -> None:
        """Free the network, once."""

    def __enter__(self) -> 'Runner':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# Raises RuntimeError if the outputs of a runner are wrong.
Prove = Callable[[Runner], None]
