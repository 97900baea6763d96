"""Where is the output not supported by the source? The support map.

A safe translator, which sees the sources at a voxel and their means close to it and nothing else, is fitted to what the
translator made. Where the two disagree by more than they usually do, the output is not supported by the source there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata
from threadpoolctl import threadpool_limits

from recontrast.inspection.bench import Array, InspectedCase, Mask

NEAR_MM = (0.0, 1.5, 3.0, 6.0)
"""Means of the sources that the safe translator sees: standard deviation of the window, mm; 0 is the voxel itself."""

_MOST_VOXELS = 60_000
_BINS = 40


@dataclass(frozen=True, eq=False)
class SafeTranslator:
    """Predicts the output of a translator from the sources close to a voxel.

    Attributes:
        model: The regression.
        edges: Predicted values that divide the range into bins.
        spread: Usual disagreement in each bin.
        near_mm: Windows it sees.
    """

    model: Any
    edges: NDArray[np.float64]
    spread: NDArray[np.float64]
    near_mm: tuple[float, ...]

    def predict(self, sources: Mapping[str, Array], mask: Mask, spacing: Sequence[float]) -> Array:
        """Its image; 0 outside the mask."""
        result = np.zeros(mask.shape, np.float32)
        result[mask] = self.model.predict(features(sources, mask, spacing, self.near_mm))
        return result

    def score(self, sources: Mapping[str, Array], made: Array, mask: Mask, spacing: Sequence[float]) -> Array:
        """Disagreement over what is usual for such a value; 0 outside the mask."""
        safe = self.predict(sources, mask, spacing)
        usual = self.spread[np.clip(np.searchsorted(self.edges, safe[mask]), 0, len(self.spread) - 1)]
        result = np.zeros(mask.shape, np.float32)
        result[mask] = np.abs(made[mask] - safe[mask]) / usual
        return result


def features(
    sources: Mapping[str, Array], mask: Mask, spacing: Sequence[float], near_mm: tuple[float, ...]
) -> NDArray[np.float32]:
    """What the safe translator sees, shape (voxels, sources x windows)."""
    columns = []
    for source in sources.values():
        for width in near_mm:
            seen = gaussian_filter(source, [width / s for s in spacing]) if width else source
            columns.append(seen[mask])
    return np.stack(columns, axis=1).astype(np.float32)


def fit_safe(
    cases: Sequence[InspectedCase], rng: np.random.Generator, near_mm: tuple[float, ...] = NEAR_MM
) -> SafeTranslator:
    """Fit the safe translator to what was made of the cases.

    Args:
        cases: Cases with sources.
        rng: Draws voxels.
        near_mm: Windows it sees; (0,) for a strictly pixel-wise one.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    seen, made = [], []
    for case in cases:
        voxels = np.argwhere(case.inside)
        keep = rng.choice(len(voxels), min(len(voxels), _MOST_VOXELS // len(cases)), replace=False)
        mask = case.inside
        seen.append(features(case.sources, mask, case.spacing, near_mm)[np.sort(keep)])
        made.append(case.synthetic[mask][np.sort(keep)])
    inputs, outputs = np.concatenate(seen), np.concatenate(made)
    half = rng.random(len(outputs)) < 0.6
    model = HistGradientBoostingRegressor(max_iter=80, max_leaf_nodes=63, learning_rate=0.15, random_state=0)
    with threadpool_limits(limits=1):  # sums of several threads depend on their number
        model.fit(inputs[half], outputs[half])
        predicted = model.predict(inputs[~half])
    away = np.abs(outputs[~half] - predicted)
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, _BINS + 1)[1:-1]))
    place = np.searchsorted(edges, predicted)
    overall = max(float(np.median(away)), 1e-4)
    spread = np.array(
        [np.median(away[place == n]) if (place == n).sum() > 20 else overall for n in range(len(edges) + 1)]
    )
    return SafeTranslator(model, edges, np.maximum(spread, 0.3 * overall), near_mm)


def auroc(score: NDArray[Any], positive: NDArray[np.bool_]) -> float:
    """Area under the receiver operating characteristic: chance that a positive has the higher score.

    >>> auroc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
    0.75
    """
    count = int(positive.sum())
    others = positive.size - count
    if not count or not others:
        return float("nan")
    ranks = rankdata(score)
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * others))
