"""Intervals over subjects and within one."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import stats

from recontrast.errors import ConfigError
from recontrast.evaluation.scores import Blocks
from recontrast.evaluation.statistics import bootstrap_interval, intervals, within_subject_interval

IDENTITY = staticmethod(lambda mean, constant: mean).__func__


@pytest.mark.parametrize(("values", "said"), [([], "0 subjects"), ([1.0], "1 subject,"), ([1.0, 2.0], "2 subjects")])
def test_too_few_subjects_have_no_interval_and_it_says_why(values, said: str) -> None:
    interval = bootstrap_interval(values)
    assert not interval.exists
    assert interval.over.startswith("none: ")
    assert said in interval.over


def test_three_to_five_subjects_get_students_t() -> None:
    values = [1.0, 2.0, 4.0]
    interval = bootstrap_interval(values)
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx((low, high))
    assert "Student t over 3 subjects" in interval.over


def test_equal_values_have_an_interval_of_no_width() -> None:
    interval = bootstrap_interval([0.3] * 8)
    assert (interval.low, interval.high) == pytest.approx((0.3, 0.3))
    assert "all with the same value" in interval.over


def test_more_subjects_are_bootstrapped_and_repeatable(rng: np.random.Generator) -> None:
    values = rng.normal(5, 1, 15)
    first, second = bootstrap_interval(values, seed=4), bootstrap_interval(values, seed=4)
    assert first == second
    assert first.over == "outer of Student t and studentised bootstrap over 15 subjects"
    assert first.low < values.mean() < first.high


@pytest.mark.parametrize("method", ["outer", "t", "studentised", "bca", "bca-expanded"])
def test_degenerate_samples_fall_back_instead_of_failing(method) -> None:
    interval = bootstrap_interval([0.0] * 7 + [1.0], method=method)
    assert interval.exists
    assert interval.low < 1 / 8 < interval.high


def test_the_default_is_the_outer_of_t_and_studentised_bootstrap(rng: np.random.Generator) -> None:
    values = rng.lognormal(0, 0.7, 12)
    outer, t, drawn = (bootstrap_interval(values, method=method) for method in ("outer", "t", "studentised"))
    assert (outer.low, outer.high) == (min(t.low, drawn.low), max(t.high, drawn.high))
    assert (t.low, t.high) == pytest.approx(stats.t.interval(0.95, 11, loc=values.mean(), scale=stats.sem(values)))
    assert drawn.high > t.high  # a skewed sample may hide a long tail


def test_studentised_bootstrap_equals_the_definition(rng: np.random.Generator) -> None:
    """mean - q se, q from (mean* - mean) / se* of each resample, computed one resample after the other."""
    values = rng.lognormal(0, 0.7, 12)
    picks = np.random.default_rng(3).integers(0, 12, (999, 12))
    ratios = sorted((values[i].mean() - values.mean()) / stats.sem(values[i]) for i in picks)
    found = bootstrap_interval(values, method="studentised", resamples=999, seed=3)
    low = values.mean() - ratios[round(0.975 * 998 + 0.5)] * stats.sem(values)
    high = values.mean() - ratios[int(0.025 * 998)] * stats.sem(values)
    assert (found.low, found.high) == pytest.approx((low, high))


@pytest.mark.parametrize("method", ["studentised", "bca"])
def test_parts_that_fit_memory_hold_the_same_draws(method, monkeypatch: pytest.MonkeyPatch, rng) -> None:
    values = rng.lognormal(0, 0.7, 12)
    whole = bootstrap_interval(values, method=method, resamples=999, seed=3)
    for at_once, kept in ((120, 10**6), (12 * 998, 0), (1, 0)):
        monkeypatch.setattr(intervals, "_AT_ONCE", at_once)
        monkeypatch.setattr(intervals, "_MOST_KEPT", kept)
        intervals._interval_of.cache_clear()
        intervals._kept.cache_clear()
        found = bootstrap_interval(values, method=method, resamples=999, seed=3)
        assert (found.low, found.high) == pytest.approx((whole.low, whole.high), rel=1e-12)
    intervals._interval_of.cache_clear()
    intervals._kept.cache_clear()


def test_memory_does_not_grow_with_the_cohort(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    monkeypatch.setattr(intervals, "_AT_ONCE", 10**6, raising=False)
    values = rng.standard_normal(2000)
    tracemalloc.start()
    bootstrap_interval(values, resamples=1999)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 4.5e7  # 2,000 x 1,999 numbers are 3.2e7 bytes, and three such arrays were held at once


def test_bca_equals_scipys(rng: np.random.Generator) -> None:
    values = rng.lognormal(0, 0.7, 12)
    theirs = stats.bootstrap((values,), np.mean, rng=np.random.default_rng(0), batch=9999).confidence_interval
    found = bootstrap_interval(values, method="bca")
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-10)
    wider = bootstrap_interval(values, method="bca-expanded")
    assert wider.low < found.low < found.high < wider.high


def test_methods_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ConfigError, match="outer, t, studentised"):
        bootstrap_interval([1.0] * 7, method="exact")  # type: ignore[arg-type]


def test_what_lies_beyond_the_values_of_a_metric_is_cut_off_and_told() -> None:
    whole = bootstrap_interval([0.99, 0.985, 0.99, 0.992, 0.988, 0.991, 0.6])
    assert whole.low < 0
    assert whole.high > 1
    cut = whole.within((0.0, 1.0))
    assert (cut.low, cut.high, cut.over) == (0.0, 1.0, f"{whole.over}, cut at 0 and 1")
    assert whole.within((-np.inf, np.inf)) is whole
    assert not bootstrap_interval([0.9]).within((0.0, 1.0)).exists


def same_pair(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Differences of two methods that are equally good, larger in difficult subjects: symmetric with heavy tails."""
    return rng.lognormal(0, 0.5, shape) * (rng.lognormal(0, 0.3, shape) - rng.lognormal(0, 0.3, shape))


@pytest.mark.slow
@pytest.mark.parametrize("n", [12, 20])
@pytest.mark.parametrize(
    ("draw", "mean"),
    [
        (lambda rng, shape: rng.normal(0, 1, shape), 0.0),
        (lambda rng, shape: rng.lognormal(0, 0.5, shape), np.exp(0.125)),
        (same_pair, 0.0),
    ],
    ids=["normal", "lognormal", "differences"],
)
def test_intervals_cover_what_they_say(draw, mean: float, n: int) -> None:
    samples = draw(np.random.default_rng(n), (1000, n))
    found = [bootstrap_interval(sample, resamples=999, seed=trial) for trial, sample in enumerate(samples)]
    inside = np.mean([interval.low <= mean <= interval.high for interval in found])
    # 93 to 97 % within two standard errors of 1000 trials; the full count is in benchmarks/statistics.py
    assert 0.93 - 0.014 <= inside <= 0.97 + 0.012


def blocks(values, count: int = 10) -> Blocks:
    return Blocks(tuple(float(v) * count for v in values), (count,) * len(values), 1.0)


def test_one_subject_has_an_interval_within_itself_that_says_so(rng: np.random.Generator) -> None:
    slabs = blocks(rng.normal(2, 0.5, 12))
    interval = within_subject_interval([slabs], IDENTITY, subject="sub-C26")
    assert interval.low < np.mean(slabs.sums) / 10 < interval.high
    assert interval.over == "WITHIN ONE SUBJECT: bootstrap over 12 slabs of axial slices of sub-C26"


def test_differences_use_the_same_slabs_of_both(rng: np.random.Generator) -> None:
    base = rng.normal(10, 5, 12)
    interval = within_subject_interval([blocks(base + 1)], IDENTITY, [blocks(base)])
    assert (interval.low, interval.high) == pytest.approx((1.0, 1.0))


def test_slabs_are_weighed_by_their_voxels() -> None:
    uneven = Blocks((100.0, 1.0, 1.0, 1.0, 1.0, 1.0), (100, 1, 1, 1, 1, 1), 1.0)
    interval = within_subject_interval([uneven], lambda mean, constant: constant * mean)
    assert (interval.low, interval.high) == pytest.approx((1.0, 1.0))


def test_too_few_or_unequal_slabs_have_no_interval() -> None:
    assert "only 3 slabs" in within_subject_interval([blocks([1, 2, 3])], IDENTITY).over
    assert "different slabs" in within_subject_interval([blocks(range(6))], IDENTITY, [blocks(range(7))]).over
    assert "cannot be drawn" in within_subject_interval([], IDENTITY).over
    infinite = within_subject_interval([blocks([0] * 6)], lambda mean, constant: np.full_like(mean, np.inf))
    assert "infinite" in infinite.over
