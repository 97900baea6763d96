"""How likely a study finds an effect, how small an effect it can find, and how many subjects would be needed."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from recontrast.errors import ConfigError
from recontrast.evaluation.statistics.paired import signed_rank_chances

Array = NDArray[np.float64]
PowerTest = Literal["t", "wilcoxon"]

LEVEL = 0.05
POWER = 0.8
SIMULATIONS = 10_000
MOST_SUBJECTS = 100_000
_MOST_FOR_RANKS = 200
"""Above this many subjects Wilcoxon's power is that of t with 3 / pi of the subjects: simulating gains nothing."""


def power(
    effect: float,
    subjects: int,
    *,
    test: PowerTest = "t",
    level: float = LEVEL,
    simulations: int = SIMULATIONS,
    seed: int = 0,
) -> float:
    """Chance that a two-sided paired test finds an effect of this size; 0 to 1.

    t: exact, by the noncentral F distribution of its square. Wilcoxon: the share of simulated studies with normal
    differences whose exact p is at most `level`.

    Args:
        effect: Mean of the differences over their SD (`cohen_dz`), as it is thought to be or as it would matter. The
            effect found in the same study is the wrong one to put in: its power says nothing that p does not.
        subjects: Number of subjects.
        test: `t` or `wilcoxon`.
        level: Two-sided level of the test.
        simulations: Number of simulated studies (Wilcoxon).
        seed: Same seed, same result.

    Raises:
        ConfigError: There is no such test.

    Example:
        >>> round(power(0.5, 34), 3)
        0.808
    """
    if test not in ("t", "wilcoxon"):
        raise ConfigError(f"there is no power for test '{test}'; there is: t, wilcoxon")
    if subjects < 2:
        return 0.0
    if test == "wilcoxon" and subjects <= _MOST_FOR_RANKS:
        return _simulated(effect, subjects, level, simulations, seed)
    n = subjects if test == "t" else subjects * 3 / np.pi
    if effect == 0:
        return level
    # The square of noncentral t is noncentral F: both tails at once, and stable for large effects in few subjects.
    return float(scipy.stats.ncf.sf(scipy.stats.t.isf(level / 2, n - 1) ** 2, 1, n - 1, effect**2 * n))


def subjects_needed(
    effect: float,
    *,
    wanted: float = POWER,
    test: PowerTest = "t",
    level: float = LEVEL,
    simulations: int = SIMULATIONS,
    seed: int = 0,
) -> int | None:
    """The smallest number of subjects that finds an effect of this size with the wanted chance.

    Args:
        effect: Mean of the differences over their SD.
        wanted: Power wanted, 0 to 1.
        test: `t` or `wilcoxon`.
        level: Two-sided level of the test.
        simulations: Number of simulated studies (Wilcoxon).
        seed: Same seed, same result.

    Returns:
        Number of subjects; None for an effect of zero, or when more than 100,000 would be needed.

    Example:
        >>> subjects_needed(0.5)
        34
    """
    if not (np.isfinite(effect) and effect != 0 and 0 < wanted < 1):
        return None

    def enough(n: int) -> bool:
        return power(effect, n, test=test, level=level, simulations=simulations, seed=seed) >= wanted

    high = 2
    while not enough(high):
        if high > MOST_SUBJECTS:
            return None
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


@lru_cache(maxsize=256)
def smallest_effect(subjects: int, *, wanted: float = POWER, level: float = LEVEL) -> float:
    """The smallest effect (mean over SD) that a paired t test of so many subjects finds with the wanted chance.

    Example:
        >>> round(smallest_effect(34), 1)
        0.5
    """
    if subjects < 2:
        return float("inf")

    def lacking(effect: float) -> float:
        return power(effect, subjects, level=level) - wanted

    high = 1.0
    while lacking(high) < 0:
        high *= 2
    return float(scipy.optimize.brentq(lacking, 0.0, high, xtol=1e-6))


@lru_cache(maxsize=512)
def _critical_sum(subjects: int, level: float) -> int:
    """Largest sum of positive ranks that a two-sided exact test rejects at its lower end; -1 when none does."""
    below = np.cumsum(signed_rank_chances(np.arange(1.0, subjects + 1))[::2])
    return int(np.searchsorted(below, level / 2, side="right")) - 1


def _simulated(effect: float, subjects: int, level: float, simulations: int, seed: int) -> float:
    critical = _critical_sum(subjects, level)
    if critical < 0:
        return 0.0
    drawn = np.random.default_rng(seed).standard_normal((simulations, subjects)) + effect
    ranks = np.argsort(np.argsort(np.abs(drawn), axis=1), axis=1) + 1
    positive = np.where(drawn > 0, ranks, 0).sum(axis=1)
    total = subjects * (subjects + 1) // 2
    return float(((positive <= critical) | (positive >= total - critical)).mean())
