"""Paired tests: Wilcoxon signed-rank (exact), paired t, normality, and McNemar for yes-or-no answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from recontrast.errors import ConfigError
from recontrast.evaluation.settings import PairedTest
from recontrast.evaluation.statistics.intervals import all_equal

Array = NDArray[np.float64]
Alternative = Literal["two-sided", "greater", "less"]

NORMALITY_LEVEL = 0.05
"""`auto` takes the t test unless Shapiro-Wilk gives a p below this."""

MOST_FOR_EXACT = 300
"""With more differences, zeros left out, Wilcoxon's p is that of a normal distribution: the exact one needs the cube of
their number (300: 0.03 s, 1,000: 2.5 s), and p differs by less than a thousandth."""

_MOST_FOR_SHAPIRO = 5000
_EXACT = "Wilcoxon signed-rank, exact"
_NORMAL = "Wilcoxon signed-rank, normal approximation corrected for ties and continuity"


@dataclass(frozen=True)
class PairedResult:
    """A p value (nan when there is none) and the test's name, or why it could not be done."""

    p: float
    test: str


def paired_test(
    differences: Sequence[float] | Array, test: PairedTest = "wilcoxon", *, alternative: Alternative = "two-sided"
) -> PairedResult:
    """Test that paired differences are centred at zero.

    Args:
        differences: One a subject: estimate - control.
        test: `wilcoxon`: signed ranks (Wilcoxon 1945, Biometrics Bull 1:80), exact also with ties up to
            `MOST_FOR_EXACT` differences, above by a normal distribution; differences of zero are left out. `t`: paired
            t. `auto`: t, or Wilcoxon where Shapiro-Wilk rejects normality; the choice is named. Looking first and
            testing then is not quite honest with small samples: prefer to choose beforehand.
        alternative: `two-sided`; `greater`: the centre is above zero; `less`: below.

    Raises:
        ConfigError: There is no such test or alternative.

    Example:
        >>> paired_test([1.0, 2, 3, 4, 5, 6]).p
        0.03125
    """
    if alternative not in ("two-sided", "greater", "less"):
        raise ConfigError(f"there is no alternative '{alternative}'; there is: two-sided, greater, less")
    sample = np.asarray(differences, dtype=np.float64)
    if test == "wilcoxon":
        return _wilcoxon(sample, alternative)
    if test == "t":
        return _student(sample, alternative)
    if test != "auto":
        raise ConfigError(f"there is no paired test '{test}'; there is: wilcoxon, t, auto")
    normality = shapiro_wilk(sample)
    chosen = _student if not normality.p < NORMALITY_LEVEL else _wilcoxon
    result = chosen(sample, alternative)
    why = f"Shapiro-Wilk p {normality.p:.2g}" if np.isfinite(normality.p) else "normality could not be tested"
    return PairedResult(result.p, f"{result.test} ({why})")


def shapiro_wilk(values: Sequence[float] | Array) -> PairedResult:
    """Test that values are normal. A large p does not show that they are: with few subjects almost nothing is rejected.

    Shapiro and Wilk 1965, Biometrika 52:591; SciPy computes it.

    Args:
        values: One a subject; the differences, when a paired test follows.

    Example:
        >>> bool(shapiro_wilk([1.0, 2, 3, 4, 5, 60]).p < 0.01)
        True
    """
    sample = np.asarray(values, dtype=np.float64)
    if not 3 <= sample.size <= _MOST_FOR_SHAPIRO:
        return PairedResult(float("nan"), f"none: {sample.size} subjects, Shapiro-Wilk takes 3 to {_MOST_FOR_SHAPIRO}")
    if all_equal(sample):
        return PairedResult(float("nan"), "none: all values are equal")
    return PairedResult(float(scipy.stats.shapiro(sample).pvalue), "Shapiro-Wilk")


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> PairedResult:
    """Exact test that two yes-or-no answers on the same cases are yes equally often.

    Only cases that differ speak: of b + c of them, b is binomial with chance 1/2. McNemar 1947, Psychometrika 12:153.

    Args:
        first: Answer of the first reader or method for each case (lesion found, artefact seen).
        second: Answer of the second for the same cases.

    Raises:
        ConfigError: The answers are not of the same cases.

    Example:
        >>> mcnemar([True] * 6 + [False], [False] * 6 + [False]).p
        0.03125
    """
    if len(first) != len(second):
        raise ConfigError(f"McNemar needs both answers for each case, got {len(first)} and {len(second)}")
    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    only_first, only_second = int((a & ~b).sum()), int((b & ~a).sum())
    counted = f"only the first {only_first}, only the second {only_second} of {a.size}"
    if a.size == 0:
        return PairedResult(float("nan"), "none: no case")
    if only_first + only_second == 0:
        return PairedResult(1.0, f"McNemar: no case differs ({counted})")
    p = float(scipy.stats.binomtest(only_first, only_first + only_second).pvalue)
    return PairedResult(p, f"McNemar, exact ({counted})")


def smallest_wilcoxon_p(subjects: int) -> float:
    """The smallest two-sided p that Wilcoxon's test can give: all differences of one sign, 2^(1-n).

    Example:
        >>> smallest_wilcoxon_p(3)
        0.25
    """
    return min(1.0, 2.0 ** (1 - subjects))


def names_of_wilcoxon(results: Sequence[PairedResult]) -> str:
    """How the p values of several Wilcoxon tests were made, in words: exact, by a normal distribution, or both.

    Example:
        >>> names_of_wilcoxon([paired_test([1.0, 2.0]), paired_test([0.0, 0.0])])
        'Wilcoxon signed-rank, exact'
    """
    used = {result.test for result in results}
    if _NORMAL not in used:
        return _EXACT
    return f"{_EXACT} or {_NORMAL.partition(', ')[2]}" if _EXACT in used else _NORMAL


def signed_rank_chances(ranks: Array) -> Array:
    """Chance of each sum of positive ranks, 0, 0.5, 1 …, when every rank is as often positive as negative.

    Args:
        ranks: Ranks of the absolute differences; ties make halves.

    Returns:
        Chances of the sums 0, 0.5, 1, … up to the sum of all ranks.
    """
    chances = np.ones(1)
    for rank in np.rint(2 * ranks).astype(int):  # twice the ranks are integers, so sums can be counted
        wider = np.zeros(chances.size + rank)
        wider[: chances.size] += chances / 2
        wider[rank:] += chances / 2
        chances = wider
    return chances


def _wilcoxon(differences: Array, alternative: Alternative) -> PairedResult:
    """Signed-rank test given the ranks at hand: exact, so that ties are no approximation, but for large samples."""
    real = differences[differences != 0]
    if differences.size < 2:
        return PairedResult(float("nan"), f"none: {differences.size} subject(s)")
    if real.size == 0:
        return PairedResult(1.0, "Wilcoxon signed-rank: no subject differs")
    if real.size > MOST_FOR_EXACT:
        found = scipy.stats.wilcoxon(real, alternative=alternative, method="asymptotic", correction=True)
        return PairedResult(float(found.pvalue), _NORMAL)
    ranks = scipy.stats.rankdata(np.abs(real))
    chances = signed_rank_chances(ranks)
    positive = int(np.rint(2 * ranks[real > 0].sum()))
    below, above = float(chances[: positive + 1].sum()), float(chances[positive:].sum())
    p = {"less": below, "greater": above, "two-sided": 2 * min(below, above)}[alternative]
    return PairedResult(min(1.0, p), _EXACT)


def _student(sample: Array, alternative: Alternative) -> PairedResult:
    if sample.size < 2:
        return PairedResult(float("nan"), f"none: {sample.size} subject(s)")
    if all_equal(sample):
        return PairedResult(float("nan"), "none: all differences are equal")
    return PairedResult(float(scipy.stats.ttest_1samp(sample, 0.0, alternative=alternative).pvalue), "paired t")
