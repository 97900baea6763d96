"""White stripe: the intensities of normal white matter set the scale (Shinohara et al, NeuroImage Clin 6:9, 2014)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from recontrast.contrasts import Contrast
from recontrast.errors import IntensityError
from recontrast.volume import Volume

HALF_WIDTH = 0.05
"""Half the width of the stripe, in shares of the foreground on either side of the peak."""

_DEPTH_MM = 20.0
"""White matter is looked for at least this deep below the surface of the head, so that fat and skin are left out."""

_COARSE_MM = 3.0
_BINS = 400
_FEWEST = 100
_SMOOTHING = 0.015
"""Width (standard deviation) of the kernel over the histogram, in shares of its range."""

_LEAST_PEAK = 0.2
"""The last peak counts when it is at least this high beside the highest."""


def white_stripe(volume: Volume, head: Volume, contrast: str = "T1w") -> tuple[float, float]:
    """Mean and standard deviation of the white stripe.

    The stripe is what lies within 5 % of the foreground on either side of the white-matter peak of the smoothed
    histogram: the last peak in T1w (and where the contrast is unknown), the highest in other contrasts.

    Args:
        volume: The image, native units.
        head: Head or brain mask.
        contrast: Label of the contrast.

    Returns:
        Mean and standard deviation, native units.

    Raises:
        IntensityError: There is no depth to look in, or the stripe has no width.

    Example:
        >>> mean, deviation = white_stripe(t1w, head_mask(t1w))  # doctest: +SKIP
    """
    values = np.asarray(volume.data[deep(head)], dtype=np.float64)
    if values.size < _FEWEST:
        raise IntensityError("scale 'whitestripe': too few voxels deep inside the head; choose another scale")
    peak = last_peak(values) if not contrast or Contrast.parse(contrast).suffix == "T1w" else highest_peak(values)
    place = float(np.mean(values <= peak))
    low, high = np.quantile(values, (max(0.0, place - HALF_WIDTH), min(1.0, place + HALF_WIDTH)))
    stripe = values[(values >= low) & (values <= high)]
    return float(stripe.mean()), float(stripe.std())


def deep(head: Volume, depth_mm: float = _DEPTH_MM) -> NDArray[np.bool_]:
    """The part of a mask that lies at least `depth_mm` below its surface; less deep in a small mask.

    The distance is found on a coarse grid of about 3 mm.

    Args:
        head: Boolean mask.
        depth_mm: Depth, mm; at most half of the largest depth there is.
    """
    inside = head.data.astype(bool, copy=False)
    steps = tuple(max(1, round(_COARSE_MM / step)) for step in head.spacing)
    thin = np.pad(inside[:: steps[0], :: steps[1], :: steps[2]], 1)
    spacing = [n * step for n, step in zip(steps, head.spacing, strict=True)]
    distance = ndimage.distance_transform_edt(thin, sampling=spacing)[1:-1, 1:-1, 1:-1]
    far = distance >= min(depth_mm, float(distance.max()) / 2)
    for axis, (step, size) in enumerate(zip(steps, inside.shape, strict=True)):
        far = np.repeat(far, step, axis=axis).take(range(size), axis=axis)
    return np.asarray(far & inside)


def highest_peak(values: NDArray[np.float64]) -> float:
    """Place of the highest peak of the smoothed histogram."""
    smooth, centres = _smooth_histogram(values)
    return float(centres[int(smooth.argmax())])


def last_peak(values: NDArray[np.float64]) -> float:
    """Place of the last peak of the smoothed histogram that is at least a fifth of the highest: white matter in T1w."""
    smooth, centres = _smooth_histogram(values)
    rises = np.r_[True, smooth[1:] > smooth[:-1]]
    falls = np.r_[smooth[:-1] >= smooth[1:], True]
    peaks = np.flatnonzero(rises & falls & (smooth >= _LEAST_PEAK * smooth.max()))
    return float(centres[int(peaks[-1])])


def _smooth_histogram(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low, high = (float(v) for v in np.percentile(values, (0.5, 99.8)))
    counts, edges = np.histogram(values, bins=_BINS, range=(low, high) if high > low else None)
    smooth = ndimage.gaussian_filter1d(counts.astype(np.float64), _SMOOTHING * _BINS, mode="constant")
    return smooth, (edges[:-1] + edges[1:]) / 2
