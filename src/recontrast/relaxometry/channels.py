"""Raw images as channels of a network: their order checked against physics, their numbers on one scale.

A pixel-wise function is told apart only by the numbers of one voxel. When two channels are exchanged, or each image
gets a scale of its own, it makes an image all the same, and a wrong one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from collections.abc import Sequence as Many
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import ConfigError, IntensityError, UnknownNameError
from recontrast.phantom.sequences import Sequence
from recontrast.phantom.tissues import Relaxation, tissues_at
from recontrast.relaxometry.design import read_design
from recontrast.relaxometry.fitting import fit_maps

REPRESENTATIONS = ("magnitude", "real_imag", "mag_phase")
"""magnitude: one channel an image; real_imag, mag_phase (radians / pi): two."""

_VOXELS = 150
_CLEARLY = 1.25
"""Another order must fit this much worse than the declared one, and the declared one this much worse to be refused."""
_WORST = 0.2
"""Misfit over signal above which no order explains the images."""
_SAME = 1e-3
"""Misfit over signal below which another order explains images without noise."""
_TISSUES = ("GM", "WM", "CSF", "lesion")


def to_channels(images: NDArray[Any], representation: str = "magnitude", scale: float = 1.0) -> NDArray[np.float32]:
    """Images as channels, all divided by one scale (phases by pi).

    Args:
        images: Complex, or real for `magnitude` only: (..., N).
        representation: magnitude (N channels), real_imag or mag_phase (2N: both numbers of image 1, of image 2 …).
        scale: Of the whole data set, see `series_scale`.

    Returns:
        (C, ...), float32.

    Raises:
        UnknownNameError: No such representation.
        ConfigError: The scale is not positive.
        IntensityError: Two numbers an image are wanted of images without phase.

    Example:
        >>> to_channels(np.array([[3 + 4j, 2j]]), "real_imag").ravel().tolist()
        [3.0, 4.0, 0.0, 2.0]
    """
    if representation not in REPRESENTATIONS:
        raise UnknownNameError.among("representation of raw images", representation, REPRESENTATIONS)
    if not (np.isfinite(scale) and scale > 0):
        raise ConfigError(f"the scale of raw images must be positive, got {scale:g}")
    if representation == "magnitude":
        return np.moveaxis(np.abs(images), -1, 0).astype(np.float32) / np.float32(scale)
    if not np.iscomplexobj(images) or not np.imag(images).any():
        raise IntensityError(
            f"representation {representation} needs complex images, these have no phase; use magnitude, or give the "
            "phase images too"
        )
    pairs = (images.real, images.imag) if representation == "real_imag" else (np.abs(images), np.angle(images))
    factors = (1 / scale, 1 / scale if representation == "real_imag" else 1 / np.pi)
    both = np.stack([part * factor for part, factor in zip(pairs, factors, strict=True)], axis=-1)
    return np.moveaxis(both.reshape(*images.shape[:-1], -1), -1, 0).astype(np.float32)


def series_scale(series: Many[NDArray[Any]], percentile: float = 99.9) -> float:
    """One scale for a data set: the median over its subjects of a high percentile of all images' magnitudes.

    Args:
        series: Images of each subject, (..., N); zeros do not count.
        percentile: 0 to 100.

    Raises:
        IntensityError: No value differs from zero.

    Example:
        >>> series_scale([np.array([[0.0, 2.0]]), np.array([[0.0, 4.0]])])
        3.0
    """
    tops = [np.percentile(values, percentile) for s in series if (values := np.abs(s[s != 0])).size]
    if not tops:
        raise IntensityError("raw images: no value differs from zero, there is no scale")
    return float(np.median(tops))


@dataclass(frozen=True)
class OrderEvidence:
    """How well the images fit their sequences.

    Attributes:
        misfit: Misfit over signal in the declared order, over the sampled voxels.
        next_order: The order that fits next best: the image (from 1) that each sequence would have.
        next_misfit: Its misfit.
        voxels: Number of voxels looked at.
    """

    misfit: float
    next_order: tuple[int, ...]
    next_misfit: float
    voxels: int


def check_order(
    images: NDArray[Any], sequences: Many[Sequence], *, mask: NDArray[np.bool_] | None = None, where: str = "raw images"
) -> OrderEvidence:
    """Check that the images are what their order says, by fitting the signal equations to some voxels.

    The declared order is compared with every exchange of two images, and with every order of echoes, of T1-weightings,
    and of which of the two runs faster. Exchanged echoes would make signal grow with the echo time; exchanged delays
    would make it fall with the delay.

    Args:
        images: Complex or magnitude, (..., N).
        sequences: What each image is declared to be.
        mask: Voxels to draw from; None: those with signal.
        where: Stands at the start of messages.

    Raises:
        ConfigError: Number of images and sequences differ (seven or nine channels), or there are so few images that
            another order would fit without noise as well (two flip angles, two inversion times).
        IntensityError: Another order fits better, none fits, or the images do not tell (too few voxels, one tissue).

    Example:
        >>> from recontrast.phantom.tissues import Relaxation, tissues_at
        >>> from recontrast.relaxometry.design import synthetic_mri_sequences
        >>> series = synthetic_mri_sequences()
        >>> tissues = Relaxation.of([tissues_at(3.0)[name] for name in ("GM", "WM", "CSF", "lesion")] * 10)
        >>> images = np.stack([s.signal(tissues) for s in series], axis=-1)
        >>> check_order(np.abs(images), series).misfit < 1e-3
        True
    """
    count = len(sequences)
    if images.shape[-1] != count:
        raise ConfigError(
            f"{where}: {images.shape[-1]} images, but {count} sequences are declared; give each image its sequence"
        )
    orders = list(_orders(sequences))
    _require_telling(orders, sequences, where)
    sample = _sample(images, mask, where)
    declared = tuple(range(count))
    misfits = _misfits(sample, orders, sequences)
    own = misfits.pop(declared)
    best = min(misfits, key=lambda order: misfits[order])
    evidence = OrderEvidence(own, tuple(number + 1 for number in best), misfits[best], len(sample))
    _require_clear(evidence, where)
    return evidence


def _require_telling(orders: Many[tuple[int, ...]], sequences: Many[Sequence], where: str) -> None:
    """Refuse a series that does not tell its order: with as many unknowns as images, rounding would decide."""
    tissues = Relaxation.of([tissues_at(3.0)[name] for name in _TISSUES])
    ideal = np.stack([np.abs(sequence.signal(tissues)) for sequence in sequences], axis=-1)
    misfits = _misfits(ideal, orders, sequences)
    same = next((order for order in orders[1:] if misfits[order] < _SAME), None)
    if same:
        listed = ", ".join(str(number + 1) for number in same)
        raise ConfigError(
            f"{where}: too few images to check their order ({len(sequences)}; in the order {listed} they fit as well); "
            "see that their sidecars are right, and give --no-check"
        )


def _require_clear(evidence: OrderEvidence, where: str) -> None:
    own, other = evidence.misfit, evidence.next_misfit
    listed = ", ".join(str(number) for number in evidence.next_order)
    if own > _WORST and other > _WORST:
        raise IntensityError(
            f"{where}: the images do not follow the signal equation of their sequences in any likely order (misfit "
            f"{100 * own:.0f} % of the signal as declared); check delays, echo times, TR, and which file is which"
        )
    if own > _CLEARLY * other:
        raise IntensityError(
            f"{where}: the images are not in the declared order: misfit {100 * own:.1f} % of the signal, and "
            f"{100 * other:.1f} % when they are taken in the order {listed}; reorder them, or correct the declared "
            "sequences"
        )
    if other < _CLEARLY * own:
        raise IntensityError(
            f"{where}: the order of the images cannot be checked: order {listed} fits them about as well (misfit "
            f"{100 * own:.1f} and {100 * other:.1f} %); give voxels of several tissues (a slice of CSF alone does not "
            "tell echoes apart), or less noisy images"
        )


def _sample(images: NDArray[Any], mask: NDArray[np.bool_] | None, where: str) -> NDArray[Any]:
    """Some voxels with clear signal, always the same."""
    brightest = np.abs(images).max(axis=-1)
    inside = brightest > 0 if mask is None else mask & (brightest > 0)
    if inside.any():
        inside &= brightest > 0.2 * np.percentile(brightest[inside], 99)
    found = images[inside]
    if len(found) < 20:
        raise IntensityError(
            f"{where}: only {len(found)} voxels have signal, the order of the images cannot be checked (20 are needed)"
        )
    chosen = np.random.default_rng(0).permutation(len(found))[:_VOXELS]
    return np.asarray(found[chosen])


def _orders(sequences: Many[Sequence]) -> Iterator[tuple[int, ...]]:
    """The declared order first, then those that a mix-up is likely to give; no order twice."""
    design = read_design(sequences)
    echoes, weightings = design.order.shape
    count = design.order.size
    seen = set()
    arrangements = [design.order]
    if echoes > 1 and weightings > 1:
        # Files counted with the one or the other index running faster.
        arrangements += [np.arange(count).reshape(echoes, weightings), np.arange(count).reshape(weightings, echoes).T]
    candidates = [tuple(range(count))]
    for a, b in itertools.combinations(range(count), 2):
        swapped = list(range(count))
        swapped[a], swapped[b] = b, a
        candidates.append(tuple(swapped))
    shuffles = itertools.permutations(range(weightings)) if weightings <= 4 else [range(weightings)[::-1]]
    for shuffle in shuffles:
        for echo in itertools.permutations(range(echoes)) if echoes <= 3 else [range(echoes)[::-1]]:
            for arrangement in arrangements:
                placed = np.empty(count, np.intp)
                placed[design.order] = arrangement[np.ix_(list(echo), list(shuffle))]
                candidates.append(tuple(int(number) for number in placed))
    for order in candidates:
        if order not in seen:
            seen.add(order)
            yield order


def _misfits(
    sample: NDArray[Any], orders: Many[tuple[int, ...]], sequences: Many[Sequence]
) -> dict[tuple[int, ...], float]:
    """Root of misfit energy over signal energy when sequence k has image order[k]; all orders in one fit."""
    taken = np.concatenate([sample[:, list(order)] for order in orders])
    maps = fit_maps(taken, sequences, mask=np.ones(len(taken), bool))
    energy = (np.abs(taken) ** 2).sum(axis=1)
    misfit = np.square(np.asarray(maps.misfit, np.float64)) * energy
    each = np.sqrt(misfit.reshape(len(orders), -1).sum(axis=1) / energy.reshape(len(orders), -1).sum(axis=1))
    return dict(zip(orders, each.tolist(), strict=True))
