"""Results and resampling."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.errors import StatisticsError
from recontrast.metrics.agreement.result import as_table, resample, undefined


def mean_of(values: np.ndarray):
    return lambda counts: counts @ values / counts.sum(axis=1)


OPTIONS = {"confidence": 0.95, "resamples": 4000, "seed": 0}


def test_items_are_drawn_with_replacement(rng: np.random.Generator) -> None:
    values = rng.normal(0, 1, 50)
    low, high, words = resample(mean_of(values), 50, subjects=None, **OPTIONS)
    half = 1.96 * values.std() / np.sqrt(50)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)
    assert words == "percentile bootstrap over 50 subjects"


def test_items_of_a_subject_stay_together() -> None:
    values = np.repeat([0.0, 1.0, 2.0, 3.0], 25)
    alone = resample(mean_of(values), 100, subjects=None, **OPTIONS)
    together = resample(mean_of(values), 100, subjects=list(np.repeat(list("abcd"), 25)), **OPTIONS)
    assert together[1] - together[0] > 3 * (alone[1] - alone[0])


def test_what_is_undefined_in_most_draws_has_no_interval() -> None:
    low, high, words = resample(lambda counts: np.full(len(counts), np.nan), 5, subjects=None, **OPTIONS)
    assert np.isnan([low, high]).all()
    assert "undefined in most" in words


def test_ratings_are_a_table_of_numbers() -> None:
    assert undefined("no item", 0, 2).method == "none: no item"
    assert np.isnan(as_table([[1, np.nan]], missing=True)).any()
    with pytest.raises(StatisticsError, match="takes missing ratings as nan"):
        as_table([[1, np.nan]])
    with pytest.raises(StatisticsError, match="got \\(3,\\)"):
        as_table([1, 2, 3])
