"""What is asked of source images, and of folders of them, before they are translated."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from recontrast.errors import ConfigError, IntensityError, RecontrastWarning
from recontrast.preparation.cohort import PreparedCohort, prepared_settings
from recontrast.preparation.normalize import Scale, fit_scale
from recontrast.translation.description import TranslatorDescription
from recontrast.translation.slices import ras_spacing
from recontrast.volume import Volume, require_same_grid

SPACING_TOLERANCE = 1.5
"""Voxels larger or smaller than in training by more than this factor give a warning."""


def require_finite_images(volumes: Mapping[str, Volume], where: str) -> None:
    """Refuse images with voxels that are no numbers.

    Args:
        volumes: Contrast label to image.
        where: Stands at the start of messages, here and below.

    Raises:
        IntensityError: One holds NaN or infinity.
    """
    for label, volume in volumes.items():
        if not np.isfinite(volume.data).all():
            count = int(np.count_nonzero(~np.isfinite(volume.data)))
            raise IntensityError(
                f"{where}: {label} holds NaN or infinity in {count} voxels; replace them (for example by 0) first"
            )


def require_one_grid(volumes: Mapping[str, Volume], where: str) -> None:
    """Refuse images that do not lie on one grid.

    Raises:
        GeometryError: They do not.
    """
    first, *others = volumes
    for label in others:
        require_same_grid(volumes[first], volumes[label], f"{where}: {first} and {label}")


def fit_source(volume: Volume, description: TranslatorDescription, label: str, where: str) -> Scale:
    """The intensity scale of a source, fitted as in preparation.

    Raises:
        IntensityError: The image is all zero or constant.
    """
    try:
        return fit_scale(volume, description.scale_settings, contrast=label)
    except IntensityError as error:
        raise IntensityError(f"{where}: {label}: {error}") from error


def warn_of_spacing(grid: Volume, description: TranslatorDescription, where: str) -> None:
    """Warn where voxels are of another size than in training."""
    pairs = list(zip(ras_spacing(grid), description.spacing_mm, strict=True))
    if any(not 1 / SPACING_TOLERANCE <= here / there <= SPACING_TOLERANCE for here, there in pairs):
        warnings.warn(
            f"{where}: voxels of {_mm([here for here, _ in pairs])} mm, the translator learned on "
            f"{_mm([there for _, there in pairs])} mm; the result may be poor: resample with "
            "`recontrast prepare`, or train on such images",
            RecontrastWarning,
            stacklevel=4,
        )


def require_same_preparation(cohort: PreparedCohort, description: TranslatorDescription) -> None:
    """Refuse a prepared folder whose images were placed by another recipe than those the translator learned from.

    The grid of another contrast is doubtful only: raw images are treated the same where that contrast is not there. A
    folder or a translator of an older version, which does not say how it was prepared, is believed.

    Args:
        cohort: The folder.
        description: The translator.

    Raises:
        ConfigError: Recipe or size differ; the message says which.
    """
    here, learned = cohort.preparation, description.preparation
    if learned is None or "recipe" not in prepared_settings(cohort.folder):
        return
    pairs = {"recipe": (here.recipe, learned.recipe), "size": (_size(here.size), _size(learned.size))}
    different = [f"{name} is {now}, was {then}" for name, (now, then) in pairs.items() if now != then]
    if different:
        raise ConfigError(
            f"{cohort.folder}: {' and '.join(different)} for the images that the translator learned from; translate "
            "the raw scans, which are prepared as those were, or prepare a folder in the same way"
        )
    if here.grid and learned.grid and here.grid != learned.grid:
        warnings.warn(
            f"{cohort.folder}: its images lie on the grid of {here.grid}, those that the translator learned from on "
            f"that of {learned.grid}; the result may be poor: prepare with --grid {learned.grid}, where that is there",
            RecontrastWarning,
            stacklevel=3,
        )


def _size(size: Sequence[int]) -> str:
    return " ".join(map(str, size)) or "the recipe's own"


def _mm(values: Sequence[float]) -> str:
    return "x".join(f"{value:.3g}" for value in values)
