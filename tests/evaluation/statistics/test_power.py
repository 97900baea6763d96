"""Power and numbers of subjects."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from recontrast.errors import ConfigError
from recontrast.evaluation.statistics import paired_test, power, smallest_effect, subjects_needed
from recontrast.evaluation.statistics.power import _critical_sum


@pytest.mark.parametrize(("effect", "n"), [(0.2, 30), (0.5, 12), (-0.8, 9), (0.0, 20), (1.5, 3)])
def test_power_of_t_equals_statsmodels(effect: float, n: int) -> None:
    assert power(effect, n) == pytest.approx(TTestPower().power(abs(effect), n, 0.05), abs=1e-9)


@pytest.mark.parametrize("effect", [0.3, 0.5, 0.8])
def test_subjects_needed_is_the_smallest_number(effect: float) -> None:
    needed = subjects_needed(effect)
    assert needed == int(np.ceil(TTestPower().solve_power(effect, power=0.8, alpha=0.05)))
    assert power(effect, needed) >= 0.8 > power(effect, needed - 1)


def test_power_of_wilcoxon_is_the_share_of_exact_tests_that_find_it() -> None:
    drawn = np.random.default_rng(5).normal(0.8, 1, (2000, 10))
    found = np.mean([paired_test(sample).p <= 0.05 for sample in drawn])
    assert power(0.8, 10, test="wilcoxon") == pytest.approx(found, abs=0.035)


def test_wilcoxon_has_no_power_below_six_subjects() -> None:
    assert power(10.0, 5, test="wilcoxon") == 0.0
    assert power(10.0, 6, test="wilcoxon") > 0.99
    assert power(10.0, 1) == 0.0


def test_wilcoxon_needs_a_few_more_subjects_than_t() -> None:
    assert subjects_needed(0.5) <= subjects_needed(0.5, test="wilcoxon") <= subjects_needed(0.5) + 4
    assert power(0.2, 300, test="wilcoxon") == pytest.approx(power(0.2, 300) - 0.02, abs=0.02)


@pytest.mark.parametrize(("n", "critical"), [(5, -1), (6, 0), (7, 2), (8, 3), (9, 5), (10, 8), (20, 52)])
def test_critical_sums_are_those_of_the_printed_tables(n: int, critical: int) -> None:
    """Two-sided 5 %, Wilcoxon and Wilcox 1964."""
    assert _critical_sum(n, 0.05) == critical


def test_the_smallest_effect_is_found_with_the_power_wanted() -> None:
    for n in (2, 3, 12, 200):
        assert power(smallest_effect(n), n) == pytest.approx(0.8, abs=1e-4)
    assert smallest_effect(1) == float("inf")


def test_no_effect_needs_no_number_of_subjects() -> None:
    assert subjects_needed(0.0) is None
    assert subjects_needed(float("nan")) is None
    assert subjects_needed(0.001) is None
    with pytest.raises(ConfigError, match="t, wilcoxon"):
        power(0.5, 10, test="sign")  # type: ignore[arg-type]
