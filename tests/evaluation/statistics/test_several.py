"""Several models."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from recontrast.errors import ConfigError, StatisticsError
from recontrast.evaluation.statistics import critical_difference, friedman, paired_test, post_hoc, rank_biserial
from recontrast.evaluation.statistics.adjustment import holm
from recontrast.evaluation.statistics.paired import MOST_FOR_EXACT


def table(rng: np.random.Generator, n: int = 12, k: int = 4) -> np.ndarray:
    return np.round(rng.normal(0, 1, (n, k)) + 0.6 * np.arange(k), 1)


def test_friedman_equals_scipy(rng: np.random.Generator) -> None:
    values = table(rng, n=40)
    expected = stats.friedmanchisquare(*values.T)
    found = friedman(values)
    assert (found.statistic, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert found.test == "Friedman, chi-square approximation"
    assert found.concordance == pytest.approx(expected.statistic / (40 * 3))


def test_few_subjects_are_permuted_all_orders_by_hand() -> None:
    """Three subjects that all rank 1 2 3: 6 of 216 orders are as extreme."""
    found = friedman([[1.0, 2, 3], [4, 5, 6], [0, 2, 9]], permutations=40_000)
    assert found.p == pytest.approx(6 / 216, abs=0.004)
    assert found.concordance == pytest.approx(1.0)


def test_permutation_p_equals_the_count_over_all_orders(rng: np.random.Generator) -> None:
    values = table(rng, n=4, k=3)
    ranks = stats.rankdata(values, axis=1)
    spread = lambda rows: ((np.sum(rows, axis=0) - 8) ** 2).sum()  # noqa: E731
    orders = itertools.product(*[list(itertools.permutations(row)) for row in ranks])
    every = [spread(rows) >= spread(ranks) - 1e-9 for rows in orders]
    assert friedman(values, permutations=40_000).p == pytest.approx(np.mean(every), abs=0.01)


def test_equal_models_do_not_differ() -> None:
    found = friedman([[1.0, 1, 1], [2, 2, 2]])
    assert (found.p, found.concordance) == (1.0, 0.0)
    assert all(pair.p == 1.0 for pair in post_hoc([[1.0, 1, 1], [2, 2, 2]], "conover"))


@pytest.mark.parametrize("subjects", [3, 8])
def test_conover_makes_no_proof_of_subjects_that_rank_alike(subjects: int) -> None:
    """Nothing is left to compare a t with: three subjects gave p < 0.001."""
    values = np.array([1.0, 2, 4]) * np.arange(1, subjects + 1)[:, None]
    found = post_hoc(values, "conover")
    assert [pair.p for pair in found] == pytest.approx(holm([2.0 ** (1 - subjects)] * 3))
    assert found[0].test.endswith("for Conover's t has no spread: all subjects rank alike")
    assert all(pair.second_larger for pair in found)
    values[0] = values[0, ::-1]
    assert post_hoc(values, "conover")[0].test == "Conover, by Holm over 3 pairs"


def test_nemenyi_rejects_beyond_the_critical_difference() -> None:
    """Demsar 2006, table 5: q 2.343 for 3 models and 2.850 for 6 at 5 %, q = CD / sqrt(k (k + 1) / (6 n))."""
    assert critical_difference(3, 10) == pytest.approx(2.343 * np.sqrt(12 / 60), abs=1e-3)
    assert critical_difference(6, 10) == pytest.approx(2.850 * np.sqrt(42 / 60), abs=1e-3)
    values = np.array([[1.0, 2, 3]] * 7 + [[2.0, 1, 3]] * 3)
    for pair in post_hoc(values, "nemenyi"):
        assert (pair.p < 0.05) == (abs(pair.rank_difference) > critical_difference(3, 10))


def test_a_pair_of_wilcoxon_has_its_own_direction() -> None:
    """The second is better in five of eight subjects, by little: signed ranks and mean ranks point apart."""
    first = np.array([10.0, 11, 12, 13, 14, 15, 16, 17])
    second = first + np.array([0.1, 0.2, 0.3, 0.4, 0.5, -6, -7, -8])
    (pair,) = [p for p in post_hoc(np.stack([first, second, first - 20], axis=1)) if (p.first, p.second) == (0, 1)]
    assert pair.rank_difference > 0
    assert pair.signed_ranks == rank_biserial(second - first)
    assert not pair.second_larger
    (mean_ranks,) = [
        p for p in post_hoc(np.stack([first, second, first - 20], axis=1), "nemenyi") if (p.first, p.second) == (0, 1)
    ]
    assert mean_ranks.signed_ranks is None
    assert mean_ranks.second_larger


def test_conover_equals_the_form_with_friedmans_statistic(rng: np.random.Generator) -> None:
    """|R_i - R_j| / sqrt(2 n (A - C) (1 - T / (n (k - 1))) / ((n - 1) (k - 1))), Conover 1999, section 5.8."""
    values = table(rng)
    n, k = values.shape
    ranks = stats.rankdata(values, axis=1)
    a, c, t = (ranks**2).sum(), n * k * (k + 1) ** 2 / 4, stats.friedmanchisquare(*values.T).statistic
    error = np.sqrt(2 * n * (a - c) * (1 - t / (n * (k - 1))) / ((n - 1) * (k - 1)))
    sums = ranks.sum(axis=0)
    pairs = list(itertools.combinations(range(k), 2))
    raw = [2 * stats.t.sf(abs(sums[i] - sums[j]) / error, (n - 1) * (k - 1)) for i, j in pairs]
    assert [pair.p for pair in post_hoc(values, "conover")] == pytest.approx(holm(raw))


def test_wilcoxon_pairs_are_the_paired_tests_by_holm(rng: np.random.Generator) -> None:
    values = table(rng, k=3)
    raw = [paired_test(values[:, j] - values[:, i]).p for i, j in ((0, 1), (0, 2), (1, 2))]
    assert [pair.p for pair in post_hoc(values)] == pytest.approx(holm(raw))


@pytest.mark.slow
def test_the_test_keeps_its_level(rng: np.random.Generator) -> None:
    found = [friedman(rng.normal(0, 1, (6, 4)), permutations=399, seed=i).p <= 0.05 for i in range(1000)]
    assert 0.03 < np.mean(found) < 0.07


@pytest.mark.parametrize("values", [[[1.0, 2.0], [2.0, 1.0]], [[1.0, 2.0, 3.0]], [[1.0, 2.0, np.nan], [1.0, 2.0, 3.0]]])
def test_too_little_is_refused(values) -> None:
    with pytest.raises(StatisticsError, match="Friedman"):
        friedman(values)


def test_post_hoc_tests_that_do_not_exist_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ConfigError, match="nemenyi, conover, wilcoxon"):
        post_hoc(table(rng), "tukey")  # type: ignore[arg-type]


def test_post_hoc_of_many_subjects_names_the_approximation(rng: np.random.Generator) -> None:
    table = rng.standard_normal((MOST_FOR_EXACT + 1, 3))
    table[:2, 0] = table[:2, 1]  # of this pair two differences are zero
    (pair, *_) = post_hoc(table)
    assert pair.test == (
        "Wilcoxon signed-rank, exact or normal approximation corrected for ties and continuity, by Holm over 3 pairs"
    )
    assert {each.test for each in post_hoc(table[:50])} == {"Wilcoxon signed-rank, exact, by Holm over 3 pairs"}
