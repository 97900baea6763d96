"""Linear interpolation of many sparse maps at the same positions.

Most tissues fill a small part of a head. What the maps share (the cell a position lies in, its place within the cell)
is computed once, and each map is read only where one of the eight corners of the cell holds anything.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recontrast.phantom.grids import Array


def occupied_cells(maps: Sequence[NDArray[np.uint8]]) -> NDArray[np.unsignedinteger]:
    """Which maps hold anything at the corners of each cell: bit n stands for map n.

    Args:
        maps: Arrays of one shape (I, J, K), at most 64.

    Returns:
        Shape (I, J, K); the cell (i, j, k) has its corners at i and i + 1, j and j + 1, k and k + 1.

    Example:
        >>> occupied_cells([np.eye(2, dtype=np.uint8)[None]])[0, :, 0].tolist()
        [1, 1]
    """
    bits = np.zeros(maps[0].shape, np.min_scalar_type((1 << len(maps)) - 1))
    for number, values in enumerate(maps):
        bits |= (values > 0).astype(bits.dtype) << bits.dtype.type(number)
    for axis in range(3):
        along = np.moveaxis(bits, axis, 0)
        along[:-1] |= along[1:]
    return bits


class Lookup:
    """Where each voxel of an image looks up the maps.

    Args:
        positions: Voxel coordinates in the maps, shape (3, I, J, K).
        cells: From `occupied_cells`.

    Example:
        >>> ramp = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
        >>> middle = np.full((3, 1, 1, 1), 0.5, np.float32)
        >>> Lookup(middle, occupied_cells([ramp])).read(ramp, 0).tolist()
        [[[3.5]]]
    """

    def __init__(self, positions: Array, cells: NDArray[np.unsignedinteger]) -> None:
        self.shape = positions.shape[1:]
        self._strides = [int(np.prod(cells.shape[axis + 1 :])) for axis in range(3)]
        corner = np.zeros(self.shape, np.int32)
        inside = np.ones(self.shape, bool)
        within = []
        for axis, count in enumerate(cells.shape):
            place = positions[axis]
            inside &= (place >= 0) & (place <= count - 1)
            # The last voxel belongs to the last cell; places outside are read nowhere.
            low = np.clip(place, 0, max(count - 2, 0)).astype(np.int32)
            within.append((place - low).astype(np.float32, copy=False).reshape(-1))
            corner += low * np.int32(self._strides[axis])
        self._corner = corner.reshape(-1)
        self._within = within
        self._occupied = np.where(inside.reshape(-1), cells.reshape(-1)[self._corner], 0)

    def read(self, values: NDArray[np.uint8], number: int) -> Array:
        """Values of map `number`, interpolated linearly; zero outside. Shape (I, J, K), float32."""
        result = np.zeros(self._corner.size, np.float32)
        where = np.flatnonzero(self._occupied & self._occupied.dtype.type(1 << number))
        if where.size:
            flat, corner = values.reshape(-1), self._corner[where]
            result[where] = self._between(flat, corner, where, 0)
        return result.reshape(self.shape)

    def _between(self, flat: NDArray[np.uint8], corner: NDArray[np.int32], where: NDArray[np.intp], axis: int) -> Array:
        """Interpolate along `axis` and the axes after it."""
        if axis == 3:
            # One slice has no neighbour: its weight is zero, and the index must stay in the array.
            return np.asarray(flat.take(corner, mode="clip"), np.float32)
        low = self._between(flat, corner, where, axis + 1)
        high = self._between(flat, corner + np.int32(self._strides[axis]), where, axis + 1)
        high -= low
        high *= self._within[axis][where]
        low += high
        return low
