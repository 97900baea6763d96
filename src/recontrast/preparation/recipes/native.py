"""Fewest steps: the grid of one contrast, its axes turned to RAS; the others are moved only when they have to be."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import GeometryError, RecontrastWarning
from recontrast.preparation.align import AlignSettings, align
from recontrast.preparation.mask import find_head
from recontrast.preparation.recipes import PREPARATIONS, PlacedImage, RecipeOptions
from recontrast.preparation.resample import resample
from recontrast.volume import Volume, require_same_grid, same_grid

IN_PLACE_VOXELS = 0.25
"""An image on the grid already is left untouched when its head lies within this many voxels (mean, of the geometric
mean voxel size): interpolation would then cost more sharpness than it gains position."""

FEWEST_SLICES = 4
"""Images with fewer slices are not aligned: a search in six directions would find something, but not the movement."""


@PREPARATIONS.register("native")
def native(images: Mapping[str, Volume], options: RecipeOptions, what: str) -> dict[str, PlacedImage]:
    """Put all contrasts of a case on the grid of one of them.

    The grid contrast is turned to RAS without interpolation. A contrast on that grid is turned the same way; it is
    kept untouched when its head lies where the grid contrast's does, and moved (one cubic interpolation) when the
    person moved in between. A contrast on another grid is aligned and interpolated once.

    Args:
        images: Contrast label to raw image.
        options: See `RecipeOptions`.
        what: Key of the case, for messages.

    Returns:
        Contrast label to placed image, in the order of `images`.

    Raises:
        GeometryError: A contrast lies on another grid and `align` is off, or alignment failed.
    """
    grid = _Turned.of(images[options.grid])
    placed = {}
    for label, raw in images.items():
        if label == options.grid:
            placed[label] = PlacedImage(grid.volume, grid.head, grid.zero_background, np.eye(4))
        else:
            placed[label] = _place(_Turned.of(raw), grid, options, f"{what} {label} to {options.grid}")
    return placed


@dataclass(frozen=True)
class _Turned:
    """A raw image with its axes along RAS, and its head."""

    volume: Volume
    head: Volume
    zero_background: bool

    @classmethod
    def of(cls, raw: Volume) -> _Turned:
        volume = raw.reoriented("RAS")
        return cls(volume, *find_head(volume))


def _place(raw: _Turned, grid: _Turned, options: RecipeOptions, what: str) -> PlacedImage:
    if not options.align:
        _require_grid(raw.volume, grid.volume, what)
        return _untouched(raw, grid, None)
    on_grid = same_grid(raw.volume, grid.volume)
    if min(*raw.volume.shape, *grid.volume.shape) < FEWEST_SLICES:
        if on_grid:
            return _untouched(raw, grid, None)
        warnings.warn(f"{what}: too few slices to align; placed as the headers say", RecontrastWarning, stacklevel=4)
        return _moved(raw, grid, np.eye(4), 0.0)
    settings = AlignSettings(seed=options.seed)
    found = align(raw.volume, grid.volume, settings, what, (raw.head, grid.head))
    tolerated = IN_PLACE_VOXELS * float(np.prod(grid.volume.spacing)) ** (1 / 3)
    if on_grid and (options.trusted or found.moved_mm <= tolerated):
        return _untouched(raw, grid, found.transform)
    placed = _moved(raw, grid, found.transform, found.moved_mm)
    look = AlignSettings(levels_mm=(2.0,), samples=30_000, search_samples=0, seed=options.seed)
    again = align(placed.volume, grid.volume, look, f"{what}, second look", (placed.head, grid.head))
    return replace(placed, residual=again.transform)


def _untouched(raw: _Turned, grid: _Turned, residual: NDArray[np.float64] | None) -> PlacedImage:
    """The raw voxels; the affine is that of the grid to the last bit."""
    volume, head = (Volume(v.data, grid.volume.affine) for v in (raw.volume, raw.head))
    return PlacedImage(volume, head, raw.zero_background, np.eye(4), residual=residual)


def _moved(raw: _Turned, grid: _Turned, transform: NDArray[np.float64], moved_mm: float) -> PlacedImage:
    volume = resample(raw.volume, grid.volume, transform, "cubic")
    everywhere = raw.volume.with_data(np.ones(raw.volume.shape, bool))
    seen = resample(everywhere, grid.volume, transform, "nearest").data
    return PlacedImage(volume, *find_head(volume), transform, True, moved_mm, None, seen)


def _require_grid(raw: Volume, grid: Volume, what: str) -> None:
    try:
        require_same_grid(raw, grid, what)
    except GeometryError as error:
        raise GeometryError(f"{str(error).split('; run')[0]}; prepare with align, or resample them first") from None
