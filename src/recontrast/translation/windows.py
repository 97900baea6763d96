"""Whole volumes through a network: at once where memory allows, else in overlapping windows that are blended.

F. Isensee et al., nnU-Net, Nat Methods 18:203, 2021: windows that overlap, weighted by a Gaussian, so that a voxel is
decided by the windows that have it near their middle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import ConfigError
from recontrast.io.memory import total_bytes

_STEP = 32
"""Windows and boxes have sizes that are multiples of this, where the image allows: few shapes, and no filling up."""

_LEAST_WINDOW = 64
"""Windows are not made smaller than this along an axis, however little memory there is."""

_SIGMA = 0.125
"""Standard deviation of the blending weight, relative to the size of the window."""

_LEAST_WEIGHT = 1e-3
"""Weight of a window's corner relative to its middle: voxels that only one window sees are still exact."""


@dataclass(frozen=True)
class Windows:
    """Where windows lie on a volume.

    Attributes:
        size: Voxels of each window.
        starts: First voxel of each.
    """

    size: tuple[int, ...]
    starts: tuple[tuple[int, ...], ...]


def place_windows(shape: Sequence[int], size: Sequence[int], overlap: float) -> Windows:
    """Windows that cover a volume evenly, the first at its beginning and the last at its end.

    Args:
        shape: Voxels of the volume.
        size: Voxels of a window; cut down to the volume.
        overlap: Least part of a window that its neighbour covers, at least 0 and below 1.

    Raises:
        ConfigError: The overlap is out of range.

    Example:
        >>> place_windows((10,), (4,), 0.25).starts
        ((0,), (3,), (6,))
    """
    if not 0 <= overlap < 1:
        raise ConfigError(f"the overlap of windows is {overlap}; it must be at least 0 and below 1")
    fitted = tuple(min(length, available) for length, available in zip(size, shape, strict=True))
    along = []
    for length, available in zip(fitted, shape, strict=True):
        step = max(1, int(length * (1 - overlap)))
        count = 1 + -(-(available - length) // step)
        along.append([int(start) for start in np.linspace(0, available - length, count).round()])
    return Windows(fitted, tuple(product(*along)))


def blend_windows(
    source: NDArray[np.float32],
    windows: Windows,
    engine: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    empty: float,
) -> tuple[NDArray[np.float32], int]:
    """Output of a network for a volume, window by window, blended with Gaussian weights.

    A window in which every channel has one value throughout, the lowest of the volume, is not shown to the network.

    Args:
        source: (C, I, J, K), scaled units.
        windows: Where they lie.
        engine: (1, C, i, j, k) to (1, 1, i, j, k).
        empty: Value of windows that show nothing.

    Returns:
        Array (I, J, K), and the number of windows that were shown.

    Example:
        >>> blend_windows(np.ones((1, 4, 4, 4), np.float32), place_windows((4, 4, 4), (4, 4, 4), 0), lambda x: x, 0)[1]
        1
    """
    lowest = source.reshape(len(source), -1).min(axis=1)
    single = len(windows.starts) == 1
    weight = np.ones(windows.size, np.float32) if single else gaussian_weight(windows.size)
    summed = np.zeros(source.shape[1:], np.float32)
    weights = np.zeros(source.shape[1:], np.float32)
    shown = 0
    for starts in windows.starts:
        place = tuple(slice(start, start + length) for start, length in zip(starts, windows.size, strict=True))
        piece = np.ascontiguousarray(source[:, *place])[None]
        if single or (piece[0] != lowest[:, None, None, None]).any():
            output = engine(piece)[0, 0]
            if single:
                return output, 1
            summed[place] += weight * output
            shown += 1
        else:
            summed[place] += weight * np.float32(empty)
        weights[place] += weight
    summed /= weights
    return summed, shown


def gaussian_weight(size: Sequence[int]) -> NDArray[np.float32]:
    """Blending weight of a window: a Gaussian around its middle, nowhere below a thousandth.

    Example:
        >>> gaussian_weight((3, 4, 5)).shape
        (3, 4, 5)
    """
    weight = np.ones((), np.float64)
    for length in size:
        place = (np.arange(length) + 0.5) / length - 0.5
        weight = weight[..., None] * np.exp(-0.5 * (place / _SIGMA) ** 2)
    return np.maximum(weight, _LEAST_WEIGHT * weight.max()).astype(np.float32)


def signal_box(source: NDArray[np.float32]) -> tuple[slice, ...]:
    """Box outside which every channel has its lowest value, made larger to multiples of 32 voxels where there is room.

    Args:
        source: (C, I, J, K).

    Example:
        >>> signal_box(np.zeros((1, 4, 4, 4), np.float32))
        (slice(0, 4, None), slice(0, 4, None), slice(0, 4, None))
    """
    lowest = source.reshape(len(source), -1).min(axis=1)
    seen = (source != lowest[:, None, None, None]).any(axis=0)
    if not seen.any():
        return tuple(slice(0, length) for length in seen.shape)
    box = []
    for axis, length in enumerate(seen.shape):
        found = np.flatnonzero(seen.any(axis=tuple(other for other in range(3) if other != axis)))
        low, high = int(found[0]), int(found[-1]) + 1
        wanted = min(length, -(-(high - low) // _STEP) * _STEP)
        low = min(max(0, (low + high - wanted) // 2), length - wanted)
        box.append(slice(low, low + wanted))
    return tuple(box)


def fitting_window(shape: Sequence[int], bytes_per_voxel: float, limit_gb: float) -> tuple[int, ...]:
    """The whole volume when it fits into memory, else the largest window that does.

    The longest axis is halved until the window fits or every axis is down to 64 voxels; it depends on nothing but
    the arguments, so that the same image is always cut in the same way.

    Args:
        shape: Voxels of the volume.
        bytes_per_voxel: Working memory of the network.
        limit_gb: Memory that may be used, in GB.

    Example:
        >>> fitting_window((182, 218, 182), 1500, 2.0)
        (96, 128, 96)
    """
    size = list(shape)
    while np.prod(size, dtype=np.float64) * bytes_per_voxel > limit_gb * 1e9:
        longest = int(np.argmax(size))
        if size[longest] <= _LEAST_WINDOW:
            break
        size[longest] = max(_LEAST_WINDOW, -(-size[longest] // (2 * _STEP)) * _STEP)
    return tuple(size)


def memory_of_machine_gb() -> float:
    """Memory that this process may have at most, in GB (`total_bytes`); 8 where that cannot be found out.

    Example:
        >>> memory_of_machine_gb() > 0
        True
    """
    return (total_bytes() or 8e9) / 1e9
