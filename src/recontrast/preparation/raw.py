"""Prepare raw images in memory, as `recontrast prepare` does to files: for images that a translator is to work on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from recontrast.preparation.brain import BUILT_IN, find_brain
from recontrast.preparation.normalize import Scale, ScaleSettings, fit_scale
from recontrast.preparation.placement import Placement
from recontrast.preparation.recipes import PREPARATIONS, RecipeOptions, traits_of
from recontrast.volume import Volume


@dataclass(frozen=True)
class PreparedImage:
    """A raw image on the prepared grid.

    Attributes:
        volume: The image, native units.
        head: Its head mask.
        scale: Native units to the network's.
        placement: The way back to the raw grid.
    """

    volume: Volume
    head: Volume
    scale: Scale
    placement: Placement


def prepare_raw(
    images: Mapping[str, Volume], recipe: str, options: RecipeOptions, scale: ScaleSettings, what: str
) -> dict[str, PreparedImage]:
    """Prepare the images of one case by a recipe; the same input gives what `recontrast prepare` writes.

    Args:
        images: Contrast label to raw image, native units, any grid and orientation.
        recipe: Name of the recipe.
        options: See `RecipeOptions`; where the recipe needs a brain mask and none is given, it is found (built in).
        scale: Intensity scale; with numbers where it is `fixed`.
        what: Names the case in messages.

    Raises:
        UnknownNameError: There is no such recipe.
        RecontrastError: The case cannot be prepared; the message says why.

    Example:
        >>> options = RecipeOptions(grid="T1w")
        >>> prepared = prepare_raw({"T1w": t1w}, "t1-linear", options, scale, "sub-01")  # doctest: +SKIP
        >>> native = prepared["T1w"].placement.to_source(synthetic)  # doctest: +SKIP
    """
    if options.brain is None and traits_of(recipe).needs_brain:
        options = replace(options, brain=find_brain(images[options.grid], BUILT_IN, what))
    placed = PREPARATIONS.get(recipe)(images, options, what)
    return {
        label: PreparedImage(
            image.volume,
            image.head,
            fit_scale(image.volume, scale, image.head, label),
            Placement.of(images[label], image.transform),
        )
        for label, image in placed.items()
    }
