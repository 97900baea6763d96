"""What every measure of agreement gives back, and how subjects are drawn again for its interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import StatisticsError

Array = NDArray[np.float64]

CONFIDENCE = 0.95
RESAMPLES = 4999


@dataclass(frozen=True)
class Agreement:
    """A coefficient of agreement with its interval.

    Attributes:
        value: The coefficient: 1 is perfect, 0 no better than chance; nan when it is undefined.
        low: Lower end of the interval; nan when there is none.
        high: Upper end.
        items: Number of things that were rated.
        raters: Number of raters.
        method: What was computed and how the interval was made, or why there is no value.
    """

    value: float
    low: float
    high: float
    items: int
    raters: int
    method: str


def undefined(reason: str, items: int, raters: int) -> Agreement:
    """An agreement that does not exist, and why."""
    nan = float("nan")
    return Agreement(nan, nan, nan, items, raters, f"none: {reason}")


def as_table(ratings: Any, *, missing: bool = False) -> Array:
    """Ratings as numbers, items in rows and raters in columns.

    Raises:
        StatisticsError: It is not a table of at least 2 raters, or a rating is not finite (nan only where `missing`).
    """
    table = np.asarray(ratings, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2:
        raise StatisticsError(f"agreement needs items in rows and 2 or more raters in columns, got {table.shape}")
    bad = np.isinf(table) if missing else ~np.isfinite(table)
    if bad.any():
        raise StatisticsError(
            f"row {int(np.argwhere(bad)[0][0])}: a rating is missing or infinite; leave the item out and say so"
            + ("" if missing else " (Krippendorff's alpha takes missing ratings as nan)")
        )
    return table


def resample(
    of_counts: Callable[[Array], Array],
    items: int,
    *,
    subjects: Sequence[object] | None,
    confidence: float,
    resamples: int,
    seed: int,
) -> tuple[float, float, str]:
    """Percentile bootstrap: subjects are drawn with replacement with all their items.

    Args:
        of_counts: From an array (draws, items), how often each item was drawn, to the coefficient of each draw.
        items: Number of items.
        subjects: Subject of each item; None when each item is a subject of its own.
        confidence: Level, 0 to 1.
        resamples: Number of draws.
        seed: Same seed, same interval.

    Returns:
        Both ends (nan when the coefficient is undefined in most draws) and words.
    """
    if subjects is not None and len(subjects) != items:
        raise StatisticsError(f"{len(subjects)} subjects were named for {items} items; name one for each")
    _, group = np.unique(np.arange(items) if subjects is None else np.asarray(subjects), return_inverse=True)
    count = int(group.max()) + 1 if items else 0
    if count < 3:
        return float("nan"), float("nan"), f"no interval: {count} subjects"
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    values = of_counts(drawn[:, group].astype(np.float64))
    values = values[np.isfinite(values)]
    if values.size < resamples // 2:
        return float("nan"), float("nan"), "no interval: undefined in most bootstrap samples"
    tail = (1 - confidence) / 2
    low, high = (float(q) for q in np.quantile(values, (tail, 1 - tail)))
    return low, high, f"percentile bootstrap over {count} subjects"
