from __future__ import annotations

import threading

import pytest
import torch

from recontrast.datasets.patches import Batch
from recontrast.training.ahead import Ahead


def batch_of(step: int) -> Batch:
    return Batch(*[torch.full((2,), float(step))] * 3)


@pytest.mark.parametrize("active", [False, True])
def test_batches_come_by_number_whatever_was_begun(active: bool) -> None:
    with Ahead(batch_of, active) as batches:
        assert [int(batches(step).source[0]) for step in (0, 1, 2, 7, 8, 2)] == [0, 1, 2, 7, 8, 2]


def test_the_next_one_is_begun_while_this_one_is_in_use() -> None:
    begun = threading.Event()

    def slow(step: int) -> Batch:
        if step == 1:
            begun.set()
        return batch_of(step)

    with Ahead(slow, active=True) as batches:
        batches(0)
        assert begun.wait(10)
    begun.clear()
    with Ahead(slow, active=False) as batches:
        batches(0)
    assert not begun.is_set()


def test_what_goes_wrong_is_raised_for_the_step_it_belongs_to() -> None:
    def broken(step: int) -> Batch:
        if step == 1:
            raise ValueError("no head in it")
        return batch_of(step)

    with Ahead(broken, active=True) as batches:
        batches(0)
        with pytest.raises(ValueError, match="no head"):
            batches(1)
    with Ahead(broken, active=True) as batches:
        batches(0)  # the next one fails, and nobody asks for it
