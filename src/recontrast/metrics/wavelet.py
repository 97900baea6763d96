"""Complex-wavelet structural similarity (CW-SSIM): it forgives small shifts, for a shift only turns the phase."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from recontrast.errors import ConfigError
from recontrast.metrics import METRICS, Array, Undefined, VoxelForm, metric, no_constant
from recontrast.metrics.windows import filtered_axes, inner, margin_of, require_room, smooth, weights_of

WAVELENGTHS = (4.0, 8.0)
"""In voxels: fine and middle detail."""


def cw_ssim_map(
    reference: Array,
    estimate: Array,
    *,
    data_range: float,
    axis: int | None = None,
    wavelengths: tuple[float, ...] = WAVELENGTHS,
    width: int = 7,
    k: float = 0.01,
) -> Array:
    """CW-SSIM of the neighbourhood of each voxel (Sampat et al. 2009, IEEE Trans Image Process 18:2385).

    (2 |Σ cx cy*| + K) / (Σ |cx|² + Σ |cy|² + K), K = (k data_range)², with the means over a window of `width` voxels of
    the complex coefficients c, averaged over bands. Bands are Gabor wavelets without a mean: a gaussian of standard
    deviation half the wavelength, cut at three of them; in the plane in four directions, in space in nine (the axes
    and the diagonals of their planes).

    Args:
        reference: The true image, two or three axes.
        estimate: The image that is judged, same shape.
        data_range: Width of the intensity scale, in the unit of the images; sets K.
        axis: None: wavelets in all axes. Otherwise the axis across slices.
        wavelengths: In voxels, at least 2.
        width: Width of the window, odd.
        k: Structure weaker than about this part of the range does not count.

    Returns:
        float32 array of the images' shape, 0 to 1.

    Raises:
        ConfigError: A wavelength below 2 voxels (it cannot be sampled), or an even width.

    Example:
        >>> image = np.cos(np.arange(32) * np.pi / 2)[:, None] * np.ones(32)
        >>> bool(cw_ssim_map(image, np.roll(image, 1, 0), data_range=1.0)[16, 16] > 0.98)
        True
    """
    if width < 1 or width % 2 == 0 or not wavelengths or min(wavelengths) < 2:
        raise ConfigError(f"cw_ssim: width {width} must be odd, wavelengths {wavelengths} at least 2 voxels")
    axes = filtered_axes(np.ndim(reference), axis, "CW-SSIM")
    require_room(np.shape(reference), axes, 2 * _radius(max(wavelengths)) + 1, "CW-SSIM")
    images = [np.asarray(image, dtype=np.float32) for image in (reference, estimate)]
    images = [image - np.float32(images[0].mean(dtype=np.float64)) for image in images]
    window, constant = weights_of(f"uniform{width}"), np.float32((k * data_range) ** 2)
    total, count = np.zeros(images[0].shape, np.float32), 0
    for wavelength in wavelengths:
        for direction in _directions(axes):
            true, judged = (_coefficients(image, wavelength, direction) for image in images)
            energy = smooth(_energy(true) + _energy(judged), window, axes)
            common = smooth(true * judged.conj(), window, axes)
            total += (2 * np.abs(common) + constant) / (energy + constant)
            count += 1
    return total / count


def _margin(
    *, axis: int | None = None, wavelengths: tuple[float, ...] = WAVELENGTHS, width: int = 7, **other: Any
) -> tuple[int, int, int]:
    return margin_of(_radius(max(wavelengths)) + width // 2, axis)


def _mean_is_value(mean: Any, constant: float) -> Any:
    return mean


@METRICS.register("cw_ssim")
@metric(
    best=1.0,
    higher_is_better=True,
    worst=0.0,
    title="CW-SSIM",
    form=VoxelForm(
        cw_ssim_map, _mean_is_value, no_constant, _margin, map_options=("axis", "wavelengths", "width", "k")
    ),
)
def cw_ssim(
    reference: Array,
    estimate: Array,
    *,
    mask: Array | None = None,
    data_range: float,
    axis: int | None = None,
    wavelengths: tuple[float, ...] = WAVELENGTHS,
    width: int = 7,
    k: float = 0.01,
) -> float:
    """Mean of `cw_ssim_map` inside the mask, or over the image without a border of half a wavelet and window.

    Brightness does not count at all, for the wavelets have no mean. Arguments as for `cw_ssim_map`. The published
    method uses a steerable pyramid; values of other wavelets are alike but not equal.

    Returns:
        0 to 1; nan for an empty region and for images smaller than the longest wavelet.

    Example:
        >>> cw_ssim(np.eye(32), np.eye(32), data_range=1.0)
        1.0
    """
    options: dict[str, Any] = {"axis": axis, "wavelengths": wavelengths, "width": width}
    values = cw_ssim_map(reference, estimate, data_range=data_range, k=k, **options)
    if mask is not None:
        inside = values[np.asarray(mask, dtype=bool)]
    else:
        margin = max(_margin(**options))
        inside = inner(values, filtered_axes(values.ndim, axis), margin)
    if inside.size == 0:
        raise Undefined("the region is empty: without a mask the image must be larger than wavelet and window")
    return float(inside.mean(dtype=np.float64))


def _radius(wavelength: float) -> int:
    return int(np.ceil(1.5 * wavelength))


def _directions(axes: tuple[int, ...]) -> Iterator[dict[int, float]]:
    """Unit vectors by axis: the axes, and the diagonals of each pair; opposite ones are one."""
    for a in axes:
        yield {b: float(a == b) for b in axes}
    for first, second in ((a, b) for a, b in product(axes, axes) if a < b):
        for sign in (1.0, -1.0):
            yield {b: {first: np.sqrt(0.5), second: sign * np.sqrt(0.5)}.get(b, 0.0) for b in axes}


def _coefficients(image: Array, wavelength: float, direction: dict[int, float]) -> Array:
    """The image correlated with a Gabor wavelet whose mean was taken away."""
    radius, sigma = _radius(wavelength), wavelength / 2
    positions = np.arange(-radius, radius + 1)
    bell = np.exp(-0.5 * (positions / sigma) ** 2)
    bell /= bell.sum()
    waves = {a: bell * np.exp(2j * np.pi / wavelength * part * positions) for a, part in direction.items()}
    mean = np.prod([wave.sum() for wave in waves.values()])
    oriented, blurred = image, image
    for a, wave in waves.items():
        weights = tuple(float(w) for w in bell) if direction[a] == 0 else tuple(complex(w) for w in wave)
        oriented = smooth(oriented, weights, (a,))
        blurred = smooth(blurred, tuple(float(w) for w in bell), (a,))
    return np.asarray(oriented - np.complex64(mean) * blurred)


def _energy(values: Array) -> Array:
    return values.real**2 + values.imag**2
