"""Structural similarity (SSIM) of Wang et al. 2004, IEEE Trans Image Process 13:600, in 2D slices or in 3D.

Each one-dimensional filter is a product with a banded matrix, done block by block: the matrix units of the processor do
the work. The result equals scikit-image's to rounding.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
from threadpoolctl import ThreadpoolController

from recontrast.errors import ConfigError, GeometryError
from recontrast.metrics import METRICS, Array, Undefined, VoxelForm, metric, no_constant

Window = Literal["gaussian11", "uniform7"]
"""`gaussian11`: sigma 1.5 voxels, cut at 5 (Wang 2004). `uniform7`: seven equal weights (scikit-image's default)."""

_BLOCK = 32
"""Rows of the banded matrix multiplied at once: few enough to skip the zeros, enough to keep the processor busy."""


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
    precision: Literal["float32", "float64"] = "float32",
) -> Array:
    """SSIM of the neighbourhood of each voxel.

    SSIM = (2 μx μy + C1)(2 σxy + C2) / ((μx² + μy² + C1)(σx² + σy² + C2)), C = (k data_range)². It is computed from the
    difference d and the sum s of the images, as (1 - 2 μd² / (μs² + μd² + 2 C1)) (1 - 2 σd² / (σs² + σd² + 2 C2)):
    the same number with four filters in place of five and without the cancellation that costs float32 its digits.
    Beyond the border the images are mirrored.

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
    axes = _filtered_axes(np.ndim(reference), axis)
    _require_room(np.shape(reference), axes, len(weights))
    bands = {a: _band(np.shape(reference)[a], window, precision) for a in axes}

    def smooth(image: Array) -> Array:
        for a in axes:
            image = _filtered(image, bands[a], a, len(weights) // 2)
        return image

    true, judged = np.asarray(reference).astype(dtype), np.asarray(estimate).astype(dtype)
    count = len(weights) ** len(axes)
    correction = 1.0 if covariance == "population" else count / (count - 1)
    with _threads().limit(limits=1, user_api="blas"):
        mean_difference, variance_difference = _term(judged - true, smooth)
        mean_sum, variance_sum = _term(judged + true, smooth)
    result = _ratio(mean_difference, mean_sum, 2 * (k1 * data_range) ** 2)
    result *= _ratio(variance_difference, variance_sum, 2 * (k2 * data_range) ** 2 / correction)
    return result


def ssim_margin(*, window: Window = "gaussian11", axis: int | None = None, **other: Any) -> tuple[int, int, int]:
    """Half the width of the window along each axis of a three-dimensional image; other map options do not matter."""
    radius = len(_weights(window)) // 2
    i, j, k = (0 if a == axis else radius for a in range(3))
    return (i, j, k)


def _mean_is_value(mean: Any, constant: float) -> Any:
    return mean


@METRICS.register("ssim")
@metric(
    best=1.0,
    higher_is_better=True,
    title="SSIM",
    form=VoxelForm(
        ssim_map,
        _mean_is_value,
        no_constant,
        ssim_margin,
        map_options=("window", "axis", "k1", "k2", "covariance", "precision"),
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
    precision: Literal["float32", "float64"] = "float32",
) -> float:
    """Mean of `ssim_map` inside the mask, or over the image without its border where there is no mask.

    Arguments as for `ssim_map`; `mask` is the region, same shape. The map is computed on the whole image and then
    averaged in the region, so voxels just outside the region have a say through the window. Without a mask the border
    of half a window is left out, as scikit-image does.

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
        k1=k1, k2=k2, covariance=covariance, precision=precision,
    )  # fmt: skip
    if mask is not None:
        inside = values[np.asarray(mask, dtype=bool)]
    else:
        radius = len(_weights(window)) // 2
        inside = values[
            tuple(slice(None) if a == axis else slice(radius, n - radius) for a, n in enumerate(values.shape))
        ]
    if inside.size == 0:
        raise Undefined("the region is empty")
    return float(inside.mean(dtype=np.float64))


def _term(image: Array, smooth: Any) -> tuple[Array, Array]:
    """Squared local mean and local variance of `image`, which is overwritten."""
    mean = smooth(image)
    mean *= mean
    image *= image
    variance = smooth(image)
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


@lru_cache(maxsize=1)
def _threads() -> ThreadpoolController:
    """Holds matrix products to one thread; cases are worked on side by side instead.

    Ours are small, and threads that wait for each other cost more than they bring as soon as the machine is shared.
    """
    return ThreadpoolController()


@lru_cache(maxsize=4)
def _weights(window: str) -> tuple[float, ...]:
    if window == "gaussian11":
        bell = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
        return tuple(float(w) for w in bell / bell.sum())
    if window == "uniform7":
        return (1 / 7,) * 7
    raise ConfigError(f"ssim has no window '{window}'; there is: {', '.join(get_args(Window))}")


def _filtered_axes(dimensions: int, axis: int | None) -> tuple[int, ...]:
    if dimensions not in (2, 3):
        raise GeometryError(f"SSIM needs images of 2 or 3 axes, got {dimensions}")
    if axis is not None and not (dimensions == 3 and 0 <= axis < 3):
        raise ConfigError(f"ssim: axis {axis} is not one of 0, 1, 2 of a three-dimensional image")
    # The last axis first: it is contiguous in memory.
    return tuple(a for a in reversed(range(dimensions)) if a != axis)


def _require_room(shape: tuple[int, ...], axes: tuple[int, ...], width: int) -> None:
    for a in axes:
        if shape[a] < width:
            raise Undefined(f"the image has {shape[a]} voxels along axis {a}, fewer than the SSIM window ({width})")


@lru_cache(maxsize=32)
def _band(size: int, window: str, precision: str) -> Array:
    """The filter along one axis as a (size, size) matrix; beyond the border the image is mirrored (a b | b a)."""
    weights = np.asarray(_weights(window), dtype=precision)
    radius = len(weights) // 2
    # Rounded weights must still sum to one: what is missing would be taken from every variance.
    weights[radius] += 1 - weights.sum(dtype=np.float64)
    matrix = np.zeros((size, size))
    rows = np.arange(size)
    for offset, weight in enumerate(weights, start=-radius):
        columns = (rows + offset) % (2 * size)
        np.add.at(matrix, (rows, np.where(columns >= size, 2 * size - 1 - columns, columns)), weight)
    matrix = matrix.astype(precision)
    matrix.flags.writeable = False
    return matrix


def _filtered(image: Array, band: Array, axis: int, radius: int) -> Array:
    """The image times the banded matrix along one axis, a block of rows at a time."""
    result = np.empty_like(image)
    size = image.shape[axis]
    for start in range(0, size, _BLOCK):
        stop = min(start + _BLOCK, size)
        low, high = max(0, start - radius), min(size, stop + radius)
        rows = band[start:stop, low:high]
        if axis == image.ndim - 1:
            flat, out = image.reshape(-1, size), result.reshape(-1, size)
            out[:, start:stop] = flat[:, low:high] @ rows.T
        elif axis == 0:
            product = rows @ image[low:high].reshape(high - low, -1)
            result[start:stop] = product.reshape(stop - start, *image.shape[1:])
        else:
            result[:, start:stop] = np.matmul(rows, image[:, low:high])
    return result
