"""Several readers and cases: by hand, by level under the null."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.errors import StatisticsError
from recontrast.readers.multireader import multireader


def test_by_hand() -> None:
    # Rows 1 2 / 3 4: mean 2.5, reader means 1.5 3.5, case means 2 3, no rest.
    # MS_r = 2 * (1 + 1) / 1 = 4, MS_c = 2 * (0.25 + 0.25) / 1 = 1, MS_rc = 0; variance (4 + 1) / 4, df 25 / 16.
    result = multireader([[1, 2], [3, 4]])
    assert result.difference == 2.5
    assert result.freedom == pytest.approx(25 / 16)
    half = (result.high - result.low) / 2
    assert half == pytest.approx(
        np.sqrt(5 / 4) * 5.706, rel=0.02
    )  # t quantile at 1.5625 degrees lies between 12.7 and 4.3


def test_a_true_null_is_rejected_as_often_as_said() -> None:
    rng = np.random.default_rng(0)
    rejected = 0
    for _ in range(1000):
        table = rng.normal(size=(4, 1)) * 0.3 + rng.normal(size=(1, 25)) * 0.5 + rng.normal(size=(4, 25))
        rejected += multireader(table).p < 0.05
    assert 0.02 < rejected / 1000 < 0.07


def test_the_interval_ends_where_differences_of_grades_do_and_says_so() -> None:
    whole, cut = multireader([[1, 2], [3, 4]]), multireader([[1, 2], [3, 4]], bounds=(-4, 4))
    assert whole.high > 4
    assert (cut.low, cut.high, cut.p) == (whole.low, 4.0, whole.p)
    assert cut.method == f"{whole.method}, cut at 4"
    assert multireader([[1, 2], [3, 4]], bounds=(-20, 20)) == whole


def test_what_cannot_be_told() -> None:
    assert np.isnan(multireader([[1, 1], [1, 1]]).p)
    with pytest.raises(StatisticsError):
        multireader([[1, 2]])
    with pytest.raises(StatisticsError):
        multireader([[1, np.nan], [1, 2]])
