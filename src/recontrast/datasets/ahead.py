"""Batches made before they are asked for, so that a graphics processor does not wait for slices to be cut."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import torch

from recontrast.datasets.patches import Batch
from recontrast.execution.runtime import available_cores

THREADS = 8
"""At most this many threads cut slices: most of it is copying, which is soon bound by the memory itself."""

_MORE = 2
"""Batches that wait beside those that the threads are making."""

QUIET = threading.Lock()
"""Held while kernels are recorded: no other thread may ask the device for memory then."""


class Ahead:
    """Batches of consecutive steps, made by threads, in page-locked memory, from which the device copies fast.

    Every batch is what `make` says of its number, whatever threads there are: nothing depends on their order.

    Args:
        make: Gives the batch of a step; called from several threads at once.
        first: The step whose batch is asked for first.
        threads: How many threads; 0: each batch is made when it is asked for, in memory as it comes.

    Example:
        >>> batch = Batch(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2, dtype=torch.bool))
        >>> with Ahead(lambda step: batch, first=0, threads=0) as ahead:
        ...     ahead.take().source.shape
        torch.Size([1, 1, 2, 2])
    """

    def __init__(self, make: Callable[[int], Batch], first: int, threads: int) -> None:
        self._make, self._step, self._depth = make, first, threads + _MORE
        self._threads = ThreadPoolExecutor(threads, "batches") if threads else None
        self._waiting: deque[Future[Batch]] = deque()

    def take(self) -> Batch:
        """The batch of the next step; what went wrong in making it is raised here."""
        if self._threads is None:
            self._step += 1
            return self._make(self._step - 1)
        while len(self._waiting) < self._depth:
            self._waiting.append(self._threads.submit(self._pinned, self._step))
            self._step += 1
        return self._waiting.popleft().result()

    def _pinned(self, step: int) -> Batch:
        batch = self._make(step)
        if not torch.cuda.is_available():
            return batch
        with QUIET:
            return Batch(*(None if part is None else part.pin_memory() for part in batch))  # type: ignore[arg-type]

    def __enter__(self) -> Ahead:
        """Nothing is made before the first batch is asked for."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the threads; what nobody asked for is dropped."""
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)


def threads_ahead(device: str, ranks: int = 1) -> int:
    """Threads that make batches for a device: none for a processor, whose cores all compute already.

    Args:
        device: Its type, cpu or cuda.
        ranks: Processes that share the cores.

    Example:
        >>> threads_ahead("cpu")
        0
    """
    return 0 if device == "cpu" else max(1, min(THREADS, available_cores() // ranks - 1))
