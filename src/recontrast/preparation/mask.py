"""Find the head (or whatever body part was scanned) in an image, without templates or networks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from recontrast.errors import IntensityError
from recontrast.volume import Volume

_SMOOTHING_MM = 1.5
_CLOSING_MM = 4.0
_BINS = 256
_RIM = 0.03
"""Part of a support that may lie outside the threshold without being looked at (partial volume of a brain's rim)."""
_AIR_LIKE = 0.1
"""Median of air over median of tissue: below 0.07 in whole heads, above 0.11 at the rim of stripped brains."""
_ABOVE_AIR = 6.0
"""Dim tissue (scalp in FLAIR) lies this many standard deviations of smoothed air above it."""
_DIMMEST = 0.25
"""Tissue is not dimmer than this part of the threshold between the two main classes; faint ghosts are."""
_NO_AIR = 0.22
"""Mean below over mean above the threshold from which both are tissue: 0.10 at most with air, 0.24 and more without."""


def require_signal(volume: Volume, what: str) -> None:
    """Raise `IntensityError` when an image is all zero, constant or has values that are not finite.

    Args:
        volume: The image.
        what: The image in words, with its path or subject; stands at the start of the message.

    Example:
        >>> require_signal(Volume(np.arange(8.0).reshape(2, 2, 2), np.eye(4)), "sub-01 T1w")
    """
    data = volume.data
    if data.size == 0:
        raise IntensityError(f"{what}: has no voxel (shape {volume.shape}); convert the scan again")
    low, high = float(data.min()), float(data.max())
    if not np.isfinite([low, high]).all():
        bad = int(data.size - np.count_nonzero(np.isfinite(data)))
        raise IntensityError(
            f"{what}: {bad} of {data.size} voxels are not finite (NaN or infinite); "
            "replace them with 0 outside the head, or convert the scan again"
        )
    if low == high:
        kind = "all voxels are zero" if low == 0 else f"all voxels have the value {low:g}"
        raise IntensityError(f"{what}: {kind}; convert the scan again or leave this image out")


def head_mask(volume: Volume) -> Volume:
    """Foreground of an image: the whole head, the brain of a skull-stripped image, or another body part.

    An image whose background is exactly zero gives its support (voxels that are not zero). Any other is smoothed a
    little and split in two classes by the method of Otsu (IEEE Trans SMC 9:62, 1979) on the square root of intensity;
    the dark class gives the level and noise of air, and what stands clear of air is tissue, so that a dim scalp stays
    inside. The largest connected part is kept, and holes are filled slice
    by slice in all three directions, so that air enclosed by the head belongs to it. Where both classes are tissue (a
    pelvis that fills the field of view) everything is foreground. The result does not depend on how the axes are
    stored, and is the same at every call.

    Args:
        volume: One image, any orientation; finite values.

    Returns:
        Boolean volume on the same grid, with at least one true voxel.

    Raises:
        IntensityError: The image is all zero, constant or not finite.

    Example:
        >>> image = np.pad(np.ones((4, 4, 4), np.float32), 4)
        >>> int(head_mask(Volume(image, np.eye(4))).data.sum())
        64
    """
    return find_head(volume)[0]


def find_head(volume: Volume) -> tuple[Volume, bool]:
    """`head_mask`, and whether the mask is the support of an image with exactly zero background (skull-stripped).

    Example:
        >>> find_head(Volume(np.pad(np.ones((4, 4, 4), np.float32), 4), np.eye(4)))[1]
        True
    """
    require_signal(volume, "head mask")
    canonical = volume.reoriented("RAS")
    data = np.asarray(canonical.data, dtype=np.float32)
    support = fill_holes(_largest(data != 0)) if (data == 0).any() else np.ones(data.shape, bool)
    tissue = _tissue(data, canonical.spacing)
    stripped = _is_stripped(data, support, tissue)
    found = Volume(support if stripped else tissue, canonical.affine).reoriented(volume.orientation)
    return volume.with_data(found.data), stripped


def fill_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill what is enclosed within a slice, for slices across each of the three axes in turn.

    Args:
        mask: Boolean array, shape (I, J, K).

    Example:
        >>> ring = np.ones((3, 3, 1), bool)
        >>> ring[1, 1, 0] = False
        >>> bool(fill_holes(ring).all())
        True
    """
    filled = mask.copy()
    part = filled[bounding_box(mask, margin=1)]
    for axis in range(3):
        if min(n for other, n in enumerate(part.shape) if other != axis) < 3:
            continue  # a slice one or two voxels wide encloses nothing
        part |= ~_open_background(part, axis)
    return filled


def bounding_box(mask: NDArray[np.bool_], margin: int = 0) -> tuple[slice, ...]:
    """The smallest box that holds a mask and `margin` voxels around it, within the array; nothing for an empty mask.

    Args:
        mask: Boolean array.
        margin: Voxels.

    Example:
        >>> bounding_box(np.pad(np.ones((1, 1, 1), bool), 3), margin=1)
        (slice(2, 5, None), slice(2, 5, None), slice(2, 5, None))
    """
    sides = []
    for axis, length in enumerate(mask.shape):
        inside = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        if not inside.size:
            return (slice(0, 0),) * mask.ndim
        sides.append(slice(max(0, int(inside[0]) - margin), min(length, int(inside[-1]) + 1 + margin)))
    return tuple(sides)


def _open_background(mask: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """Background connected, within slices across `axis`, to the edge of its slice."""
    in_plane = ndimage.generate_binary_structure(3, 1)
    index = [slice(None)] * 3
    for side in (0, 2):
        index[axis] = slice(side, side + 1)
        in_plane[tuple(index)] = False
    labels, count = ndimage.label(~mask, structure=in_plane)
    reaches_edge = np.zeros(count + 1, bool)
    for other in range(3):
        if other != axis:
            for side in (0, -1):
                reaches_edge[np.take(labels, side, axis=other)] = True
    reaches_edge[0] = False
    return reaches_edge[labels]


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest part connected through faces; an empty mask stays empty."""
    box = bounding_box(mask)
    labels, count = ndimage.label(mask[box])
    if count < 2:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest = np.zeros_like(mask)
    largest[box] = labels == int(sizes.argmax())
    return largest


def _tissue(data: NDArray[np.float32], spacing: tuple[float, float, float]) -> NDArray[np.bool_]:
    """Head against air by threshold."""
    sigma = [min(_SMOOTHING_MM / step, 1.5) if n > 1 else 0.0 for step, n in zip(spacing, data.shape, strict=True)]
    smooth = ndimage.gaussian_filter(data, sigma)
    low, high = np.percentile(smooth, (0, 99.5))
    if not high > low:  # a few bright voxels in emptiness
        return _largest(data > data.min())
    share = np.clip((smooth - low) / (high - low), 0, 1)
    split = _otsu(np.sqrt(share)) ** 2
    dark = share[share <= split]
    if float(dark.mean()) >= _NO_AIR * float(share[share > split].mean()):
        return np.ones(data.shape, bool)  # the body fills the field of view
    air = float(np.median(dark))
    noise = 1.4826 * float(np.median(np.abs(dark - air)))
    above = share > min(split, max(air + _ABOVE_AIR * noise, _DIMMEST * split))
    steps = [
        max(1, min(round(_CLOSING_MM / step), (n - 1) // 4)) if n > 8 else 0
        for step, n in zip(spacing, data.shape, strict=True)
    ]
    tissue = _largest(above).copy()
    box = bounding_box(tissue)
    tissue[box] = _closed(tissue[box], steps)
    return fill_holes(tissue)


def _closed(mask: NDArray[np.bool_], steps: list[int]) -> NDArray[np.bool_]:
    """Close gaps up to about twice `steps` voxels wide along each axis (an ear canal, a dark skull)."""
    padded = np.pad(mask, [(n, n) for n in steps])
    for axis, n in enumerate(steps):
        padded = ndimage.maximum_filter1d(padded.view(np.uint8), 2 * n + 1, axis=axis).view(bool)
    for axis, n in enumerate(steps):
        padded = ndimage.minimum_filter1d(padded.view(np.uint8), 2 * n + 1, axis=axis).view(bool)
    inner = tuple(slice(n, size - n) for n, size in zip(steps, padded.shape, strict=True))
    return padded[inner] | mask


def _otsu(values: NDArray[np.float32]) -> float:
    """Threshold that maximises the variance between two classes of values in [0, 1]."""
    counts, edges = np.histogram(values, bins=_BINS, range=(0.0, 1.0))
    centres = (edges[:-1] + edges[1:]) / 2
    below, total = np.cumsum(counts), counts.sum()
    mean_below, mean_all = np.cumsum(counts * centres), float((counts * centres).sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (mean_all * below / total - mean_below) ** 2 / (below * (total - below))
    return float(edges[1:][int(np.nanargmax(np.where(np.isfinite(between), between, -1.0)))])


def _is_stripped(data: NDArray[np.float32], support: NDArray[np.bool_], tissue: NDArray[np.bool_]) -> bool:
    """Whether the background is exactly zero, so that the support is the mask.

    Not so: zeros sprinkled through noisy air, and zero corners around a field of view that was turned.
    """
    zero = ~support
    if np.count_nonzero(zero) < 0.02 * zero.size:
        return False
    in_one_piece = np.count_nonzero(support & (data != 0)) >= 0.95 * np.count_nonzero(data)
    solid = np.count_nonzero(ndimage.binary_erosion(data == 0, border_value=1)) >= 0.5 * np.count_nonzero(data == 0)
    if not (in_one_piece and solid):
        return False
    beyond = support & ~tissue
    if np.count_nonzero(beyond) < _RIM * np.count_nonzero(support):
        return True
    return float(np.median(np.abs(data[beyond]))) >= _AIR_LIKE * float(np.median(np.abs(data[tissue])))
