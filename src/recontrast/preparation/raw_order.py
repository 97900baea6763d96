"""Whether eight raw images of synthetic MRI are in their declared order: the signal equation decides.

Magnitudes of one voxel follow |S| = PD exp(-TE/T2) |1 - (1 - c) exp(-d/T1) - c exp(-TR/T1)| / (1 - c a exp(-TR/T1))
over the delays d, with the cosines c of the saturation and a of the excitation angle (J. B. M. Warntjes, Magn Reson Med
60:320, 2008). In another order most voxels follow no such curve. This is a look at some hundred voxels when a case is
prepared; `recontrast quantify` fits them all, with phase.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import LayoutError

NOMINAL_MS = (146.0, 546.0, 1879.0, 3879.0)
"""Delays of Hagiwara 2019, where the names of the images do not say them."""

_REPETITION_MS, _SATURATION_DEG, _EXCITATION_DEG = 4000.0, 120.0, 90.0
_T1_MS, _B1 = np.geomspace(150.0, 5000.0, 40), np.linspace(0.8, 1.2, 5)
_VOXELS, _FEWEST = 300, 20
_CLEARLY = 1.25
"""Another order must fit this much worse than the declared one, and the declared one this much worse to be named."""


def check_raw_order(images: Sequence[NDArray[Any]], what: str, delays_ms: Sequence[float] = NOMINAL_MS) -> None:
    """Compare the declared order (echo runs fastest, then delay) with every likely other one.

    Args:
        images: Eight arrays of magnitudes in the head, any shape.
        what: The case, for messages.
        delays_ms: From saturation to excitation.

    Raises:
        LayoutError: Another order fits better, or as well: then it cannot be checked.

    Example:
        >>> rng, delays = np.random.default_rng(0), np.array(NOMINAL_MS)
        >>> t1, t2 = rng.uniform(600, 1500, (100, 1)), rng.uniform(60, 120, (100, 1))
        >>> first = np.abs(1 - 1.5 * np.exp(-delays / t1) + 0.5 * np.exp(-4000 / t1))
        >>> second = first * np.exp(-67.6 / t2)
        >>> check_raw_order([echo[:, n] for n in range(4) for echo in (first, second)], "sub-01")
    """
    sample = _sample(np.stack([np.ravel(image) for image in images], axis=1).astype(np.float64), what)
    curves = _curves(np.asarray(delays_ms, np.float64))
    misfits = {order: _misfit(sample[:, list(order)], curves) for order in _orders()}
    own = misfits.pop(tuple(range(8)))
    best = min(misfits, key=lambda order: misfits[order])
    other, listed = misfits[best], ", ".join(str(number + 1) for number in best)
    if own > _CLEARLY * other:
        raise LayoutError(
            f"{what}: the raw images are not in order (echo fastest, then delay): misfit {100 * own:.1f} % of the "
            f"signal, {100 * other:.1f} % when they are taken in the order {listed}; name them "
            "acq-delay<ms>echo<n>_MESE"
        )
    if other <= _CLEARLY * own:
        raise LayoutError(
            f"{what}: the order of the raw images cannot be checked: the order {listed} fits about as well (misfit "
            f"{100 * own:.1f} and {100 * other:.1f} %); is one of them empty, or is there one tissue only?"
        )


def _sample(signals: NDArray[np.float64], what: str) -> NDArray[np.float64]:
    """Some voxels with clear signal, always the same."""
    brightest = signals.max(axis=1)
    clear = np.isfinite(signals).all(axis=1) & (brightest > 0)
    if clear.any():
        clear &= brightest > 0.2 * np.percentile(brightest[clear], 99)
    found = signals[clear]
    if len(found) < _FEWEST:
        raise LayoutError(
            f"{what}: only {len(found)} voxels of the raw images have signal, their order cannot be checked "
            f"({_FEWEST} are needed)"
        )
    return np.asarray(found[np.random.default_rng(0).permutation(len(found))[:_VOXELS]])


def _curves(delays_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Magnitudes over the delays for many T1 and transmit fields, of unit length, (curves, 4)."""
    t1, field = _T1_MS[:, None, None], _B1[None, :, None]
    saturation, excitation = (np.cos(np.deg2rad(angle) * field) for angle in (_SATURATION_DEG, _EXCITATION_DEG))
    relaxed = np.exp(-_REPETITION_MS / t1)
    signal = 1 - (1 - saturation) * np.exp(-delays_ms / t1) - saturation * relaxed
    curves = np.abs(signal / (1 - saturation * excitation * relaxed)).reshape(-1, len(delays_ms))
    return np.asarray(curves / np.linalg.norm(curves, axis=1, keepdims=True))


def _orders() -> Iterator[tuple[int, ...]]:
    """The declared order, every exchange of two images, of delays and of echoes, and delay running faster than echo."""
    orders = [tuple(range(8))]
    for a, b in itertools.combinations(range(8), 2):
        swapped = list(range(8))
        swapped[a], swapped[b] = b, a
        orders.append(tuple(swapped))
    for delays, echoes in itertools.product(itertools.permutations(range(4)), ((0, 1), (1, 0))):
        orders.append(tuple(2 * delay + echo for delay in delays for echo in echoes))
        orders.append(tuple(4 * echo + delay for delay in delays for echo in echoes))
    yield from dict.fromkeys(orders)


def _misfit(signals: NDArray[np.float64], curves: NDArray[np.float64]) -> float:
    """Root of misfit energy over signal energy; a second echo never has more than the first of the same curve."""
    echoes = signals.reshape(len(signals), 4, 2)
    energy = np.square(echoes).sum()
    first, second = np.moveaxis(np.einsum("vde,cd->vce", echoes, curves), -1, 0)
    # Signal that grows with the echo time: least squares under the bound gives both echoes the same amplitude.
    explained = np.where(second <= first, first**2 + second**2, (first + second) ** 2 / 2).max(axis=1)
    return float(np.sqrt(max(energy - explained.sum(), 0.0) / energy))
