"""Axis-aligned grids, and operations on them that are products of one matrix per axis.

Everything here is deterministic when the linear algebra library runs on one thread (`cohort` sees to that).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Matrices = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]


@dataclass(frozen=True)
class Grid:
    """Voxel centres of an image whose axes run along R, A and S.

    Attributes:
        shape: Number of voxels along each axis.
        spacing: Distance of voxel centres in mm.
        origin: World position of voxel (0, 0, 0) in mm.

    Example:
        >>> Grid((4, 4, 4), (2.0, 2.0, 3.0), (0.0, 0.0, 0.0)).axes()[2].tolist()
        [0.0, 3.0, 6.0, 9.0]
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]

    @property
    def affine(self) -> NDArray[np.float64]:
        """Voxel indices to RAS+ millimetres, shape (4, 4)."""
        affine = np.diag([*self.spacing, 1.0])
        affine[:3, 3] = self.origin
        return affine

    def axes(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """World coordinates of the voxel centres along each axis, mm."""
        x, y, z = (
            np.asarray(o + s * np.arange(n), np.float64)
            for n, s, o in zip(self.shape, self.spacing, self.origin, strict=True)
        )
        return x, y, z

    def positions_in(self, other: Grid) -> tuple[NDArray[np.float64], ...]:
        """Where this grid's voxel centres lie along each axis of `other`, in voxels of `other`."""
        return tuple((a - o) / s for a, o, s in zip(self.axes(), other.origin, other.spacing, strict=True))


def covering(low: tuple[float, ...], high: tuple[float, ...], spacing: float) -> Grid:
    """The smallest isotropic grid that starts at `low` and reaches `high` (mm)."""
    i, j, k = (int(np.ceil((b - a) / spacing - 1e-9)) + 1 for a, b in zip(low, high, strict=True))
    x, y, z = low
    return Grid((i, j, k), (spacing, spacing, spacing), (x, y, z))


def linear_matrix(count: int, positions: NDArray[np.float64]) -> NDArray[np.float32]:
    """Linear interpolation of `count` samples at `positions` (voxels); the ends are held outside.

    Returns:
        Matrix of shape (len(positions), count).
    """
    inside = np.clip(positions, 0, count - 1)
    lower = np.minimum(inside.astype(int), max(count - 2, 0))
    weight = inside - lower
    matrix = np.zeros((len(positions), count), np.float32)
    rows = np.arange(len(positions))
    matrix[rows, lower] = 1 - weight
    if count > 1:
        matrix[rows, lower + 1] += weight
    return matrix


def spline_matrix(count: int, positions: NDArray[np.float64]) -> NDArray[np.float32]:
    """Cubic B-spline basis functions of `count` control points at `positions` (in control points).

    Returns:
        Matrix of shape (len(positions), count).
    """
    distance = np.abs(positions[:, None] - np.arange(count)[None, :])
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.where(distance < 1, near, far).astype(np.float32)


def box_matrix(count: int, positions: NDArray[np.float64], width: float) -> NDArray[np.float32]:
    """Average over boxes of `width` voxels around `positions`; each row sums to one unless it leaves the image.

    Returns:
        Matrix of shape (len(positions), count).
    """
    low, high = positions[:, None] - width / 2, positions[:, None] + width / 2
    centre = np.arange(count)[None, :]
    overlap = np.minimum(high, centre + 0.5) - np.maximum(low, centre - 0.5)
    return (np.clip(overlap, 0, None) / width).astype(np.float32)


def apply_matrices(data: NDArray[Any], matrices: Matrices) -> NDArray[Any]:
    """Multiply each axis of `data` (I, J, K) by its matrix; returns an array of the matrices' row counts."""
    first, second, third = matrices
    # The last axis first: slabs of few slices are cut out of whole heads.
    along = np.matmul(second, data @ third.T)
    i, j, k = along.shape
    return (first @ along.reshape(i, j * k)).reshape(-1, j, k)


def resample_linear(data: NDArray[Any], grid: Grid, target: Grid) -> Array:
    """Values of `data` on `grid`, interpolated linearly at the voxels of `target`."""
    a, b, c = (linear_matrix(n, p) for n, p in zip(grid.shape, target.positions_in(grid), strict=True))
    return np.asarray(apply_matrices(data.astype(np.float32, copy=False), (a, b, c)))


def average_boxes(data: NDArray[Any], grid: Grid, target: Grid) -> Array:
    """Mean of `data` on `grid` over the voxels of `target` (partial volume)."""
    a, b, c = (
        box_matrix(n, p, wide / narrow)
        for n, p, wide, narrow in zip(grid.shape, target.positions_in(grid), target.spacing, grid.spacing, strict=True)
    )
    return np.asarray(apply_matrices(data.astype(np.float32, copy=False), (a, b, c)))


def control_grid(grid: Grid, spacing_mm: float) -> Grid:
    """Control points `spacing_mm` apart whose splines cover `grid`.

    The points lie on multiples of the spacing in world coordinates, so that they do not depend on the grid's spacing.
    """
    low = [np.floor(a[0] / spacing_mm) - 1 for a in grid.axes()]
    high = [np.ceil(a[-1] / spacing_mm) + 1 for a in grid.axes()]
    i, j, k = (int(b - a) + 1 for a, b in zip(low, high, strict=True))
    x, y, z = (float(a * spacing_mm) for a in low)
    return Grid((i, j, k), (spacing_mm,) * 3, (x, y, z))


def spread_spline(coefficients: NDArray[Any], control: Grid, grid: Grid) -> Array:
    """Cubic B-spline with `coefficients` at the points of `control`, at the voxels of `grid`."""
    a, b, c = (spline_matrix(n, p) for n, p in zip(control.shape, grid.positions_in(control), strict=True))
    return np.asarray(apply_matrices(coefficients.astype(np.float32, copy=False), (a, b, c)))


SPLINE_VARIANCE = 0.479**3
"""Mean variance of a cubic B-spline with independent coefficients of unit variance in three dimensions."""


def smooth_field(rng: np.random.Generator, grid: Grid, correlation_mm: float, region: Grid) -> Array:
    """A smooth random field of about unit standard deviation.

    The random numbers belong to control points that cover `region`, so two grids inside one region
    see the same field.

    Args:
        rng: Source of random numbers; the same state gives the same field.
        grid: Where the field is wanted.
        correlation_mm: Distance of the control points.
        region: Grid that says how far the field reaches; only its extent counts.
    """
    control = control_grid(region, correlation_mm)
    coefficients = rng.standard_normal(control.shape, dtype=np.float32) / np.float32(np.sqrt(SPLINE_VARIANCE))
    return spread_spline(coefficients, control, grid)
