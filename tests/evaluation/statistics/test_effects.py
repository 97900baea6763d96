"""Effect sizes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from recontrast.evaluation.statistics import cohen_dz, hedges_g, rank_biserial


def test_effects_by_hand() -> None:
    """Mean 2, SD sqrt(2.5); J(4) = gamma(2) / (sqrt(2) gamma(1.5)); signed ranks 1 -2 3 4 5 of 15."""
    values = [1.0, -2.0, 3.0, 4.0, 5.0]
    assert cohen_dz([0.0, 1.0, 2.0, 3.0, 4.0]) == pytest.approx(2 / math.sqrt(2.5))
    assert hedges_g(values) == pytest.approx(cohen_dz(values) / (math.sqrt(2) * special.gamma(1.5)))
    assert rank_biserial(values) == pytest.approx((13 - 2) / 15)


@pytest.mark.slow
def test_the_correction_removes_the_bias(rng: np.random.Generator) -> None:
    found = [hedges_g(sample) for sample in rng.normal(0.5, 1, (20_000, 8))]
    assert np.mean(found) == pytest.approx(0.5, abs=0.01)
    assert np.mean([cohen_dz(sample) for sample in rng.normal(0.5, 1, (20_000, 8))]) > 0.54


def test_effects_that_do_not_exist() -> None:
    assert math.isnan(cohen_dz([1.0]))
    assert math.isnan(hedges_g([2.0, 2.0]))
    assert math.isnan(hedges_g([3.0, 4.0]))  # J(1) is 0: any difference of two subjects would be none
    assert hedges_g([3.0, 4.0, 5.0]) > 2
    assert math.isnan(rank_biserial([]))
    assert rank_biserial([0.0, 0.0]) == 0.0
    assert rank_biserial([0.0, 1.0]) == 1.0
