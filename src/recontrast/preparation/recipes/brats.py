"""Brain slices, resized: what Osman 2022 does to BraTS, whose images come aligned and skull-stripped."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recontrast.errors import ConfigError
from recontrast.preparation.mask import find_head
from recontrast.preparation.normalize import ScaleSettings
from recontrast.preparation.recipes import PlacedImage, RecipeOptions, Traits, preparation
from recontrast.preparation.recipes.native import native
from recontrast.preparation.regrid import onto, resized, window, windowed
from recontrast.preparation.slices import slices_of
from recontrast.volume import Volume

SIZE = 224
"""Voxels of a slice along right and anterior."""


@preparation("brats", Traits(scale=ScaleSettings(name="minmax"), needs_brain=True, sized=True, cut=True))
def brats(images: Mapping[str, Volume], options: RecipeOptions, what: str) -> dict[str, PlacedImage]:
    """Axial slices with brain, on squares of 224 by 224 voxels.

    The field of view is filled up to a square and resized as a whole (BraTS: 240 to 224 voxels of 1.07 mm), with one
    cubic interpolation; nothing is squeezed. Contrasts that lie on other grids, or moved, are aligned first.

    The scale is that of the paper: z-score over the brain, then to [0, 1]. The two together are the same as minimum
    and maximum to [0, 1], for both are linear.

    Args:
        images: Contrast label to raw image.
        options: See `RecipeOptions`; `size` may name right and anterior, or all three (the third is not used).
        what: Key of the case, for messages.

    Raises:
        GeometryError: No slice shows brain, the grid has no slice that was chosen, or alignment failed.
        ConfigError: A wrong size.
    """
    wanted = options.size[:2] or (SIZE, SIZE)
    if len(wanted) != 2 or min(wanted) < 1:
        raise ConfigError(f"--size {options.size}: recipe brats needs two numbers (voxels right and anterior)")
    placed = native(images, options, what)
    brain = brain_of(placed[options.grid], options)
    first, last = slices_of(brain, options.span, what)
    shape = brain.shape
    pixel_mm = max(n * step / want for n, step, want in zip(shape, brain.spacing, wanted, strict=False))
    if all(abs(step - pixel_mm) < 1e-3 for step in brain.spacing[:2]):
        square = (*wanted, last - first + 1)
        start = [-((want - have) // 2) for want, have in zip(wanted, shape, strict=False)] + [first]
        return {label: windowed(image, start, square) for label, image in placed.items()}
    fill = [round(want * pixel_mm / step) for want, step in zip(wanted, brain.spacing, strict=False)]
    start = [-((want - have) // 2) for want, have in zip(fill, shape, strict=False)] + [first]
    grid = resized(window(brain, start, (*fill, last - first + 1)), (*wanted, last - first + 1))
    return {label: onto(images[label].reoriented("RAS"), image, grid) for label, image in placed.items()}


def brain_of(grid: PlacedImage, options: RecipeOptions) -> Volume:
    """The brain mask that was given, along RAS; without one, the head of the (stripped) image."""
    if options.brain is None:
        return find_head(grid.volume)[0]
    return Volume(np.asarray(options.brain.reoriented("RAS").data, dtype=bool), grid.volume.affine)
