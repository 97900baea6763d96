"""Ways to prepare a case. One file per way; the folder is the list.

A recipe is a function `(images, options, what) -> PlacedCase`: raw images in, images on one grid out. It reads and
writes no files, and fits no intensity scale: the pipeline does that for all recipes alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recontrast.registry import Registry
from recontrast.volume import Volume


@dataclass(frozen=True, kw_only=True)
class RecipeOptions:
    """What a recipe needs to know beside the images."""

    grid: str
    """contrast whose grid the case gets"""

    align: bool = True
    """whether contrasts are aligned rigidly to the grid contrast"""

    trusted: bool = False
    """whether images that share a grid are known to be aligned (the data set says so by a space entity)"""

    seed: int = 0
    """seed of the alignment"""


@dataclass(frozen=True)
class PlacedImage:
    """One contrast on the grid of its case, in native units.

    Attributes:
        volume: The image, float32.
        head: Its head mask, boolean on the grid.
        zero_background: Whether the background is exactly zero, as in a skull-stripped image.
        transform: World of the grid to world of the raw image (RAS+ mm, 4x4).
        interpolated: Whether values were interpolated; False: the raw voxels, at most turned.
        moved_mm: Mean movement of the head that was found and undone, mm; 0 when the image was left in place.
        residual: What a second look finds left (world of the grid contrast to world of this image, 4x4); None where
            nothing was looked for.
        seen: Where the raw image has voxels, boolean on the grid; None: everywhere.
    """

    volume: Volume
    head: Volume
    zero_background: bool
    transform: NDArray[np.float64]
    interpolated: bool = False
    moved_mm: float = 0.0
    residual: NDArray[np.float64] | None = None
    seen: NDArray[np.bool_] | None = None


Recipe = Callable[[Mapping[str, Volume], RecipeOptions, str], dict[str, PlacedImage]]

PREPARATIONS: Registry[Recipe] = Registry("preparation recipe", "recontrast.preparation.recipes")
"""All ways to prepare a case, by name."""
