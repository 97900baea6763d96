"""Krippendorff's alpha."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from recontrast.errors import ConfigError, StatisticsError
from recontrast.metrics.agreement import fleiss_kappa, icc, krippendorff_alpha

NAN = math.nan
TWELVE = np.array(
    [
        [1, 1, NAN, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4],
        [4, 4, 4, 4], [1, 1, 2, 1], [2, 2, 2, 2], [NAN, 5, 5, 5], [NAN, NAN, 1, 1], [NAN, NAN, 3, NAN],
    ]
)  # fmt: skip
"""The worked example of Krippendorff 2011, Computing Krippendorff's alpha-reliability, part C and following."""


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_the_published_example(level, published: float) -> None:
    found = krippendorff_alpha(TWELVE, level=level)
    assert found.value == pytest.approx(published, abs=5e-4)
    assert found.items == 11
    assert "1 items rated fewer than twice left out" in found.method
    assert found.low < found.value < found.high


def by_pairs(table: np.ndarray, level: str) -> float:
    """Alpha from its definition: all pairs of ratings, one after the other."""
    units = [[v for v in row if np.isfinite(v)] for row in table]
    units = [unit for unit in units if len(unit) > 1]
    everything = sorted(itertools.chain(*units))
    count = {v: everything.count(v) for v in everything}

    def distance(a: float, b: float) -> float:
        if level == "nominal":
            return float(a != b)
        if level == "interval":
            return (a - b) ** 2
        low, high = min(a, b), max(a, b)
        between = sum(n for v, n in count.items() if low <= v <= high)
        return (between - (count[a] + count[b]) / 2) ** 2 if a != b else 0.0

    observed = sum(distance(a, b) / (len(unit) - 1) for unit in units for a, b in itertools.permutations(unit, 2))
    expected = sum(distance(a, b) for a, b in itertools.permutations(everything, 2))
    return 1 - (observed / len(everything)) / (expected / (len(everything) * (len(everything) - 1)))


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_the_shortcut_equals_the_definition(level, rng: np.random.Generator) -> None:
    table = rng.integers(0, 5, (15, 3)).astype(float)
    table[rng.random(table.shape) < 0.2] = NAN
    assert krippendorff_alpha(table, level=level).value == pytest.approx(by_pairs(table, level), abs=1e-12)


def test_alpha_comes_near_fleiss_and_the_one_way_icc(ratings) -> None:
    table = ratings["grades"]
    assert krippendorff_alpha(table, level="nominal").value == pytest.approx(fleiss_kappa(table).value, abs=0.01)
    assert krippendorff_alpha(table, level="interval").value == pytest.approx(icc(table, "1,1").value, abs=0.01)


def test_what_is_undefined_says_so() -> None:
    assert krippendorff_alpha([[1, 1], [1, 1]]).method == "none: all ratings are the same"
    assert krippendorff_alpha([[1, NAN], [NAN, 2]]).method == "none: no item was rated twice"


def test_subjects_follow_their_items() -> None:
    found = krippendorff_alpha(TWELVE, subjects=np.repeat(np.arange(4), 3))
    assert "bootstrap over 4 subjects" in found.method
    with pytest.raises(ConfigError, match="nominal, ordinal, interval"):
        krippendorff_alpha(TWELVE, level="ratio")  # type: ignore[arg-type]
    with pytest.raises(StatisticsError, match="2 or more raters"):
        krippendorff_alpha([1, 2, 3])
