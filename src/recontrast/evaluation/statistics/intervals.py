"""Confidence intervals of a mean over subjects, and within one subject; an absent one says why."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
import scipy
from numpy.typing import NDArray

from recontrast.errors import ConfigError
from recontrast.evaluation.scores import Blocks
from recontrast.metrics import cut_at

Array = NDArray[np.float64]

CONFIDENCE = 0.95
RESAMPLES = 9999

FEWEST_FOR_INTERVAL = 3
"""Below this no interval over subjects is given."""

FEWEST_FOR_BOOTSTRAP = 6
"""Below this Student's t is used: too few different bootstrap samples exist."""

FEWEST_BLOCKS = 5
"""Below this many slabs no interval within a subject is given."""

_AT_ONCE = 10_000_000
"""At most so many numbers of a bootstrap are held at once (80 MB): all samples of 1,000 subjects."""

_MOST_KEPT = 1 << 26
"""Draws of at most so many numbers (128 MB) are kept for the next row of a table; larger ones are drawn again."""

_ROUNDING = 1e-13
"""A bootstrap sample whose variance is below this share of the sample's holds one value only."""

WITHIN = "WITHIN ONE SUBJECT"
"""Beginning of the words for an interval taken inside a single subject."""

ANY = (-np.inf, np.inf)
"""Bounds of values that have no end."""

IntervalMethod = Literal["outer", "t", "studentised", "bca", "bca-expanded"]
_METHODS = get_args(IntervalMethod)


@dataclass(frozen=True)
class Interval:
    """A confidence interval.

    Attributes:
        low: Lower end; nan when there is none.
        high: Upper end; nan when there is none.
        over: How it was made and what it is over, or why there is none.
    """

    low: float
    high: float
    over: str

    @property
    def exists(self) -> bool:
        """Whether both ends are numbers."""
        return bool(np.isfinite(self.low) and np.isfinite(self.high))

    def within(self, bounds: tuple[float, float]) -> Interval:
        """The interval without what lies beyond the values there can be (`cut_at`); `over` says where it was cut.

        >>> Interval(0.8, 1.1, "Student t over 3 subjects").within((0.0, 1.0))
        Interval(low=0.8, high=1.0, over='Student t over 3 subjects, cut at 1')
        """
        if not self.exists:
            return self
        low, high, words = cut_at(self.low, self.high, bounds)
        return self if (low, high) == (self.low, self.high) else Interval(low, high, self.over + words)


def of_differences(bounds: tuple[float, float]) -> tuple[float, float]:
    """Bounds of the differences of two values that lie within `bounds`.

    >>> of_differences((0.0, 1.0)), of_differences((0.0, np.inf))
    ((-1.0, 1.0), (-inf, inf))
    """
    width = bounds[1] - bounds[0]
    return -width, width


def no_interval(reason: str) -> Interval:
    """An interval that does not exist, and why."""
    return Interval(float("nan"), float("nan"), f"none: {reason}")


def bootstrap_interval(
    values: Sequence[float] | Array,
    *,
    method: IntervalMethod = "outer",
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Interval of the mean over subjects.

    `outer`, the default: each end is the outer one of Student's t and of the studentised bootstrap. t alone covers too
    little where values are skewed, every bootstrap where they have heavy tails (differences often do); both together
    hold (`benchmarks/intervals.py` measures it). With 3 to 5 subjects: Student's t. With 1 or 2: none. Neither knows
    that values may have an end (Dice: 0 and 1): see `Interval.within`.

    Args:
        values: One value a subject, finite.
        method: `outer`; `t`; `studentised` (bootstrap-t, Efron and Tibshirani 1993, chapter 12); `bca` (bias-corrected
            accelerated bootstrap, Efron 1987, J Am Stat Assoc 82:171); `bca-expanded` (the same with its level widened
            for small samples, Hesterberg 2015, Am Stat 69:371).
        confidence: Level, 0 to 1.
        resamples: Number of bootstrap samples.
        seed: Same seed, same interval.

    Raises:
        ConfigError: There is no such method.

    Example:
        >>> interval = bootstrap_interval([1.0, 2, 3, 4, 5, 6, 7, 8], seed=0)
        >>> interval.low < 4.5 < interval.high
        True
    """
    if method not in _METHODS:
        raise ConfigError(f"there is no interval '{method}'; there is: {', '.join(_METHODS)}")
    return _interval_of(tuple(map(float, values)), method, confidence, resamples, seed)


@lru_cache(maxsize=512)
def _interval_of(
    values: tuple[float, ...], method: IntervalMethod, confidence: float, resamples: int, seed: int
) -> Interval:
    """The same values are asked for by several tables of one evaluation."""
    sample = np.asarray(values, dtype=np.float64)
    n = sample.size
    if n < FEWEST_FOR_INTERVAL:
        subjects = f"{n} subject{'s' if n != 1 else ''}"
        return no_interval(f"{subjects}, an interval over subjects needs {FEWEST_FOR_INTERVAL}")
    mean = float(sample.mean())
    if all_equal(sample):
        return Interval(mean, mean, f"{n} subjects, all with the same value")
    student = _student(sample, confidence)
    if n < FEWEST_FOR_BOOTSTRAP and method != "t":
        return Interval(*student, f"Student t over {n} subjects (too few for the bootstrap)")
    if method == "t":
        return Interval(*student, f"Student t over {n} subjects")
    if method in ("bca", "bca-expanded"):
        level = _widened(confidence, n) if method == "bca-expanded" else confidence
        return _accelerated(sample, level, resamples, seed)
    low, high = _studentised(sample, confidence, resamples, seed)
    if not (np.isfinite(low) and np.isfinite(high)):
        return Interval(*student, f"Student t over {n} subjects (too many equal values for the bootstrap)")
    if method == "studentised":
        return Interval(low, high, f"studentised bootstrap over {n} subjects")
    return Interval(
        min(low, student[0]), max(high, student[1]), f"outer of Student t and studentised bootstrap over {n} subjects"
    )


def within_subject_interval(
    sessions: Sequence[Blocks],
    finish: Callable[[Any, float], Any],
    others: Sequence[Blocks] | None = None,
    *,
    subject: str = "",
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Substitute for one subject: interval over contiguous slabs of slices within it. It says nothing of other people.

    Neighbouring slices resemble each other, so slabs of 10 mm and more are drawn with replacement, the value (or the
    difference of two estimators on the same slabs) is computed from the drawn slabs, and percentiles are taken, widened
    for the small number of slabs. It is a little too narrow: errors that hang together over 6 mm along 140 mm were
    covered in 89 % of 2,000 simulations, over 3 mm in 91 %.

    Args:
        sessions: The slabs of the estimate, one entry a session; slabs are drawn within each session, then averaged.
        finish: `VoxelForm.finish` of the metric.
        others: The same sessions' slabs of another estimator; the interval is then of estimate - other.
        subject: Name of the subject, for the label.
        confidence: Level, 0 to 1.
        resamples: Number of bootstrap samples.
        seed: Same seed, same interval.

    Example:
        >>> slabs = Blocks(tuple(float(i) for i in range(10)), (2,) * 10, 1.0)
        >>> within_subject_interval([slabs], lambda mean, constant: mean).exists
        True
    """
    if not sessions:
        return no_interval("the metric is not a mean over voxels, slabs cannot be drawn")
    fewest = min(len(blocks.sums) for blocks in sessions)
    if fewest < FEWEST_BLOCKS:
        return no_interval(f"1 subject, and only {fewest} slabs of slices within it ({FEWEST_BLOCKS} are needed)")
    pairs = list(zip(sessions, others if others is not None else [None] * len(sessions), strict=True))
    rng = np.random.default_rng(seed)
    drawn = np.zeros(resamples)
    for blocks, other in pairs:
        picks = rng.integers(0, len(blocks.sums), (resamples, len(blocks.sums)))
        value = _of_blocks(blocks, finish, picks)
        if other is not None:
            if len(other.sums) != len(blocks.sums):
                return no_interval("estimate and control have different slabs")
            value = value - _of_blocks(other, finish, picks)
        drawn += value / len(pairs)
    drawn = drawn[np.isfinite(drawn)]
    if drawn.size < resamples // 2:
        return no_interval("the value is infinite in most draws of slabs")
    tail = (1 - _widened(confidence, fewest)) / 2
    low, high = (float(q) for q in np.quantile(drawn, (tail, 1 - tail)))
    name = f" of {subject}" if subject else ""
    return Interval(low, high, f"{WITHIN}: bootstrap over {fewest} slabs of axial slices{name}")


def all_equal(sample: Array) -> bool:
    """Whether values differ by no more than rounding."""
    return bool(sample.std(ddof=1) <= 1e-12 * max(1.0, abs(float(sample.mean()))))


def _student(sample: Array, confidence: float) -> tuple[float, float]:
    mean, n = float(sample.mean()), sample.size
    half = float(scipy.stats.t.ppf((1 + confidence) / 2, n - 1)) * float(sample.std(ddof=1)) / np.sqrt(n)
    return float(mean - half), float(mean + half)


def _studentised(sample: Array, confidence: float, resamples: int, seed: int) -> tuple[float, float]:
    """Ends of the bootstrap-t interval; infinite or nan where many resamples hold one value only."""
    n, mean = sample.size, float(sample.mean())
    spread = float(sample.std(ddof=1))
    centred = (sample - mean) / spread
    moments = _resampled_means(np.stack([centred, centred**2], axis=1), resamples, seed)
    shifts = moments[:, 0] * spread
    variances = np.maximum(moments[:, 1] - moments[:, 0] ** 2, 0) * n / (n - 1)
    flat = variances <= _ROUNDING
    errors = spread * np.sqrt(variances / n)
    ratios = np.where(flat, np.copysign(np.inf, shifts), shifts / np.where(flat, 1.0, errors))
    tail = (1 - confidence) / 2
    # `higher` and `lower`: a value between two infinities would be nan
    upper, lower = np.quantile(ratios, 1 - tail, method="higher"), np.quantile(ratios, tail, method="lower")
    error = spread / np.sqrt(n)
    return float(mean - upper * error), float(mean - lower * error)


def _resampled_means(columns: Array, resamples: int, seed: int) -> Array:
    """Mean of each column over each bootstrap sample, shape (resamples, columns): the same samples for each table.

    Means and variances of all samples are products with how often each subject is in each: a table of 200 subjects has
    many rows.
    """
    n = len(columns)
    parts = _kept(n, resamples, seed) if n * resamples <= _MOST_KEPT else _draws(n, resamples, seed)
    return np.asarray(np.concatenate([counts.astype(np.float64) @ columns for counts in parts]) / n)


@lru_cache(maxsize=2)
def _kept(n: int, resamples: int, seed: int) -> tuple[NDArray[np.uint16], ...]:
    return tuple(_draws(n, resamples, seed))


def _draws(n: int, resamples: int, seed: int) -> Iterator[NDArray[np.uint16]]:
    """How often each of n subjects is in each bootstrap sample, some samples after the other, shape (samples, n)."""
    rng = np.random.default_rng(seed)
    rows = max(1, _AT_ONCE // n)
    for start in range(0, resamples, rows):
        picks = rng.integers(0, n, (min(rows, resamples - start), n))
        picks += np.arange(len(picks))[:, None] * n
        counts = np.bincount(picks.reshape(-1), minlength=picks.size).reshape(picks.shape).astype(np.uint16)
        counts.flags.writeable = False
        yield counts


def _accelerated(sample: Array, level: float, resamples: int, seed: int) -> Interval:
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", scipy.stats.DegenerateDataWarning)
            found = scipy.stats.bootstrap(
                (sample,), np.mean, n_resamples=resamples, confidence_level=level, method=method,
                rng=np.random.default_rng(seed), batch=min(resamples, max(1, _AT_ONCE // sample.size)),
            ).confidence_interval  # fmt: skip
        if np.isfinite(found.low) and np.isfinite(found.high):
            return Interval(float(found.low), float(found.high), f"{method} bootstrap over {sample.size} subjects")
    return no_interval("the bootstrap found no interval")


def _widened(confidence: float, n: int) -> float:
    """Level whose percentiles give the wanted coverage at a sample of n (Hesterberg 2015, section 5.3)."""
    tail = scipy.stats.norm.sf(np.sqrt(n / (n - 1)) * scipy.stats.t.ppf((1 + confidence) / 2, n - 1))
    return float(1 - 2 * tail)


def _of_blocks(blocks: Blocks, finish: Callable[[Any, float], Any], picks: NDArray[np.int64]) -> Array:
    sums, counts = np.asarray(blocks.sums)[picks].sum(axis=1), np.asarray(blocks.counts)[picks].sum(axis=1)
    mean = sums / counts
    return np.asarray(mean if blocks.constant is None else finish(mean, blocks.constant), dtype=np.float64)
