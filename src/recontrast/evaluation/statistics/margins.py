"""Is a difference small enough? Non-inferiority and equivalence, each against a margin that was named beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from recontrast.errors import ConfigError
from recontrast.evaluation.settings import PairedTest
from recontrast.evaluation.statistics.intervals import Interval, no_interval
from recontrast.evaluation.statistics.paired import paired_test

Array = NDArray[np.float64]

NON_INFERIORITY_LEVEL = 0.025
"""One-sided level: the 95 % interval must stay within the margin (ICH E9)."""

EQUIVALENCE_LEVEL = 0.05
"""Level of each of the two one-sided tests: the 90 % interval must stay within both margins."""


@dataclass(frozen=True)
class Margin:
    """The largest difference that does not matter, and where it comes from.

    Attributes:
        value: In the units of the metric, above zero.
        name: Why this value ("seed noise of the baseline", "half the SD between readers"); it is printed with every
            result, because a margin without a reason proves nothing.
    """

    value: float
    name: str

    def __post_init__(self) -> None:
        """Check value and name."""
        if not (np.isfinite(self.value) and self.value > 0):
            raise ConfigError(f"a margin must be above zero, got {self.value}")
        if not self.name.strip():
            raise ConfigError(f"margin {self.value:g} has no name; say where it comes from")


@dataclass(frozen=True)
class MarginResult:
    """What was found against a margin.

    Attributes:
        question: `non-inferior` or `equivalent`.
        margin: The margin asked about.
        p: The p value; of the weaker side for equivalence; nan when there is none.
        shown: Whether p is below `level` and the interval lies within the margin: a test of ranks and the mean may
            disagree, and then nothing is shown. Not shown is not the same as shown to be different.
        level: Level of each one-sided test.
        interval: Student's interval of the mean difference at 1 - 2 x level: the decision of the t test, as a picture.
        test: Name of the test, or why it could not be done.
    """

    question: Literal["non-inferior", "equivalent"]
    margin: Margin
    p: float
    shown: bool
    level: float
    interval: Interval
    test: str


def non_inferiority(
    differences: Sequence[float] | Array,
    margin: Margin,
    *,
    higher_is_better: bool,
    test: PairedTest = "t",
    level: float = NON_INFERIORITY_LEVEL,
) -> MarginResult:
    """Is the estimate at most `margin` worse than what it is compared with?

    One one-sided test of the differences moved by the margin (Piaggio 2012, JAMA 308:2594); Student's interval of the
    mean must stay within the margin, too.

    Args:
        differences: One a subject: estimate - control.
        margin: Largest loss that does not matter.
        higher_is_better: Direction of the metric.
        test: `t`, `wilcoxon` or `auto`.
        level: One-sided level.

    Example:
        >>> margin = Margin(0.5, "seed noise, dB")
        >>> non_inferiority([-0.1, 0.2, 0.0, -0.2, 0.1, 0.1], margin, higher_is_better=True).shown
        True
    """
    sample = np.asarray(differences, dtype=np.float64)
    gains = sample if higher_is_better else -sample
    result = paired_test(gains + margin.value, test, alternative="greater")
    interval = _student(sample, level)
    loss = -interval.low if higher_is_better else interval.high
    shown = bool(result.p < level and loss < margin.value)
    return MarginResult("non-inferior", margin, result.p, shown, level, interval, result.test)


def equivalence(
    differences: Sequence[float] | Array,
    margin: Margin,
    *,
    test: PairedTest = "t",
    level: float = EQUIVALENCE_LEVEL,
) -> MarginResult:
    """Is the difference within plus and minus `margin`?

    Two one-sided tests (TOST; Schuirmann 1987, J Pharmacokinet Biopharm 15:657); Student's interval of the mean must
    lie within the margin, too.

    Args:
        differences: One a subject: estimate - control.
        margin: Largest difference, either way, that does not matter.
        test: `t`, `wilcoxon` or `auto`.
        level: Level of each of the two tests.

    Example:
        >>> equivalence([-0.1, 0.2, 0.0, -0.2, 0.1, 0.1], Margin(0.5, "seed noise, dB")).shown
        True
    """
    sample = np.asarray(differences, dtype=np.float64)
    above = paired_test(sample + margin.value, test, alternative="greater")
    below = paired_test(margin.value - sample, test, alternative="greater")
    p = max(above.p, below.p) if np.isfinite(above.p) and np.isfinite(below.p) else float("nan")
    name = above.test if above.test.startswith("none") else f"TOST, {above.test}"
    interval = _student(sample, level)
    shown = bool(p < level and -margin.value < interval.low and interval.high < margin.value)
    return MarginResult("equivalent", margin, p, shown, level, interval, name)


def _student(sample: Array, level: float) -> Interval:
    n = sample.size
    if n < 2:
        return no_interval(f"{n} subject(s)")
    half = float(scipy.stats.t.ppf(1 - level, n - 1)) * float(sample.std(ddof=1)) / np.sqrt(n)
    mean = float(sample.mean())
    return Interval(mean - half, mean + half, f"Student t over {n} subjects, {100 * (1 - 2 * level):g} %")
