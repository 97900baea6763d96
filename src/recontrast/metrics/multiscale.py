"""Multi-scale structural similarity (MS-SSIM) of Wang, Simoncelli and Bovik 2003, and the variant of SynthRAD2025."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from recontrast.errors import ConfigError
from recontrast.metrics import METRICS, Array, Undefined, metric
from recontrast.metrics.windows import enlarged, filtered_axes, inner, require_room, smooth, weights_of

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, fine to coarse (Wang 2003)."""

Variant = Literal["wang2003", "synthrad2025"]
"""`wang2003`: the mean of contrast x structure at each scale, and luminance at the coarsest, to their exponents.
`synthrad2025`: the mean of (luminance x contrast x structure)^exponent at each scale, in a uniform window of 7, on
images enlarged to 97 voxels by their edge values (the code of that challenge)."""

_LEAST_SYNTHRAD = 97


@dataclass(frozen=True)
class _Terms:
    """Luminance, contrast and structure at each voxel."""

    luminance: Array
    contrast: Array
    structure: Array


def ms_ssim_map(
    reference: Array,
    estimate: Array,
    *,
    data_range: float,
    axis: int | None = None,
    window: Literal["gaussian11", "uniform7"] = "gaussian11",
    scales: int = 5,
) -> Array:
    """Where MS-SSIM is low: the product over scales, voxel by voxel, coarse scales enlarged to the image (Wang 2003).

    Arguments as for `ms_ssim`. The number is a product of means, not the mean of this product.

    Returns:
        float64 array of the images' shape, 0 to 1 (negative values of a scale count as 0).

    Raises:
        ConfigError: An option has a value it cannot have.
        Undefined: The image is too small for the coarsest scale.

    Example:
        >>> image = np.add.outer(np.arange(24.0), np.arange(24.0)) / 46
        >>> float(ms_ssim_map(image, image, data_range=1.0, scales=2).min())
        1.0
    """
    _check_options(window, scales, "wang2003")
    axes, weights = filtered_axes(np.ndim(reference), axis, "MS-SSIM"), weights_of(window)
    true, judged = (np.asarray(image, dtype=np.float64) for image in (reference, estimate))
    product = np.ones(true.shape)
    for scale, exponent in enumerate(_exponents(scales)):
        require_room(true.shape, axes, len(weights), f"MS-SSIM scale {scale + 1}")
        terms = _terms(true, judged, weights, axes, data_range, correction=1.0)
        values = terms.contrast * terms.structure * (terms.luminance if scale == scales - 1 else 1.0)
        product *= enlarged(np.clip(values, 0, None), product.shape) ** float(exponent)
        true, judged = _halved(true, axes), _halved(judged, axes)
    return product


@METRICS.register("ms_ssim")
@metric(best=1.0, higher_is_better=True, worst=0.0, title="MS-SSIM", needs_image=True, map=ms_ssim_map)
def ms_ssim(
    reference: Array,
    estimate: Array,
    *,
    mask: Array | None = None,
    data_range: float,
    axis: int | None = None,
    window: Literal["gaussian11", "uniform7"] = "gaussian11",
    scales: int = 5,
    variant: Variant = "wang2003",
) -> float:
    """SSIM over several scales, each half as fine as the one before (means of 2 x 2 [x 2] voxels).

    Args:
        reference: The true image, two or three axes; for `synthrad2025` intensities start at zero.
        estimate: The image that is judged, same shape.
        mask: Region, same shape; a coarse voxel belongs to it when at least half of it does. None: all voxels but a
            border of half a window at each scale.
        data_range: Width of the intensity scale, in the unit of the images.
        axis: None: the window spans all axes. Otherwise the axis across slices, which are not merged.
        window: `gaussian11` (Wang) or `uniform7`; `synthrad2025` has `uniform7` whatever is said here.
        scales: 1 to 5; with fewer than five the exponents are made to sum to one again, which is another number.
        variant: See `Variant`.

    Returns:
        0 to 1 (negative means of a scale count as 0); nan for an empty region, and for images too small for the
        coarsest scale: 176 voxels are needed for five scales with `gaussian11`.

    Raises:
        ConfigError: An option has a value it cannot have.

    Example:
        >>> image = np.add.outer(np.arange(24.0), np.arange(24.0)) / 46
        >>> ms_ssim(image, image, data_range=1.0, scales=2)
        1.0
    """
    _check_options(window, scales, variant)
    axes = filtered_axes(np.ndim(reference), axis, "MS-SSIM")
    inside = None if mask is None else np.asarray(mask, dtype=bool).astype(np.float64)
    if inside is not None and not inside.any():
        raise Undefined("the region is empty")
    true, judged = (np.asarray(image, dtype=np.float64) for image in (reference, estimate))
    if variant == "synthrad2025":
        return _synthrad(true, judged, inside, axes, data_range, np.asarray(WEIGHTS[:scales]))
    return _wang(true, judged, inside, axes, data_range, _exponents(scales), window)


def _check_options(window: str, scales: int, variant: str) -> None:
    if variant not in get_args(Variant) or not 1 <= scales <= len(WEIGHTS) or window not in ("gaussian11", "uniform7"):
        raise ConfigError(
            f"ms_ssim: variant '{variant}' must be wang2003 or synthrad2025, window '{window}' gaussian11 or uniform7, "
            f"scales {scales} from 1 to {len(WEIGHTS)}"
        )


def _exponents(scales: int) -> Array:
    """Of Wang 2003; of fewer scales than five, made to sum to one again."""
    chosen = np.asarray(WEIGHTS[:scales])
    return chosen / (chosen.sum() if scales < len(WEIGHTS) else 1.0)


def _wang(
    true: Array, judged: Array, inside: Array | None, axes: tuple[int, ...], data_range: float, exponents: Array,
    window: str,
) -> float:  # fmt: skip
    weights = weights_of(window)
    value = 1.0
    for scale, exponent in enumerate(exponents):
        require_room(true.shape, axes, len(weights), f"MS-SSIM scale {scale + 1}")
        terms = _terms(true, judged, weights, axes, data_range, correction=1.0)
        chosen = terms.contrast * terms.structure
        if scale == len(exponents) - 1:
            chosen = chosen * terms.luminance
        mean = _mean(chosen, None if inside is None else inside >= 0.5, axes, len(weights) // 2)
        value *= max(0.0, mean) ** float(exponent)
        true, judged = _halved(true, axes), _halved(judged, axes)
        inside = None if inside is None else _halved(inside, axes)
    return value


def _synthrad(
    true: Array, judged: Array, inside: Array | None, axes: tuple[int, ...], data_range: float, exponents: Array
) -> float:
    weights = weights_of("uniform7")
    count = len(weights) ** len(axes)
    lacking = [max(0, _LEAST_SYNTHRAD - n) if a in axes else 0 for a, n in enumerate(true.shape)]
    widths = [(lack // 2, lack - lack // 2) for lack in lacking]
    # Outside the region both images are at the bottom of the scale.
    mask = np.ones(true.shape, dtype=bool) if inside is None else inside > 0
    images = [np.pad(np.where(mask, image, 0.0), widths, mode="edge") for image in (true, judged)]
    mask = np.pad(mask, widths, mode="edge")
    every_other = tuple(slice(None, None, 2) if a in axes else slice(None) for a in range(true.ndim))
    value = 1.0
    for exponent in exponents:
        terms = _terms(images[0], images[1], weights, axes, data_range, correction=count / (count - 1))
        product = np.ones(mask.shape)
        for term in (terms.luminance, terms.contrast, terms.structure):
            product *= np.clip(term, 0, None) ** exponent
        kept = inner(mask, axes, 3)
        if not kept.any():
            raise Undefined("the region is empty at a coarse scale")
        value *= float(np.clip(inner(product, axes, 3)[kept].mean(), 0, 1))
        images = [_with_predecessor(image, axes)[every_other] for image in images]
        mask = mask[every_other]
    return value


def _terms(
    true: Array, judged: Array, weights: tuple[float, ...], axes: tuple[int, ...], data_range: float, correction: float
) -> _Terms:
    mean, other = smooth(true, weights, axes), smooth(judged, weights, axes)
    variance = np.clip(correction * (smooth(true * true, weights, axes) - mean * mean), 0, None)
    variance_other = np.clip(correction * (smooth(judged * judged, weights, axes) - other * other), 0, None)
    covariance = correction * (smooth(true * judged, weights, axes) - mean * other)
    first, second = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    spread = np.sqrt(variance * variance_other)
    return _Terms(
        (2 * mean * other + first) / (mean * mean + other * other + first),
        (2 * spread + second) / (variance + variance_other + second),
        (covariance + second / 2) / (spread + second / 2),
    )


def _mean(values: Array, inside: Array | None, axes: tuple[int, ...], radius: int) -> float:
    chosen = inner(values, axes, radius) if inside is None else values[inside]
    if chosen.size == 0:
        raise Undefined("the region is empty at a coarse scale")
    return float(chosen.mean())


def _halved(values: Array, axes: tuple[int, ...]) -> Array:
    """Means of two neighbours along each axis; a last single voxel is dropped."""
    for a in axes:
        even = values.shape[a] // 2 * 2
        first, second = (np.take(values, np.arange(start, even, 2), axis=a) for start in (0, 1))
        values = (first + second) / 2
    return values


def _with_predecessor(values: Array, axes: tuple[int, ...]) -> Array:
    """Mean of each voxel and the one before it along each axis; zero lies before the first."""
    for a in axes:
        before = np.zeros_like(values)
        ahead = tuple(slice(1, None) if b == a else slice(None) for b in range(values.ndim))
        behind = tuple(slice(None, -1) if b == a else slice(None) for b in range(values.ndim))
        before[ahead] = values[behind]
        values = (values + before) / 2
    return values
