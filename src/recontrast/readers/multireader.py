"""Several readers, several cases, two arms: is there a difference for readers and cases like these?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from recontrast.errors import StatisticsError
from recontrast.evaluation.statistics import ANY, Interval


@dataclass(frozen=True)
class MultiReader:
    """Mean difference between two arms over readers and cases.

    Attributes:
        difference: Mean over readers and cases.
        low: Lower end of the interval; nan when there is none.
        high: Upper end.
        p: Two-sided; nan when it cannot be told.
        freedom: Degrees of freedom.
        readers: Number of readers.
        cases: Number of cases.
        method: What varies and where the interval was cut, or why there is no value.
    """

    difference: float
    low: float
    high: float
    p: float
    freedom: float
    readers: int
    cases: int
    method: str


def multireader(differences: Any, *, confidence: float = 0.95, bounds: tuple[float, float] = ANY) -> MultiReader:
    """Test a mean paired difference with both readers and cases as samples of more.

    Dorfman, Berbaum and Metz's analysis of variance (Invest Radiol 1992, 27:723) for a mean rating, whose jackknife
    pseudovalues are the ratings themselves; degrees of freedom by Hillis (Stat Med 2007, 26:596). On the differences of
    readers r and cases c: variance of the mean = (MS_r + max(MS_c - MS_rc, 0)) / (R C), degrees of freedom
    (MS_r + max(MS_c - MS_rc, 0))^2 (R - 1) / MS_r^2.

    Args:
        differences: Readers in rows, cases in columns: rating in one arm minus that in the other.
        confidence: Level, 0 to 1.
        bounds: Lowest and highest difference that the scale allows. Student's t does not know them: what lies beyond
            is cut off, and `method` says so.

    Raises:
        StatisticsError: Not a complete table of at least 2 readers and 2 cases.

    Example:
        >>> round(multireader([[1, 0, 2, 1], [0, 0, 1, 1], [1, 1, 2, 0]]).difference, 3)
        0.833
    """
    table = np.asarray(differences, dtype=np.float64)
    if table.ndim != 2 or min(table.shape) < 2 or not np.isfinite(table).all():
        raise StatisticsError(f"needs a complete table of 2 or more readers and cases, got shape {table.shape}")
    readers, cases = table.shape
    mean = float(table.mean())
    of_readers, of_cases = table.mean(axis=1) - mean, table.mean(axis=0) - mean
    left = table - mean - of_readers[:, None] - of_cases[None, :]
    ms_readers = cases * float((of_readers**2).sum()) / (readers - 1)
    ms_cases = readers * float((of_cases**2).sum()) / (cases - 1)
    ms_left = float((left**2).sum()) / ((readers - 1) * (cases - 1))
    spread = ms_readers + max(ms_cases - ms_left, 0.0)
    nan = float("nan")
    if spread < 1e-12:
        return MultiReader(mean, nan, nan, nan, nan, readers, cases, "none: readers and cases do not vary")
    freedom = spread**2 * (readers - 1) / ms_readers**2 if ms_readers > 1e-12 else float("inf")
    error = (spread / (readers * cases)) ** 0.5
    half = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
    p = 2 * float(stats.t.sf(abs(mean) / error, freedom))
    method = "random readers and cases (Dorfman-Berbaum-Metz, Hillis' degrees of freedom)"
    ends = Interval(mean - half, mean + half, method).within(bounds)
    return MultiReader(mean, ends.low, ends.high, p, freedom, readers, cases, ends.over)
