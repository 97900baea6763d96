"""The heap of the C library, as far as it decides how much memory a program takes."""

from __future__ import annotations

from bisect import bisect_left, insort

GRAIN = 64
"""Blocks of tensors begin at multiples of this."""

_MORE = GRAIN + 32
"""Bytes that a hole must have beyond the block: glibc up to 2.37 asks for them before it aligns, so that a block never
goes into the hole that one of its own size has left between two others."""


class Heap:
    """Places of blocks in a heap that is never given back: what lies between living blocks is taken, too.

    A block is cut from the smallest hole that holds it, else from the top; holes that touch become one. That is what
    glibc does with blocks larger than a kilobyte, and with the settings of
    `recontrast.execution.runtime.allocator_environment` with blocks of every size.

    Example:
        >>> heap = Heap()
        >>> first, second = heap.take(128), heap.take(64)
        >>> heap.give(first)
        >>> _ = heap.take(128)  # does not go where the first one was
        >>> heap.most
        320
    """

    def __init__(self) -> None:
        self.most = 0
        """Highest top there was, bytes."""
        self._top = 0
        self._holes: list[tuple[int, int]] = []  # first and last + 1 byte, sorted
        self._taken: dict[int, int] = {}  # first byte to size

    def take(self, size: int) -> int:
        """Place a block of `size` bytes; returns where."""
        size = max(GRAIN, -(-size // GRAIN) * GRAIN)
        fitting = [(end - start, start) for start, end in self._holes if end - start >= size + _MORE]
        if fitting:
            room, place = min(fitting)
            index = bisect_left(self._holes, (place, place + room))
            if room == size:
                del self._holes[index]
            else:
                self._holes[index] = (place + size, place + room)
        else:
            place = self._top
            self._top += size
            self.most = max(self.most, self._top)
        self._taken[place] = size
        return place

    def give(self, place: int) -> None:
        """Free the block at `place`."""
        start, end = place, place + self._taken.pop(place)
        index = bisect_left(self._holes, (start, end))
        if index < len(self._holes) and self._holes[index][0] == end:
            end = self._holes.pop(index)[1]
        if index > 0 and self._holes[index - 1][1] == start:
            start = self._holes.pop(index - 1)[0]
        if end == self._top:
            self._top = start
        else:
            insort(self._holes, (start, end))
