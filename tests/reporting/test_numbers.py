from __future__ import annotations

import math

import pytest

from recontrast.config import to_plain
from recontrast.evaluation.protocols import PROTOCOLS
from recontrast.reporting.numbers import Measure, count, decimals_for, interval, number, p_value


def test_measures_know_direction_and_unit_of_the_metric_behind_them() -> None:
    assert Measure.of("psnr").title == "PSNR (dB) ↑"
    assert Measure.of("ssim_axial").name == "SSIM axial"
    assert Measure.of("mae").arrow == "↓"


def test_the_protocol_says_which_metric_a_label_means() -> None:
    protocol = {"metrics": [{"label": "similarity", "metric": "ssim"}]}
    assert Measure.of("similarity", protocol).higher_is_better
    assert Measure.of("similarity", protocol).name == "similarity (SSIM)"


@pytest.mark.parametrize(
    ("protocol", "label", "unit"),
    [
        ("synthrad2023", "mae", "native units"), ("synthrad2025", "mae", "native units"),
        ("hagiwara2019", "mse", "native units²"), ("fastmri", "nmse", ""), ("recontrast", "mae", "scaled intensity"),
        ("tagawa2025", "rmse", "scaled intensity"), ("bottani2024", "mae_percent", "% of range"),
        ("synthrad2023", "psnr", "dB"),
    ],
)  # fmt: skip
def test_the_unit_is_that_of_what_the_protocol_measures(protocol: str, label: str, unit: str) -> None:
    assert Measure.of(label, to_plain(PROTOCOLS.get(protocol))).unit == unit


def test_steps_decide_whether_native_units_are_left() -> None:
    def unit(steps: list[dict], own: list[dict]) -> str:
        uses = [{"label": "mae", "metric": "mae", "steps": own}]
        native = {"name": "fixed", "fixed_offset": 0.0, "fixed_factor": 1.0}
        return Measure.of("mae", {"normaliser": native, "metrics": uses, "steps": steps}).unit

    assert unit([{"step": "clip", "low": -1024, "high": 3000}], [{"step": "linear", "offset": 1024}]) == "native units"
    assert unit([{"step": "divide", "statistic": "max"}], []) == "scaled intensity"
    assert unit([], [{"step": "linear", "gain": 2.0}]) == "scaled intensity"
    assert unit([], [{"step": "percentile_scale"}]) == "scaled intensity"
    assert unit([{"step": "of another version"}], []) == "scaled intensity"


def test_an_amount_has_its_unit_whatever_it_is() -> None:
    bottani = to_plain(PROTOCOLS.get("bottani2024"))
    assert Measure.of("mae_percent", bottani).amount(3.64, 2) == "3.64 % of range MAE"
    assert Measure.of("psnr", bottani).amount(2.1, 1) == "2.1 dB PSNR"
    assert Measure.of("ssim").amount(0.021, 3, signed=True) == "+0.021 SSIM"


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
