"""Memory that a computation needs, found out without taking it.

The computation runs on tensors that have shapes and no values; every block of memory that PyTorch would take is
counted while it lives.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from recontrast.translation.engines.pytorch import device_of
from recontrast.translation.heap import Heap

_PROBE = 64
"""Size of the volume on which the memory of a voxel is counted."""


class MemoryCount(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors that are made inside, and the most that lived at once.

    Args:
        convolutions: Whether to count, too, what a convolution takes for itself while it runs (`scratch`).

    Attributes:
        now: Bytes that live.
        most: Most bytes that lived at once.
        heap: Where they would lie.

    Example:
        >>> with without_values(), MemoryCount() as count:
        ...     a = torch.empty(250) + 1
        >>> count.most
        2000
    """

    def __init__(self, convolutions: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.convolutions = convolutions
        self.now = 0
        self.most = 0
        self.heap = Heap()
        self._known: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count what it made."""
        early, late = scratch(func, args) if self.convolutions else ([], [])
        places = [self._take(size) for size in (*early, *late)]
        for size, place in zip(early, places, strict=False):
            self._give(size, place)
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self._count(value.untyped_storage())
        for size, place in zip(late, places[len(early) :], strict=True):
            self._give(size, place)
        return result

    def _count(self, storage: Any) -> None:
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes()
        place = self._take(size)

        def forget(_: Any) -> None:
            self._known.pop(key, None)
            self._give(size, place)

        self._known[key] = weakref.ref(storage, forget)

    def _take(self, size: int) -> int:
        self.now += size
        self.most = max(self.most, self.now)
        return self.heap.take(size)

    def _give(self, size: int, place: int) -> None:
        self.now -= size
        self.heap.give(place)


def scratch(func: Any, args: Sequence[Any]) -> tuple[list[int], list[int]]:
    """Sizes of what a convolution on a processor takes for itself: until it has its result, and until that is copied.

    oneDNN computes with the channel innermost as it is. Other images it first copies into blocks of channels, the
    result into such blocks, and from there into place. An image in the other order is copied first.

    Args:
        func: Operation as `TorchDispatchMode` gets it.
        args: Its arguments.
    """
    if func not in (_FORWARD, _BACKWARD):
        return [], []
    images, weight = ([args[0]], args[1]) if func is _FORWARD else ([args[0], args[1]], args[2])
    if images[0].device.type != "cpu" or images[0].ndim not in _LAYOUTS:
        return [], []
    if any(_is_innermost(tensor) for tensor in (images[-1], weight)):
        layout = _LAYOUTS[images[0].ndim]
        return [_bytes(i, i.shape[1]) for i in images if not i.is_contiguous(memory_format=layout)], []
    block = 16 if "AVX512" in torch.backends.cpu.get_cpu_capability() else 8
    if func is _BACKWARD:
        gradient, source = images
        made = [_bytes(source, _up(source.shape[1], block))] if args[-1][0] else []
        return [_bytes(gradient, _up(gradient.shape[1], block))], made
    source, transposed = args[0], args[6]
    channels = weight.shape[1] * args[8] if transposed else weight.shape[0]
    sizes = _spatial(source.shape[2:], weight.shape[2:], args[3], args[4], args[5], transposed, args[7])
    made = [source.shape[0] * _up(channels, block) * math.prod(sizes) * source.element_size()]
    return [_bytes(source, _up(source.shape[1], block))] if source.shape[1] > 3 else [], made


_FORWARD, _BACKWARD = torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default
_LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}


def _is_innermost(tensor: Tensor) -> bool:
    """Whether the channel is the innermost axis of a tensor, and nothing else could be."""
    return tensor.is_contiguous(memory_format=_LAYOUTS[tensor.ndim]) and not tensor.is_contiguous()


def _bytes(image: Tensor, channels: int) -> int:
    return image.numel() // image.shape[1] * channels * image.element_size()


def _up(channels: int, block: int) -> int:
    return -(-channels // block) * block


def _spatial(
    shape: Sequence[int], kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int],
    dilation: Sequence[int], transposed: bool, more: Sequence[int],
) -> list[int]:  # fmt: skip
    """Spatial size of the result of a convolution."""
    axes = zip(shape, kernel, stride, padding, dilation, more, strict=True)
    if transposed:
        return [(n - 1) * s - 2 * p + d * (k - 1) + m + 1 for n, k, s, p, d, m in axes]
    return [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d, _ in axes]


@contextmanager
def without_values() -> Iterator[None]:
    """A context in which tensors have shapes and no values; existing ones may be used."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def most_bytes(run: Callable[[], Any]) -> int:
    """Most bytes that tensors made by `run` take at once; nothing is computed, and no memory taken.

    Example:
        >>> most_bytes(lambda: torch.ones(1000).exp())
        8000
    """
    with without_values(), MemoryCount() as count:
        run()
        return count.most


def working_bytes(network: nn.Module, channels: int) -> float:
    """Working memory of a network at inference in fp32, in bytes for each voxel of a volume it sees.

    Args:
        network: A network of volumes.
        channels: Of its input.
    """
    training = network.training
    device = device_of(network)
    network.eval()
    try:
        with torch.no_grad():
            taken = most_bytes(lambda: network(torch.empty(1, channels, _PROBE, _PROBE, _PROBE, device=device)))
    finally:
        network.train(training)
    return taken / _PROBE**3
