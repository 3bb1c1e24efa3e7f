"""Minimal binding of the CUDA driver API: GPU query, streams, graphs and memory.

ctypes calls the driver's library directly. It is installed wherever TensorRT runs, and its
interface is the same from CUDA 11.4 to 13. A CUDA package for Python would have to match the
version of the driver.
"""

import ctypes
import functools
from collections.abc import Callable
from contextlib import suppress
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint, c_ulonglong, c_void_p
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LIBRARY = 'libcuda.so.1'

# Argument types of the driver's functions, by symbol name. cuda.h maps its names to those with _v2.
# Handles are pointers.
PROTOTYPES: dict[str, tuple[Any, ...]] = {
    'cuInit': (c_uint,),
    'cuGetErrorString': (c_int, POINTER(c_char_p)),
    'cuDriverGetVersion': (POINTER(c_int),),
    'cuDeviceGet': (POINTER(c_int), c_int),
    'cuDeviceGetName': (c_char_p, c_int, c_int),
    'cuDeviceGetAttribute': (POINTER(c_int), c_int, c_int),
    'cuDevicePrimaryCtxRetain': (POINTER(c_void_p), c_int),
    'cuDevicePrimaryCtxRelease_v2': (c_int,),
    'cuCtxSetCurrent': (c_void_p,),
    'cuMemAlloc_v2': (POINTER(c_ulonglong), c_size_t),
    'cuMemFree_v2': (c_ulonglong,),
    'cuMemAllocHost_v2': (POINTER(c_void_p), c_size_t),
    'cuMemFreeHost': (c_void_p,),
    'cuMemcpyHtoDAsync_v2': (c_ulonglong, c_void_p, c_size_t, c_void_p),
    'cuMemcpyDtoHAsync_v2': (c_void_p, c_ulonglong, c_size_t, c_void_p),
    'cuStreamCreate': (POINTER(c_void_p), c_uint),
    'cuStreamSynchronize': (c_void_p,),
    'cuStreamDestroy_v2': (c_void_p,),
    'cuStreamBeginCapture_v2': (c_void_p, c_int),
    'cuStreamEndCapture': (c_void_p, POINTER(c_void_p)),
    'cuGraphInstantiateWithFlags': (POINTER(c_void_p), c_void_p, c_ulonglong),
    'cuGraphLaunch': (c_void_p, c_void_p),
    'cuGraphDestroy': (c_void_p,),
    'cuGraphExecDestroy': (c_void_p,),
}

# Values of enumerations in cuda.h.
_COMPUTE_CAPABILITY_MAJOR, _COMPUTE_CAPABILITY_MINOR = 75, 76  # CUdevice_attribute
_STREAM_NON_BLOCKING = 1  # CUstream_flags: no implicit synchronisation with the default stream
_CAPTURE_THREAD_LOCAL = 1  # CUstreamCaptureMode: other threads may allocate during a capture

_CONTAINER_HINT = 'in a container, start it with --gpus all or, on a Jetson, --runtime nvidia'


class CudaError(RuntimeError):
    """CUDA is not available, or a call failed; the message gives the reason."""


@dataclass(frozen=True)
class Gpu:
    """A GPU and its driver.

    Attributes
    ----------
    name : str
        Product name, such as 'Orin'.
    compute_capability : str
        Architecture, such as '8.7'.
    cuda : str
        Maximum CUDA version that the driver supports, such as '12.6'.
    """

    name: str
    compute_capability: str
    cuda: str


def find_gpu() -> Gpu:
    """Return the first GPU that CUDA_VISIBLE_DEVICES selects.

    Returns
    -------
    Gpu
        The GPU and its driver.

    Raises
    ------
    CudaError
        There is no GPU, or no working driver.
    """
    driver, device = _driver(LIBRARY), _first_device()
    name = ctypes.create_string_buffer(256)
    driver.cuDeviceGetName(name, len(name), device)
    version, major, minor = c_int(), c_int(), c_int()
    driver.cuDriverGetVersion(byref(version))
    driver.cuDeviceGetAttribute(byref(major), _COMPUTE_CAPABILITY_MAJOR, device)
    driver.cuDeviceGetAttribute(byref(minor), _COMPUTE_CAPABILITY_MINOR, device)
    return Gpu(
        name.value.decode(errors='replace'),
        f'{major.value}.{minor.value}',
        f'{version.value // 1000}.{version.value % 1000 // 10}',
    )


@dataclass(frozen=True, eq=False)
class Buffer:
    """Memory on the GPU, and pinned host memory of the same size.

    Attributes
    ----------
    device : int
        Address on the GPU; constant.
    host : ndarray
        Host memory (nbytes), uint8.
    """

    device: int
    host: NDArray[np.uint8]


class CudaStream:
    """A CUDA stream of the first GPU, and the buffers allocated through it.

    One thread at a time may use it, after it has called `make_current`.

    Attributes
    ----------
    handle : int
        Address of the CUstream; 0 after `close`.

    Raises
    ------
    CudaError
        A call failed; raised by the constructor and all methods except `discard` and `close`.
    """

    def __init__(self) -> None:
        self._driver = _driver(LIBRARY)
        self._device = _first_device()
        self._buffers: list[Buffer] = []
        self._context, handle = c_void_p(), c_void_p()
        self._driver.cuDevicePrimaryCtxRetain(byref(self._context), self._device)
        self.make_current()
        self._driver.cuStreamCreate(byref(handle), _STREAM_NON_BLOCKING)
        self.handle = handle.value or 0

    def make_current(self) -> None:
        """Make the CUDA context current in the calling thread."""
        self._driver.cuCtxSetCurrent(self._context)

    def allocate(self, nbytes: int) -> Buffer:
        """Allocate a buffer, which `close` frees.

        Parameters
        ----------
        nbytes : int
            Size in bytes.

        Returns
        -------
        Buffer
            The memory on the GPU and on the host.
        """
        device, host = c_ulonglong(), c_void_p()
        self._driver.cuMemAlloc_v2(byref(device), nbytes)
        try:
            self._driver.cuMemAllocHost_v2(byref(host), nbytes)
        except CudaError:
            self._driver.cuMemFree_v2(device)
            raise
        pinned = (ctypes.c_uint8 * nbytes).from_address(host.value or 0)
        self._buffers.append(Buffer(device.value, np.ctypeslib.as_array(pinned)))
        return self._buffers[-1]

    def upload(self, buffer: Buffer, nbytes: int) -> None:
        """Enqueue a copy of the first nbytes of a buffer from the host to the GPU."""
        self._driver.cuMemcpyHtoDAsync_v2(
            buffer.device, buffer.host.ctypes.data, nbytes, self.handle
        )

    def download(self, buffer: Buffer, nbytes: int) -> None:
        """Enqueue a copy of the first nbytes of a buffer from the GPU to the host."""
        self._driver.cuMemcpyDtoHAsync_v2(
            buffer.host.ctypes.data, buffer.device, nbytes, self.handle
        )

    def synchronise(self) -> None:
        """Wait until all enqueued work is done."""
        self._driver.cuStreamSynchronize(self.handle)

    def capture(self, enqueue: Callable[[], None]) -> int:
        """Capture the work that a function enqueues as a CUDA graph, without executing it.

        Parameters
        ----------
        enqueue : callable
            Enqueues the work on this stream.

        Returns
        -------
        int
            Address of the executable graph.

        Raises
        ------
        Exception
            Any exception of `enqueue`, for example about work that cannot be captured.
        """
        graph, executable = c_void_p(), c_void_p()
        self._driver.cuStreamBeginCapture_v2(self.handle, _CAPTURE_THREAD_LOCAL)
        try:
            try:
                enqueue()
            finally:  # The stream must leave capture mode in any case.
                self._driver.cuStreamEndCapture(self.handle, byref(graph))
            self._driver.cuGraphInstantiateWithFlags(byref(executable), graph, 0)
        finally:
            if graph:
                self._driver.cuGraphDestroy(graph)
        return executable.value or 0

    def launch(self, graph: int) -> None:
        """Enqueue a graph."""
        self._driver.cuGraphLaunch(graph, self.handle)

    def discard(self, graph: int) -> None:
        """Free a graph; errors are ignored."""
        with suppress(CudaError):
            self._driver.cuGraphExecDestroy(graph)

    def close(self) -> None:
        """Free the buffers and the stream; errors are ignored, since all calls fail after a fault.

        Closing again does nothing.
        """
        if not self.handle:
            return
        with suppress(CudaError):
            self.make_current()
            self.synchronise()
        for buffer in self._buffers:
            with suppress(CudaError):
                self._driver.cuMemFree_v2(buffer.device)
                self._driver.cuMemFreeHost(buffer.host.ctypes.data)
        self._buffers.clear()
        with suppress(CudaError):
            self._driver.cuStreamDestroy_v2(self.handle)
            self._driver.cuDevicePrimaryCtxRelease_v2(self._device)
        self.handle = 0  # The driver crashes if it gets a stream that it has destroyed.


@functools.cache
def _driver(library: str) -> ctypes.CDLL:
    """Load and initialise the driver's library; its functions raise CudaError on failure."""
    try:
        driver = ctypes.CDLL(library)
    except OSError as error:
        raise CudaError(
            f"NVIDIA's driver is missing ({error}): install it or, {_CONTAINER_HINT}"
        ) from error

    def check(result: int, function: Any, _arguments: Any) -> int:
        if result != 0:
            text = c_char_p()
            driver['cuGetErrorString'](result, byref(text))
            reason = (text.value or b'unknown error').decode()
            raise CudaError(f'CUDA: {function.__name__} failed: {reason} ({result})')
        return result

    try:
        for name, types in PROTOTYPES.items():
            function = getattr(driver, name)
            function.argtypes = types
            function.errcheck = check
    except AttributeError as error:
        raise CudaError(
            f"NVIDIA's driver is too old ({error}): install one for CUDA 11.4 or newer"
        ) from error
    try:
        driver.cuInit(0)
    except CudaError as error:
        raise CudaError(
            f"NVIDIA's driver does not work here ({error}): check the output of nvidia-smi or, "
            f'{_CONTAINER_HINT}'
        ) from error
    return driver


def _first_device() -> int:
    """Return the ordinal of the first GPU."""
    device = c_int()
    _driver(LIBRARY).cuDeviceGet(byref(device), 0)
    return device.value
