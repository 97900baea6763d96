"""Tables of volumes by hand."""

from __future__ import annotations

import math

import pytest

from recontrast.evaluation.volume_tables import (
    FidelityResult,
    lesions_table,
    relative_heads,
    summary_table,
    volumes_table,
)
from recontrast.evaluation.volumetry import Lesion, StructureComparison
from recontrast.io.bids import Case


def result(case: str, grey: tuple[float, float], dice: float = 0.9, session: str = "") -> FidelityResult:
    parts = [("GM", *grey, dice), ("WM", 500.0, 500.0, 1.0), ("CSF", 300.0, 300.0, 1.0)]
    return FidelityResult(
        Case(case, session), "tissue", "1", [StructureComparison(n, a, b, d, 1.0, 0.2) for n, a, b, d in parts]
    )


def test_vd_is_scaled_by_the_mean_head() -> None:
    table = volumes_table([result("01", (600, 630)), result("02", (800, 790))], "passed")
    grey = table[table["structure"] == "GM"]
    # Heads of 1400 and 1600 ml, 1500 on average.
    assert list(grey["vd"]) == pytest.approx([-30 / 1400 * 1500, 10 / 1600 * 1500])
    assert list(grey["avd"]) == pytest.approx([30 / 1400 * 1500, 10 / 1600 * 1500])
    assert list(grey["aspc"]) == pytest.approx([200 * 30 / 1230, 200 * 10 / 1590])
    assert set(table["leak_check"]) == {"passed"}


def test_heads_are_relative_to_the_mean_that_vd_is_scaled_by() -> None:
    results = [result("01", (600, 630)), result("02", (800, 790)), result("03", (400, 410))]
    failed = {"sub-04, tissue": "no brain mask"}
    table, less = volumes_table(results, "", failed), volumes_table(results[:2], "", failed)
    heads = relative_heads(table)
    assert list(heads[table["structure"] == "GM"]) == pytest.approx([1400 / 1400, 1600 / 1400, 1200 / 1400])
    assert math.isnan(heads.iloc[-1])
    # On the mean head of two cases the table of three has what that of two has.
    both = table["subject"].isin(("sub-01", "sub-02"))
    scale = heads[both & (table["structure"] == "GM")].mean()
    assert list(table.loc[both, "avd"] * scale) == pytest.approx(list(less["avd"].iloc[:6]))
    lesion = FidelityResult(Case("01"), "lesion", "1", [StructureComparison("lesion", 0.07, 2.05, 0.1, 3, 1)], ())
    assert relative_heads(volumes_table([lesion])).isna().all()


def test_failed_cases_have_a_row() -> None:
    table = volumes_table([], "", {"sub-09_ses-2, tissue": "no brain\nmask"})
    assert table.iloc[0][["case", "subject", "session", "status"]].tolist() == [
        "sub-09_ses-2", "sub-09", "2", "failed: no brain mask",
    ]  # fmt: skip


def test_subjects_are_the_unit_of_the_summary() -> None:
    results = [
        result("01", (600, 606), 0.8, "1"), result("01", (600, 606), 1.0, "2"), result("02", (700, 690), 0.7),
        result("03", (650, 650), 0.6),
    ]  # fmt: skip
    volumes = volumes_table(results)
    summary = summary_table(volumes, results).set_index(["structure", "measure"])
    dice = summary.loc[("GM", "dice")]
    assert (dice["subjects"], dice["mean"], dice["median"]) == (3, pytest.approx((0.9 + 0.7 + 0.6) / 3), 0.7)
    assert dice["ci_low"] < dice["mean"] < dice["ci_high"]
    bias = summary.loc[("GM", "bias_ml")]
    assert bias["mean"] == pytest.approx((6 - 10 + 0) / 3)
    spread = math.sqrt(((6 + 4 / 3) ** 2 + (-10 + 4 / 3) ** 2 + (4 / 3) ** 2) / 2)
    assert bias["sd"] == pytest.approx(spread)
    assert summary.loc[("GM", "limit_low_ml")]["mean"] == pytest.approx(-4 / 3 - 1.959963985 * spread)


def test_intervals_of_means_stay_where_the_measures_do() -> None:
    results = [result(name, (600, 601), dice) for name, dice in (("01", 0.99), ("02", 0.985), ("03", 0.6))]
    summary = summary_table(volumes_table(results), results).set_index(["structure", "measure"])
    ends = summary[["ci_low", "ci_high"]]
    assert ends.loc[("GM", "dice")].tolist()[1] == 1.0
    assert ends.loc[("GM", "dice")].tolist()[0] >= 0.0


def test_lesions_are_pooled_by_size() -> None:
    lesions = [Lesion("both", 0.05, "small", 0.04), Lesion("only reference", 0.02, "small", 0.0),
               Lesion("only synthetic", 2.0, "large", 0.0)]  # fmt: skip
    found = FidelityResult(Case("01"), "lesion", "1", [StructureComparison("lesion", 0.07, 2.05, 0.1, 3, 1)], lesions)
    assert list(lesions_table([found])["found"]) == ["both", "only reference", "only synthetic"]
    summary = summary_table(volumes_table([found]), [found]).set_index(["structure", "measure"])["mean"]
    assert summary["lesions, small", "lesion_sensitivity"] == 0.5
    assert summary["lesions, large", "lesions_only_synthetic"] == 1
    assert summary["lesions, all", "lesion_f1"] == 0.5
    assert math.isnan(summary["lesions, medium", "lesion_sensitivity"])
