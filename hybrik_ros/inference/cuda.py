"""What we need of CUDA: a GPU, a stream of work for it, and the memory that it works on.

By ctypes, from the driver's own library: wherever TensorRT can run it is there, with the same
interface from CUDA 11.4 to 13. A package for it would be one more to install, in the version that
fits the driver.
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

# What cuda.h names without _v2 goes by these names in the library. Handles are pointers.
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

# Of cuda.h's enumerations.
_COMPUTE_CAPABILITY_MAJOR, _COMPUTE_CAPABILITY_MINOR = 75, 76
_STREAM_NON_BLOCKING = 1  # does not wait for the default stream
_CAPTURE_THREAD_LOCAL = 1  # Other threads may go on allocating meanwhile.

_CONTAINER = 'in a container, start that with --gpus all or, on a Jetson, --runtime nvidia'


class CudaError(RuntimeError):
    """CUDA does not work, or has stopped working; the message says why."""


@dataclass(frozen=True)
class Gpu:
    """A GPU and its driver.

    Attributes
    ----------
    name: such as Orin.
    compute_capability: such as 8.7.
    cuda: the newest version of CUDA that the driver runs, such as 12.6.
    """

    name: str
    compute_capability: str
    cuda: str


def find_gpu() -> Gpu:
    """Return the first GPU, of those that CUDA_VISIBLE_DEVICES shows.

    Raises
    ------
    CudaError: there is none, or no driver that works.
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
    """Memory on the GPU, and as much pinned memory of the host to copy to and from.

    Attributes
    ----------
    device: the address on the GPU; it stays the same.
    host: (bytes) uint8.
    """

    device: int
    host: NDArray[np.uint8]


class CudaStream:
    """A queue of work for the first GPU, done in order, and the memory that it works on.

    Any thread may use it, one at a time, once it has called make_current.

    Attributes
    ----------
    handle: CUDA's own, as an address.

    Raises
    ------
    CudaError: by all methods but those that free, where CUDA fails.
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
        """Let the calling thread use this stream; cheap."""
        self._driver.cuCtxSetCurrent(self._context)

    def allocate(self, nbytes: int) -> Buffer:
        """Return new memory, which close frees."""
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
        """Enqueue a copy of a buffer's first bytes from the host to the GPU."""
        self._driver.cuMemcpyHtoDAsync_v2(
            buffer.device, buffer.host.ctypes.data, nbytes, self.handle
        )

    def download(self, buffer: Buffer, nbytes: int) -> None:
        """Enqueue a copy of a buffer's first bytes from the GPU to the host."""
        self._driver.cuMemcpyDtoHAsync_v2(
            buffer.host.ctypes.data, buffer.device, nbytes, self.handle
        )

    def synchronise(self) -> None:
        """Wait until everything that was enqueued is done."""
        self._driver.cuStreamSynchronize(self.handle)

    def capture(self, enqueue: Callable[[], None]) -> int:
        """Return, as a graph, the work that a function enqueues; none of it is done.

        Raises
        ------
        Exception: of the function, which may enqueue what cannot be captured.
        """
        graph, executable = c_void_p(), c_void_p()
        self._driver.cuStreamBeginCapture_v2(self.handle, _CAPTURE_THREAD_LOCAL)
        try:
            try:
                enqueue()
            finally:  # Whatever happens, the stream is to work again.
                self._driver.cuStreamEndCapture(self.handle, byref(graph))
            self._driver.cuGraphInstantiateWithFlags(byref(executable), graph, 0)
        finally:
            if graph:
                self._driver.cuGraphDestroy(graph)
        return executable.value or 0

    def launch(self, graph: int) -> None:
        """Enqueue the work of a graph."""
        self._driver.cuGraphLaunch(graph, self.handle)

    def discard(self, graph: int) -> None:
        """Free a graph; never raises, as close."""
        with suppress(CudaError):
            self._driver.cuGraphExecDestroy(graph)

    def close(self) -> None:
        """Free everything. After a fault CUDA refuses even that, which is not raised again."""
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
        self.handle = 0  # The driver crashes where it is given a stream that it has destroyed.


@functools.cache
def _driver(library: str) -> ctypes.CDLL:
    """Return the driver's library, initialised; its functions raise CudaError where they fail."""
    try:
        driver = ctypes.CDLL(library)
    except OSError as error:
        raise CudaError(
            f"NVIDIA's driver is missing ({error}): install it or, {_CONTAINER}"
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
            f"NVIDIA's driver is too old ({error}): one for CUDA 11.4 or newer is needed"
        ) from error
    try:
        driver.cuInit(0)
    except CudaError as error:
        raise CudaError(
            f"NVIDIA's driver does not work here ({error}): see what nvidia-smi says or, "
            f'{_CONTAINER}'
        ) from error
    return driver


def _first_device() -> int:
    device = c_int()
    _driver(LIBRARY).cuDeviceGet(byref(device), 0)
    return device.value
