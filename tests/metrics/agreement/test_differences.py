"""Bland-Altman."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from recontrast.errors import StatisticsError
from recontrast.metrics.agreement import bland_altman


def test_limits_by_hand() -> None:
    """Differences 1 2 3 4 5: bias 3, SD sqrt(2.5)."""
    reference = np.array([10.0, 20, 15, 12, 30])
    found = bland_altman(reference, reference + np.arange(1.0, 6.0))
    assert (found.bias, found.sd) == pytest.approx((3.0, math.sqrt(2.5)))
    assert (found.lower, found.upper) == pytest.approx((3 - 1.959964 * math.sqrt(2.5), 3 + 1.959964 * math.sqrt(2.5)))
    half = stats.t.ppf(0.975, 4) * math.sqrt(2.5 / 5)
    assert found.bias_interval == pytest.approx((3 - half, 3 + half))
    assert found.lower_interval[0] + found.upper_interval[1] == pytest.approx(6.0)


def test_intervals_of_the_limits_are_near_the_published_approximation_for_many_pairs(rng: np.random.Generator) -> None:
    """Bland and Altman 1999: the variance of a limit is s^2 (1 / n + z^2 / (2 (n - 1)))."""
    reference = rng.normal(50, 5, 400)
    found = bland_altman(reference, reference + rng.normal(1, 2, 400))
    half = 1.96 * found.sd * math.sqrt(1 / 400 + 1.96**2 / (2 * 399))
    assert found.upper_interval == pytest.approx((found.upper - half, found.upper + half), abs=0.03)


@pytest.mark.slow
def test_intervals_of_the_limits_cover_with_few_pairs() -> None:
    rng = np.random.default_rng(4)
    true, inside = np.array([-stats.norm.ppf(0.975), stats.norm.ppf(0.975)]), np.zeros(2)
    for differences in rng.normal(0, 1, (2000, 8)):
        found = bland_altman(np.arange(8.0), np.arange(8.0) + differences)
        for i, (low, high) in enumerate((found.lower_interval, found.upper_interval)):
            inside[i] += low <= true[i] <= high
    assert np.all(np.abs(inside / 2000 - 0.95) < 0.015)


def test_a_bias_that_grows_with_size_has_a_slope(rng: np.random.Generator) -> None:
    reference = rng.uniform(1, 20, 40)
    found = bland_altman(reference, 1.2 * reference + rng.normal(0, 0.1, 40))
    assert found.slope == pytest.approx(0.2 / 1.1, abs=0.01)
    assert found.slope_p < 1e-6
    assert 0 <= found.normality_p <= 1


def test_equal_measurements_have_limits_of_zero() -> None:
    found = bland_altman([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert (found.bias, found.lower, found.upper) == (0.0, 0.0, 0.0)
    assert math.isnan(found.slope)
    assert math.isnan(found.normality_p)


@pytest.mark.parametrize(
    ("reference", "estimate"), [([1.0], [1.0]), ([1.0, 2.0], [1.0]), ([1.0, math.nan], [1.0, 2.0])]
)
def test_what_cannot_be_compared_is_refused(reference, estimate) -> None:
    with pytest.raises(StatisticsError, match="Bland-Altman needs"):
        bland_altman(reference, estimate)
