"""Eight raw images of one saturation-recovery acquisition, in their declared order, with one scale: Hagiwara 2019."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from recontrast.contrasts import Contrast
from recontrast.errors import IntensityError, MissingContrastError
from recontrast.preparation.mask import find_head
from recontrast.preparation.normalize import ScaleSettings
from recontrast.preparation.raw_order import NOMINAL_MS, check_raw_order
from recontrast.preparation.recipes import PlacedImage, RecipeOptions, Traits, preparation
from recontrast.preparation.recipes.native import native
from recontrast.volume import Volume, require_same_grid

RAW_SUFFIX = "MESE"
RAW_IMAGES = 8
PARTS = ("phase", "real", "imag")
"""Ends of the `acq` entity of what is not a magnitude."""

_NAMED = re.compile(r"delay(\d+)echo(\d+)")
_FOURTH = 6
"""Image 7 (from 0): fourth delay, first echo: the brightest."""


@preparation("synthetic-mri", Traits(scale=ScaleSettings(name="fixed"), shared_scale=(RAW_SUFFIX,)))
def synthetic_mri(images: Mapping[str, Volume], options: RecipeOptions, what: str) -> dict[str, PlacedImage]:
    """Raw images untouched on their own grid; other contrasts (a FLAIR) are aligned to them.

    The raw images are one acquisition: they must share a grid and are never moved against each other. Their order is
    checked against the signal equation (echo runs fastest, then delay). All eight share one scale, or a network that
    works on single pixels would lose their ratios. The grid is always that of the raw images. Phases, real and
    imaginary parts are moved as little.

    Args:
        images: Contrast label to image; eight of them are `acq-delay…echo…_MESE` magnitudes.
        options: See `RecipeOptions`; `align=False` leaves the other contrasts as the headers say, as in the paper.
        what: Key of the case, for messages.

    Raises:
        MissingContrastError: Not eight raw images.
        LayoutError: They are not in order, or it cannot be told.
        GeometryError: They are not on one grid, or alignment failed.
        IntensityError: Phases are not in radians.
    """
    raw = raw_order(images, what)
    for label in (label for label in images if label in raw[1:] or is_part(label)):
        require_same_grid(images[raw[0]], images[label], f"{what} {label} and {raw[0]}")
        _require_radians(label, images[label], what)
    turned = {label: images[label].reoriented("RAS") for label in raw}
    bright = raw[_FOURTH]
    head, bare = find_head(turned[bright])
    check_raw_order([turned[label].data[head.data] for label in raw], what, _delays(raw))
    others = {label: image for label, image in images.items() if label not in raw and not is_part(label)}
    moved = native({bright: images[bright], **others}, _about(options, bright), what) if others else {}
    grid = turned[bright]
    return {
        label: moved[label]
        if label in others
        else PlacedImage(Volume(images[label].reoriented("RAS").data, grid.affine), head, bare, np.eye(4))
        for label in images
    }


def is_part(label: str) -> bool:
    """Whether it is a phase, real or imaginary part of a raw image: moved as little as the magnitudes.

    Example:
        >>> is_part("acq-delay146echo1phase_MESE"), is_part("acq-delay146echo1_MESE")
        (True, False)
    """
    return Contrast.parse(label).suffix == RAW_SUFFIX and _acquisition(label).endswith(PARTS)


def _acquisition(label: str) -> str:
    return dict(Contrast.parse(label).entities).get("acq", "")


def raw_order(labels: Mapping[str, Volume] | Sequence[str], what: str) -> list[str]:
    """Labels of the raw images: by delay and echo where their names say it, else in the order given.

    Raises:
        MissingContrastError: There are not eight.

    Example:
        >>> raw_order([f"acq-delay{d}echo{e}_MESE" for e in (1, 2) for d in (146, 546, 1879, 3879)], "sub-01")[1]
        'acq-delay146echo2_MESE'
    """
    raw = [label for label in labels if Contrast.parse(label).suffix == RAW_SUFFIX and not is_part(label)]
    if len(raw) != RAW_IMAGES:
        raise MissingContrastError(
            f"{what}: recipe synthetic-mri needs {RAW_IMAGES} raw images (…_{RAW_SUFFIX}), there are {len(raw)}: "
            f"{', '.join(raw) or 'none'}"
        )
    named = [_NAMED.search(label) for label in raw]
    if all(named):
        keys = {label: (int(match[1]), int(match[2])) for label, match in zip(raw, named, strict=True) if match}
        return sorted(raw, key=lambda label: keys[label])
    return raw


def _require_radians(label: str, image: Volume, what: str) -> None:
    """Phases are divided by pi: scanner units (-4096 to 4095) would come out a thousand times too large."""
    largest = float(np.abs(image.data).max())
    if is_part(label) and _acquisition(label).endswith("phase") and largest > 2 * np.pi + 0.01:
        raise IntensityError(f"{what} {label}: phases reach {largest:g}; radians are needed (-pi to pi)")


def _delays(raw: Sequence[str]) -> tuple[float, ...]:
    """Delay of every second image in ms, as the names say it."""
    named = [_NAMED.search(label) for label in raw[::2]]
    return tuple(float(match[1]) for match in named if match) if all(named) else NOMINAL_MS


def _about(options: RecipeOptions, grid: str) -> RecipeOptions:
    return RecipeOptions(grid=grid, align=options.align, trusted=options.trusted, seed=options.seed)
