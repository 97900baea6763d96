"""Paired tests."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from recontrast.errors import ConfigError
from recontrast.evaluation.statistics import mcnemar, paired_test, shapiro_wilk, smallest_wilcoxon_p
from recontrast.evaluation.statistics.paired import MOST_FOR_EXACT, signed_rank_chances


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
    with pytest.raises(ConfigError, match="wilcoxon, t, auto"):
        paired_test([1.0, 2.0], "sign")  # type: ignore[arg-type]


def test_paired_t_equals_scipy(rng: np.random.Generator) -> None:
    differences = rng.normal(0.4, 1, 9)
    assert paired_test(differences, "t").p == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)


@pytest.mark.parametrize("alternative", ["greater", "less"])
@pytest.mark.parametrize("test", ["wilcoxon", "t"])
def test_one_sided_tests_equal_scipys(test, alternative, rng: np.random.Generator) -> None:
    differences = rng.normal(0.4, 1, 11)
    found = paired_test(differences, test, alternative=alternative).p
    if test == "t":
        expected = stats.ttest_1samp(differences, 0, alternative=alternative).pvalue
    else:
        expected = stats.wilcoxon(differences, method="exact", alternative=alternative).pvalue
    assert found == pytest.approx(expected, abs=1e-10)


def test_alternatives_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ConfigError, match="two-sided, greater, less"):
        paired_test([1.0, 2.0], alternative="both")  # type: ignore[arg-type]


def test_the_choice_by_normality_is_named(rng: np.random.Generator) -> None:
    normal = stats.norm.ppf((np.arange(20) + 0.5) / 20) + 0.3
    skewed = np.exp(2 * normal)
    assert paired_test(normal, "auto").p == paired_test(normal, "t").p
    assert paired_test(skewed, "auto").p == paired_test(skewed, "wilcoxon").p
    assert paired_test(skewed, "auto").test.startswith("Wilcoxon signed-rank, exact (Shapiro-Wilk p ")
    assert "could not be tested" in paired_test([1.0, 3.0], "auto").test


def test_normality_equals_scipy_and_says_why_not(rng: np.random.Generator) -> None:
    values = rng.lognormal(0, 1, 30)
    assert shapiro_wilk(values).p == pytest.approx(stats.shapiro(values).pvalue)
    assert "2 subjects" in shapiro_wilk([1.0, 2.0]).test
    assert "all values are equal" in shapiro_wilk([1.0] * 4).test


def test_mcnemar_by_hand_and_by_statsmodels() -> None:
    """17 lesions only one reader saw, 4 only the other: 2 sum_{i<=4} C(21, i) / 2^21."""
    first = [True] * 17 + [False] * 4 + [True] * 15 + [False] * 3
    second = [False] * 17 + [True] * 4 + [True] * 15 + [False] * 3
    result = mcnemar(first, second)
    assert result.p == pytest.approx(2 * sum(math.comb(21, i) for i in range(5)) / 2**21, rel=1e-10)
    from statsmodels.stats.contingency_tables import mcnemar as theirs

    assert result.p == pytest.approx(theirs([[15, 17], [4, 3]], exact=True).pvalue, rel=1e-10)
    assert "only the first 17, only the second 4 of 39" in result.test


def test_mcnemar_without_differences_or_pairs() -> None:
    assert mcnemar([True, False], [True, False]).p == 1.0
    assert math.isnan(mcnemar([], []).p)
    with pytest.raises(ConfigError, match="got 2 and 1"):
        mcnemar([True, False], [True])


def test_the_smallest_p_is_reached_when_all_agree() -> None:
    for n in (2, 3, 5, 6, 10):
        assert paired_test(np.arange(1.0, n + 1)).p == pytest.approx(smallest_wilcoxon_p(n))
    assert smallest_wilcoxon_p(5) > 0.05 > smallest_wilcoxon_p(6)


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_many_differences_are_tested_by_the_normal_approximation_and_it_is_named(
    alternative, rng: np.random.Generator
) -> None:
    few, more = (np.round(rng.standard_normal(n) + 0.13, 1) for n in (MOST_FOR_EXACT, 2 * MOST_FOR_EXACT))
    few[few == 0], more[more == 0] = 0.5, 0.5  # ties, no zeros
    assert paired_test(few, alternative=alternative).test == "Wilcoxon signed-rank, exact"
    found = paired_test(more, alternative=alternative)
    expected = stats.wilcoxon(more, method="asymptotic", correction=True, alternative=alternative)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-12)
    assert found.test == "Wilcoxon signed-rank, normal approximation corrected for ties and continuity"
    zeros = np.concatenate([few, np.zeros(MOST_FOR_EXACT)])  # differences of zero are left out, so they do not count
    assert paired_test(zeros, alternative=alternative) == paired_test(few, alternative=alternative)


def test_a_cohort_of_thousands_is_tested_at_once(rng: np.random.Generator) -> None:
    assert paired_test(rng.standard_normal(20_000) + 0.01).p < 0.9


def test_chances_of_rank_sums_by_hand() -> None:
    """Ranks 1 and 2: sums 0, 1, 2, 3 are equally likely."""
    assert signed_rank_chances(np.array([1.0, 2.0]))[::2] == pytest.approx([0.25] * 4)
