"""How large a difference is, in units that do not depend on the number of subjects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy
from numpy.typing import NDArray

from recontrast.evaluation.statistics.intervals import all_equal

Array = NDArray[np.float64]


def cohen_dz(differences: Sequence[float] | Array) -> float:
    """Mean of paired differences over their SD; nan below 2 subjects or when all are equal.

    Cohen 1988, Statistical Power Analysis, section 2.3.5. It is not Cohen's d of two groups: it grows as the pairs
    resemble each other.

    Example:
        >>> cohen_dz([1.0, 2.0, 3.0])
        2.0
    """
    sample = np.asarray(differences, dtype=np.float64)
    if sample.size < 2 or all_equal(sample):
        return float("nan")
    return float(sample.mean() / sample.std(ddof=1))


def hedges_g(differences: Sequence[float] | Array) -> float:
    """Cohen's dz times J(n - 1): without its bias of small samples (8 % at n = 12); nan below 3 subjects.

    J(m) = gamma(m / 2) / (sqrt(m / 2) gamma((m - 1) / 2)), Hedges 1981, J Educ Stat 6:107. J(1) is 0: of two subjects
    nothing would be left, whatever their difference is.

    Example:
        >>> round(hedges_g([1.0, 2.0, 3.0]), 6)
        1.128379
    """
    freedom = len(differences) - 1
    dz = cohen_dz(differences)
    if freedom < 2 or not np.isfinite(dz):
        return float("nan")
    gamma = scipy.special.gammaln
    return float(dz * np.exp(gamma(freedom / 2) - gamma((freedom - 1) / 2)) / np.sqrt(freedom / 2))


def rank_biserial(differences: Sequence[float] | Array) -> float:
    """Share of the signed ranks that is positive minus the share that is negative: -1 to 1.

    (W+ - W-) / (W+ + W-), the effect that belongs to Wilcoxon's test; differences of zero are left out.
    Kerby 2014, Compr Psychol 3:1.

    Example:
        >>> rank_biserial([1.0, 2.0, -3.0])
        0.0
    """
    sample = np.asarray(differences, dtype=np.float64)
    real = sample[sample != 0]
    if real.size == 0:
        return float("nan") if sample.size == 0 else 0.0
    ranks = scipy.stats.rankdata(np.abs(real))
    return float((ranks * np.sign(real)).sum() / ranks.sum())
