"""Mixed-effects model."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy import stats

from recontrast.errors import DependencyError, StatisticsError
from recontrast.evaluation.statistics import mixed_model


def cohort(
    rng: np.random.Generator, sessions: list[int], between: float = 1.0, within: float = 0.5
) -> list[list[float]]:
    return [list(2 + rng.normal(0, between) + rng.normal(0, within, count)) for count in sessions]


def test_a_balanced_design_equals_the_analysis_of_variance(rng: np.random.Generator) -> None:
    """As many sessions for all: REML gives the grand mean, and its error is the SD of subjects' means / sqrt(n)."""
    values = np.array(cohort(rng, [3] * 10))
    result = mixed_model(values.tolist())
    means = values.mean(axis=1)
    assert result.fitted
    assert result.mean == pytest.approx(values.mean(), rel=1e-6)
    low, high = stats.t.interval(0.95, 9, loc=means.mean(), scale=stats.sem(means))
    assert (result.interval.low, result.interval.high) == pytest.approx((low, high), rel=1e-3)
    within = values.var(axis=1, ddof=1).mean()
    assert result.sd_within == pytest.approx(np.sqrt(within), rel=1e-3)
    assert result.sd_between == pytest.approx(np.sqrt(means.var(ddof=1) - within / 3), rel=1e-3)
    assert result.words == "mixed model over 30 sessions of 10 subjects"


def test_units_do_not_matter(rng: np.random.Generator) -> None:
    values = cohort(rng, [1, 2, 3, 4, 2, 1, 3])
    plain, small = mixed_model(values), mixed_model([[v * 1e-6 for v in subject] for subject in values])
    assert small.mean == pytest.approx(plain.mean * 1e-6, rel=1e-4)
    assert small.p == pytest.approx(plain.p, rel=1e-2)


def test_many_sessions_of_one_subject_do_not_become_many_people(rng: np.random.Generator) -> None:
    values = cohort(rng, [1] * 6 + [60], within=0.05)
    values[-1] = [value + 10 for value in values[-1]]
    pooled = np.mean(np.concatenate(values))
    assert mixed_model(values).mean < 5 < pooled


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([[1.0], [2.0], [4.0]], "no subject has several sessions"),
        ([[1.0, 2.0], [2.0, 3.0]], "2 subject(s)"),
        ([[1.0, 1.0], [1.0], [1.0]], "all values are equal"),
    ],
)
def test_without_a_model_means_of_subjects_are_used_and_it_says_why(values, said: str) -> None:
    result = mixed_model(values)
    assert not result.fitted
    assert said in result.words
    assert result.mean == pytest.approx(np.mean([np.mean(v) for v in values]))


def test_the_fallback_is_students_t() -> None:
    result = mixed_model([[1.0], [2.0], [4.0]])
    expected = stats.ttest_1samp([1.0, 2.0, 4.0], 0.0)
    assert result.p == pytest.approx(expected.pvalue)
    assert result.interval.high == pytest.approx(expected.confidence_interval().high)


def test_a_model_that_does_not_converge_is_not_used(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    from statsmodels.regression import mixed_linear_model

    monkeypatch.setattr(mixed_linear_model.MixedLMResults, "converged", False, raising=False)
    original = mixed_linear_model.MixedLM.fit

    def fit(self, **options):
        found = original(self, **options)
        found.converged = False
        return found

    monkeypatch.setattr(mixed_linear_model.MixedLM, "fit", fit)
    result = mixed_model(cohort(rng, [2] * 6))
    assert not result.fitted
    assert "did not converge" in result.words


def test_no_variance_between_subjects_is_said(rng: np.random.Generator) -> None:
    values = [[-1.0 + shift, 1.0 - shift] for shift in (0.0, 0.1, 0.2, 0.15)]
    result = mixed_model(values)
    assert result.mean == pytest.approx(0.0, abs=1e-6)
    assert "no variance between subjects" in result.words or not result.fitted


@pytest.mark.slow
def test_intervals_cover_with_repeated_sessions() -> None:
    rng = np.random.default_rng(7)
    found = [mixed_model(cohort(rng, [1, 1, 2, 3, 1, 2, 4, 1, 2, 3, 1, 1])).interval for _ in range(400)]
    inside = np.mean([interval.low <= 2 <= interval.high for interval in found])
    assert 0.92 <= inside <= 0.98


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "statsmodels.regression.mixed_linear_model", None)
    with pytest.raises(DependencyError, match=r"recontrast\[stats\]"):
        mixed_model([[1.0, 2.0], [2.0], [3.0]])


def test_subjects_without_sessions_are_refused() -> None:
    for values in ([], [[1.0], []]):
        with pytest.raises(StatisticsError, match="one or more sessions"):
            mixed_model(values)
