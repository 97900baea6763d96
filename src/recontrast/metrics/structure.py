"""Structural similarity (SSIM) of Wang et al. 2004, IEEE Trans Image Process 13:600, in 2D slices or in 3D.

The result equals scikit-image's to rounding; the filters are those of `windows`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np

from recontrast.errors import ConfigError
from recontrast.metrics import METRICS, Array, Undefined, VoxelForm, as_float, metric, no_constant, voxels_of
from recontrast.metrics.windows import (
    Border,
    filtered_axes,
    inner,
    margin_of,
    one_thread,
    require_room,
    smooth,
    weights_of,
)

Window = Literal["gaussian11", "uniform7"]
"""`gaussian11`: sigma 1.5 voxels, cut at 5 (Wang 2004). `uniform7`: seven equal weights (scikit-image's default)."""


_SLAB = 8
"""Slices along the first axis worked on at once."""


def ssim_map(
    reference: Array,
    estimate: Array,
    *,
    data_range: float,
    window: Window = "gaussian11",
    axis: int | None = None,
    k1: float = 0.01,
    k2: float = 0.03,
    covariance: Literal["population", "sample"] = "population",
    border: Border = "symmetric",
    precision: Literal["float32", "float64"] = "float32",
) -> Array:
    """SSIM of the neighbourhood of each voxel.

    SSIM = (2 μx μy + C1)(2 σxy + C2) / ((μx² + μy² + C1)(σx² + σy² + C2)), C = (k data_range)². It is computed from the
    difference d and the sum s of the images, as (1 - 2 μd² / (μs² + μd² + 2 C1)) (1 - 2 σd² / (σs² + σd² + 2 C2)):
    the same number with four filters in place of five and without the cancellation that costs float32 its digits.

    Args:
        reference: The true image, two or three axes.
        estimate: The image that is judged, same shape.
        data_range: Width of the intensity scale, in the unit of the images. Mandatory: it sets C1 and C2.
        window: `gaussian11` or `uniform7`.
        axis: None: the window spans all axes. Otherwise the axis across slices, which the window does not span.
        k1: Constant of the luminance term.
        k2: Constant of the contrast term.
        covariance: `population` (divide by N, Wang 2004) or `sample` (N - 1, scikit-image's default), N voxels in the
            window.
        border: What lies beyond the border: `symmetric` (scikit-image), `reflect` (torchmetrics), `zero`.
        precision: `float32` (fast; within 1e-4 at each voxel, 1e-6 in the mean of an image) or `float64` (exact).

    Returns:
        Array of the images' shape, at most 1.

    Raises:
        ConfigError: An option has a value it cannot have.
        GeometryError: The arrays do not have two or three axes.

    Example:
        >>> float(ssim_map(np.ones((11, 11)), np.ones((11, 11)), data_range=1.0).min())
        1.0
    """
    if precision not in ("float32", "float64") or covariance not in ("population", "sample"):
        raise ConfigError(
            f"ssim: precision '{precision}' must be float32 or float64, covariance '{covariance}' population or sample"
        )
    dtype = np.dtype(precision)
    weights = _weights(window)
    axes = filtered_axes(np.ndim(reference), axis, "ssim")
    require_room(np.shape(reference), axes, len(weights), "SSIM")

    true, judged = np.asarray(reference).astype(dtype, copy=False), np.asarray(estimate).astype(dtype, copy=False)
    count = len(weights) ** len(axes)
    correction = 1.0 if covariance == "population" else count / (count - 1)
    first, second = 2 * (k1 * data_range) ** 2, 2 * (k2 * data_range) ** 2 / correction
    result = np.empty(true.shape, dtype)
    reach = len(weights) // 2 if 0 in axes else 0

    # A few slices at a time: what is computed in between stays in the cache of the processor.
    with one_thread():
        for start in range(0, len(true), _SLAB):
            stop = min(start + _SLAB, len(true))
            low, high = max(0, start - reach), min(len(true), stop + reach)

            def local_mean(image: Array, part: tuple[int, int, int, int] = (start, stop, low, high)) -> Array:
                return smooth(image, weights, axes, border, part=(*part, len(true)))

            mean_difference, variance_difference = _term(judged[low:high] - true[low:high], local_mean)
            mean_sum, variance_sum = _term(judged[low:high] + true[low:high], local_mean)
            ratio = _ratio(mean_difference, mean_sum, first)
            ratio *= _ratio(variance_difference, variance_sum, second)
            result[start:stop] = ratio
    return result


def ssim_margin(*, window: Window = "gaussian11", axis: int | None = None, **other: Any) -> tuple[int, int, int]:
    """Half the width of the window along each axis of a three-dimensional image; other map options do not matter."""
    return margin_of(len(_weights(window)) // 2, axis)


def _mean_is_value(mean: Any, constant: float) -> Any:
    return mean


@METRICS.register("ssim")
@metric(
    best=1.0,
    higher_is_better=True,
    worst=-1.0,
    title="SSIM",
    form=VoxelForm(
        ssim_map,
        _mean_is_value,
        no_constant,
        ssim_margin,
        map_options=("window", "axis", "k1", "k2", "covariance", "border", "precision"),
    ),
)
def ssim(
    reference: Array,
    estimate: Array,
    *,
    mask: Array | None = None,
    data_range: float,
    window: Window = "gaussian11",
    axis: int | None = None,
    k1: float = 0.01,
    k2: float = 0.03,
    covariance: Literal["population", "sample"] = "population",
    border: Border = "symmetric",
    whole: bool = False,
    precision: Literal["float32", "float64"] = "float32",
) -> float:
    """Mean of `ssim_map` inside the mask, or over the image without its border where there is no mask.

    Arguments as for `ssim_map`; `mask` is the region, same shape. The map is computed on the whole image and then
    averaged in the region, so voxels just outside the region have a say through the window. Without a mask the border
    of half a window is left out, as scikit-image does, unless `whole` asks for all voxels.

    Returns:
        At most 1; nan for an empty region and for images smaller than the window.

    Raises:
        ConfigError: An option has a value it cannot have.

    Example:
        >>> ssim(np.ones((11, 11, 11)), np.ones((11, 11, 11)), data_range=1.0)
        1.0
    """
    values = ssim_map(
        reference, estimate, data_range=data_range, window=window, axis=axis,
        k1=k1, k2=k2, covariance=covariance, border=border, precision=precision,
    )  # fmt: skip
    if mask is not None:
        inside = values[np.asarray(mask, dtype=bool)]
    elif whole:
        inside = values
    else:
        inside = inner(values, filtered_axes(values.ndim, axis), len(_weights(window)) // 2)
    if inside.size == 0:
        raise Undefined("the region is empty")
    return float(inside.mean(dtype=np.float64))


@METRICS.register("ssim_global")
@metric(best=1.0, higher_is_better=True, worst=-1.0, title="SSIM, one window")
def ssim_global(
    reference: Array,
    estimate: Array,
    *,
    mask: Array | None = None,
    data_range: float,
    c1: float | None = None,
    c2: float | None = None,
    variance: Literal["population", "sample"] = "population",
) -> float:
    """The SSIM equation with the whole region as its only window: no structure is local.

    It is far higher than the usual SSIM: a flat image may score 0.9. Only for comparison with work that used it.

    Args:
        reference: The true image, any shape.
        estimate: The image that is judged, same shape.
        mask: Region, same shape; None for all voxels.
        data_range: Width of the intensity scale; sets the constants.
        c1: Constant of the luminance term; None: (0.01 data_range)².
        c2: Constant of the contrast term; None: (0.03 data_range)².
        variance: `population` divides the variances by N, `sample` by N - 1; the covariance is divided by N in both
            (so it is in the code released with bottani2024).

    Returns:
        At most 1; nan for an empty region.

    Example:
        >>> ssim_global(np.array([0.0, 1.0]), np.array([0.0, 1.0]), data_range=1.0)
        1.0
    """
    if variance not in ("population", "sample"):
        raise ConfigError(f"ssim_global: variance '{variance}' must be population or sample")
    true = as_float(voxels_of(reference, mask)).astype(np.float64)
    judged = as_float(voxels_of(estimate, mask)).astype(np.float64)
    if true.size < 2:
        raise Undefined("the region has one voxel, which has no variance")
    first = (0.01 * data_range) ** 2 if c1 is None else c1
    second = (0.03 * data_range) ** 2 if c2 is None else c2
    ddof = 1 if variance == "sample" else 0
    mean, other = true.mean(), judged.mean()
    covariance = float(((true - mean) * (judged - other)).mean())
    luminance = (2 * mean * other + first) / (mean**2 + other**2 + first)
    return float(luminance * (2 * covariance + second) / (true.var(ddof=ddof) + judged.var(ddof=ddof) + second))


def _term(image: Array, local_mean: Callable[[Array], Array]) -> tuple[Array, Array]:
    """Squared local mean and local variance of `image`, which is overwritten."""
    mean = local_mean(image)
    mean *= mean
    image *= image
    variance = local_mean(image)
    variance -= mean
    # Rounding can make a variance of zero slightly negative.
    return mean, np.maximum(variance, 0, out=variance)


def _ratio(difference: Array, total: Array, constant: float) -> Array:
    """1 - 2 difference / (total + difference + constant), in the memory of `difference`."""
    total += difference
    total += difference.dtype.type(constant)
    difference /= total
    difference *= -2
    difference += 1
    return difference


def _weights(window: str) -> tuple[float, ...]:
    if window not in get_args(Window):
        raise ConfigError(f"ssim has no window '{window}'; there is: {', '.join(get_args(Window))}")
    return weights_of(window)
