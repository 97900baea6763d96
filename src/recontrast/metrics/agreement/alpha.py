"""Krippendorff's alpha: any number of raters, any scale, missing ratings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import ConfigError
from recontrast.metrics.agreement.result import CONFIDENCE, RESAMPLES, Agreement, as_table, resample, undefined

Array = NDArray[np.float64]
Level = Literal["nominal", "ordinal", "interval"]


def krippendorff_alpha(
    ratings: Any,
    *,
    level: Level = "ordinal",
    subjects: Sequence[object] | None = None,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Agreement:
    """Krippendorff's alpha = 1 - observed / expected disagreement.

    Observed: the mean squared distance of two ratings of one item; expected: of any two ratings. Distances: 0 or 1
    (nominal); the difference of mid-ranks among all ratings (ordinal); the difference of the numbers (interval).
    Krippendorff 2004, Content Analysis, section 11.3.

    Args:
        ratings: Items in rows, raters in columns; nan where a rater did not rate. Items with one rating do not count.
        level: `nominal`, `ordinal` or `interval`.
        subjects: Subject of each item, for the bootstrap.
        confidence: Level of the interval, 0 to 1.
        resamples: Number of bootstrap samples.
        seed: Same seed, same interval.

    Raises:
        ConfigError: There is no such level.
        StatisticsError: Not a table of ratings.

    Example:
        >>> round(krippendorff_alpha([[1, 1], [2, 2], [3, 2], [4, 4]], level="interval").value, 3)
        0.911
    """
    if level not in get_args(Level):
        raise ConfigError(f"alpha has no level '{level}'; there is: {', '.join(get_args(Level))}")
    table = as_table(ratings, missing=True)
    rated = np.isfinite(table).sum(axis=1)
    pairable = rated >= 2
    raters = table.shape[1]
    table, rated = table[pairable], rated[pairable]
    n = len(table)
    values = np.unique(table[np.isfinite(table)])
    counts = np.stack([(table == value).sum(axis=1) for value in values], axis=1).astype(np.float64) if n else None
    if counts is None or values.size < 2:
        return undefined("all ratings are the same" if n else "no item was rated twice", n, raters)

    def of_counts(drawn: Array) -> Array:
        return _alpha(drawn, counts, rated.astype(np.float64), values, level)

    value = float(of_counts(np.ones((1, n)))[0])
    kept = [subject for subject, keep in zip(subjects, pairable, strict=True) if keep] if subjects is not None else None
    low, high, how = resample(
        of_counts, n, subjects=kept, confidence=confidence, resamples=resamples, seed=seed
    )  # fmt: skip
    left_out = f", {int((~pairable).sum())} items rated fewer than twice left out" if not pairable.all() else ""
    return Agreement(value, low, high, n, raters, f"Krippendorff's alpha, {level}{left_out}; {how}")


def _alpha(drawn: Array, counts: Array, rated: Array, values: Array, level: Level) -> Array:
    """Alpha of each draw (rows: how often each item was drawn).

    For squared distances of positions x on a line, the sum over pairs of ratings is m sum(x^2) - (sum x)^2; so no table
    of pairs is needed. Nominal is the sum of that over the indicators of each category.
    """
    totals = drawn @ counts  # how often each value was given
    everything = totals.sum(axis=1)
    if level == "nominal":
        within = (rated**2 - (counts**2).sum(axis=1)) / (rated - 1)
        observed = drawn @ within
        expected = (everything**2 - (totals**2).sum(axis=1)) / (everything - 1)
    else:
        places = np.cumsum(totals, axis=1) - totals / 2 if level == "ordinal" else np.broadcast_to(values, totals.shape)
        first, second = places @ counts.T, places**2 @ counts.T  # (draws, items): sum of x and of x^2 within an item
        observed = (drawn * (rated * second - first**2) / (rated - 1)).sum(axis=1)
        expected = (everything * (totals * places**2).sum(axis=1) - (totals * places).sum(axis=1) ** 2) / (
            everything - 1
        )
    return np.where(expected > 1e-12, 1 - observed / np.where(expected > 1e-12, expected, 1.0), np.nan)
