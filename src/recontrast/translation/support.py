"""Where a voxel-wise translator guesses: its training signals are kept, and a new scan is held against them.

A function of one voxel's numbers was taught nothing about numbers it never saw. `relaxometry.coverage` describes the
joint distribution; here it is fitted when a run ends, stored in the translator's folder and asked at each translation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.atomic import write_json
from recontrast.errors import IntensityError
from recontrast.io.nifti import read_volume
from recontrast.preparation.cohort import PreparedCase
from recontrast.relaxometry.coverage import RARE, SignalCoverage, check_coverage, fit_coverage
from recontrast.translation.description import read_beside

FILE = "signals.json"
"""The distribution of the training signals, in a translator's folder."""

SIGNAL = 0.05
"""Voxels count in which some source exceeds this on its scale: the rest is air."""

_VOXELS = 60_000


def fit_training_signals(cases: Sequence[PreparedCase], sources: Sequence[str], seed: int = 0) -> SignalCoverage | None:
    """Describe the signals of training cases; None where there are too few voxels to describe.

    Args:
        cases: Prepared cases that the translator was trained on.
        sources: Contrasts, in the order of its channels.
        seed: Of the choice of voxels.

    Example:
        >>> fit_training_signals(cohort.split("train"), ("T1w", "T2w"))  # doctest: +SKIP
    """
    drawn = []
    for number, case in enumerate(cases):
        images = {label: case.scales[label].apply(read_volume(case.images[label]).data) for label in sources}
        signals = _stacked(images, sources)
        inside = signals[:, _with_signal(signals)].T
        count = min(len(inside), _VOXELS // len(cases))
        drawn.append(inside[np.random.default_rng([seed, number]).permutation(len(inside))[:count]])
    try:
        return fit_coverage(np.concatenate(drawn), seed=seed)
    except IntensityError:
        return None


def save_training_signals(folder: Path, coverage: SignalCoverage) -> None:
    """Write the distribution into a translator's folder."""
    write_json(folder / FILE, coverage.to_dict())


def load_training_signals(folder: Path) -> SignalCoverage | None:
    """The distribution in a translator's folder; None when there is none.

    Raises:
        CheckpointError: The file is damaged.
    """
    return read_beside(folder / FILE, SignalCoverage.from_dict)


def rarity_of(
    coverage: SignalCoverage, scaled: Mapping[str, NDArray[Any]], sources: Sequence[str], where: str
) -> NDArray[np.float32]:
    """Map of rarity, 0 (never seen in training) to 1 (commonest); 1 in air. Warns when much of it is rare.

    Args:
        coverage: Of the training signals.
        scaled: Contrast label to image on the network's scale, (I, J, K).
        sources: Contrasts, in the order of the channels.
        where: The scan, for the warning.

    Raises:
        GeometryError: Another number of channels than in training.

    Example:
        >>> coverage = fit_coverage(np.random.default_rng(0).uniform(0.2, 1, (4000, 1)), gaussians=2)
        >>> rarity_of(coverage, {"T1w": np.zeros((2, 2, 2))}, ("T1w",), "sub-01").min()
        np.float32(1.0)
    """
    signals = _stacked(scaled, sources)
    return check_coverage(coverage, signals, _with_signal(signals), where)


def share_outside(rarity: NDArray[Any], scaled: Mapping[str, NDArray[Any]], sources: Sequence[str]) -> float:
    """Share of the voxels with signal that are rarer than one in a thousand training voxels."""
    inside = _with_signal(_stacked(scaled, sources))
    return float((rarity[inside] < RARE).mean()) if inside.any() else 0.0


def _stacked(images: Mapping[str, NDArray[Any]], sources: Sequence[str]) -> NDArray[np.float32]:
    return np.stack([np.asarray(images[label], np.float32) for label in sources])


def _with_signal(signals: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray((signals > SIGNAL).any(axis=0))
