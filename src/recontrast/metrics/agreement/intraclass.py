"""Intraclass correlation of ratings that are numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import scipy
from numpy.typing import NDArray

from recontrast.errors import ConfigError
from recontrast.metrics.agreement.result import CONFIDENCE, Agreement, as_table, undefined

Array = NDArray[np.float64]
Form = Literal["1,1", "2,1", "3,1", "1,k", "2,k", "3,k"]


@dataclass(frozen=True)
class _Squares:
    """Mean squares of a table of n items and k raters."""

    n: int
    k: int
    items: float
    raters: float
    error: float
    within: float


def icc(ratings: Any, form: Form = "2,1", *, confidence: float = CONFIDENCE) -> Agreement:
    """Intraclass correlation with its interval; named as in Shrout and Fleiss 1979, Psychol Bull 86:420.

    First figure: 1, each item has raters of its own; 2, the raters are a sample of raters, and their offsets count as
    disagreement; 3, these very raters, offsets do not count. Second: reliability of one rating (1) or of the mean of
    the k raters (k). Intervals for 2 by Satterthwaite's degrees of freedom (McGraw, Wong 1996, Psychol Methods 1:30).

    Args:
        ratings: Items in rows, raters in columns; no missing rating.
        form: `1,1`, `2,1`, `3,1`, `1,k`, `2,k` or `3,k`.
        confidence: Level, 0 to 1.

    Returns:
        The coefficient; it can be negative. The end of an interval of a mean rating is minus infinity where that of a
        single rating reaches -1 / (k - 1).

    Raises:
        ConfigError: There is no such form.
        StatisticsError: Not a table of ratings, or one is missing.

    Example:
        >>> table = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
        >>> round(icc(table, "2,1").value, 2)
        0.29
    """
    if form not in get_args(Form):
        raise ConfigError(f"there is no ICC({form}); there is: {', '.join(get_args(Form))}")
    table = as_table(ratings)
    n, k = table.shape
    if n < 2:
        return undefined(f"{n} item(s), ICC needs 2", n, k)
    squares = _mean_squares(table)
    if squares.items + squares.within <= 1e-24 * max(1.0, float((table**2).mean())):
        return undefined("all ratings are the same", n, k)
    single, low, high = {"1": _one_way, "2": _two_way_random, "3": _two_way_fixed}[form[0]](squares, confidence)
    if form.endswith("k"):
        single, low, high = (_of_mean(value, k) for value in (single, low, high))
    return Agreement(single, low, high, n, k, f"ICC({form}); F interval")


def _mean_squares(table: Array) -> _Squares:
    n, k = table.shape
    centred = table - table.mean()
    of_items, of_raters = centred.mean(axis=1), centred.mean(axis=0)
    left = centred - of_items[:, None] - of_raters[None, :]
    return _Squares(
        n=n,
        k=k,
        items=float(k * (of_items**2).sum() / (n - 1)),
        raters=float(n * (of_raters**2).sum() / (k - 1)),
        error=float((left**2).sum() / ((n - 1) * (k - 1))),
        within=float(((centred - of_items[:, None]) ** 2).sum() / (n * (k - 1))),
    )


def _one_way(s: _Squares, confidence: float) -> tuple[float, float, float]:
    return _by_ratio(s.items, s.within, s.n - 1, s.n * (s.k - 1), s.k, confidence)


def _two_way_fixed(s: _Squares, confidence: float) -> tuple[float, float, float]:
    return _by_ratio(s.items, s.error, s.n - 1, (s.n - 1) * (s.k - 1), s.k, confidence)


def _by_ratio(items: float, rest: float, df1: int, df2: int, k: int, confidence: float) -> tuple[float, float, float]:
    """(F - 1) / (F + k - 1) of F = items / rest and of the ends of its interval."""
    tail = (1 - confidence) / 2
    lower, upper = float(scipy.stats.f.isf(tail, df1, df2)), float(scipy.stats.f.isf(tail, df2, df1))
    value, low, high = (
        (items * factor - rest) / (items * factor + (k - 1) * rest) for factor in (1.0, 1 / lower, upper)
    )
    return value, low, high


def _two_way_random(s: _Squares, confidence: float) -> tuple[float, float, float]:
    n, k = s.n, s.k
    value = (s.items - s.error) / (s.items + (k - 1) * s.error + k * (s.raters - s.error) / n)
    # Satterthwaite's degrees of freedom of a MSC + b MSE; both are multiplied by n (1 - value) to stay finite at 1.
    a, b = k * value, n * (1 - value) + k * value * (n - 1)
    freedom = (a * s.raters + b * s.error) ** 2 / (
        (a * s.raters) ** 2 / (k - 1) + (b * s.error) ** 2 / ((n - 1) * (k - 1))
    )
    tail = (1 - confidence) / 2
    lower, upper = float(scipy.stats.f.isf(tail, n - 1, freedom)), float(scipy.stats.f.isf(tail, freedom, n - 1))
    rest = k * s.raters + (k * n - k - n) * s.error
    low = n * (s.items - lower * s.error) / (lower * rest + n * s.items)
    high = n * (upper * s.items - s.error) / (rest + n * upper * s.items)
    return value, low, high


def _of_mean(single: float, k: int) -> float:
    """Spearman-Brown: reliability of the mean of k ratings."""
    divisor = 1 + (k - 1) * single
    return k * single / divisor if divisor > 0 else float("-inf")
