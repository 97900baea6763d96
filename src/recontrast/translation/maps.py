"""Maps beside a synthetic image: how far each voxel may be off, and where a voxel-wise translator guesses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recontrast.io.bids import write_sidecar
from recontrast.io.nifti import write_volume
from recontrast.translation.cases import stem
from recontrast.translation.description import TranslatorDescription, direction_name
from recontrast.volume import require_same_grid

if TYPE_CHECKING:
    from recontrast.translation.translator import Translation

UNCERTAINTY = "uncertainty"
"""Last part of the name of a map of error bars."""

_BITS = 13
"""Of the 23 bits behind the point of a half width, so many are set to zero: what is left holds it to a thousandth."""


def uncertainty_path(image: Path) -> Path:
    """Where the map of error bars of a synthetic image lies.

    >>> uncertainty_path(Path("sub-01_desc-synthetic_T2w.nii.gz")).name
    'sub-01_desc-synthetic_T2w_uncertainty.nii.gz'
    """
    beginning = stem(image)
    return image.with_name(f"{beginning}_{UNCERTAINTY}{image.name[len(beginning) :]}")


def write_uncertainty(image: Path, made: Translation, about: TranslatorDescription, like: Path) -> None:
    """Half of each voxel's interval beside its image, float32, with what it was calibrated on; nothing without one.

    Args:
        image: The synthetic image, which need not be there yet.
        made: What was made.
        about: By which translator.
        like: The source whose header the image follows.
    """
    if made.uncertainty is None or about.calibration is None:
        return
    path, level = uncertainty_path(image), 100 * about.calibration.level
    half = made.uncertainty.with_data(rounded_up(made.uncertainty.data))
    write_volume(path, half, np.float32, like=like, description=f"half width of a {level:g} % interval")
    content = {
        "Units": "those of the image: the reference, on the scale below, lies within image - this and image + this",
        "Scale": about.target_scale.to_dict(),
        **about.calibration.to_sidecar(),
        "Infinite": "the translator saw nothing there",
        "Sources": [image.name],
        "Synthetic": False,
    }
    write_sidecar(path, content)


def rounded_up(half: NDArray[np.float32]) -> NDArray[np.float32]:
    """Half widths, at most a thousandth larger: files of them are half as large, and no interval holds less.

    Args:
        half: Half of each interval, not below zero; infinity stays.

    Example:
        >>> rounded_up(np.array([0, 1, 1.0001], np.float32))
        array([0.        , 1.        , 1.0009766], dtype=float32)
    """
    return ((half.view(np.uint32) + np.uint32((1 << _BITS) - 1)) >> _BITS << _BITS).view(np.float32)


def error_bar_words(asked: Sequence[TranslatorDescription], wanted: bool) -> list[str]:
    """The lines on error bars that `translate` prints: what they are, or why there are none; one for
    each direction where they differ.

    Args:
        asked: The translator as it was for each case (see `TranslatorDescription.given`).
        wanted: Whether anybody asked for error bars.
    """
    if not wanted:
        return []
    words = {direction_name(about.sources, about.target): _in_words(about) for about in asked}
    alike = list(dict.fromkeys(words.values()))
    return alike if len(alike) == 1 else [f"{name}: {said}" for name, said in words.items()]


def _in_words(about: TranslatorDescription) -> str:
    if about.calibration is not None:
        return about.calibration.words()
    return f"no error bars: {about.why_uncalibrated or 'the translator was trained without them (loop.error_bars)'}"


def rarity_path(image: Path) -> Path | None:
    """Where the map of rarity of a synthetic image lies; None for an image whose name leaves no place for one.

    >>> rarity_path(Path("sub-01_desc-synthetic_T2w.nii.gz")).name
    'sub-01_desc-rarity_T2w.nii.gz'
    """
    path = image.with_name(image.name.replace("desc-synthetic", "desc-rarity"))
    return None if path == image else path


def write_rarity(image: Path, made: Translation, like: Path) -> None:
    """The map of where a voxel-wise translator guesses, beside its image and on its grid; nothing without one.

    Args:
        image: The synthetic image, which need not be there yet.
        made: What was made.
        like: The source whose header the image follows.

    Raises:
        GeometryError: It lies on another grid.
    """
    path = rarity_path(image)
    if made.rarity is None or path is None:
        return
    require_same_grid(made.rarity, made.volume, f"{image.name}: image and map of rarity")
    write_volume(path, made.rarity, np.float32, like=like, description="share of training voxels as rare as this")
    write_sidecar(path, {"Units": "share of training voxels", "Sources": [image.name], "Synthetic": False})
