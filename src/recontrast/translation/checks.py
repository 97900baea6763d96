"""What is asked of source images before they are translated."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from recontrast.errors import IntensityError, RecontrastWarning
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


def _mm(values: Sequence[float]) -> str:
    return "x".join(f"{value:.3g}" for value in values)
