"""Two artefacts of synthetic FLAIR as numbers: grains in CSF, and sulci that look narrower than they are.

A. Hagiwara et al., AJNR Am J Neuroradiol 40:224, 2019, had readers grade both. The definitions here are ours.
"""

from __future__ import annotations

import numpy as np

from recontrast.errors import ConfigError
from recontrast.metrics import METRICS, Array, Undefined, as_float, metric
from recontrast.metrics.windows import filtered_axes, smooth, weights_of

_DARK, _BRIGHT = 5.0, 75.0


def granularity(image: Array, mask: Array | None = None, *, axis: int | None = None, width: int = 5) -> float:
    """Root of the mean squared fine detail inside a region: what is left after the local mean over the region's voxels.

    The mean is taken over voxels of the region only, so that its border, where bright tissue begins, is no detail.

    Args:
        image: Two or three axes.
        mask: Region (CSF), same shape; None for all voxels.
        axis: Axis across slices, along which nothing is averaged; None: all axes.
        width: Width of the gaussian window in voxels, odd; its standard deviation is 1.5/11 of it.

    Returns:
        Units of the image; 0 for a flat region.

    Raises:
        ConfigError: The width is even or below 3.
        Undefined: The region is empty.

    Example:
        >>> granularity(np.ones((8, 8)))
        0.0
    """
    if width < 3 or width % 2 == 0:
        raise ConfigError(f"a window of {width} voxels; the width must be odd and at least 3")
    values = np.asarray(as_float(image), dtype=np.float64)
    inside = np.ones(values.shape, bool) if mask is None else np.asarray(mask, dtype=bool)
    if not inside.any():
        raise Undefined("the region is empty")
    apart = np.where(inside, values - values[inside].mean(), 0.0)
    axes, weights = filtered_axes(values.ndim, axis, "granularity"), weights_of(f"gaussian{width}")
    share = smooth(inside.astype(np.float64), weights, axes)
    detail = apart[inside] - smooth(apart, weights, axes)[inside] / share[inside]
    return float(np.sqrt(np.mean(detail**2)))


def apparent_width(image: Array, mask: Array | None = None, *, spacing: tuple[float, ...] | None = None) -> float:
    """Mean width of the dark gaps (sulci) in a region, in mm.

    Darkness d runs from 0 at the 75th to 1 at the 5th percentile of the region. A gap between two walls has the width
    2 V / S, its volume over the surface of its two walls; V is the sum of d, S the sum of the length of its gradient.
    Both are true to less than a voxel, and blur that leaves the middle dark changes neither.

    Args:
        image: Two or three axes; gaps are dark.
        mask: Region of cortex and sulci, same shape; None for all voxels.
        spacing: Distance between voxels in mm; None: one voxel is the unit.

    Raises:
        Undefined: The region is empty or flat.

    Example:
        >>> walls = np.ones((12, 40))
        >>> walls[:, 10:14] = walls[:, 25:29] = 0
        >>> apparent_width(walls)
        4.0
    """
    values = np.asarray(as_float(image), dtype=np.float64)
    inside = np.ones(values.shape, bool) if mask is None else np.asarray(mask, dtype=bool)
    if not inside.any():
        raise Undefined("the region is empty")
    dark, bright = np.percentile(values[inside], (_DARK, _BRIGHT))
    if not bright > dark:
        raise Undefined("the image is flat in the region")
    steps = (1.0,) * values.ndim if spacing is None else spacing
    depth = np.clip((bright - values) / (bright - dark), 0, 1)
    squared = np.zeros_like(depth)
    for a in range(depth.ndim):
        if depth.shape[a] > 1:
            squared += np.gradient(depth, steps[a], axis=a) ** 2
    surface = float(np.sqrt(squared)[inside].sum())
    if surface == 0:
        raise Undefined("the image is flat in the region")
    return 2 * float(depth[inside].sum()) / surface


@METRICS.register("granularity_difference")
@metric(best=0.0, higher_is_better=False, title="difference of granularity", needs_image=True)
def granularity_difference(
    reference: Array,
    estimate: Array,
    *,
    mask: Array | None = None,
    data_range: float | None = None,
    axis: int | None = None,
    width: int = 5,
) -> float:
    """|granularity of the estimate - granularity of the reference|, relative to the data range; see `granularity`.

    Args:
        reference: The true image, two or three axes.
        estimate: The image that is judged, same shape.
        mask: Region (CSF), same shape; None for all voxels.
        data_range: Full scale; None: 1.
        axis: Axis across slices; None: all axes.
        width: Width of the window in voxels.

    Example:
        >>> round(granularity_difference(np.zeros((8, 8)), np.tile([0.0, 1.0], (8, 4))), 2)
        0.36
    """
    grains = [granularity(image, mask, axis=axis, width=width) for image in (reference, estimate)]
    return abs(grains[1] - grains[0]) / (data_range or 1.0)


@METRICS.register("apparent_width_difference")
@metric(best=0.0, higher_is_better=False, title="difference of apparent sulcal width", unit="mm", needs_image=True)
def apparent_width_difference(
    reference: Array,
    estimate: Array,
    *,
    mask: Array | None = None,
    data_range: float | None = None,
    spacing: tuple[float, ...] | None = None,
) -> float:
    """|apparent width of the gaps in the estimate - that in the reference|; see `apparent_width`.

    Args:
        reference: The true image, two or three axes.
        estimate: The image that is judged, same shape.
        mask: Region of cortex and sulci, same shape; None for all voxels.
        data_range: Not used.
        spacing: Distance between voxels in mm; None: one voxel is the unit.

    Example:
        >>> wide, narrow = np.ones((8, 40)), np.ones((8, 40))
        >>> wide[:, 10:16] = narrow[:, 10:14] = 0
        >>> apparent_width_difference(wide, narrow)
        2.0
    """
    widths = [apparent_width(image, mask, spacing=spacing) for image in (reference, estimate)]
    return abs(widths[1] - widths[0])
