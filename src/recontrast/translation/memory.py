"""Memory that a computation needs, found out without taking it.

The computation runs on tensors that have shapes and no values; every block of memory that PyTorch would take is
counted while it lives.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_PROBE = 64
"""Size of the volume on which the memory of a voxel is counted."""


class MemoryCount(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors that are made inside, and the most that lived at once.

    Example:
        >>> with without_values(), MemoryCount() as count:
        ...     a = torch.empty(250) + 1
        >>> count.most
        2000
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.most = 0
        self._known: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count what it made."""
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self._count(value.untyped_storage())
        return result

    def _count(self, storage: Any) -> None:
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes()
        self.now += size
        self.most = max(self.most, self.now)

        def forget(_: Any) -> None:
            self._known.pop(key, None)
            self.now -= size

        self._known[key] = weakref.ref(storage, forget)


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


def working_bytes(network: nn.Module) -> float:
    """Working memory of a network at inference in fp32, in bytes for each voxel of a volume it sees.

    Args:
        network: A network of volumes, in evaluation form.
    """
    channels = next(p.shape[1] for p in network.parameters() if p.ndim == 5)
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            taken = most_bytes(lambda: network(torch.empty(1, channels, _PROBE, _PROBE, _PROBE)))
    finally:
        network.train(training)
    return taken / _PROBE**3
