"""Ways to prepare a case. One file per way; the folder is the list.

A recipe is a function `(images, options, what) -> PlacedCase`: raw images in, images on one grid out. It reads and
writes no files, and fits no intensity scale: the pipeline does that for all recipes alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recontrast.preparation.normalize import ScaleSettings
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

    size: tuple[int, ...] = ()
    """voxels along right, anterior, superior of recipes with a grid of a given size; empty: the recipe's own"""

    brain: Volume | None = None
    """brain mask on the grid of the grid contrast's raw image; given to recipes that need it"""

    span: tuple[int, int] | None = None
    """first and last axial slice, chosen by hand"""


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
        steps: What else was done to the values, for the sidecar ("N4 bias field, knots 600 mm").
    """

    volume: Volume
    head: Volume
    zero_background: bool
    transform: NDArray[np.float64]
    interpolated: bool = False
    moved_mm: float = 0.0
    residual: NDArray[np.float64] | None = None
    seen: NDArray[np.bool_] | None = None
    steps: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What the pipeline must know of a recipe before it runs it."""

    scale: ScaleSettings = field(default_factory=ScaleSettings)
    """intensity scale, unless the user names another"""

    needs_brain: bool = False
    """whether it needs a brain mask of the grid contrast"""

    shared_scale: tuple[str, ...] = ()
    """suffixes whose images share one scale when it is fitted to the cohort"""

    sized: bool = False
    """whether it looks at `RecipeOptions.size`"""

    cut: bool = False
    """whether it looks at `RecipeOptions.span`"""


Recipe = Callable[[Mapping[str, Volume], RecipeOptions, str], dict[str, PlacedImage]]

PREPARATIONS: Registry[Recipe] = Registry("preparation recipe", "recontrast.preparation.recipes")
"""All ways to prepare a case, by name."""

_TRAITS: dict[str, Traits] = {}


def preparation(name: str, traits: Traits) -> Callable[[Recipe], Recipe]:
    """Decorator: make a function known as a recipe with these traits."""

    def keep(recipe: Recipe) -> Recipe:
        _TRAITS[name] = traits
        return PREPARATIONS.register(name)(recipe)

    return keep


def traits_of(name: str) -> Traits:
    """Traits of a recipe.

    Raises:
        UnknownNameError: There is no such recipe.

    Example:
        >>> traits_of("t1-linear").scale.name
        'minmax'
    """
    PREPARATIONS.get(name)
    return _TRAITS.get(name, Traits())
