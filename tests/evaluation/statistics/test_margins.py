"""Non-inferiority and equivalence."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import DescrStatsW

from recontrast.errors import ConfigError
from recontrast.evaluation.statistics import Margin, equivalence, margin_in_words, non_inferiority

MARGIN = Margin(0.5, "seed noise, dB")


def test_equivalence_equals_statsmodels(rng: np.random.Generator) -> None:
    differences = rng.normal(0.1, 0.6, 15)
    expected = DescrStatsW(differences).ttost_mean(-0.5, 0.5)[0]
    result = equivalence(differences, MARGIN)
    assert result.p == pytest.approx(expected, rel=1e-10)
    assert result.test == "TOST, paired t"


def test_the_decision_is_that_of_the_interval(rng: np.random.Generator) -> None:
    for _ in range(30):
        differences = rng.normal(0, 0.9, 10)
        result = equivalence(differences, MARGIN)
        assert result.shown == (result.interval.low > -0.5 and result.interval.high < 0.5)
        low, high = stats.t.interval(0.90, 9, loc=differences.mean(), scale=stats.sem(differences))
        assert (result.interval.low, result.interval.high) == pytest.approx((low, high))
        inferior = non_inferiority(differences, MARGIN, higher_is_better=True)
        assert inferior.shown == (inferior.interval.low > -0.5)


def test_the_direction_of_the_metric_counts() -> None:
    losses = np.array([-0.9, -1.1, -1.0, -0.8, -1.2, -1.0])
    assert not non_inferiority(losses, MARGIN, higher_is_better=True).shown
    assert non_inferiority(losses, MARGIN, higher_is_better=False).shown


def test_wilcoxon_by_hand() -> None:
    """All six moved differences are positive: p = 1/64 one-sided."""
    result = non_inferiority([0.1, -0.2, 0.3, -0.1, 0.2, 0.4], MARGIN, higher_is_better=True, test="wilcoxon")
    assert result.p == pytest.approx(1 / 64)
    assert equivalence([0.1, -0.2, 0.3, -0.1, 0.2, 0.4], MARGIN, test="wilcoxon").p == pytest.approx(1 / 64)


def test_what_cannot_be_tested_is_not_shown() -> None:
    for result in (equivalence([0.1], MARGIN), non_inferiority([0.1], MARGIN, higher_is_better=True)):
        assert math.isnan(result.p)
        assert not result.shown
        assert not result.interval.exists
    assert not equivalence([0.0] * 8, MARGIN).shown


@pytest.mark.parametrize(("value", "name"), [(0.0, "x"), (-1.0, "x"), (math.nan, "x"), (1.0, " ")])
def test_a_margin_is_positive_and_has_a_reason(value: float, name: str) -> None:
    with pytest.raises(ConfigError, match="margin"):
        Margin(value, name)


LOST = [0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, -16.0]
"""Eleven subjects gain and one loses much: the signed ranks see one rank, the mean sees 16."""


def test_ranks_alone_do_not_show_what_the_mean_denies() -> None:
    result = non_inferiority(LOST, MARGIN, higher_is_better=True, test="wilcoxon")
    assert result.p < result.level
    assert result.interval.low < -0.5
    assert not result.shown
    assert not non_inferiority([-d for d in LOST], MARGIN, higher_is_better=False, test="wilcoxon").shown
    words = margin_in_words(result, control="ridge", metric="psnr", region="brain")
    assert "it is not shown that the synthetic image is not worse than ridge by more than 0.5" in words
    assert words.endswith("which reaches beyond the margin).")


def test_ranks_alone_do_not_show_equivalence() -> None:
    spread = [0.01, -0.02, 0.03, -0.04, 0.05, -0.06, 0.07, -0.08, 0.09, 0.1, 0.02, 4.0]
    result = equivalence(spread, MARGIN, test="wilcoxon")
    assert result.p < result.level
    assert result.interval.high > 0.5
    assert not result.shown
    assert equivalence(spread[:-1], MARGIN, test="wilcoxon").shown
