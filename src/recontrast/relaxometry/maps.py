"""Parameter maps: relaxation rates, proton density and B1 on a grid, with the standard error of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from recontrast.errors import GeometryError, IntensityError
from recontrast.phantom.tissues import Relaxation

Array = NDArray[np.float32]

LONGEST_S = {"T1": 20.0, "T2": 20.0}
"""Longer times than these do not occur in a body; water at 37 degrees has about 4.5 s and 2.5 s."""


@dataclass(frozen=True, eq=False)
class ParameterMaps:
    """Maps of one subject; all arrays have one shape and are zero outside the mask.

    Attributes:
        pd: Proton density, in units of the images, or relative to a region after `calibrated`.
        mask: Voxels that were fitted.
        r1: Longitudinal relaxation rate, 1/s; None where the images do not tell.
        r2: Transverse relaxation rate, 1/s: R2 of spin echoes, R2* of gradient echoes; None where they do not tell.
        b1: Transmit field relative to nominal; None where it was not fitted.
        errors: Standard error of each map under its name ("r1", "r2", "pd", "b1"); NaN where there are no more images
            than unknowns, infinite where the images do not tell.
        noise: Standard deviation of the noise in each image that the misfit suggests, in units of the images.
        misfit: Root of the mean squared misfit over the root of the mean squared signal.

    Example:
        >>> one = np.ones((1, 1, 1), np.float32)
        >>> float(ParameterMaps(pd=one, mask=one > 0, r1=2 * one).t1_s[0, 0, 0])
        0.5
    """

    pd: Array
    mask: NDArray[np.bool_]
    r1: Array | None = None
    r2: Array | None = None
    b1: Array | None = None
    errors: Mapping[str, Array] = field(default_factory=dict)
    noise: Array | None = None
    misfit: Array | None = None

    def __post_init__(self) -> None:
        """Refuse maps of different shapes and values that no matter has."""
        for name in ("mask", "r1", "r2", "b1"):
            values = getattr(self, name)
            if values is not None and values.shape != self.pd.shape:
                raise GeometryError(f"parameter maps: {name} has shape {values.shape}, pd {self.pd.shape}")
        for name in ("pd", "r1", "r2", "b1"):
            values = getattr(self, name)
            if values is not None:
                _require_physical(values[self.mask], name)

    @property
    def t1_s(self) -> Array:
        """T1 in s, zero outside the mask.

        Raises:
            IntensityError: It is not known.
        """
        return _inverse(self.r1, "T1")

    @property
    def t2_s(self) -> Array:
        """T2 in s (T2* of gradient echoes), zero outside the mask.

        Raises:
            IntensityError: It is not known.
        """
        return _inverse(self.r2, "T2")

    def relaxation(self) -> Relaxation:
        """The fitted voxels as tissues of a sequence; a rate that is not known counts as zero (no relaxation)."""
        count = int(self.mask.sum())
        with np.errstate(divide="ignore"):
            t1, t2 = (
                np.full(count, np.inf) if rate is None else 1.0 / rate[self.mask].astype(np.float64)
                for rate in (self.r1, self.r2)
            )
        return Relaxation(t1, t2, t2, self.pd[self.mask].astype(np.float64))

    def calibrated(self, region: NDArray[np.bool_], density: float = 1.0) -> ParameterMaps:
        """The same with proton density scaled so that its median in a region is `density`.

        Args:
            region: Voxels whose density is known: CSF (1.0), or white matter (0.7).
            density: That density, relative to water.

        Raises:
            IntensityError: The region holds no fitted voxel with signal.
        """
        inside = region & self.mask & (self.pd > 0)
        if not inside.any():
            raise IntensityError("calibration of proton density: the region holds no voxel with signal")
        factor = np.float32(density / float(np.median(self.pd[inside])))
        errors = dict(self.errors)
        if "pd" in errors:
            errors["pd"] = errors["pd"] * factor
        return replace(self, pd=self.pd * factor, errors=errors)


def smooth_b1(
    maps: ParameterMaps,
    spacing: tuple[float, ...],
    fwhm_mm: float = 20.0,
    mask: NDArray[np.bool_] | None = None,
) -> Array:
    """The B1 map smoothed inside the mask, each voxel weighted by the inverse square of its standard error.

    B1 varies slowly, and where T1 is long the images hardly tell it from T1: smoothed, and then given to the fit as
    known, it takes no precision from T1.

    Args:
        maps: Maps with `b1`.
        spacing: Voxel size in mm.
        fwhm_mm: Full width at half maximum of the gaussian, mm.
        mask: Where B1 is wanted, when it was fitted to some voxels only; None: where it was fitted.

    Raises:
        IntensityError: B1 was not fitted.

    Example:
        >>> one = np.ones((3, 3, 3), np.float32)
        >>> bool(np.allclose(smooth_b1(ParameterMaps(pd=one, mask=one > 0, b1=one), (1.0, 1.0, 1.0)), 1))
        True
    """
    if maps.b1 is None:
        raise IntensityError("B1 was not fitted; fit with b1='fit' first")
    error = maps.errors.get("b1")
    weight = maps.mask.astype(np.float64)
    if error is not None:
        usable = maps.mask & np.isfinite(error) & (error > 0)
        # Errors far below the rest are chance: no voxel counts more than a hundred times the middle one.
        floor = 0.1 * float(np.median(error[usable])) if usable.any() else 1.0
        weight = np.where(usable, 1.0 / np.maximum(error, floor) ** 2, 0.0) if usable.any() else weight
    sigma = [fwhm_mm / 2.3548 / step for step in spacing]
    total = gaussian_filter(weight, sigma)
    mean = gaussian_filter(weight * maps.b1, sigma) / np.maximum(total, 1e-12 * float(weight.max()))
    wanted = maps.mask if mask is None else mask
    return np.where(wanted & (total > 0), mean, 0.0).astype(np.float32)


def _inverse(rate: Array | None, name: str) -> Array:
    if rate is None:
        raise IntensityError(f"{name} is not among the parameter maps: the images they were fitted to do not tell it")
    return np.divide(1.0, rate, out=np.zeros_like(rate), where=rate > 0)


def _require_physical(values: NDArray[Any], name: str) -> None:
    if not np.isfinite(values).all():
        bad = int(values.size - np.count_nonzero(np.isfinite(values)))
        raise IntensityError(f"parameter maps: {name} is not finite in {bad} of {values.size} voxels of the mask")
    if (values < 0).any():
        raise IntensityError(
            f"parameter maps: {name} is negative in {int((values < 0).sum())} of {values.size} voxels of the mask; "
            "no matter has that: leave these voxels out of the mask, or fit again"
        )
