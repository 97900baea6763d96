from __future__ import annotations

import math

import pytest

from recontrast.reporting.numbers import Measure, count, decimals_for, interval, number, p_value


def test_measures_know_direction_and_unit_of_the_metric_behind_them() -> None:
    assert Measure.of("psnr").title == "PSNR (dB) ↑"
    assert Measure.of("ssim_axial").name == "SSIM axial"
    assert Measure.of("mae").arrow == "↓"


def test_the_protocol_says_which_metric_a_label_means() -> None:
    protocol = {"metrics": [{"label": "similarity", "metric": "ssim"}]}
    assert Measure.of("similarity", protocol).higher_is_better
    assert Measure.of("similarity", protocol).name == "similarity (SSIM)"


def test_an_unknown_metric_has_no_direction() -> None:
    measure = Measure.of("sparkle")
    assert (measure.known, measure.arrow, measure.name) == (False, "", "sparkle")


@pytest.mark.parametrize(("values", "expected"), [([31.2, 8.0], 2), ([0.93], 4), ([0.0213], 5), ([], 2), ([0.0], 2)])
def test_a_column_gets_four_significant_digits(values: list[float], expected: int) -> None:
    assert decimals_for(values) == expected


def test_numbers_have_a_true_minus_and_absent_ones_a_dash() -> None:
    assert number(-2.125, 1) == "−2.1"
    assert number(math.nan, 1) == "—"
    assert number("n/a", 1) == "—"
    assert interval(-1.0, 2.5, 1, signed=True) == "[−1.0, +2.5]"
    assert interval(None, 2.5, 1) == "—"


def test_p_values_and_counts() -> None:
    assert p_value(1e-6) == "p < 0.001"
    assert p_value(0.0412) == "p = 0.041"
    assert p_value(math.nan) == ""
    assert count(1, "subject") == "1 subject"
    assert count(0, "subject") == "0 subjects"
