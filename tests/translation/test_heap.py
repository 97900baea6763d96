"""Where blocks lie decides how much memory a program takes."""

from __future__ import annotations

import itertools
import random

import pytest

from recontrast.translation.heap import GRAIN, Heap


def test_the_smallest_hole_that_holds_a_block_is_taken() -> None:
    heap = Heap()
    places = [heap.take(size * GRAIN) for size in (8, 1, 5, 1)]
    heap.give(places[0])
    heap.give(places[2])
    assert heap.take(2 * GRAIN) == places[2]
    assert heap.take(4 * GRAIN) == places[0]
    assert heap.most == 15 * GRAIN


def test_a_block_does_not_fit_where_one_of_its_size_was() -> None:
    heap = Heap()
    first = heap.take(8 * GRAIN)
    heap.take(1)
    heap.give(first)
    assert heap.take(8 * GRAIN) == 9 * GRAIN


def test_holes_that_touch_become_one_and_the_top_comes_down() -> None:
    heap = Heap()
    places = [heap.take(4 * GRAIN) for _ in range(4)]
    heap.give(places[1])
    heap.give(places[2])
    assert heap.take(6 * GRAIN) == places[1]
    heap.give(places[3])
    heap.give(places[1])
    assert heap.take(20 * GRAIN) == places[1]
    assert heap.most == 24 * GRAIN


def test_a_small_block_that_stays_costs_the_hole_below_it() -> None:
    heap = Heap()
    large = heap.take(1000 * GRAIN)
    heap.take(1)
    heap.give(large)
    heap.take(1001 * GRAIN)
    assert heap.most == 2002 * GRAIN  # a count of living bytes says 1002


@pytest.mark.parametrize("seed", range(3))
def test_blocks_never_overlap(seed: int) -> None:
    draw, heap = random.Random(seed), Heap()
    living: dict[int, int] = {}
    for _ in range(400):
        if living and draw.random() < 0.45:
            place = draw.choice(sorted(living))
            heap.give(place)
            del living[place]
        else:
            size = draw.randint(1, 4000)
            living[heap.take(size)] = size
        ends = sorted((place, place + size) for place, size in living.items())
        assert all(end <= following for (_, end), (following, _) in itertools.pairwise(ends))
    assert heap.most >= max(place + size for place, size in living.items())
