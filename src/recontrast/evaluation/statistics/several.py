"""Several models on the same subjects: Friedman's test, and which pairs differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, get_args

import numpy as np
import scipy
from numpy.typing import NDArray

from recontrast.errors import ConfigError, StatisticsError
from recontrast.evaluation.statistics.adjustment import holm
from recontrast.evaluation.statistics.effects import rank_biserial
from recontrast.evaluation.statistics.paired import names_of_wilcoxon, paired_test

Array = NDArray[np.float64]
PostHoc = Literal["nemenyi", "conover", "wilcoxon"]

PERMUTATIONS = 9999
MOST_FOR_PERMUTATION = 30
"""Up to this many subjects p comes from permutations; the chi-square approximation is coarse there."""

_NO_SPREAD = 1e-9


@dataclass(frozen=True)
class Friedman:
    """Friedman's test.

    Attributes:
        statistic: Chi-square of the ranks, corrected for ties.
        p: P value by permutation (up to 30 subjects) or by the chi-square approximation.
        concordance: Kendall's W, 0 (subjects rank the models at random) to 1 (all alike): the size of the effect.
        mean_ranks: Mean rank of each model; rank 1 is the smallest value.
        subjects: Number of subjects.
        test: How p was made.
    """

    statistic: float
    p: float
    concordance: float
    mean_ranks: tuple[float, ...]
    subjects: int
    test: str


@dataclass(frozen=True)
class Pair:
    """Two of the models, by position, compared after Friedman's test.

    Attributes:
        first: Position of one.
        second: Position of the other.
        rank_difference: Mean rank of the second minus that of the first, among all models.
        p: Adjusted for the number of pairs.
        test: Its name.
        signed_ranks: Rank-biserial correlation of second - first, for a test that looks at this pair alone; None for
            tests of mean ranks.
    """

    first: int
    second: int
    rank_difference: float
    p: float
    test: str
    signed_ranks: float | None = None

    @property
    def second_larger(self) -> bool:
        """Whether the second has the larger values, by what the test itself looked at.

        Mean ranks depend on the other models, and may say the opposite of the pair's own differences.
        """
        return (self.rank_difference if self.signed_ranks is None else self.signed_ranks) > 0


def friedman(values: Sequence[Sequence[float]] | Array, *, permutations: int = PERMUTATIONS, seed: int = 0) -> Friedman:
    """Do several models differ on the same subjects? By ranks within each subject.

    Friedman 1937, J Am Stat Assoc 32:675; SciPy computes the statistic. Up to 30 subjects the ranks within each subject
    are permuted, because the chi-square approximation is coarse for few subjects.

    Args:
        values: Subjects in rows, models (3 or more) in columns; finite.
        permutations: Number of permutations.
        seed: Same seed, same p.

    Raises:
        StatisticsError: Fewer than 3 models or 2 subjects, or a value is not finite.

    Example:
        >>> friedman([[1.0, 2, 3], [2, 3, 5], [1, 4, 6], [0, 1, 2], [3, 4, 9]]).mean_ranks
        (1.0, 2.0, 3.0)
    """
    table = _checked(values)
    n, k = table.shape
    ranks = scipy.stats.rankdata(table, axis=1)
    mean_ranks = tuple(float(rank) for rank in ranks.mean(axis=0))
    if np.ptp(ranks) == 0:
        return Friedman(0.0, 1.0, 0.0, mean_ranks, n, "Friedman: no subject ranks any model above another")
    found = scipy.stats.friedmanchisquare(*table.T)
    statistic, p, test = float(found.statistic), float(found.pvalue), "Friedman, chi-square approximation"
    if n <= MOST_FOR_PERMUTATION:
        p, test = _permuted(ranks, permutations, seed), f"Friedman, {permutations} permutations"
    return Friedman(statistic, p, statistic / (n * (k - 1)), mean_ranks, n, test)


def post_hoc(values: Sequence[Sequence[float]] | Array, method: PostHoc = "wilcoxon") -> list[Pair]:
    """Which pairs of models differ. Look at it only when Friedman's test found a difference.

    Args:
        values: As for `friedman`.
        method: `wilcoxon`, the default: the signed-rank test of each pair, by Holm; a pair's result does not
            depend on which other models were compared (Benavoli 2016, J Mach Learn Res 17:5). `nemenyi`: differences of
            mean ranks against the studentised range (Nemenyi 1963; Demsar 2006, J Mach Learn Res 7:1); weakest.
            `conover`: t of rank sums with the spread Friedman's test leaves (Conover 1999, section 5.8), by Holm; where
            all subjects rank alike no spread is left, t would be infinite, and `wilcoxon` takes its place.

    Raises:
        ConfigError: There is no such method.
        StatisticsError: As for `friedman`.

    Example:
        >>> [pair.rank_difference for pair in post_hoc([[1.0, 2, 3], [2, 3, 5], [1, 4, 6]])]
        [1.0, 2.0, 1.0]
    """
    table = _checked(values)
    if method not in get_args(PostHoc):
        raise ConfigError(f"there is no post-hoc test '{method}'; there is: {', '.join(get_args(PostHoc))}")
    ranks = scipy.stats.rankdata(table, axis=1)
    pairs = list(combinations(range(table.shape[1]), 2))
    gaps = [float(ranks[:, j].mean() - ranks[:, i].mean()) for i, j in pairs]
    own: list[float | None] = [None] * len(pairs)
    if method == "nemenyi":
        p, test = [_nemenyi(abs(gap), *table.shape) for gap in gaps], "Nemenyi"
    elif method == "conover" and _spread_left(ranks) > _NO_SPREAD:
        p, test = holm([_conover(ranks, gap) for gap in gaps]), f"Conover, by Holm over {len(pairs)} pairs"
    else:
        found = [paired_test(table[:, j] - table[:, i]) for i, j in pairs]
        p = holm([result.p for result in found])
        test = f"{names_of_wilcoxon(found)}, by Holm over {len(pairs)} pairs"
        test += ", for Conover's t has no spread: all subjects rank alike" if method == "conover" else ""
        own = [rank_biserial(table[:, j] - table[:, i]) for i, j in pairs]
    return [Pair(*pair, gap, value, test, sign) for pair, gap, value, sign in zip(pairs, gaps, p, own, strict=True)]


def critical_difference(models: int, subjects: int, *, level: float = 0.05) -> float:
    """The difference of mean ranks that Nemenyi's test needs: q sqrt(k (k + 1) / (6 n)).

    Example:
        >>> round(critical_difference(5, 30), 3)
        1.114
    """
    q = float(scipy.stats.studentized_range.isf(level, models, np.inf)) / np.sqrt(2)
    return float(q * np.sqrt(models * (models + 1) / (6 * subjects)))


def _checked(values: Sequence[Sequence[float]] | Array) -> Array:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] < 2 or table.shape[1] < 3:
        raise StatisticsError(
            f"Friedman's test needs 2 subjects (rows) and 3 models (columns), got {table.shape}; compare two models "
            "with a paired test"
        )
    if not np.isfinite(table).all():
        raise StatisticsError(
            "Friedman's test needs a value of every model for every subject; leave out those that lack one, and say so"
        )
    return table


def _permuted(ranks: Array, permutations: int, seed: int) -> float:
    """Share of permutations within subjects whose rank sums spread at least as far; the found one counts as one."""
    rng = np.random.default_rng(seed)
    n, k = ranks.shape
    sums = np.zeros((permutations, k))
    for row in ranks:
        sums += rng.permuted(np.broadcast_to(row, (permutations, k)), axis=1)
    spread = ((sums - n * (k + 1) / 2) ** 2).sum(axis=1)
    found = float(((ranks.sum(axis=0) - n * (k + 1) / 2) ** 2).sum())
    return float((1 + (spread >= found - 1e-9).sum()) / (permutations + 1))


def _nemenyi(gap: float, subjects: int, models: int) -> float:
    q = gap / np.sqrt(models * (models + 1) / (12 * subjects))
    return float(min(1.0, scipy.stats.studentized_range.sf(q, models, np.inf)))


def _spread_left(ranks: Array) -> float:
    """What Conover's t is compared with: the spread of ranks that the models do not explain."""
    return len(ranks) * float((ranks**2).sum()) - float((ranks.sum(axis=0) ** 2).sum())


def _conover(ranks: Array, gap: float) -> float:
    n, k = ranks.shape
    freedom = (n - 1) * (k - 1)
    t = abs(gap) * n / np.sqrt(2 * _spread_left(ranks) / freedom)
    return float(2 * scipy.stats.t.sf(t, freedom))
