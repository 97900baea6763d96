"""Figures of one image as it was acquired: noise, tissue contrast, ghosts of motion, signs of contrast agent."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from recontrast.contrasts import Contrast
from recontrast.preparation.registration import dilated
from recontrast.preparation.whitestripe import deep, last_peak
from recontrast.volume import Volume

_GHOST_MARGIN_MM = 8.0
"""Air nearer to the head than this is not looked at: it holds the blur of the head itself."""

_FEWEST = 500
"""Fewer voxels than this give no figure."""

_FLAT = 0.25
"""Share of the blocks, those with the smallest differences, that noise is measured in."""

_BRIGHT = 1.3
"""Enhanced vessels and lesions are brighter than white matter by this factor in a T1w."""


@dataclass(frozen=True)
class ImageFigures:
    """Figures of one image; None where they cannot be told.

    Attributes:
        noise: Standard deviation of the noise, native units.
        snr: Median of the deep half of the head over the noise.
        tissue_contrast: Distance of the two brighter of three tissue classes, over their mean.
        ghosting: How much brighter air beside the head is than air in the corners, over the signal of the head; the
            largest of the three directions. None without air.
        bright_share: Share of the brain that is brighter than white matter by 1.3; T1w with a known brain only.
        image_hash: Digest of the voxels along RAS: equal for the same image in another file.
    """

    noise: float | None
    snr: float | None
    tissue_contrast: float | None
    ghosting: float | None
    bright_share: float | None
    image_hash: str


def image_figures(volume: Volume, head: Volume, contrast: str, brain: Volume | None = None) -> ImageFigures:
    """Figures of one image.

    Args:
        volume: The image as acquired, native units: interpolation would hide noise.
        head: Its head mask (or brain, of a stripped image).
        contrast: Its label.
        brain: Its brain mask where it is known; without one no sign of contrast agent is looked for.

    Example:
        >>> image_figures(t1w, head_mask(t1w), "T1w").snr  # doctest: +SKIP
        31.2
    """
    volume, head = volume.reoriented("RAS"), head.reoriented("RAS")
    inside = head.data.astype(bool, copy=False)
    inner = deep(head)
    noise = noise_level(volume, inside)
    signal = float(np.median(volume.data[inner])) if inner.any() else 0.0
    bright = None
    if brain is not None and Contrast.parse(contrast).suffix == "T1w":
        bright = bright_share(volume, brain.reoriented("RAS"))
    return ImageFigures(
        noise,
        signal / noise if noise else None,
        _tissue_contrast(volume, inner),
        ghosting(volume, head, signal),
        bright,
        image_hash(volume),
    )


def noise_level(volume: Volume, inside: NDArray[np.bool_]) -> float | None:
    """Standard deviation of the noise inside a mask, from diagonal differences in the plane of the finest voxels.

    The median of their size is used (Donoho and Johnstone, Biometrika 81:425, 1994), in the quarter of the blocks of
    two by two voxels whose differences along both axes are smallest: these are independent of the diagonal one for
    noise, and large where tissue changes.

    Args:
        volume: The image.
        inside: Where to look.

    Returns:
        Native units; None where there are too few voxels.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> image = Volume(100 + 5 * rng.standard_normal((40, 40, 10)), np.eye(4))
        >>> 4.8 < noise_level(image, np.ones(image.shape, bool)) < 5.2
        True
    """
    first, second = sorted(np.argsort(volume.spacing, kind="stable")[:2].tolist())
    data = np.moveaxis(volume.data, (first, second), (0, 1)).astype(np.float32)
    mask = np.moveaxis(inside, (first, second), (0, 1))
    i, j = data.shape[0] // 2 * 2, data.shape[1] // 2 * 2
    corners = [(x, y) for x in (0, 1) for y in (0, 1)]
    kept = np.logical_and.reduce([mask[x:i:2, y:j:2] for x, y in corners])
    if np.count_nonzero(kept) < _FEWEST:
        return None
    a, b, c, d = (data[x:i:2, y:j:2][kept] for x, y in corners)
    change = np.hypot(a + b - c - d, a - b + c - d)
    flat = change <= np.quantile(change, _FLAT)
    return float(np.median(np.abs(a - b - c + d)[flat]) / 2 / 0.6745)


def ghosting(volume: Volume, head: Volume, signal: float) -> float | None:
    """How much brighter air in the lines of the head is than air beside all lines, over the signal of the head.

    Motion repeats the head along the direction of phase encoding; which one that is, is not known, so the largest of
    the three directions counts.

    Args:
        volume: The image.
        head: Its head mask.
        signal: Signal of the head.

    Returns:
        None where the image has no air, or its air was set to zero.
    """
    air = ~dilated(head.with_data(head.data.astype(bool)), _GHOST_MARGIN_MM).data
    if signal <= 0 or np.count_nonzero(volume.data[air]) < 0.5 * np.count_nonzero(air):
        return None
    shadows = [np.broadcast_to(head.data.any(axis=axis, keepdims=True), air.shape) for axis in range(3)]
    corners = air & ~np.logical_or.reduce(shadows)
    if np.count_nonzero(corners) < _FEWEST:
        return None
    quiet = float(volume.data[corners].mean())
    excess = [float(volume.data[air & shadow].mean()) - quiet for shadow in shadows if (air & shadow).sum() >= _FEWEST]
    return max(0.0, *excess) / signal if excess else None


def image_hash(volume: Volume) -> str:
    """Digest of shape and voxels along RAS (16 hexadecimal digits): the same for copies under other names or types."""
    data = np.ascontiguousarray(volume.reoriented("RAS").data, dtype=np.float32)
    return hashlib.sha256(repr(data.shape).encode() + data.tobytes()).hexdigest()[:16]


def _tissue_contrast(volume: Volume, inner: NDArray[np.bool_]) -> float | None:
    if np.count_nonzero(inner) < _FEWEST:
        return None
    thickest = int(np.argmax(volume.spacing))
    size = [1 if axis == thickest and volume.spacing[axis] > 2 else 3 for axis in range(3)]
    values = ndimage.uniform_filter(volume.data.astype(np.float32), size)[inner]
    low, high = np.percentile(values, (1, 99))
    if not high > low:
        return None
    counts, edges = np.histogram(values, bins=256, range=(low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    means = np.percentile(values, (100 / 6, 50, 500 / 6))
    for _ in range(50):
        nearest = np.abs(centres[:, None] - means).argmin(axis=1)
        weights = np.array([counts[nearest == k].sum() for k in range(3)])
        sums = np.array([(counts * centres)[nearest == k].sum() for k in range(3)])
        means = np.where(weights > 0, sums / np.maximum(weights, 1), means)
    _, middle, bright = np.sort(means)
    return float((bright - middle) / ((bright + middle) / 2)) if bright + middle > 0 else None


def bright_share(volume: Volume, brain: Volume) -> float | None:
    """Share of the brain that is clearly brighter than white matter in a T1w: vessels and lesions after contrast agent.

    Args:
        volume: A T1w.
        brain: Its brain mask.

    Returns:
        None where the mask has too few voxels.
    """
    inner = deep(brain)
    if np.count_nonzero(inner) < _FEWEST:
        return None
    limit = _BRIGHT * last_peak(np.asarray(volume.data[inner], dtype=np.float64))
    return float(np.mean(volume.data[brain.data.astype(bool)] > limit))
