"""The next batch is put together while a graphics processor learns from this one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import torch

from recontrast.datasets.patches import Batch


class Ahead:
    """Batches by number, in order, each begun while the one before is in use; the same batches as without.

    Args:
        batch: Gives the batch of a step; called from one thread alone.
        active: False: nothing is begun ahead. A processor has no time to spare while it computes.

    Example:
        >>> with Ahead(lambda step: Batch(*[torch.full((1,), step)] * 3), active=True) as batches:
        ...     int(batches(3).source)
        3
    """

    def __init__(self, batch: Callable[[int], Batch], active: bool) -> None:
        self._batch = batch
        self._thread = ThreadPoolExecutor(1) if active else None
        self._begun: tuple[int, Future[Batch]] | None = None

    def __call__(self, step: int) -> Batch:
        """The batch of a step.

        Raises:
            Exception: What putting it together raised.
        """
        if self._thread is None:
            return self._batch(step)
        if self._begun is None or self._begun[0] != step:
            self._begun = (step, self._thread.submit(self._pinned, step))
        found = self._begun[1].result()
        self._begun = (step + 1, self._thread.submit(self._pinned, step + 1))
        return found

    def _pinned(self, step: int) -> Batch:
        """In memory from which a graphics processor copies by itself."""
        made = self._batch(step)
        if not torch.cuda.is_available():
            return made
        return Batch(*(part if part is None else part.pin_memory() for part in made))  # type: ignore[arg-type]

    def __enter__(self) -> Ahead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._thread.shutdown(wait=True, cancel_futures=True)
