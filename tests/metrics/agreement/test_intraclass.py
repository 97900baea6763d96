"""Intraclass correlation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recontrast.errors import ConfigError, StatisticsError
from recontrast.metrics.agreement import icc

SETS = ["shrout-fleiss", "grades", "two-readers", "volumes", "no-agreement"]
FORMS = ["1,1", "2,1", "3,1", "1,k", "2,k", "3,k"]


def name_in_r(form: str) -> str:
    return f"ICC{form[0]}" + ("k" if form.endswith("k") else "")


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("form", FORMS)
def test_icc_and_its_interval_are_those_of_rs_psych(name: str, form, ratings, from_r) -> None:
    found, expected = icc(ratings[name], form), from_r.loc[name, name_in_r(form)]
    assert (found.value, found.high) == pytest.approx((expected["value"], expected["high"]), abs=1e-8)
    if expected["low"] > expected["value"]:  # psych goes through the pole of Spearman-Brown's formula
        assert found.low == -math.inf
    else:
        assert found.low == pytest.approx(expected["low"], abs=1e-8)


@pytest.mark.parametrize(
    ("form", "published"), [("1,1", 0.17), ("2,1", 0.29), ("3,1", 0.71), ("1,k", 0.44), ("2,k", 0.62), ("3,k", 0.91)]
)
def test_the_published_example(form, published: float, ratings) -> None:
    """Shrout and Fleiss 1979, table 4."""
    assert icc(ratings["shrout-fleiss"], form).value == pytest.approx(published, abs=5e-3)


def test_offsets_of_raters_count_only_where_they_should(ratings) -> None:
    table = ratings["volumes"]
    moved = table + np.array([0.0, 5.0])
    assert icc(moved, "3,1").value == pytest.approx(icc(table, "3,1").value)
    assert icc(moved, "2,1").value < 0.5 * icc(table, "2,1").value


@pytest.mark.parametrize("form", FORMS)
def test_perfect_agreement_is_one(form) -> None:
    found = icc([[1.0, 1.0], [2.0, 2.0], [5.0, 5.0]], form)
    assert (found.value, found.low, found.high) == pytest.approx((1.0, 1.0, 1.0))


@pytest.mark.slow
def test_the_interval_covers() -> None:
    rng = np.random.default_rng(3)
    true, inside = 4 / (4 + 0.25 + 1), 0
    for _ in range(1000):
        table = rng.normal(0, 2, (30, 1)) + rng.normal(0, 0.5, (1, 8)) + rng.normal(0, 1, (30, 8))
        found = icc(table, "2,1")
        inside += found.low <= true <= found.high
    assert 0.92 < inside / 1000 < 0.98


def test_what_is_undefined_says_so_and_what_is_wrong_is_refused() -> None:
    assert icc([[1, 1], [1, 1]]).method == "none: all ratings are the same"
    assert "ICC needs 2" in icc([[1, 2]]).method
    with pytest.raises(ConfigError, match="2,1"):
        icc([[1, 2], [2, 3]], "4,1")  # type: ignore[arg-type]
    with pytest.raises(StatisticsError, match="row 0: a rating is missing"):
        icc([[1, math.nan], [2, 3]])
    with pytest.raises(StatisticsError, match="2 or more raters"):
        icc([[1], [2]])
