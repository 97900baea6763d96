"""Bias field: slow changes of brightness that come from the coils, not from the tissue (N4, Tustison 2010)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from recontrast.errors import ConfigError, GeometryError
from recontrast.preparation.itk import to_itk, to_volume
from recontrast.preparation.mask import head_mask, require_signal
from recontrast.preparation.registration import last_line, one_thread
from recontrast.volume import Volume

_SPLINE_ORDER = 3


@dataclass(frozen=True, kw_only=True)
class BiasSettings:
    """How the bias field is found."""

    step_mm: float = 6.0
    """about every so many mm a voxel is looked at, along each axis"""

    distance_mm: float = 200.0
    """distance of the knots of the coarsest field, mm"""

    iterations: tuple[int, ...] = (50, 50, 50, 50)
    """iterations at most, one number a level; the knots lie half as far apart at each further level"""

    least: float = 0.4
    """voxels dimmer than this share of the median inside the mask (air, bone) are left out of the fit"""

    tolerance: float = 2e-3
    """a level ends when the field changes by less than this (coefficient of variation)"""


@dataclass(frozen=True)
class BiasCorrection:
    """Result of `correct_bias`.

    Attributes:
        volume: The image without its bias field, float32; its mean over the mask is that of the input.
        field: The field on the same grid, float32, positive: input = volume * field.
    """

    volume: Volume
    field: Volume


def correct_bias(
    volume: Volume, settings: BiasSettings | None = None, mask: Volume | None = None, what: str = "image"
) -> BiasCorrection:
    """Take the bias field out of an image, by N4 (Tustison et al, IEEE TMI 29:1310, 2010).

    The field is fitted on a thinned image and evaluated on the whole grid: it is smooth, so nothing is lost.
    Same image and settings, same bits.

    Args:
        volume: Image; values of at least zero mean something, negative ones count as zero in the fit.
        settings: See `BiasSettings`.
        mask: Where the field is fitted; left out: `head_mask(volume)`.
        what: Names the image in messages.

    Raises:
        IntensityError: The image is all zero, constant or not finite.
        ConfigError: A setting is out of range.
        GeometryError: The field could not be fitted (too few voxels in the mask).

    Example:
        >>> corrected = correct_bias(t1w)  # doctest: +SKIP
        >>> np.allclose(corrected.volume.data * corrected.field.data, t1w.data)  # doctest: +SKIP
        True
    """
    settings = settings or BiasSettings()
    _check(settings)
    require_signal(volume, what)
    canonical = volume.reoriented("RAS")
    region = (head_mask(volume) if mask is None else mask).reoriented("RAS")
    field = Volume(_field(canonical, region, settings, what), canonical.affine)
    inside = region.data.astype(bool)
    corrected = canonical.data / field.data
    before, after = (float(values[inside].mean()) for values in (canonical.data, corrected))
    gain = after / before if before > 0 and after > 0 else 1.0
    field = field.with_data((field.data * gain).astype(np.float32)).reoriented(volume.orientation)
    field = Volume(field.data, volume.affine)
    return BiasCorrection(volume.with_data((volume.data / field.data).astype(np.float32)), field)


def _check(settings: BiasSettings) -> None:
    if settings.step_mm <= 0 or settings.distance_mm <= 0 or not settings.iterations or min(settings.iterations) < 1:
        raise ConfigError(
            f"bias field: step_mm {settings.step_mm:g}, distance_mm {settings.distance_mm:g} and iterations "
            f"{settings.iterations} must all be positive"
        )


def _field(volume: Volume, region: Volume, settings: BiasSettings, what: str) -> NDArray[np.float32]:
    """The field on the grid of `volume`, positive."""
    factors = [
        max(1, min(round(settings.step_mm / step), n // 8))
        for n, step in zip(volume.shape, volume.spacing, strict=True)
    ]
    picked = tuple(slice(factor // 2, None, factor) for factor in factors)
    affine = volume.affine @ np.diag([*factors, 1.0])
    affine[:3, 3] = volume.affine[:3, :3] @ [factor // 2 for factor in factors] + volume.affine[:3, 3]
    thin = Volume(np.maximum(volume.data[picked], 0).astype(np.float32), affine)
    inside = region.data[picked] != 0
    values = thin.data[inside]
    limit = settings.least * float(np.median(values)) if values.size else 0.0
    kept = Volume(inside & (thin.data > max(limit, 0.0)), affine)
    extent = [n * step for n, step in zip(volume.shape, volume.spacing, strict=True)]
    method = sitk.N4BiasFieldCorrectionImageFilter()
    method.SetMaximumNumberOfIterations(list(settings.iterations))
    method.SetConvergenceThreshold(settings.tolerance)
    method.SetSplineOrder(_SPLINE_ORDER)
    method.SetNumberOfControlPoints([max(1, round(mm / settings.distance_mm)) + _SPLINE_ORDER for mm in extent])
    try:
        with one_thread():
            image = to_itk(thin)
            method.Execute(image, to_itk(kept))
            coarse = to_volume(method.GetLogBiasFieldAsImage(image)).data
    except RuntimeError as error:
        raise GeometryError(
            f"{what}: no bias field could be fitted ({last_line(error)}); the image is too small or nearly empty: "
            "prepare it without bias correction"
        ) from error
    for axis, factor in enumerate(factors):
        coarse = _finer(coarse, volume.shape[axis], factor, axis)
    return np.exp(coarse, dtype=np.float32)


def _finer(coarse: NDArray[np.float32], size: int, factor: int, axis: int) -> NDArray[np.float32]:
    """Values on all voxels along one axis from every `factor`-th; a cubic spline is exact for a cubic field."""
    if factor == 1:
        return coarse
    count = coarse.shape[axis]
    knots = np.arange(count) * factor + factor // 2
    spline = make_interp_spline(knots, np.eye(count), k=min(3, count - 1))
    weights = spline(np.arange(size)).astype(np.float32)
    return np.moveaxis(np.tensordot(weights, coarse, axes=(1, axis)), 0, axis)
