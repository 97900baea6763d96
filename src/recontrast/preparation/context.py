"""What lies around a voxel, and where in the head it is: further channels for networks that see only slices.

The same tissue is bright in one place and dark in another; a blurred image and a place tell them apart, in every
direction of space, for the price of a few running sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

from recontrast.execution.runtime import threads_of_process
from recontrast.preparation.level import signal_level

PLACES = 3
"""Channels that tell the place."""

_PASSES = 3
"""A running mean, as often as this, is a Gaussian to within a few percent."""

_THREADS = 4
"""Blurred images that are made at a time, at most: each takes some four times its own memory meanwhile."""

_WIDE = 3.0
"""Widths in voxels from which on running means are close enough, and quicker."""

_SIGNAL = 0.2
"""Voxels brighter than this part of the signal level show where the head is."""

_TAIL = 0.002
"""Part of those voxels beyond each end of the head; a bright speck in the air does not move it."""

_BEYOND = 0.25
"""How far outside the head places go on, in parts of the head."""


def channel_count(sources: int, images: int) -> int:
    """Channels of `sources` contrasts with `images` of the surroundings of each, themselves included.

    >>> channel_count(2, 3), channel_count(2, 0)
    (11, 2)
    """
    return sources * (1 + images) + (PLACES if images else 0)


def images_of_each(widths: Sequence[Sequence[float]], steep: int) -> int:
    """Images of its surroundings that a network sees of each source: blurred ones, and how steep some of these are.

    >>> images_of_each([(1, 1, 1), (2, 2, 2)], 1), images_of_each([], 3)
    (3, 0)
    """
    return len(widths) + len(widths[:steep])


def context_channels(
    sources: Sequence[NDArray[np.float32]], widths: Sequence[Sequence[float]], steep: int = 0
) -> list[NDArray[np.float32]]:
    """Images of the surroundings of each source, then the place: from the middle plane, from back to front, upwards.

    The images are the source blurred to each width, then how steep it is at the first of these: a border of tissues
    looks like a tissue between them, and only its steepness tells. Places go from 0 to 1 between the ends of the
    head; left and right are not told apart.

    Args:
        sources: Scaled volumes (I, J, K), axes along R, A, S, air near zero.
        widths: Standard deviations along the three axes, in voxels; none: no channels at all.
        steep: At so many of the widths the steepness, too (`steepness`).

    Example:
        >>> [c.shape for c in context_channels([np.ones((4, 5, 6), np.float32)], [(1, 1, 1)])]
        [(4, 5, 6), (4, 5, 6), (4, 5, 6), (4, 5, 6)]
    """
    if not widths:
        return []
    jobs = list(product(sources, range(len(widths))))
    threads = min(threads_of_process(), _THREADS, len(jobs))
    with ThreadPoolExecutor(threads) as pool:  # the filters let other threads run
        places = pool.submit(_places, sources[0])
        made = list(pool.map(lambda job: _around(job[0], widths[job[1]], with_steepness=job[1] < steep), jobs))
    images: list[NDArray[np.float32]] = []
    for first in range(0, len(made), len(widths)):
        of_source = made[first : first + len(widths)]
        images += [blurred for blurred, _ in of_source] + [image for _, image in of_source if image is not None]
    return [*images, *places.result()]


def _around(
    source: NDArray[np.float32], width: Sequence[float], *, with_steepness: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    blurred = _blurred(source, width)
    return blurred, steepness(blurred, width) if with_steepness else None


def steepness(image: NDArray[np.float32], width: Sequence[float]) -> NDArray[np.float32]:
    """Length of the gradient of a (blurred) image, as the change over a width.

    Args:
        image: Volume (I, J, K).
        width: Length along each axis, in voxels.

    Example:
        >>> steepness(np.arange(24, dtype=np.float32).reshape(4, 2, 3), (0, 0, 2)).max()
        np.float32(2.0)
    """
    squared = np.zeros(image.shape, np.float32)
    for axis, voxels in enumerate(width):
        if image.shape[axis] > 1:
            squared += np.square(np.gradient(image, axis=axis) * np.float32(voxels))
    return np.sqrt(squared, out=squared)


def context_of_each(
    sources: Sequence[NDArray[np.float32]], widths: Sequence[Sequence[float]], steep: int = 0
) -> list[NDArray[np.float32]]:
    """The context of each source by itself: its images, then the place as this source shows it; and the next.

    For networks that may lack any of the sources. Arguments as for `context_channels`.

    Example:
        >>> len(context_of_each([np.ones((4, 5, 6), np.float32)] * 2, [(1, 1, 1)]))
        8
    """
    return [channel for source in sources for channel in context_channels([source], widths, steep)]


def _blurred(image: NDArray[np.float32], width: Sequence[float]) -> NDArray[np.float32]:
    """Gaussian blur, where it is wide by repeated running means; outside the image is air."""
    result = np.asarray(image, np.float32)
    for axis, sigma in enumerate(width):
        if 0 < sigma < _WIDE:
            result = gaussian_filter1d(result, sigma, axis=axis, mode="constant", truncate=3.0, output=np.float32)
            continue
        # The variance of a mean over n voxels is (n * n - 1) / 12.
        size = 2 * round((np.sqrt(12 * sigma**2 / _PASSES + 1) - 1) / 2) + 1
        for _ in range(_PASSES if size > 1 else 0):
            result = uniform_filter1d(result, size, axis=axis, mode="constant", output=np.float32)
    return result


def _places(image: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    inside = image > _SIGNAL * signal_level(image)
    channels = []
    for axis, length in enumerate(image.shape):
        counted = np.cumsum(inside.sum(axis=tuple(other for other in range(3) if other != axis)))
        low, high = (int(np.searchsorted(counted, counted[-1] * part)) for part in (_TAIL, 1 - _TAIL))
        place = (np.arange(length, dtype=np.float32) - low) / max(1, high - low)
        if axis == 0:
            place = np.abs(2 * place - 1)
        place = np.clip(place, -_BEYOND, 1 + _BEYOND)
        shape = [1, 1, 1]
        shape[axis] = length
        channels.append(np.broadcast_to(place.astype(np.float32).reshape(shape), image.shape).copy())  # in C order
    return channels
