"""Tests, intervals, adjustments and power equal those of R to 1e-8."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from recontrast.evaluation.statistics import (
    adjust,
    bootstrap_interval,
    friedman,
    mcnemar,
    paired_test,
    power,
    shapiro_wilk,
)

FIXTURES = Path(__file__).parent / "fixtures"
SETS = ("few", "twelve", "forty")


@pytest.fixture(scope="module", params=["stored", "live"])
def from_r(request: pytest.FixtureRequest) -> dict[tuple[str, str], float]:
    """What R prints: as stored (4.2.2), and made now where it is installed."""
    path = FIXTURES / "statistics_r.tsv"
    text = path.read_text(encoding="utf-8")
    if request.param == "live":
        program = shutil.which("Rscript")
        if program is None:
            pytest.skip("Rscript is not installed (apt-get install r-base-core)")
        command = [program, str(FIXTURES / "statistics.R"), str(FIXTURES / "differences.tsv")]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split("\t") for line in text.splitlines()[1:]]
    return {(name, quantity): float(value) for name, quantity, value in rows}


@pytest.mark.parametrize("name", SETS)
def test_equal_to_r(name: str, from_r: dict[tuple[str, str], float]) -> None:
    given = pd.read_csv(FIXTURES / "differences.tsv", sep="\t")
    table = given[given["set"] == name][["first", "second", "third"]].to_numpy()
    differences = table[:, 0] - table[:, 1]
    ours: dict[str, float] = {}
    for theirs, side in (("two.sided", "two-sided"), ("greater", "greater"), ("less", "less")):
        ours[f"wilcoxon {theirs}"] = paired_test(differences, alternative=side).p  # type: ignore[arg-type]
        ours[f"t {theirs}"] = paired_test(differences, "t", alternative=side).p  # type: ignore[arg-type]
    interval = bootstrap_interval(differences, method="t")
    ours |= {"t low": interval.low, "t high": interval.high, "shapiro": shapiro_wilk(differences).p}
    ours["friedman"] = friedman(table, permutations=10).statistic
    ours["mcnemar"] = mcnemar(list(table[:, 0] > 0), list(table[:, 1] > 0)).p
    pairs = (differences, table[:, 0] - table[:, 2], table[:, 1] - table[:, 2])
    p = [*(paired_test(pair, "t").p for pair in pairs), 0.04]
    for theirs, method in (("bonferroni", "bonferroni"), ("holm", "holm"), ("BH", "benjamini-hochberg")):
        ours |= {f"{theirs} {i}": value for i, value in enumerate(adjust(p, method), start=1)}  # type: ignore[arg-type]
    ours["power"] = power(0.6, len(table))
    expected = {quantity: value for (found, quantity), value in from_r.items() if found == name}
    assert ours == pytest.approx(expected, abs=1e-8)
