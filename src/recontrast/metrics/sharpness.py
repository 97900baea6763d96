"""How sharp the estimate is beside the reference: blur lowers gradients and fine detail, noise and patterns raise them.

The two ratios have their best value, 1, in the middle; the two distances say how far from 1, as |log2 ratio|.
"""

from __future__ import annotations

import numpy as np

from recontrast.errors import ConfigError
from recontrast.metrics import METRICS, Array, Undefined, as_float, metric
from recontrast.metrics.windows import filtered_axes, smooth, weights_of


def gradient_map(image: Array, *, axis: int | None = None, spacing: tuple[float, ...] | None = None) -> Array:
    """Length of the intensity gradient at each voxel, by central differences.

    Args:
        image: Two or three axes.
        axis: Axis across slices, along which no difference is taken; None: all axes.
        spacing: Distance between voxels along each axis in mm; None: one voxel is the unit.

    Returns:
        float64, the images' shape; intensity per mm, or per voxel.

    Example:
        >>> float(gradient_map(np.array([[0.0, 3.0, 6.0], [4.0, 7.0, 10.0]]))[0, 1])
        5.0
    """
    values = np.asarray(image, dtype=np.float64)
    steps = (1.0,) * values.ndim if spacing is None else spacing
    total = np.zeros_like(values)
    for a in filtered_axes(values.ndim, axis, "gradient"):
        if values.shape[a] > 1:
            total += np.gradient(values, steps[a], axis=a) ** 2
    return np.sqrt(total)


def detail_map(image: Array, *, axis: int | None = None, width: int = 5) -> Array:
    """Square of what a gaussian window of `width` voxels takes away: energy of the high spatial frequencies.

    Args:
        image: Two or three axes.
        axis: Axis across slices, along which is not smoothed; None: all axes.
        width: Width of the window, odd; its standard deviation is 1.5/11 of it.

    Returns:
        float64, the image's shape, squared intensity.

    Raises:
        ConfigError: The width is even or below 3.

    Example:
        >>> float(detail_map(np.ones((7, 7))).max())
        0.0
    """
    if width < 3 or width % 2 == 0:
        raise ConfigError(f"a window of {width} voxels; the width must be odd and at least 3")
    values = np.asarray(as_float(image), dtype=np.float64)
    # Near the mean a flat image is exactly zero, whatever its brightness.
    values = values - values.mean()
    axes = filtered_axes(values.ndim, axis, "high-frequency energy")
    rest = values - smooth(values, weights_of(f"gaussian{width}"), axes)
    return np.asarray(rest * rest)


_NEARBY = "gaussian11"
"""Window in which a ratio is taken for a map."""

_FLAT = 0.01
"""Where the reference has less than this share of its mean, there is nothing to divide by."""


def gradient_ratio_map(
    reference: Array,
    estimate: Array,
    *,
    data_range: float | None = None,
    axis: int | None = None,
    spacing: tuple[float, ...] | None = None,
) -> Array:
    """Mean gradient of the estimate divided by that of the reference, around each voxel (gaussian window of 11).

    Arguments as for `gradient_ratio`.

    Returns:
        float64 array of the images' shape; nan where the reference is flat.

    Example:
        >>> ramp = np.add.outer(np.arange(12.0), np.zeros(12))
        >>> float(gradient_ratio_map(ramp, ramp / 2)[6, 6].round(6))
        0.5
    """
    below, above = (gradient_map(image, axis=axis, spacing=spacing) for image in (reference, estimate))
    return _local_ratio(below, above, axis)


def high_frequency_ratio_map(
    reference: Array,
    estimate: Array,
    *,
    data_range: float | None = None,
    axis: int | None = None,
    width: int = 5,
) -> Array:
    """Fine detail's energy in the estimate divided by that in the reference, around each voxel (gaussian window of 11).

    Arguments as for `high_frequency_ratio`.

    Returns:
        float64 array of the images' shape; nan where the reference is flat.

    Example:
        >>> wave = np.tile([0.0, 1.0], (12, 6))
        >>> float(high_frequency_ratio_map(wave, wave / 2)[6, 6].round(6))
        0.25
    """
    below, above = (detail_map(image, axis=axis, width=width) for image in (reference, estimate))
    return _local_ratio(below, above, axis)


def _local_ratio(reference: Array, estimate: Array, axis: int | None) -> Array:
    axes = filtered_axes(reference.ndim, axis, "a local ratio")
    below, above = (smooth(values, weights_of(_NEARBY), axes) for values in (reference, estimate))
    ratio = np.full(below.shape, np.nan)
    np.divide(above, below, out=ratio, where=below > _FLAT * float(reference.mean()))
    return ratio


@METRICS.register("gradient_ratio")
@metric(
    best=1.0, higher_is_better=True, two_sided=True, title="gradient ratio", needs_image=True, map=gradient_ratio_map
)
def gradient_ratio(
    reference: Array,
    estimate: Array,
    *,
    mask: Array | None = None,
    data_range: float | None = None,
    axis: int | None = None,
    spacing: tuple[float, ...] | None = None,
) -> float:
    """Mean gradient of the estimate divided by that of the reference.

    Args:
        reference: The true image, two or three axes.
        estimate: The image that is judged, same shape.
        mask: Region, same shape; None for all voxels.
        data_range: Not used.
        axis: Axis across slices, along which no difference is taken; None: all axes.
        spacing: Distance between voxels along each axis in mm; None: one voxel is the unit.

    Returns:
        Below 1 for a blurred estimate, above 1 for a noisy one; nan where the reference is flat.

    Example:
        >>> gradient_ratio(np.array([[0.0, 2.0, 4.0]] * 2), np.array([[0.0, 1.0, 2.0]] * 2))
        0.5
    """
    maps = [gradient_map(image, axis=axis, spacing=spacing) for image in (reference, estimate)]
    return _ratio(maps[0], maps[1], mask)


@METRICS.register("gradient_distance")
@metric(best=0.0, higher_is_better=False, title="gradient distance", unit="octaves", needs_image=True)
def gradient_distance(
    reference: Array,
    estimate: Array,
    *,
    mask: Array | None = None,
    data_range: float | None = None,
    axis: int | None = None,
    spacing: tuple[float, ...] | None = None,
) -> float:
    """|log2 `gradient_ratio`|: 1 where the gradients are half or twice those of the reference. Arguments as there.

    Example:
        >>> gradient_distance(np.array([[0.0, 2.0, 4.0]] * 2), np.array([[0.0, 1.0, 2.0]] * 2))
        1.0
    """
    maps = [gradient_map(image, axis=axis, spacing=spacing) for image in (reference, estimate)]
    return _octaves(_ratio(maps[0], maps[1], mask))


@METRICS.register("high_frequency_ratio")
@metric(
    best=1.0, higher_is_better=True, two_sided=True, title="high-frequency energy ratio", needs_image=True,
    map=high_frequency_ratio_map,
)  # fmt: skip
def high_frequency_ratio(
    reference: Array,
    estimate: Array,
    *,
    mask: Array | None = None,
    data_range: float | None = None,
    axis: int | None = None,
    width: int = 5,
) -> float:
    """Energy of fine detail in the estimate divided by that in the reference; see `detail_map` for what is fine.

    Arguments as for `gradient_ratio`, and `width`, the width of the window in voxels.

    Example:
        >>> wave = np.tile([0.0, 1.0], (8, 4))
        >>> round(high_frequency_ratio(wave, wave / 2), 6)
        0.25
    """
    maps = [detail_map(image, axis=axis, width=width) for image in (reference, estimate)]
    return _ratio(maps[0], maps[1], mask)


@METRICS.register("high_frequency_distance")
@metric(best=0.0, higher_is_better=False, title="high-frequency energy distance", unit="octaves", needs_image=True)
def high_frequency_distance(
    reference: Array,
    estimate: Array,
    *,
    mask: Array | None = None,
    data_range: float | None = None,
    axis: int | None = None,
    width: int = 5,
) -> float:
    """|log2 `high_frequency_ratio`|. Arguments as there.

    Example:
        >>> wave = np.tile([0.0, 1.0], (8, 4))
        >>> round(high_frequency_distance(wave, wave / 2), 6)
        2.0
    """
    maps = [detail_map(image, axis=axis, width=width) for image in (reference, estimate)]
    return _octaves(_ratio(maps[0], maps[1], mask))


def _ratio(reference: Array, estimate: Array, mask: Array | None) -> float:
    if mask is not None:
        inside = np.asarray(mask, dtype=bool)
        reference, estimate = reference[inside], estimate[inside]
    if reference.size == 0:
        raise Undefined("the region is empty")
    whole = float(reference.mean())
    if whole <= 0:
        raise Undefined("the reference is flat in the region")
    return float(estimate.mean()) / whole


def _octaves(ratio: float) -> float:
    if ratio <= 0:
        raise Undefined("the estimate is flat in the region: infinitely far")
    return abs(float(np.log2(ratio)))
