"""Raw images into a translator: prepared as its training images were, translated, brought back to their own grid."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from recontrast.errors import RecontrastWarning
from recontrast.preparation.placement import Placement
from recontrast.preparation.raw import prepare_raw
from recontrast.preparation.recipes import RecipeOptions
from recontrast.translation.description import TranslatorDescription
from recontrast.volume import Volume

if TYPE_CHECKING:
    from recontrast.translation.translator import Translation, Translator


def needs_preparing(about: TranslatorDescription) -> bool:
    """Whether raw images must be placed before the network sees them.

    One image under the recipe `native` is only turned, which the translator does itself.
    """
    placed = about.preparation
    return placed is not None and (placed.recipe != "native" or len(about.sources) > 1)


def translate_raw(
    translator: Translator, sources: Mapping[str, Volume], where: str, trusted: bool = False, harmonised: str = ""
) -> Translation:
    """Translate the raw images of one case; the result lies on the grid of the first source.

    The same as `prepare`, `translate` on the prepared images, and the way back (`Placement.to_source`): where the
    recipe only turned axes bit by bit, else with one cubic interpolation. Beyond the prepared grid the result is zero.

    Args:
        translator: The translator; it knows how its training images were prepared.
        sources: Contrast label to raw image, native units, any grid and orientation.
        where: Names the case in messages.
        trusted: Whether images that share a grid are known to be aligned.
        harmonised: Contrast that the source is in truth, where it is taken for that of the translator.

    Raises:
        MissingContrastError: A source the translator needs is not given.
        RecontrastError: The images cannot be prepared or translated; the message says why.

    Example:
        >>> translate_raw(load_translator(Path("run")), {"T1w": t1w}, "sub-01").volume  # doctest: +SKIP
    """
    about = translator.description
    placed = about.preparation
    if placed is None or not needs_preparing(about):
        return translator.run(sources, where=where)
    raw = translator.in_order(sources, where)
    first = about.sources[0]
    grid = placed.grid if placed.grid in raw else first
    if placed.grid not in (*raw, harmonised) and placed.recipe != "native":
        warnings.warn(
            f"{where}: the training images lay on the grid of {placed.grid}, which a raw case does not have; that of "
            f"{first} is used: prepare it with a scan of {placed.grid} for the grid of the training",
            RecontrastWarning,
            stacklevel=2,
        )
    options = RecipeOptions(grid=grid, align=placed.align, trusted=trusted, seed=placed.seed, size=placed.size)
    images = prepare_raw(raw, placed.recipe, options, about.scale_settings, where)
    made = translator.run(
        {label: image.volume for label, image in images.items()},
        scales={label: image.scale for label, image in images.items()},
        where=where,
    )
    placement = images[first].placement
    uncertainty = made.uncertainty and _widths_of_source(made.uncertainty, placement)
    rarity = made.rarity and placement.to_source(made.rarity, "linear")  # 0, never seen, beyond the prepared grid
    return dataclasses.replace(made, volume=placement.to_source(made.volume), uncertainty=uncertainty, rarity=rarity)


def _widths_of_source(widths: Volume, placement: Placement) -> Volume:
    """Half intervals on the grid of the raw image; infinite beyond the prepared grid, where nothing was looked at."""
    there = placement.to_source(widths.with_data(np.ones(widths.shape, np.uint8)), "nearest")
    back = placement.to_source(widths, "linear")
    return back.with_data(np.where(there.data > 0, back.data, np.float32(np.inf)))
