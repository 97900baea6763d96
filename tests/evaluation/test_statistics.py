"""Intervals, tests and verdicts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from recontrast.errors import ConfigError
from recontrast.evaluation.scores import Blocks
from recontrast.evaluation.statistics import (
    Interval,
    bootstrap_interval,
    holm,
    no_interval,
    paired_test,
    verdict,
    verdict_in_words,
    within_subject_interval,
)

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
    assert first.over == "BCa bootstrap over 15 subjects"
    assert first.low < values.mean() < first.high


def test_degenerate_samples_fall_back_instead_of_failing() -> None:
    interval = bootstrap_interval([0.0] * 7 + [1.0])
    assert interval.exists


@pytest.mark.slow
@pytest.mark.parametrize("n", [6, 12, 25])
def test_intervals_cover_what_they_say(n: int) -> None:
    rng = np.random.default_rng(n)
    trials = 1000
    inside = 0
    for trial in range(trials):
        interval = bootstrap_interval(rng.normal(0, 1, n), resamples=1999, seed=trial)
        inside += interval.low <= 0 <= interval.high
    # 95 % within about three standard errors of 1000 trials, and a little more for the approximation
    assert 0.92 <= inside / trials <= 0.98


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


@pytest.mark.parametrize("n", [6, 9, 20, 40])
def test_wilcoxon_equals_scipys_exact_test(n: int, rng: np.random.Generator) -> None:
    differences = rng.normal(0.4, 1, n)
    assert paired_test(differences).p == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue)


def test_wilcoxon_with_ties_by_hand() -> None:
    """Ranks 1.5, 1.5, 3 of |d|; of the 8 sign patterns 2 are as extreme as all positive."""
    assert paired_test([1.0, 1.0, 2.0]).p == pytest.approx(2 / 8)
    assert paired_test([0.0, 1.0, 1.0, 2.0]).p == pytest.approx(2 / 8)


def test_tests_that_cannot_be_done_say_why() -> None:
    assert "1 subject" in paired_test([1.0]).test
    assert math.isnan(paired_test([1.0]).p)
    assert paired_test([0.0, 0.0]).p == 1.0
    assert "equal" in paired_test([1.0, 1.0, 1.0], "t").test
    assert math.isnan(paired_test([2.0], "t").p)
    with pytest.raises(ConfigError, match="wilcoxon, t"):
        paired_test([1.0, 2.0], "sign")  # type: ignore[arg-type]


def test_paired_t_equals_scipy(rng: np.random.Generator) -> None:
    differences = rng.normal(0.4, 1, 9)
    assert paired_test(differences, "t").p == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)


def test_holm_by_hand_and_with_a_test_that_was_not_done() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    adjusted = holm([0.02, math.nan, 0.04])
    assert math.isnan(adjusted[1])
    assert [adjusted[0], adjusted[2]] == pytest.approx([0.04, 0.04])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("low", "high", "higher", "said"),
    [
        (0.1, 0.5, True, "synthetic"),
        (0.1, 0.5, False, "control"),
        (-0.5, -0.1, True, "control"),
        (-0.5, -0.1, False, "synthetic"),
        (-0.1, 0.5, True, "undecided"),
        (0.0, 0.5, True, "undecided"),
        (math.nan, math.nan, True, "undecided"),
    ],
)
def test_only_an_interval_that_excludes_zero_decides(low: float, high: float, higher: bool, said: str) -> None:
    assert verdict(Interval(low, high, ""), higher_is_better=higher) == said


def test_the_words_say_no_more_than_the_numbers() -> None:
    arguments = {"control": "ridge", "metric": "psnr", "region": "brain"}
    better = verdict_in_words(
        "synthetic", difference=0.5, interval=Interval(0.1, 0.9, "BCa bootstrap over 12 subjects"), **arguments
    )
    assert "is better than ridge (difference +0.5" in better
    worse = verdict_in_words("control", difference=-0.5, interval=Interval(-0.9, -0.1, ""), **arguments)
    assert "is worse than ridge" in worse
    open_question = verdict_in_words("undecided", difference=0.5, interval=no_interval("1 subject"), **arguments)
    assert "it is not shown" in open_question
    assert "none: 1 subject" in open_question
    nothing = verdict_in_words("undecided", difference=math.nan, interval=no_interval("0 subjects"), **arguments)
    assert "cannot be compared" in nothing
    one = within_subject_interval([blocks(range(1, 13))], IDENTITY, subject="sub-01")
    assert "in this one subject" in verdict_in_words("synthetic", difference=6.0, interval=one, **arguments)
