"""Grids that recipes ask for: windows of whole voxels, other voxel sizes, boxes in a template's space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import ConfigError
from recontrast.preparation.recipes import PlacedImage
from recontrast.preparation.resample import resample
from recontrast.volume import Volume


def window(volume: Volume, start: Sequence[int], shape: Sequence[int]) -> Volume:
    """Cut or fill up with zeros by whole voxels; no value is interpolated and world positions stay.

    Args:
        volume: Any volume.
        start: Voxel of the volume that becomes voxel 0; may be negative.
        shape: Number of voxels of the result.

    Example:
        >>> window(Volume(np.ones((2, 2, 2)), np.eye(4)), (-1, 0, 0), (4, 2, 2)).data[:, 0, 0].tolist()
        [0.0, 1.0, 1.0, 0.0]
    """
    i, j, k = (int(n) for n in shape)
    data = np.zeros((i, j, k), volume.data.dtype)
    ends = [min(size, first + n) for size, first, n in zip(volume.shape, start, (i, j, k), strict=True)]
    kept = tuple(slice(max(0, first), max(0, end)) for first, end in zip(start, ends, strict=True))
    there = tuple(
        slice(part.start - first, part.start - first + max(0, part.stop - part.start))
        for part, first in zip(kept, start, strict=True)
    )
    data[there] = volume.data[kept]
    affine = volume.affine.copy()
    affine[:3, 3] = affine[:3, :3] @ np.asarray(start, dtype=np.float64) + affine[:3, 3]
    return Volume(data, affine)


def windowed(image: PlacedImage, start: Sequence[int], shape: Sequence[int]) -> PlacedImage:
    """A placed image with its head and field of view, cut or filled up by whole voxels."""
    seen = image.head.with_data(np.ones(image.head.shape, bool) if image.seen is None else image.seen)
    return replace(
        image,
        volume=window(image.volume, start, shape),
        head=window(image.head, start, shape),
        seen=window(seen, start, shape).data,
    )


def centred_start(head: NDArray[np.bool_], size: Sequence[int]) -> list[int]:
    """First voxel of a window along each axis.

    A window larger than the grid is centred on the grid, a smaller one on the head, but never beyond the grid.

    Args:
        head: Head mask, shape (I, J, K).
        size: Voxels of the window.
    """
    starts = []
    for axis, (have, want) in enumerate(zip(head.shape, size, strict=True)):
        hit = np.flatnonzero(head.any(axis=tuple(a for a in range(3) if a != axis)))
        middle = (int(hit[0]) + int(hit[-1]) + 1) / 2 if hit.size else have / 2
        starts.append(-((want - have) // 2) if want >= have else int(np.clip(round(middle - want / 2), 0, have - want)))
    return starts


def resized(grid: Volume, shape: Sequence[int]) -> Volume:
    """An empty volume over the same box (outer faces of the voxels) with another number of voxels.

    Raises:
        ConfigError: Not three positive numbers.

    Example:
        >>> resized(Volume(np.zeros((4, 4, 4)), np.eye(4)), (2, 2, 2)).origin
        (0.5, 0.5, 0.5)
    """
    if len(shape) != 3 or min(shape) < 1:
        raise ConfigError(f"size {tuple(shape)}: three positive numbers are needed (voxels right, anterior, superior)")
    i, j, k = (int(n) for n in shape)
    ratio = np.array(grid.shape) / np.array((i, j, k))
    change = np.diag([*ratio, 1.0])
    change[:3, 3] = ratio / 2 - 0.5
    return Volume(np.zeros((i, j, k), np.uint8), grid.affine @ change)


def onto(raw: Volume, placed: PlacedImage, grid: Volume) -> PlacedImage:
    """A raw image on another grid in the same world as the one it was placed on, with one interpolation.

    Args:
        raw: The raw image.
        placed: How it was placed.
        grid: Only its shape and affine matter.
    """
    everywhere = raw.with_data(np.ones(raw.shape, bool))
    return replace(
        placed,
        volume=resample(raw, grid, placed.transform, "cubic"),
        head=Volume(resample(placed.head, grid, None, "nearest").data.astype(bool), grid.affine),
        seen=resample(everywhere, grid, placed.transform, "nearest").data.astype(bool),
        interpolated=True,
    )
