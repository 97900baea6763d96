"""Cubic voxels and one intensity scale a contrast for all subjects: Grant-Jacob 2021 mixes slices of three planes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recontrast.preparation.normalize import ScaleSettings
from recontrast.preparation.recipes import PlacedImage, RecipeOptions, Traits, preparation
from recontrast.preparation.recipes.native import native
from recontrast.preparation.regrid import onto, resized
from recontrast.volume import Volume

CUBIC = 1.05
"""Voxels whose longest side is within this factor of the shortest are left as they are."""


@preparation("fixed-scale", Traits(scale=ScaleSettings(name="fixed")))
def fixed_scale(images: Mapping[str, Volume], options: RecipeOptions, what: str) -> dict[str, PlacedImage]:
    """Own grid with cubic voxels, so that slices of all three planes look alike; grey levels keep their meaning.

    Placed as by `native`; a grid whose voxels are not cubes is replaced by one whose are, as small as the smallest
    side. One scale a contrast holds for all subjects: given by `--scale.contrasts`, or fitted to the training subjects.

    Args:
        images: Contrast label to raw image.
        options: See `RecipeOptions`.
        what: Key of the case, for messages.

    Raises:
        GeometryError: Alignment failed.
    """
    placed = native(images, options, what)
    grid = placed[options.grid].volume
    side = min(grid.spacing)
    if max(grid.spacing) <= CUBIC * side:
        return placed
    shape = [max(1, round(n * step / side)) for n, step in zip(grid.shape, grid.spacing, strict=True)]
    cubes = resized(Volume(np.zeros(grid.shape, np.uint8), grid.affine), shape)
    return {label: onto(images[label].reoriented("RAS"), image, cubes) for label, image in placed.items()}
