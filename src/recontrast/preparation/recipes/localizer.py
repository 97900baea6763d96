"""A localizer on the grid of the scan it prepares, in axial slices of 256 by 256: Tagawa 2025."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np

from recontrast.errors import ConfigError, RecontrastWarning
from recontrast.preparation.recipes import PlacedImage, RecipeOptions, Traits, preparation
from recontrast.preparation.recipes.brats import brain_of
from recontrast.preparation.recipes.native import native
from recontrast.preparation.regrid import centred_start, windowed
from recontrast.preparation.slices import slices_of
from recontrast.volume import Volume

SIZE = 256
"""Voxels of a slice along right and anterior."""


@preparation("localizer", Traits(needs_brain=True, sized=True, cut=True))
def localizer(images: Mapping[str, Volume], options: RecipeOptions, what: str) -> dict[str, PlacedImage]:
    """The localizer rigidly onto the grid of the target, brain slices only, each 256 by 256.

    The grid contrast (the target, for example an MPRAGE) keeps its voxels; the others are aligned to it and
    interpolated once. Slices are filled up with air or cut around the head by whole voxels: never squeezed.

    Args:
        images: Contrast label to raw image.
        options: See `RecipeOptions`; `size` may name right and anterior.
        what: Key of the case, for messages.

    Raises:
        GeometryError: No slice shows brain, the grid has no slice that was chosen, or alignment failed.
        ConfigError: A wrong size.
    """
    wanted = options.size[:2] or (SIZE, SIZE)
    if len(wanted) != 2 or min(wanted) < 1:
        raise ConfigError(f"--size {options.size}: recipe localizer needs two numbers (voxels right and anterior)")
    placed = native(images, options, what)
    target = placed[options.grid]
    first, last = slices_of(brain_of(target, options), options.span, what)
    shape = (*wanted, last - first + 1)
    start = [*centred_start(target.head.data, (*wanted, target.head.shape[2]))[:2], first]
    cut = {label: windowed(image, start, shape) for label, image in placed.items()}
    there = int(np.count_nonzero(target.head.data[:, :, first : last + 1]))
    lost = 1 - int(np.count_nonzero(cut[options.grid].head.data)) / max(1, there)
    if lost > _MOST_LOST:
        warnings.warn(
            f"{what}: {100 * lost:.0f} % of the head lie outside slices of {wanted[0]} x {wanted[1]} voxels; "
            "give a larger --size",
            RecontrastWarning,
            stacklevel=2,
        )
    return cut


_MOST_LOST = 0.01
"""Share of the head that may be cut off without a warning."""
