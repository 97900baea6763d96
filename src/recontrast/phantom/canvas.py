"""Painting tissues onto a grid: each layer covers what lies below it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import UnknownNameError
from recontrast.phantom.grids import Array, Grid

Point = tuple[float, float, float]


def soft(values: NDArray[np.floating]) -> Array:
    """0 below -0.5, 1 above 0.5, linear between: a surface seen by a voxel that it cuts."""
    return np.clip(np.asarray(values, np.float32) + np.float32(0.5), 0, 1)


class Canvas:
    """Fractions of tissues on a grid; starts as air.

    Args:
        grid: The voxels.
        tissues: Names, in the order of the first axis of `fractions`.
    """

    def __init__(self, grid: Grid, tissues: Sequence[str]) -> None:
        self.grid = grid
        self.tissues = tuple(tissues)
        self.fractions: Array = np.zeros((len(self.tissues), *grid.shape), np.float32)
        x, y, z = grid.axes()
        self.axes = (x[:, None, None], y[None, :, None], z[None, None, :])

    def index(self, tissue: str) -> int:
        """Position of a tissue in `fractions`."""
        if tissue not in self.tissues:
            raise UnknownNameError.among("tissue", tissue, self.tissues)
        return self.tissues.index(tissue)

    def lay(self, tissue: str, cover: NDArray[np.floating], box: tuple[slice, ...] = ()) -> None:
        """Cover what is there with a tissue (`air` removes it).

        Args:
            tissue: What is laid.
            cover: Share that is covered, 0 to 1, shape of the grid or of the box.
            box: Slices of the three axes; empty: everywhere.
        """
        part = self.fractions[(slice(None), *box)]
        cover = np.asarray(cover, np.float32)
        part *= 1 - cover
        if tissue != "air":
            part[self.index(tissue)] += cover

    def box(self, low: Sequence[float], high: Sequence[float]) -> tuple[slice, slice, slice] | None:
        """Voxels between two corners in mm, or None when there are none."""
        slices = []
        for axis, a, b in zip(self.grid.axes(), low, high, strict=True):
            first, last = int(np.searchsorted(axis, a)), int(np.searchsorted(axis, b, side="right"))
            if first >= last:
                return None
            slices.append(slice(first, last))
        return (slices[0], slices[1], slices[2])

    def ellipsoid(self, centre: Point, radii: Point) -> Array:
        """About the depth below an ellipsoid's surface in mm, negative outside, on the whole grid."""
        scaled = [(axis - c) / r for axis, c, r in zip(self.axes, centre, radii, strict=True)]
        radius = np.sqrt(scaled[0] ** 2 + scaled[1] ** 2 + scaled[2] ** 2)
        return np.asarray((1 - radius) * min(radii), np.float32)

    def column(self, centre: tuple[float, float], radii: tuple[float, float]) -> Array:
        """Share inside an upright elliptic cylinder, on the whole grid."""
        x, y, _ = self.axes
        radius = np.sqrt(((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2)
        return np.broadcast_to(soft((1 - radius) * min(radii) / self.grid.spacing[0]), self.grid.shape)

    def blob(self, tissue: str, centre: Point, radii: Point, share: float = 1.0, limit: Array | None = None) -> None:
        """Lay an ellipsoid.

        Args:
            tissue: What it is made of.
            centre: Its centre, mm.
            radii: Its half axes, mm.
            share: How much of what is there it covers.
            limit: Cover is multiplied by this (shape of the grid).
        """
        margin = self.grid.spacing[0]
        low = [c - r - margin for c, r in zip(centre, radii, strict=True)]
        high = [c + r + margin for c, r in zip(centre, radii, strict=True)]
        box = self.box(low, high)
        if box is None:
            return
        scaled = [(axis[s] - c) / r for axis, s, c, r in zip(self.grid.axes(), box, centre, radii, strict=True)]
        radius = np.sqrt(scaled[0][:, None, None] ** 2 + scaled[1][None, :, None] ** 2 + scaled[2][None, None, :] ** 2)
        cover = soft((1 - radius) * min(radii) / margin) * np.float32(share)
        self.lay(tissue, cover if limit is None else cover * limit[box], box)

    def tube(self, tissue: str, points: Sequence[Point], radius_mm: float, limit: Array | None = None) -> None:
        """Lay a tube along a broken line.

        Args:
            tissue: What it is made of.
            points: Corners of the line, mm.
            radius_mm: Radius; tubes thinner than a voxel cover it in part.
            limit: Cover is multiplied by this (shape of the grid).
        """
        step = self.grid.spacing[0]
        margin = radius_mm + step
        for start, end in pairwise(points):
            box = self.box([min(a, b) - margin for a, b in zip(start, end, strict=True)],
                           [max(a, b) + margin for a, b in zip(start, end, strict=True)])  # fmt: skip
            if box is None:
                continue
            away = self._distance_to_segment(box, np.array(start, float), np.array(end, float))
            # A tube thinner than a voxel keeps its cross-section: it covers less than all of the voxel.
            thin = min(1.0, (2 * radius_mm / step) ** 2)
            cover = soft((radius_mm - away) / step) * np.float32(thin)
            self.lay(tissue, cover if limit is None else cover * limit[box], box)

    def _distance_to_segment(
        self, box: tuple[slice, ...], start: NDArray[np.float64], end: NDArray[np.float64]
    ) -> Array:
        along = end - start
        x, y, z = (axis[s] for axis, s in zip(self.grid.axes(), box, strict=True))
        offset = [x[:, None, None] - start[0], y[None, :, None] - start[1], z[None, None, :] - start[2]]
        place = sum(o * a for o, a in zip(offset, along, strict=True)) / float(along @ along)
        place = np.clip(place, 0, 1)
        return np.asarray(np.sqrt(sum((o - place * a) ** 2 for o, a in zip(offset, along, strict=True))), np.float32)
