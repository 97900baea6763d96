"""Local weighted means of images, shared by the metric families that look at neighbourhoods.

Each one-dimensional filter is a product with a banded matrix, done block by block: the matrix units of the processor do
the work. The result equals scipy's `correlate1d` to rounding.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Literal

import numpy as np
from threadpoolctl import ThreadpoolController

from recontrast.errors import ConfigError, GeometryError
from recontrast.metrics import Array, Undefined

Border = Literal["symmetric", "reflect", "zero"]
"""Values beyond the border, named as in numpy.pad: `symmetric` a b | b a, `reflect` a b c | b a, `zero`."""

_BLOCK = 32
"""Rows of the banded matrix multiplied at once: few enough to skip the zeros, enough to keep the processor busy."""

_NAME = re.compile(r"(gaussian|uniform)(\d+)")

_SIGMA_OF_11 = 1.5


@lru_cache(maxsize=16)
def weights_of(window: str) -> tuple[float, ...]:
    """Weights of a window by name, summing to one.

    Args:
        window: `gaussian11` (standard deviation 1.5 voxels, cut at 5, Wang 2004; other widths keep that ratio) or
            `uniform7`; any odd width.

    Raises:
        ConfigError: There is no such window.

    Example:
        >>> weights_of("uniform3")
        (0.3333333333333333, 0.3333333333333333, 0.3333333333333333)
    """
    found = _NAME.fullmatch(window)
    width = int(found[2]) if found else 0
    if not found or width % 2 == 0:
        raise ConfigError(f"there is no window '{window}'; there is gaussian11, uniform7, or one of another odd width")
    if found[1] == "uniform":
        return (1 / width,) * width
    radius = width // 2
    bell = np.exp(-0.5 * (np.arange(-radius, radius + 1) / (_SIGMA_OF_11 * width / 11)) ** 2)
    return tuple(float(w) for w in bell / bell.sum())


def filtered_axes(dimensions: int, axis: int | None, what: str = "the metric") -> tuple[int, ...]:
    """Axes that a window spans, last first (it is contiguous in memory).

    Args:
        dimensions: Number of axes of the image, 2 or 3.
        axis: The axis across slices, which the window does not span; None: it spans all.
        what: Name of the metric, for messages.

    Raises:
        GeometryError: Another number of axes.
        ConfigError: There is no such axis.
    """
    if dimensions not in (2, 3):
        raise GeometryError(f"{what} needs images of 2 or 3 axes, got {dimensions}")
    if axis is not None and not (dimensions == 3 and 0 <= axis < 3):
        raise ConfigError(f"{what}: axis {axis} is not one of 0, 1, 2 of a three-dimensional image")
    return tuple(a for a in reversed(range(dimensions)) if a != axis)


def require_room(shape: tuple[int, ...], axes: Iterable[int], width: int, what: str) -> None:
    """Raise `Undefined` where an image is smaller than a window."""
    for a in axes:
        if shape[a] < width:
            raise Undefined(f"the image has {shape[a]} voxels along axis {a}, fewer than the {what} window ({width})")


def inner(values: Array, axes: Iterable[int], radius: int) -> Array:
    """The image without a border of `radius` voxels along `axes`."""
    spanned = set(axes)
    return values[tuple(slice(radius, n - radius) if a in spanned else slice(None) for a, n in enumerate(values.shape))]


def margin_of(radius: int, axis: int | None) -> tuple[int, int, int]:
    """`radius` along each axis of a three-dimensional image but `axis`."""
    i, j, k = (0 if a == axis else radius for a in range(3))
    return (i, j, k)


def smooth(
    image: Array,
    weights: tuple[complex, ...],
    axes: Iterable[int],
    border: Border = "symmetric",
    part: tuple[int, int, int, int, int] | None = None,
) -> Array:
    """Correlate an image with the same weights along several axes.

    Args:
        image: float32 or float64 (or complex), any number of axes.
        weights: One-dimensional window, odd length; complex for wavelets.
        axes: Axes to filter along.
        border: What lies beyond the border.
        part: Work on a part of a larger image, cut along the first axis: (start, stop, low, high, size): slices
            `start` to `stop` are wanted, `image` holds slices `low` to `high` of an image of `size` slices, so many
            that the window finds all it needs.

    Returns:
        New array of the same shape (of `stop - start` slices for a part) and precision.

    Example:
        >>> smooth(np.array([[0.0, 3.0, 0.0]]), weights_of("uniform3"), (1,)).tolist()
        [[1.0, 1.0, 1.0]]
    """
    axes, precision = tuple(axes), _precision(image)
    if part is not None:
        start, stop, low, high, size = part
        if 0 in axes:
            rows = band(size, weights, precision, border)[start:stop, low:high]
            image = (rows @ image.reshape(high - low, -1)).reshape(stop - start, *image.shape[1:])
        else:
            image = image[start - low : stop - low]
        axes = tuple(axis for axis in axes if axis != 0)
    with one_thread():
        for axis in axes:
            size = image.shape[axis]
            image = _filtered(image, band(size, weights, precision, border), axis, len(weights) // 2)
    return image


def enlarged(values: Array, shape: tuple[int, ...]) -> Array:
    """Linear interpolation to `shape`, voxel centres in proportion, as in lpips' spatial maps.

    Example:
        >>> enlarged(np.array([0.0, 1.0]), (4,)).tolist()
        [0.0, 0.25, 0.75, 1.0]
    """
    for axis, size in enumerate(shape):
        count = values.shape[axis]
        position = np.clip((np.arange(size) + 0.5) * count / size - 0.5, 0, count - 1)
        below = np.floor(position).astype(int)
        share = (position - below).reshape([-1 if a == axis else 1 for a in range(values.ndim)])
        above = np.minimum(below + 1, count - 1)
        values = (1 - share) * np.take(values, below, axis=axis) + share * np.take(values, above, axis=axis)
    return values


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


_limited = threading.local()


@contextmanager
def one_thread() -> Iterator[None]:
    """Context that holds matrix products to one thread; cases are worked on side by side instead.

    Ours are small, and threads that wait for each other cost more than they bring as soon as the machine is shared.
    Inside another such context nothing is done: asking the libraries takes as long as a small product.
    """
    if getattr(_limited, "here", False):
        yield
        return
    _limited.here = True
    try:
        with _controller().limit(limits=1, user_api="blas"):
            yield
    finally:
        _limited.here = False


def _precision(image: Array) -> str:
    return "float32" if image.dtype in (np.float32, np.complex64) else "float64"


@lru_cache(maxsize=64)
def band(size: int, weights: tuple[complex, ...], precision: str, border: Border) -> Array:
    """The filter along one axis as a matrix, which must not be written into.

    Args:
        size: Voxels along the axis.
        weights: One-dimensional window, odd length.
        precision: "float32" or "float64".
        border: What lies beyond the border.

    Example:
        >>> band(3, weights_of("uniform3"), "float64", "zero").round(2).tolist()
        [[0.33, 0.33, 0.0], [0.33, 0.33, 0.33], [0.0, 0.33, 0.33]]
    """
    values = np.asarray(weights)
    radius = len(values) // 2
    kind = np.result_type(precision, np.complex64 if np.iscomplexobj(values) else precision)
    values = values.astype(kind)
    if not np.iscomplexobj(values):
        # Rounded weights must still sum to what they should: what is missing would be taken from every variance.
        values[radius] += sum(weights).real - values.sum(dtype=np.float64)
    matrix = np.zeros((size, size), dtype=np.complex128 if np.iscomplexobj(values) else np.float64)
    rows = np.arange(size)
    for offset, weight in enumerate(values, start=-radius):
        columns = rows + offset
        inside = np.ones(size, dtype=bool)
        if border == "symmetric":
            columns = columns % (2 * size)
            columns = np.where(columns >= size, 2 * size - 1 - columns, columns)
        elif border == "reflect":
            period = max(1, 2 * size - 2)
            columns = columns % period
            columns = np.where(columns >= size, period - columns, columns)
        elif border == "zero":
            inside = (columns >= 0) & (columns < size)
        else:
            raise ConfigError(f"there is no border '{border}'; there is: symmetric, reflect, zero")
        np.add.at(matrix, (rows[inside], columns[inside]), weight)
    matrix = matrix.astype(kind)
    matrix.flags.writeable = False
    return matrix


def _filtered(image: Array, band: Array, axis: int, radius: int) -> Array:
    """The image times the banded matrix along one axis, a block of rows at a time."""
    result = np.empty(image.shape, dtype=np.result_type(image, band))
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
