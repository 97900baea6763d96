"""Kappa of two and of several raters."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.inter_rater import fleiss_kappa as statsmodels_fleiss

from recontrast.errors import ConfigError, StatisticsError
from recontrast.metrics.agreement import cohen_kappa, fleiss_kappa
from recontrast.metrics.agreement.kappa import KappaInterval

GRADES = range(5)
WEIGHTS = ["none", "linear", "quadratic"]


@pytest.mark.parametrize("name", ["grades", "two-readers"])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_kappa_and_its_interval_are_those_of_rs_psych(name: str, weights, ratings, from_r) -> None:
    found = cohen_kappa(*ratings[name][:, :2].T, weights=weights, interval="psych-2.2.9", categories=GRADES)
    expected = from_r.loc[name, f"kappa {weights}"]
    assert (found.value, found.low, found.high) == pytest.approx(tuple(expected), abs=1e-8)


@pytest.mark.parametrize("name", ["grades", "two-readers"])
def test_the_analytic_interval_without_weights_is_also_that_of_psych(name: str, ratings, from_r) -> None:
    found = cohen_kappa(*ratings[name][:, :2].T, weights="none", categories=GRADES)
    assert (found.value, found.low, found.high) == pytest.approx(tuple(from_r.loc[name, "kappa none"]), abs=1e-8)


@pytest.mark.parametrize("name", ["grades", "two-readers"])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_value_and_analytic_interval_equal_sklearn_and_statsmodels(name: str, weights, ratings) -> None:
    first, second = ratings[name][:, :2].T.astype(int)
    found = cohen_kappa(first, second, weights=weights, categories=GRADES)
    theirs = None if weights == "none" else weights
    assert found.value == pytest.approx(cohen_kappa_score(first, second, weights=theirs, labels=list(GRADES)))
    table = np.zeros((5, 5))
    np.add.at(table, (first, second), 1)
    expected = cohens_kappa(table, wt=theirs)
    assert (found.low, found.high) == pytest.approx((expected.kappa_low, expected.kappa_upp), abs=1e-9)


def test_quadratic_kappa_by_hand() -> None:
    """Grades 0 1 2 2 and 0 1 2 1: po 15/16; rows .25 .25 .5, columns .25 .5 .25: pe 11/16; kappa 0.8."""
    found = cohen_kappa([0, 1, 2, 2], [0, 1, 2, 1])
    assert found.value == pytest.approx((15 / 16 - 11 / 16) / (1 - 11 / 16))


@pytest.mark.parametrize("interval", ["analytic", "bootstrap"])
@pytest.mark.parametrize("repeats", [1, 7, 33])
def test_an_interval_without_width_says_so(interval: KappaInterval, repeats: int) -> None:
    grades = [0, 1, 1, 2, 3] * repeats
    found = cohen_kappa(grades, grades, interval=interval, resamples=200)
    assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1))
    assert "without width" in found.method
    assert "without width" in fleiss_kappa(np.column_stack([grades] * 3), resamples=200).method
    other = [*grades[:-1], 2]
    assert "without width" not in cohen_kappa(grades, other, interval=interval, resamples=200).method


def test_an_interval_that_is_cut_where_kappa_ends_says_so(ratings) -> None:
    """11 of 12 items alike: kappa 0.83, standard error 0.16."""
    first = [0] * 6 + [1] * 6
    found = cohen_kappa(first, [0] * 7 + [1] * 5, weights="none")
    assert found.high == 1.0
    assert found.method.endswith("normal interval (Fleiss, Cohen, Everitt 1969), cut at 1")
    opposite = cohen_kappa(first, [1] * 6 + [0] * 5 + [1], weights="none")
    assert opposite.low == -1.0
    assert opposite.method.endswith("cut at -1")
    for whole in (cohen_kappa(first, first), cohen_kappa(*ratings["grades"][:, :2].T, categories=GRADES)):
        assert "cut" not in whole.method


@pytest.mark.slow
def test_the_analytic_interval_covers_and_that_of_psych_does_not() -> None:
    rng = np.random.default_rng(0)

    def read(count: int) -> tuple[np.ndarray, np.ndarray]:
        severity = rng.normal(size=count)
        first, second = (np.digitize(severity + rng.normal(0, 0.35, count), [-0.6, 0.1, 0.8, 1.5]) for _ in range(2))
        return first, second

    true = cohen_kappa(*read(200_000)).value
    inside = dict.fromkeys(("analytic", "psych-2.2.9"), 0)
    for _ in range(500):
        pair = read(193)
        for interval in inside:
            found = cohen_kappa(*pair, interval=interval, categories=GRADES)
            inside[interval] += found.low <= true <= found.high
    assert inside["analytic"] / 500 > 0.90
    assert inside["psych-2.2.9"] / 500 < 0.10


def test_a_grade_that_nobody_gave_still_counts_in_the_distance() -> None:
    """0 against 3 is farther than 0 against 1, whether or not somebody gave 1 or 2."""
    near, far = cohen_kappa([0, 0, 1, 3], [0, 1, 1, 3]), cohen_kappa([0, 0, 1, 3], [0, 3, 1, 3])
    assert near.value > far.value
    skipped = cohen_kappa([0, 0, 3, 3, 1], [0, 3, 3, 3, 1])
    assert skipped.value == pytest.approx(cohen_kappa([0, 0, 3, 3, 1], [0, 3, 3, 3, 1], categories=range(4)).value)


def test_the_bootstrap_draws_subjects_with_both_sides(ratings) -> None:
    first, second = ratings["grades"][:, :2].T
    alone = cohen_kappa(first, second, interval="bootstrap", seed=1)
    assert alone.low < alone.value < alone.high
    assert alone == cohen_kappa(first, second, interval="bootstrap", seed=1)
    assert "bootstrap over 40 subjects" in alone.method
    doubled = np.repeat(first, 2), np.repeat(second, 2)
    both = cohen_kappa(*doubled, interval="bootstrap", subjects=np.repeat(np.arange(40), 2), seed=1)
    assert both.high - both.low == pytest.approx(alone.high - alone.low, rel=0.1)
    wrong = cohen_kappa(*doubled, interval="bootstrap", seed=1)
    assert wrong.high - wrong.low < 0.85 * (alone.high - alone.low)


def test_fleiss_equals_statsmodels_and_a_case_by_hand(ratings) -> None:
    """Rows 111 222 112 221: P = (1 + 1 + 1/3 + 1/3) / 4 = 2/3, Pe = 1/2."""
    assert fleiss_kappa([[1, 1, 1], [2, 2, 2], [1, 1, 2], [2, 2, 1]]).value == pytest.approx(1 / 3)
    table = ratings["grades"]
    counts = np.stack([(table == grade).sum(axis=1) for grade in GRADES], axis=1)
    found = fleiss_kappa(table)
    assert found.value == pytest.approx(statsmodels_fleiss(counts), abs=1e-12)
    assert found.low < found.value < found.high
    assert (found.items, found.raters) == (40, 3)


def test_what_is_undefined_says_so() -> None:
    for found in (cohen_kappa([1, 1], [1, 1]), fleiss_kappa([[1, 1], [1, 1]])):
        assert math.isnan(found.value)
        assert found.method == "none: all ratings are the same"
    assert cohen_kappa([], []).method == "none: no item"
    few = fleiss_kappa([[1, 2], [2, 2]])
    assert math.isnan(few.low)
    assert "no interval: 2 subjects" in few.method


def test_what_cannot_be_asked_is_refused() -> None:
    with pytest.raises(StatisticsError, match="got 2 and 1"):
        cohen_kappa([1, 2], [1])
    with pytest.raises(StatisticsError, match="row 1: a rating is missing"):
        cohen_kappa([1, math.nan], [1, 2])
    with pytest.raises(ConfigError, match="rating 7 is not one"):
        cohen_kappa([1, 7], [1, 2], categories=GRADES)
    with pytest.raises(ConfigError, match="none, linear, quadratic"):
        cohen_kappa([1, 2], [1, 2], weights="cubic")  # type: ignore[arg-type]
    with pytest.raises(StatisticsError, match="3 subjects were named for 2 items"):
        cohen_kappa([1, 2], [2, 2], interval="bootstrap", subjects=[1, 2, 3])
