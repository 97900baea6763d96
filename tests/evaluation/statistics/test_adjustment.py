"""Several comparisons."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from recontrast.errors import ConfigError
from recontrast.evaluation.statistics import adjust, benjamini_hochberg, bonferroni, holm


def test_holm_by_hand_and_with_a_test_that_was_not_done() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    adjusted = holm([0.02, math.nan, 0.04])
    assert math.isnan(adjusted[1])
    assert [adjusted[0], adjusted[2]] == pytest.approx([0.04, 0.04])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@pytest.mark.parametrize("ours", [bonferroni, holm, benjamini_hochberg])
def test_methods_equal_statsmodels(ours, rng: np.random.Generator) -> None:
    p = rng.random(25) ** 2
    name = {"bonferroni": "bonferroni", "holm": "holm", "benjamini_hochberg": "fdr_bh"}[ours.__name__]
    assert ours(list(p)) == pytest.approx(list(multipletests(p, method=name)[1]), abs=1e-12)


def test_benjamini_hochberg_equals_scipy(rng: np.random.Generator) -> None:
    p = rng.random(9)
    assert benjamini_hochberg(list(p)) == pytest.approx(list(stats.false_discovery_control(p)), abs=1e-12)


@pytest.mark.parametrize("method", ["none", "bonferroni", "holm", "benjamini-hochberg"])
def test_tests_that_were_not_done_stay_absent_and_do_not_count(method) -> None:
    adjusted = adjust([0.02, math.nan, 0.04], method)
    assert math.isnan(adjusted[1])
    assert [adjusted[0], adjusted[2]] == pytest.approx(adjust([0.02, 0.04], method))


def test_names_that_do_not_exist_are_refused() -> None:
    assert adjust([0.2, 0.01], "none") == [0.2, 0.01]
    with pytest.raises(ConfigError, match="bonferroni, holm"):
        adjust([0.1], "sidak")  # type: ignore[arg-type]
