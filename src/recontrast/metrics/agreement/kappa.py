"""Kappa: agreement in categories beyond chance, for two raters (weighted) and for several (Fleiss)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import scipy
from numpy.typing import NDArray

from recontrast.errors import ConfigError, StatisticsError
from recontrast.metrics import cut_at
from recontrast.metrics.agreement.result import CONFIDENCE, RESAMPLES, Agreement, as_table, resample, undefined

Array = NDArray[np.float64]
Weights = Literal["none", "linear", "quadratic"]
KappaInterval = Literal["analytic", "bootstrap", "psych-2.2.9"]

BOUNDS = (-1.0, 1.0)
"""Lowest and highest value of kappa."""

_NO_WIDTH = 1e-6
"""An interval of kappa that begins nearer to 1 than this is a point; rounding keeps it from being exactly one."""


def cohen_kappa(
    first: Sequence[float] | Array,
    second: Sequence[float] | Array,
    *,
    weights: Weights = "quadratic",
    interval: KappaInterval = "analytic",
    categories: Sequence[float] | None = None,
    subjects: Sequence[object] | None = None,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Agreement:
    """Cohen's kappa of two raters, or of one rater on two images of the same cases.

    kappa = (po - pe) / (1 - pe), po and pe the observed and expected weighted agreement. A pair of categories a, b
    counts 1 - |a - b| / range (linear) or 1 - ((a - b) / range)^2 (quadratic); distances are those of the numbers, so a
    grade that nobody gave still counts. Cohen 1968, Psychol Bull 70:213.

    Args:
        first: A number for each item.
        second: The other rating of the same items.
        weights: `none` (only equal categories agree), `linear` or `quadratic`.
        interval: `analytic`: normal, with the standard error of Fleiss, Cohen and Everitt 1969, Psychol Bull 72:323;
            what lies beyond -1 and 1, which no kappa reaches, is cut off, and `method` says so. Of raters who agree on
            every item no interval has any width, and `method` says that, too.
            `bootstrap`: percentiles over subjects; the one to use when subjects have several items (two sides).
            `psych-2.2.9`: what R's psych 2.2.9 prints, to check published numbers only: its weighted interval mixes up
            the marginals and is far too narrow (its quadratic one covered 0.4 % in 2,000 simulations of 193 items).
        categories: All grades of the scale; default: those that were given.
        subjects: Subject of each item, for the bootstrap.
        confidence: Level, 0 to 1.
        resamples: Number of bootstrap samples.
        seed: Same seed, same interval.

    Raises:
        ConfigError: There are no such weights or interval, or a rating is not a category.
        StatisticsError: The ratings are not of the same items, or are missing.

    Example:
        >>> round(cohen_kappa([0, 1, 2, 2], [0, 1, 2, 1]).value, 3)
        0.8
    """
    if weights not in get_args(Weights) or interval not in get_args(KappaInterval):
        raise ConfigError(
            f"kappa has no weights '{weights}' with interval '{interval}'; weights: {', '.join(get_args(Weights))}; "
            f"intervals: {', '.join(get_args(KappaInterval))}"
        )
    if len(first) != len(second):
        raise StatisticsError(f"kappa needs both ratings of each item, got {len(first)} and {len(second)}")
    ratings = as_table(np.column_stack([np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)]))
    n = len(ratings)
    grades, places = _grades(ratings, categories)
    agreement = _weights(grades, weights)
    # One column an item: its cell in the table of both raters.
    cells = np.zeros((n, grades.size**2))
    cells[np.arange(n), places[:, 0] * grades.size + places[:, 1]] = 1.0
    value = float(_kappa(cells.sum(axis=0)[None], agreement)[0]) if n else float("nan")
    if not np.isfinite(value):
        return undefined("all ratings are the same" if n else "no item", n, 2)
    name = f"Cohen's kappa, weights {weights}, {grades.size} categories"
    if interval == "bootstrap":
        low, high, how = resample(
            lambda counts: _kappa(counts @ cells, agreement),
            n, subjects=subjects, confidence=confidence, resamples=resamples, seed=seed,
        )  # fmt: skip
        return Agreement(value, low, high, n, 2, f"{name}; {how}{_without_width(low)}")
    table = cells.sum(axis=0).reshape(grades.size, grades.size)
    error = _standard_error(table, agreement, as_psych=interval == "psych-2.2.9" and weights != "none")
    half = float(scipy.stats.norm.ppf((1 + confidence) / 2)) * error
    how = "normal interval (Fleiss, Cohen, Everitt 1969)" if interval == "analytic" else "interval as R psych 2.2.9"
    low, high, cut = cut_at(value - half, value + half, BOUNDS)
    return Agreement(value, low, high, n, 2, f"{name}; {how}{cut}{_without_width(low)}")


def fleiss_kappa(
    ratings: Any,
    *,
    subjects: Sequence[object] | None = None,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Agreement:
    """Fleiss' kappa: several raters, categories without order, each item rated by as many raters.

    kappa = (P - Pe) / (1 - Pe), P the mean share of agreeing pairs of raters, Pe the sum of squared shares of the
    categories. Fleiss 1971, Psychol Bull 76:378. With two raters it is Scott's pi, not Cohen's kappa.

    Args:
        ratings: Items in rows, raters in columns.
        subjects: Subject of each item, for the bootstrap.
        confidence: Level, 0 to 1.
        resamples: Number of bootstrap samples.
        seed: Same seed, same interval.

    Example:
        >>> round(fleiss_kappa([[1, 1, 1], [2, 2, 2], [1, 1, 2], [2, 2, 1]]).value, 3)
        0.333
    """
    table = as_table(ratings)
    n, raters = table.shape
    counts = np.stack([(table == grade).sum(axis=1) for grade in np.unique(table)], axis=1).astype(np.float64)
    pairs = ((counts**2).sum(axis=1) - raters) / (raters * (raters - 1))

    def of_counts(drawn: Array) -> Array:
        items = drawn.sum(axis=1)
        chance = ((drawn @ counts / (raters * items[:, None])) ** 2).sum(axis=1)
        return _beyond_chance(drawn @ pairs / items, chance)

    value = float(of_counts(np.ones((1, n)))[0])
    if not np.isfinite(value):
        return undefined("all ratings are the same", n, raters)
    low, high, how = resample(
        of_counts, n, subjects=subjects, confidence=confidence, resamples=resamples, seed=seed
    )  # fmt: skip
    return Agreement(value, low, high, n, raters, f"Fleiss' kappa; {how}{_without_width(low)}")


def _without_width(low: float) -> str:
    """What is to be said of the interval of raters who agree on every item."""
    return ", without width: no item tells how often raters would disagree" if low > 1 - _NO_WIDTH else ""


def _grades(ratings: Array, categories: Sequence[float] | None) -> tuple[Array, NDArray[np.int64]]:
    """The categories in order, and the place of each rating among them."""
    grades = np.unique(ratings if categories is None else np.asarray(categories, dtype=np.float64))
    places = np.searchsorted(grades, ratings).clip(max=max(grades.size - 1, 0))
    if ratings.size and not (grades[places] == ratings).all():
        strange = ratings[grades[places] != ratings][0]
        raise ConfigError(f"rating {strange:g} is not one of the categories {[float(g) for g in grades]}")
    return grades, places


def _weights(grades: Array, weights: Weights) -> Array:
    distance = np.abs(grades[:, None] - grades[None, :])
    if weights == "none":
        return (distance == 0).astype(np.float64)
    relative = distance / max(float(np.ptp(grades)), 1e-300) if grades.size else distance
    return np.asarray(1 - (relative if weights == "linear" else relative**2))


def _kappa(tables: Array, weights: Array) -> Array:
    """Kappa of each flattened table (draws, categories^2)."""
    k = len(weights)
    shares = tables.reshape(-1, k, k) / tables.sum(axis=1)[:, None, None]
    rows, columns = shares.sum(axis=2), shares.sum(axis=1)
    observed = (shares * weights).sum(axis=(1, 2))
    return _beyond_chance(observed, np.einsum("ri,ij,rj->r", rows, weights, columns))


def _beyond_chance(observed: Array, chance: Array) -> Array:
    left = 1 - chance
    return np.where(left > 1e-12, (observed - chance) / np.where(left > 1e-12, left, 1.0), np.nan)


def _standard_error(table: Array, weights: Array, *, as_psych: bool) -> float:
    """Root of the large-sample variance; `as_psych` weighs the marginals as R psych 2.2.9 does, which is wrong."""
    n = float(table.sum())
    shares = table / n
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    observed, chance = float((shares * weights).sum()), float(rows @ weights @ columns)
    of_rows = weights @ columns
    of_columns = rows * weights.sum(axis=0) if as_psych else weights.T @ rows
    spread = weights * (1 - chance) - (of_rows[:, None] + of_columns[None, :]) * (1 - observed)
    variance = float((shares * spread**2).sum()) - (observed * chance - 2 * chance + observed) ** 2
    return float(np.sqrt(max(variance, 0.0) / n)) / (1 - chance) ** 2
