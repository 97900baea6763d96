"""Fewest steps: the grid of one contrast, its axes turned to RAS; the others are moved only when they have to be."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recontrast.errors import GeometryError
from recontrast.preparation.align import AlignSettings, align
from recontrast.preparation.recipes import PREPARATIONS, PlacedImage, RecipeOptions
from recontrast.preparation.resample import resample
from recontrast.volume import Volume, require_same_grid, same_grid

IN_PLACE_VOXELS = 0.25
"""An image on the grid already is left untouched when its head lies within this many voxels (mean, of the geometric
mean voxel size): interpolation would then cost more sharpness than it gains position."""


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
    grid = images[options.grid].reoriented("RAS")
    placed = {}
    for label, raw in images.items():
        if label == options.grid:
            placed[label] = PlacedImage(grid, np.eye(4))
        else:
            placed[label] = _place(raw.reoriented("RAS"), grid, options, f"{what} {label} to {options.grid}")
    return placed


def _place(raw: Volume, grid: Volume, options: RecipeOptions, what: str) -> PlacedImage:
    settings = AlignSettings(seed=options.seed)
    on_grid = same_grid(raw, grid)
    if not options.align:
        try:
            require_same_grid(raw, grid, what)
        except GeometryError as error:
            raise GeometryError(str(error).split("; run")[0] + "; prepare with align, or resample them first") from None
        return PlacedImage(Volume(raw.data, grid.affine), np.eye(4))
    found = align(raw, grid, settings, what)
    if on_grid and (options.trusted or found.moved_mm <= IN_PLACE_VOXELS * float(np.prod(grid.spacing)) ** (1 / 3)):
        return PlacedImage(Volume(raw.data, grid.affine), np.eye(4), residual=found.transform)
    moved = resample(raw, grid, found.transform, "cubic")
    seen = resample(raw.with_data(np.ones(raw.shape, bool)), grid, found.transform, "nearest").data
    again = align(moved, grid, settings, f"{what}, second look")
    return PlacedImage(moved, found.transform, True, found.moved_mm, again.transform, seen)
