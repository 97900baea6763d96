"""Orderings are paired within subjects, follow the metric's direction, and say when nothing was scored."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recontrast.errors import ConfigError
from recontrast.evaluation.volume_tables import FidelityResult, volumes_table
from recontrast.evaluation.volumetry import StructureComparison
from recontrast.io.bids import Case
from recontrast.io.tables import write_table
from recontrast.study.cohort import source_tiers
from recontrast.study.compare import Finding, bounds_of, check_orderings, in_words, mean_over, values_by_direction
from recontrast.study.settings import Ordering, Side

ONE = ["T1w-T2w"]
TWO = ["T1w-T2w", "T1w-FLAIR"]


@pytest.fixture
def tested(tmp_path: Path) -> list[Finding]:
    """Two methods, four subjects: the second is 1 dB worse, give or take."""
    found = []
    for method, shift in (("first", 0.0), ("second", -1.0)):
        folder = tmp_path / method
        folder.mkdir()
        rows = []
        for number, noise in enumerate((0.0, 0.1, -0.1, 0.05)):
            for estimator, psnr in (
                ("synthetic", 30 + number + shift + noise * (shift != 0)),
                ("identity", 20 + number),
            ):
                for metric, value in (("psnr", psnr), ("mae", 1 / psnr)):
                    rows.append(
                        (f"sub-{number}", f"sub-{number}", "", estimator, "brain", metric, value, "recontrast", "ok")
                    )
        columns = ["case", "subject", "session", "estimator", "region", "metric", "value", "protocol", "status"]
        pd.DataFrame(rows, columns=columns).to_csv(folder / "scores.tsv", sep="\t", index=False)
        (folder / "evaluation.json").write_text(json.dumps({"primary_region": "brain"}))
        found.append(Finding("T1w-T2w", method, "", method, {"recontrast": folder}))
    return found


def values_of(tested: list[Finding], side: Side, metric: str) -> pd.Series[float] | None:
    return mean_over(values_by_direction(tested, side, "recontrast", metric))


def test_values_are_by_subject(tested: list[Finding]) -> None:
    values = values_of(tested, Side(method="first"), "psnr")
    assert values is not None
    assert values.tolist() == [30, 31, 32, 33]
    assert values_of(tested, Side(method="third"), "psnr") is None
    both = values_of(tested, Side(method="first", estimator="identity"), "psnr+mae")
    assert both is not None
    assert both.iloc[0] == pytest.approx((20 + 1 / 20) / 2)


def test_verdicts(tested: list[Finding]) -> None:
    first, second = Side(method="first"), Side(method="second")
    claims = [
        Ordering(claim="a", better=first, worse=second),
        Ordering(claim="b", better=second, worse=first),
        Ordering(claim="c", better=first, worse=second, metric="mae"),
        Ordering(claim="d", better=first, worse=Side(method="third")),
        Ordering(claim="e", better=Side(), worse=Side(estimator="identity")),
    ]
    table = check_orderings(claims, tested, ONE).set_index(["claim", "method"])
    assert table["verdict"].to_dict() == {
        ("a", ""): "agrees", ("b", ""): "disagrees", ("c", ""): "agrees", ("d", ""): "not tested",
        ("e", "first"): "agrees", ("e", "second"): "agrees",
    }  # fmt: skip
    row = table.loc[("a", "")]
    assert row["difference"] == pytest.approx(1 - 0.05 / 4)
    assert row["ci_low"] < row["difference"] < row["ci_high"]
    assert table.loc[("e", "first"), "difference"] == pytest.approx(10)
    assert row["change_percent"] == pytest.approx(100 * (row["better"] / row["worse"] - 1))
    shared = int(row["subjects"])
    assert row["wilcoxon_p"] == pytest.approx(2 * 0.5**shared)  # all differences have one sign
    assert np.isnan(table.loc[("d", ""), "wilcoxon_p"])


def test_subjects_of_a_tier_alone(tested: list[Finding], tmp_path: Path) -> None:
    rows = "".join(f"sub-{number}\tT1w\t{tier}\n" for number, tier in enumerate(("good", "low", "medium", "good")))
    (tmp_path / "quality.tsv").write_text(f"case\tcontrast\ttier\n{rows}")
    tested = [replace(item, tiers=source_tiers(tmp_path, "T1w")) for item in tested]
    good = values_of(tested, Side(method="first", tier="good"), "psnr")
    assert good is not None
    assert good.tolist() == [30, 32, 33]
    claim = Ordering(claim="a", better=Side(method="first", tier="low"), worse=Side(method="second"))
    row = check_orderings([claim], tested, ONE).iloc[0]
    assert (row["subjects"], row["verdict"]) == (1, "undecided")  # the other side is of the same tier


def test_volumes_are_compared_structure_by_structure(tested: list[Finding]) -> None:
    for item, error in zip(tested, (2.0, 5.0), strict=True):
        rows = [
            (f"sub-{number}", f"sub-{number}", "", "tissue", structure, "ok", value + number / 10, 0.9, 500.0)
            for number in range(4)
            for structure, value in (("GM", error), ("WM", 98.0), ("CSF", 99.0))
        ]
        columns = ["case", "subject", "session", "segmenter", "structure", "status", "avd", "dice"]
        columns.append("volume_reference_ml")
        path = item.evaluations["recontrast"] / "volumes.tsv"
        pd.DataFrame(rows, columns=columns).to_csv(path, sep="\t", index=False)
    first, second = Side(method="first"), Side(method="second")
    claims = [
        Ordering(claim=name, better=first, worse=second, metric=f"volumes.{metric}", region=region)
        for name, metric, region in (("error", "avd", "GM"), ("overlap", "dice", "GM"), ("none", "avd", "pons"))
    ]
    table = check_orderings(claims, tested, ONE).set_index("claim")
    assert table.loc["error", "verdict"] == "agrees"
    assert table.loc["error", "difference"] == pytest.approx(3.0)
    assert table.loc["overlap", "difference"] == pytest.approx(0.0)
    assert table.loc["none", "verdict"] == "not tested"


def test_volumes_are_compared_on_the_mean_head_of_those_that_both_sides_have(tested: list[Finding]) -> None:
    """Both are wrong by 2 % of each head; the second lacks the largest head, and so scaled by a smaller one."""
    sizes = [1200.0, 1300.0, 1400.0, 2100.0]
    for item, count in zip(tested, (4, 3), strict=True):
        parts = (("GM", 0.5, 0.02), ("WM", 0.3, 0.0), ("CSF", 0.2, 0.0))
        results = [
            FidelityResult(Case(str(number)), "tissue", "1", [
                StructureComparison(name, share * head, (share + error) * head, 0.9, 1.0, 0.5)
                for name, share, error in parts
            ])
            for number, head in enumerate(sizes[:count])
        ]  # fmt: skip
        write_table(item.evaluations["recontrast"] / "volumes.tsv", volumes_table(results))
    first, second = Side(method="first"), Side(method="second")
    claim = Ordering(claim="a", better=first, worse=second, metric="volumes.avd", region="GM")
    row = check_orderings([claim], tested, ONE).iloc[0]
    assert row["subjects"] == 3
    assert [row["better"], row["worse"]] == pytest.approx([0.02 * 1300] * 2)
    assert row["difference"] == pytest.approx(0, abs=1e-6)
    itself = check_orderings([replace(claim, worse=first)], tested, ONE).iloc[0]
    assert itself["better"] == pytest.approx(0.02 * 1500)  # nothing is missing: as in volumes.tsv


def test_intervals_of_differences_stay_where_differences_do(tested: list[Finding]) -> None:
    for item, dice in zip(tested, ([0.99, 0.99, 0.99, 0.99], [0.9, 0.9, 0.9, 0.0]), strict=True):
        rows = {"case": [f"sub-{n}" for n in range(4)], "subject": [f"sub-{n}" for n in range(4)], "dice": dice}
        table = pd.DataFrame(rows).assign(session="", segmenter="tissue", structure="GM", status="ok")
        table.to_csv(item.evaluations["recontrast"] / "volumes.tsv", sep="\t", index=False)
    claim = Ordering(
        claim="a", better=Side(method="first"), worse=Side(method="second"), metric="volumes.dice", region="GM"
    )
    row = check_orderings([claim], tested, ONE).iloc[0]
    assert (row["ci_high"], row["verdict"]) == (1.0, "undecided")
    assert bounds_of("psnr+mae", "recontrast") == (-np.inf, np.inf)
    assert bounds_of("ssim+mae", "recontrast") == (-0.5, np.inf)


def test_a_claim_of_no_difference_has_a_margin(tested: list[Finding]) -> None:
    first, second = Side(method="first"), Side(method="second")
    claims = [
        Ordering(claim=str(margin), better=second, worse=first, margin=margin)
        for margin in (0.0, 0.5, 1.0, 1.2)  # the second is 0.9 to 1.1 dB worse
    ]
    table = check_orderings(claims, tested, ONE)
    assert table["verdict"].tolist() == ["disagrees", "disagrees", "undecided", "agrees"]
    assert table["margin"].tolist() == [0.0, 0.5, 1.0, 1.2]
    with pytest.raises(ConfigError, match="margin is -1"):
        Ordering(claim="x", better=first, worse=second, margin=-1.0)


def test_images_that_are_the_cases_own_are_no_method_that_a_claim_is_checked_for(tested: list[Finding]) -> None:
    given = [tested[0], replace(tested[1], learned=False)]
    table = check_orderings([Ordering(claim="e", better=Side(), worse=Side(method="second"))], given, ONE)
    assert table["method"].tolist() == ["first"]


def test_one_subject_decides_nothing(tested: list[Finding]) -> None:
    for item in tested:
        path = item.evaluations["recontrast"] / "scores.tsv"
        table = pd.read_csv(path, sep="\t")
        table[table["subject"] == "sub-0"].to_csv(path, sep="\t", index=False)
    claim = Ordering(claim="a", better=Side(method="first"), worse=Side(method="second"))
    row = check_orderings([claim], tested, ONE).iloc[0]
    assert row["verdict"] == "undecided"
    assert row["difference"] == pytest.approx(1.0)


def test_one_subject_beside_a_control_has_the_interval_within_it(tested: list[Finding]) -> None:
    folder = tested[0].evaluations["recontrast"]
    scores = pd.read_csv(folder / "scores.tsv", sep="\t")
    scores[scores["subject"] == "sub-0"].to_csv(folder / "scores.tsv", sep="\t", index=False)
    columns = ["estimator", "control", "metric", "region", "difference_ci_low", "difference_ci_high", "interval"]
    row = ("synthetic", "identity", "mae", "brain", -0.03, -0.01, "WITHIN ONE SUBJECT (8 slabs)")
    pd.DataFrame([row], columns=columns).to_csv(folder / "statistics.tsv", sep="\t", index=False)
    claim = Ordering(claim="a", better=Side(method="first"), worse=Side(estimator="identity"), metric="mae")
    found = check_orderings([claim], tested, ONE).iloc[0]
    assert (found["ci_low"], found["ci_high"], found["verdict"]) == (0.01, 0.03, "agrees")
    assert found["interval"].startswith("WITHIN ONE SUBJECT")


def test_a_claim_of_any_method_is_listed_when_nothing_was_tested() -> None:
    table = check_orderings([Ordering(claim="a", better=Side(), worse=Side(estimator="identity"))], [], ONE)
    assert table["verdict"].tolist() == ["not tested"]


def test_sides_in_words() -> None:
    assert in_words(Side(method="unit", rule="psnr")) == "unit chosen by psnr"


def in_direction(item: Finding, direction: str, above: float) -> Finding:
    """The same method in another direction, where every PSNR is higher."""
    folder = item.evaluations["recontrast"].with_name(f"{item.method}-{direction}")
    folder.mkdir()
    scores = pd.read_csv(item.evaluations["recontrast"] / "scores.tsv", sep="\t")
    scores.loc[scores["metric"] == "psnr", "value"] += above
    scores.to_csv(folder / "scores.tsv", sep="\t", index=False)
    (folder / "evaluation.json").write_text(json.dumps({"primary_region": "brain"}))
    return replace(item, direction=direction, evaluations={"recontrast": folder})


def test_a_claim_over_all_directions_compares_those_that_both_sides_have(tested: list[Finding]) -> None:
    claim = Ordering(claim="a", better=Side(method="first"), worse=Side(method="second"))
    alone = check_orderings([claim], tested, ONE).iloc[0]
    assert alone["without"] == ""
    # In the other direction the first was not trained, and everything is 40 dB better there.
    easy = in_direction(tested[1], "T1w-FLAIR", 40)
    row = check_orderings([claim], [*tested, easy], TWO).iloc[0]
    assert row["difference"] == pytest.approx(alone["difference"])
    assert (row["verdict"], row["without"]) == ("agrees", "T1w-FLAIR")
    both = check_orderings([claim], [*tested, easy, in_direction(tested[0], "T1w-FLAIR", 40)], TWO).iloc[0]
    assert both["difference"] == pytest.approx(alone["difference"])
    assert both["better"] == pytest.approx(alone["better"] + 20)
    assert both["without"] == ""


def test_sides_without_a_common_direction_are_not_compared(tested: list[Finding]) -> None:
    claim = Ordering(claim="a", better=Side(method="first"), worse=Side(method="second"))
    row = check_orderings([claim], [tested[0], in_direction(tested[1], "T1w-FLAIR", 40)], TWO).iloc[0]
    assert (row["verdict"], row["subjects"]) == ("not tested", 0)
    assert row["interval"] == "no direction was scored for both sides"


def test_a_direction_that_failed_altogether_is_named(tested: list[Finding]) -> None:
    """Nothing was scored for it, not even a control: only the study knows of it."""
    for better in (Side(), Side(method="first")):
        claim = Ordering(claim="a", better=better, worse=Side(estimator="identity"))
        rows = check_orderings([claim], tested, [*TWO, "T2w-T1w"])
        assert set(rows["without"]) == {"T1w-FLAIR, T2w-T1w"}
        assert set(rows["verdict"]) == {"agrees"}
    # With one subject there is still the interval within it, of the only direction that is left.
    folder = tested[0].evaluations["recontrast"]
    scores = pd.read_csv(folder / "scores.tsv", sep="\t")
    scores[scores["subject"] == "sub-0"].to_csv(folder / "scores.tsv", sep="\t", index=False)
    columns = ["estimator", "control", "metric", "region", "difference_ci_low", "difference_ci_high", "interval"]
    row = ("synthetic", "identity", "psnr", "brain", 1.0, 3.0, "WITHIN ONE SUBJECT (8 slabs)")
    pd.DataFrame([row], columns=columns).to_csv(folder / "statistics.tsv", sep="\t", index=False)
    assert check_orderings([claim], tested, TWO).iloc[0]["interval"] == "WITHIN ONE SUBJECT (8 slabs)"
    both = Ordering(claim="b", better=Side(method="first", direction="T1w-FLAIR"), worse=Side(method="second"))
    absent = check_orderings([both], tested, TWO).iloc[0]
    assert (absent["verdict"], absent["without"]) == ("not tested", "T1w-FLAIR")
