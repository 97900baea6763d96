"""Batches made ahead: in their order, whatever the threads do, and what goes wrong in one is not lost."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from recontrast.datasets.ahead import QUIET, Ahead, threads_ahead
from recontrast.datasets.patches import Batch


def numbered(step: int) -> Batch:
    return Batch(torch.full((1, 1, 2, 2), float(step)), torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2).bool())


def later_first(step: int) -> Batch:
    time.sleep(0.02 if step % 2 == 0 else 0)
    return numbered(step)


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_they_come_in_order_from_the_first_one_on(threads: int) -> None:
    with Ahead(later_first, first=5, threads=threads) as ahead:
        assert [int(ahead.take().source[0, 0, 0, 0]) for _ in range(9)] == list(range(5, 14))


def test_they_are_made_before_they_are_asked_for() -> None:
    made, enough = [], threading.Event()

    def make(step: int) -> Batch:
        made.append(step)
        if len(made) == 4:
            enough.set()
        return numbered(step)

    with Ahead(make, first=0, threads=2) as ahead:
        ahead.take()
        assert enough.wait(10)
    assert sorted(made)[:4] == [0, 1, 2, 3]


def test_without_threads_nothing_is_made_too_early() -> None:
    made: list[int] = []
    with Ahead(lambda step: made.append(step) or numbered(step), first=2, threads=0) as ahead:
        ahead.take()
    assert made == [2]


def test_memory_is_left_alone_while_others_record(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[torch.Tensor] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self) or self)
    with Ahead(numbered, first=0, threads=2) as ahead:
        with QUIET:
            ahead._waiting.append(ahead._threads.submit(ahead._pinned, 0))  # type: ignore[union-attr]
            time.sleep(0.1)
            assert not pinned
        assert ahead.take().source.shape == (1, 1, 2, 2)
    assert len(pinned) >= 3


def test_an_error_comes_where_its_batch_is_asked_for() -> None:
    def make(step: int) -> Batch:
        if step == 1:
            raise OSError("the cache is gone")
        return numbered(step)

    with Ahead(make, first=0, threads=2) as ahead:
        ahead.take()
        with pytest.raises(OSError, match="the cache is gone"):
            ahead.take()


def test_a_processor_computes_and_makes_nothing_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert threads_ahead("cpu") == 0
    for cores, ranks, threads in ((64, 1, 8), (8, 1, 7), (8, 4, 1), (1, 1, 1)):
        monkeypatch.setattr("recontrast.datasets.ahead.available_cores", lambda cores=cores: cores)
        assert threads_ahead("cuda", ranks) == threads
