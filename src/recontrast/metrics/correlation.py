"""Local normalised cross-correlation: do the images change together, whatever their brightness and contrast."""

from __future__ import annotations

from typing import Any

import numpy as np

from recontrast.errors import ConfigError
from recontrast.metrics import METRICS, Array, Undefined, VoxelForm, metric, no_constant
from recontrast.metrics.windows import filtered_axes, inner, margin_of, require_room, smooth, weights_of


def lncc_map(
    reference: Array, estimate: Array, *, data_range: float, width: int = 9, axis: int | None = None, k: float = 0.001
) -> Array:
    """Correlation of the two images in the neighbourhood of each voxel.

    (σxy + C) / (σx σy + C) with means over a cube of `width` voxels, C = (k data_range)²: Pearson's correlation where
    there is structure, 1 where both images are flat.

    Args:
        reference: The true image, two or three axes.
        estimate: The image that is judged, same shape.
        data_range: Width of the intensity scale, in the unit of the images; sets C.
        width: Width of the window in voxels, odd.
        axis: None: the window spans all axes. Otherwise the axis across slices, which the window does not span.
        k: Structure weaker than about this part of the range counts as flat.

    Returns:
        float64 array of the images' shape, -1 to 1.

    Raises:
        ConfigError: The width is even, or there is no such axis.

    Example:
        >>> image = np.add.outer(np.arange(9.0), np.arange(9.0))
        >>> round(float(lncc_map(image, 3 * image + 5, data_range=1.0).min()), 6)
        1.0
    """
    weights = _weights(width)
    axes = filtered_axes(np.ndim(reference), axis, "LNCC")
    require_room(np.shape(reference), axes, width, "LNCC")
    true, judged = (_centred(image) for image in (reference, estimate))
    mean, other = (smooth(image, weights, axes) for image in (true, judged))
    variance = smooth(true * true, weights, axes) - mean * mean
    variance_other = smooth(judged * judged, weights, axes) - other * other
    covariance = smooth(true * judged, weights, axes) - mean * other
    constant = (k * data_range) ** 2
    spread = np.sqrt(np.clip(variance, 0, None) * np.clip(variance_other, 0, None))
    return np.asarray((covariance + constant) / (spread + constant))


def _margin(*, width: int = 9, axis: int | None = None, **other: Any) -> tuple[int, int, int]:
    return margin_of(width // 2, axis)


def _mean_is_value(mean: Any, constant: float) -> Any:
    return mean


@METRICS.register("lncc")
@metric(
    best=1.0,
    higher_is_better=True,
    worst=-1.0,
    title="LNCC",
    form=VoxelForm(lncc_map, _mean_is_value, no_constant, _margin, map_options=("width", "axis", "k")),
)
def lncc(
    reference: Array,
    estimate: Array,
    *,
    mask: Array | None = None,
    data_range: float,
    width: int = 9,
    axis: int | None = None,
    k: float = 0.001,
) -> float:
    """Mean of `lncc_map` inside the mask, or over the image without a border of half a window where there is none.

    Local correlation is blind to brightness, contrast and slow shading; noise in flat tissue counts fully. Avants et
    al. 2008, Med Image Anal 12:26 use its square for registration. Arguments as for `lncc_map`.

    Returns:
        -1 to 1; nan for an empty region and for images smaller than the window.

    Example:
        >>> image = np.add.outer(np.arange(9.0), np.arange(9.0))
        >>> round(lncc(image, 10 - image, data_range=1.0), 6)
        -1.0
    """
    values = lncc_map(reference, estimate, data_range=data_range, width=width, axis=axis, k=k)
    if mask is not None:
        inside = values[np.asarray(mask, dtype=bool)]
    else:
        inside = inner(values, filtered_axes(values.ndim, axis, "LNCC"), width // 2)
    if inside.size == 0:
        raise Undefined("the region is empty")
    return float(inside.mean())


def _weights(width: int) -> tuple[float, ...]:
    if width < 3 or width % 2 == 0:
        raise ConfigError(f"lncc: a window of {width} voxels; the width must be odd and at least 3")
    return weights_of(f"uniform{width}")


def _centred(image: Array) -> Array:
    """float64 with its mean taken away: variances of bright images keep their digits."""
    values = np.asarray(image, dtype=np.float64)
    return np.asarray(values - values.mean())
