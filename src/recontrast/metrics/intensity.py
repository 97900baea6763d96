"""How far the estimate's intensities are from the reference's: MAE, MSE, RMSE, NRMSE, NMSE, PSNR.

All of them are means over voxels of a difference; the difference is always estimate - reference.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from recontrast.errors import ConfigError
from recontrast.metrics import (
    METRICS,
    Array,
    Undefined,
    VoxelForm,
    as_float,
    metric,
    no_constant,
    no_margin,
    voxels_of,
)

Divisor = Literal["range_ref", "mean_ref", "mean_eval", "std_ref", "iqr_ref", "rms_ref"]
"""What an error is divided by: range, mean, SD, interquartile range or root mean square of the reference, or mean of
the estimate."""

Peak = Literal["data_range", "max_ref", "max_eval", "max_both", "range_ref"]
"""What PSNR takes as full scale: the stated range, the maximum of the reference, of the estimate or the larger of both,
or the reference's maximum - minimum."""


def absolute_error(reference: Array, estimate: Array, *, data_range: float | None = None) -> Array:
    """|estimate - reference| for each voxel, same shape, floating point."""
    return np.abs(_difference(reference, estimate))


def squared_error(reference: Array, estimate: Array, *, data_range: float | None = None) -> Array:
    """(estimate - reference)² for each voxel, same shape, floating point."""
    difference = _difference(reference, estimate)
    return np.multiply(difference, difference, out=difference)


def nrmse_divisor(
    reference: Array, estimate: Array, *, data_range: float | None = None, divisor: Divisor = "range_ref"
) -> float:
    """The number by which `nrmse` divides.

    Args:
        reference: Reference values of the region, flat.
        estimate: Estimate values of the region, flat.
        data_range: Not used.
        divisor: Which one, see `Divisor`.

    Raises:
        Undefined: It is not a positive number.
        ConfigError: There is no such divisor.
    """
    if divisor == "range_ref":
        value = float(reference.max()) - float(reference.min())
    elif divisor == "mean_ref":
        value = float(reference.mean(dtype=np.float64))
    elif divisor == "mean_eval":
        value = float(estimate.mean(dtype=np.float64))
    elif divisor == "std_ref":
        value = float(reference.std(dtype=np.float64))
    elif divisor == "rms_ref":
        value = float(np.sqrt(np.mean(np.square(reference, dtype=np.float64))))
    elif divisor == "iqr_ref":
        low, high = np.percentile(reference, (25, 75))
        value = float(high) - float(low)
    else:
        raise ConfigError(f"nrmse has no divisor '{divisor}'; there is: {', '.join(get_args(Divisor))}")
    if value <= 0:
        raise Undefined(f"the divisor {divisor} is {value:g} in this region, it must be positive")
    return value


def psnr_peak(reference: Array, estimate: Array, *, data_range: float | None, peak: Peak = "data_range") -> float:
    """The full scale of `psnr`; arguments as for `nrmse_divisor`, `peak` as in `Peak`.

    Raises:
        Undefined: It is not a positive number.
        ConfigError: There is no such peak, or the data range is not given.
    """
    if peak == "data_range":
        if data_range is None:
            raise ConfigError("psnr needs data_range, the width of the intensity scale (1 for images in [0, 1])")
        return float(data_range)
    if peak == "max_ref":
        value = float(reference.max())
    elif peak == "max_eval":
        value = float(estimate.max())
    elif peak == "max_both":
        value = max(float(reference.max()), float(estimate.max()))
    elif peak == "range_ref":
        value = float(reference.max()) - float(reference.min())
    else:
        raise ConfigError(f"psnr has no peak '{peak}'; there is: {', '.join(get_args(Peak))}")
    if value <= 0:
        raise Undefined(f"the peak {peak} is {value:g} in this region, it must be positive")
    return value


def psnr_of_mse(mean_square: Any, peak: float) -> Any:
    """10 log10(peak² / MSE) in dB, elementwise; infinite where the MSE is zero."""
    with np.errstate(divide="ignore"):
        return 10.0 * np.log10(peak**2 / np.asarray(mean_square, dtype=np.float64))


def _nmse_divisor(
    reference: Array, estimate: Array, *, data_range: float | None = None, divisor: Divisor = "rms_ref"
) -> float:
    return nrmse_divisor(reference, estimate, divisor=divisor)


def _same(mean: Any, constant: float) -> Any:
    return mean


def _root(mean: Any, constant: float) -> Any:
    return np.sqrt(mean) / constant


def _divided(mean: Any, constant: float) -> Any:
    return mean / constant


def _divided_by_square(mean: Any, constant: float) -> Any:
    return mean / constant**2


def _percent(mean: Any, constant: float) -> Any:
    return 100.0 * mean / constant


def _stated_range(reference: Array, estimate: Array, *, data_range: float | None) -> float:
    if data_range is None:
        raise ConfigError("mae_percent needs data_range, the width of the intensity scale that counts as 100 %")
    return float(data_range)


@METRICS.register("mae")
@metric(
    best=0.0,
    higher_is_better=False,
    title="MAE",
    unit="scaled intensity",
    form=VoxelForm(absolute_error, _same, no_constant, no_margin),
)
def mae(reference: Array, estimate: Array, *, mask: Array | None = None, data_range: float | None = None) -> float:
    """Mean absolute error: mean of |estimate - reference|.

    Args:
        reference: The true image, any shape and real type.
        estimate: The image that is judged, same shape.
        mask: Region, same shape; None for all voxels.
        data_range: Not used; all metrics are called alike.

    Returns:
        In the unit of the images, 0 for identical images; nan for an empty region.

    Example:
        >>> mae(np.array([0.0, 1.0]), np.array([0.5, 1.0]))
        0.25
    """
    return _mean(absolute_error(voxels_of(reference, mask), voxels_of(estimate, mask)))


@METRICS.register("mse")
@metric(
    best=0.0,
    higher_is_better=False,
    title="MSE",
    unit="scaled intensity²",
    form=VoxelForm(squared_error, _same, no_constant, no_margin),
)
def mse(reference: Array, estimate: Array, *, mask: Array | None = None, data_range: float | None = None) -> float:
    """Mean squared error: mean of (estimate - reference)². Arguments as for `mae`.

    Example:
        >>> mse(np.array([0.0, 1.0]), np.array([0.5, 1.0]))
        0.125
    """
    return _mean(squared_error(voxels_of(reference, mask), voxels_of(estimate, mask)))


@METRICS.register("rmse")
@metric(
    best=0.0,
    higher_is_better=False,
    title="RMSE",
    unit="scaled intensity",
    form=VoxelForm(squared_error, _root, no_constant, no_margin),
)
def rmse(reference: Array, estimate: Array, *, mask: Array | None = None, data_range: float | None = None) -> float:
    """Root of the mean squared error. Arguments as for `mae`.

    Example:
        >>> rmse(np.array([0.0, 0.0]), np.array([3.0, -3.0]))
        3.0
    """
    return float(np.sqrt(_mean(squared_error(voxels_of(reference, mask), voxels_of(estimate, mask)))))


@METRICS.register("nrmse")
@metric(
    best=0.0,
    higher_is_better=False,
    title="NRMSE",
    unit="",
    form=VoxelForm(squared_error, _root, nrmse_divisor, no_margin),
)
def nrmse(
    reference: Array,
    estimate: Array,
    *,
    mask: Array | None = None,
    data_range: float | None = None,
    divisor: Divisor = "range_ref",
) -> float:
    """RMSE divided by a number that must be named, because papers use different ones.

    Args:
        reference: The true image, any shape and real type.
        estimate: The image that is judged, same shape.
        mask: Region, same shape; None for all voxels. The divisor is taken in the region too.
        data_range: Not used.
        divisor: `range_ref` max - min, `mean_ref` mean, `std_ref` SD, `iqr_ref` 75th - 25th percentile, `rms_ref` root
            mean square of the reference (MRIxFields), or `mean_eval` mean of the estimate (hagiwara2019).

    Returns:
        A ratio, 0 for identical images; nan where the divisor is not positive.

    Example:
        >>> nrmse(np.array([0.0, 4.0]), np.array([1.0, 3.0]), divisor="range_ref")
        0.25
    """
    true, judged = voxels_of(reference, mask), voxels_of(estimate, mask)
    return float(np.sqrt(_mean(squared_error(true, judged)))) / nrmse_divisor(true, judged, divisor=divisor)


@METRICS.register("mae_percent")
@metric(
    best=0.0,
    higher_is_better=False,
    title="MAE",
    unit="% of range",
    form=VoxelForm(absolute_error, _percent, _stated_range, no_margin),
)
def mae_percent(reference: Array, estimate: Array, *, mask: Array | None = None, data_range: float) -> float:
    """Mean absolute error in percent of the stated range, 100 mean |estimate - reference| / data_range (bottani2024).

    Arguments as for `mae`; `data_range` is the width of the scale that counts as 100 %.

    Example:
        >>> mae_percent(np.array([0.0, 1.0]), np.array([0.5, 1.0]), data_range=1.0)
        25.0
    """
    true, judged = voxels_of(reference, mask), voxels_of(estimate, mask)
    return 100.0 * _mean(absolute_error(true, judged)) / data_range


@METRICS.register("nmae")
@metric(
    best=0.0,
    higher_is_better=False,
    title="NMAE",
    form=VoxelForm(absolute_error, _divided, nrmse_divisor, no_margin),
)
def nmae(
    reference: Array,
    estimate: Array,
    *,
    mask: Array | None = None,
    data_range: float | None = None,
    divisor: Divisor = "range_ref",
) -> float:
    """Mean absolute error divided by a named number: the mean of a map of normalised errors.

    hagiwara2019 calls the map sqrt((estimate - reference)²) / mean(estimate) NRMSE and gives its mean in a region: that
    is this metric with `mean_eval`. Arguments as for `nrmse`.

    Example:
        >>> nmae(np.array([0.0, 4.0]), np.array([1.0, 3.0]), divisor="mean_eval")
        0.5
    """
    true, judged = voxels_of(reference, mask), voxels_of(estimate, mask)
    return _mean(absolute_error(true, judged)) / nrmse_divisor(true, judged, divisor=divisor)


@METRICS.register("nmse")
@metric(
    best=0.0,
    higher_is_better=False,
    title="NMSE",
    form=VoxelForm(squared_error, _divided_by_square, _nmse_divisor, no_margin),
)
def nmse(
    reference: Array,
    estimate: Array,
    *,
    mask: Array | None = None,
    data_range: float | None = None,
    divisor: Divisor = "rms_ref",
) -> float:
    """Mean squared error divided by the square of a named number.

    With `rms_ref` it is |estimate - reference|² / |reference|², as fastMRI defines it
    (Zbontar et al. 2018, arXiv 1811.08839). Arguments as for `nrmse`.

    Example:
        >>> round(nmse(np.array([0.0, 2.0]), np.array([0.0, 1.0])), 12)
        0.25
    """
    true, judged = voxels_of(reference, mask), voxels_of(estimate, mask)
    return _mean(squared_error(true, judged)) / nrmse_divisor(true, judged, divisor=divisor) ** 2


@METRICS.register("psnr")
@metric(
    best=float("inf"),
    higher_is_better=True,
    title="PSNR",
    unit="dB",
    form=VoxelForm(squared_error, psnr_of_mse, psnr_peak, no_margin),
)
def psnr(
    reference: Array,
    estimate: Array,
    *,
    mask: Array | None = None,
    data_range: float | None = None,
    peak: Peak = "data_range",
) -> float:
    """Peak signal-to-noise ratio, 10 log10(peak² / MSE).

    Args:
        reference: The true image, any shape and real type.
        estimate: The image that is judged, same shape.
        mask: Region, same shape; None for all voxels.
        data_range: The peak, in the unit of the images. Never guessed from the data type.
        peak: `data_range`, or by name what some papers take: `max_ref` (fastMRI), `max_eval` (SynDiff), `max_both`
            (grantjacob2021), `range_ref` (torchmetrics).

    Returns:
        In dB; infinite for identical images; nan for an empty region.

    Raises:
        ConfigError: The peak is `data_range` and none is given.

    Example:
        >>> round(psnr(np.zeros(4), np.full(4, 0.1), data_range=1.0), 6)
        20.0
    """
    true, judged = voxels_of(reference, mask), voxels_of(estimate, mask)
    full_scale = psnr_peak(true, judged, data_range=data_range, peak=peak)
    return float(psnr_of_mse(_mean(squared_error(true, judged)), full_scale))


def _difference(reference: Array, estimate: Array) -> Array:
    true, judged = as_float(reference), as_float(estimate)
    return np.subtract(judged, true, dtype=np.result_type(true, judged))


def _mean(values: Array) -> float:
    return float(values.mean(dtype=np.float64))
