"""Tables: the subject is the unit, nothing is dropped, protocols are not mixed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recontrast.errors import ConfigError, UnknownNameError
from recontrast.evaluation.protocols import PROTOCOLS
from recontrast.evaluation.scores import IDENTICAL, OK, Blocks, Record
from recontrast.evaluation.statistics import Margin, hedges_g, mixed_model, rank_biserial
from recontrast.evaluation.tables import (
    STATISTICS_COLUMNS,
    ScoredCase,
    combine_scores,
    conclusions,
    read_margins,
    scores_table,
    statistics_table,
)
from recontrast.io.bids import Case

OURS = PROTOCOLS.get("recontrast")


def record(value: float, metric: str = "mae", slabs: int = 0) -> Record:
    blocks = Blocks((value,) * slabs, (1,) * slabs, 1.0) if slabs else None
    return Record("brain", metric, "volume", value, OK if math.isfinite(value) else IDENTICAL, blocks=blocks)


def cohort(synthetic: dict[str, float], **controls: dict[str, float]) -> list[ScoredCase]:
    """Cases named "01" or "01/1" (session) with one value for each estimator."""
    cases = []
    for key in synthetic:
        subject, _, session = key.partition("/")
        records = {"synthetic": [record(synthetic[key])]}
        records |= {name: [record(values[key])] for name, values in controls.items() if key in values}
        cases.append(ScoredCase(Case(subject, session or None), records))
    return cases


def statistics(cases: list[ScoredCase], **changes: object):
    return statistics_table(cases, OURS, **({"missing": 0, "leak_check": "passed", "seed": 0} | changes))


def test_sessions_are_averaged_within_their_subject() -> None:
    cases = cohort({"01/1": 1.0, "01/2": 3.0, "02": 5.0, "03": 6.0})
    row = statistics(cases).iloc[0]
    assert row["subjects"] == 3
    assert row["mean"] == pytest.approx((2 + 5 + 6) / 3)
    assert row["sd"] == pytest.approx(np.std([2, 5, 6], ddof=1))
    assert (row["median"], row["sessions"]) == (5.0, 4)


def test_repeated_sessions_get_a_mixed_model_beside_the_means_of_subjects() -> None:
    ours = {"01/1": 1.0, "01/2": 3.0, "02/1": 5.0, "02/2": 5.5, "03": 6.0, "04": 4.0, "05": 4.5}
    ridge = {key: value + 1 + 0.1 * i for i, (key, value) in enumerate(ours.items())}
    table = statistics(cohort(ours, ridge=ridge))
    paired = table[table["control"] == "ridge"].iloc[0]
    expected = mixed_model([[-1.0, -1.1], [-1.2, -1.3], [-1.4], [-1.5], [-1.6]])
    assert paired["mixed_mean"] == pytest.approx(expected.mean)
    assert paired["mixed_p"] == pytest.approx(expected.p)
    assert paired["mixed"] == expected.words
    assert "7 sessions of 5 subjects" in paired["mixed"]
    alone = statistics(cohort({"01": 1.0, "02": 2.0, "03": 4.0}))
    assert alone["mixed"].isna().all()


def test_intervals_of_means_stay_where_the_metric_does() -> None:
    values = {"01/1": 0.01, "01/2": 0.02, "02": 0.012, "03": 0.4}  # MAE is never below zero
    table = statistics(cohort(values, ridge=dict.fromkeys(values, 0.02)))
    plain = table[(table["estimator"] == "synthetic") & (table["control"] == "")].iloc[0]
    assert plain["ci_low"] == plain["mixed_ci_low"] == 0.0
    assert plain["interval"].endswith("cut at 0")
    assert "cut at 0" in plain["mixed"]
    assert table[table["control"] == "ridge"].iloc[0]["difference_ci_low"] < 0


def test_intervals_of_differences_stay_where_differences_do() -> None:
    cases = [
        ScoredCase(Case(s), {"synthetic": [record(value, "ssim")], "ridge": [record(-0.9, "ssim")]})
        for s, value in (("01", 0.9), ("02", 0.95), ("03", -0.8))
    ]
    paired = statistics(cases).query("control == 'ridge'").iloc[0]
    assert paired["difference_ci_high"] == 2.0  # SSIM lies within -1 and 1
    assert paired["difference_ci_low"] > -2.0
    assert paired["interval"].endswith("cut at 2")


def test_differences_use_only_sessions_that_both_have() -> None:
    ours = {"01/1": 1.0, "01/2": 9.0, "02": 2.0, "03": 3.0}
    table = statistics(cohort(ours, ridge={"01/1": 2.0, "01/2": math.nan, "02": 3.0, "03": 4.0}))
    paired = table[table["control"] == "ridge"].iloc[0]
    assert (paired["difference"], paired["subjects"], paired["sessions"]) == (-1.0, 3, 3)
    assert paired["undefined"] == 1


def test_differences_are_paired_by_subject_and_p_adjusted_over_controls(rng: np.random.Generator) -> None:
    subjects = [f"{n:02d}" for n in range(10)]
    base = {s: float(v) for s, v in zip(subjects, rng.random(10), strict=True)}
    cases = cohort(
        base,
        ridge={s: v + 0.5 + 0.01 * i for i, (s, v) in enumerate(base.items())},
        identity={s: v + (-1) ** i * 0.3 for i, (s, v) in enumerate(base.items())},
    )
    table = statistics(cases).set_index("control")
    ridge, identity = table.loc["ridge"], table.loc["identity"]
    assert ridge["difference"] == pytest.approx(-0.545)
    assert ridge["better"] == "synthetic"  # a smaller error
    assert ridge["difference_ci_high"] < 0
    assert ridge["p_unadjusted"] == pytest.approx(2 / 1024)
    assert ridge["p"] == pytest.approx(4 / 1024)
    assert identity["better"] == "undecided"
    assert "Holm over 2 controls" in ridge["test"]
    assert ridge["p_bonferroni"] == pytest.approx(4 / 1024)
    assert ridge["p_benjamini_hochberg"] == pytest.approx(4 / 1024)
    differences = [-0.5 - 0.01 * i for i in range(10)]
    assert ridge["difference_median"] == pytest.approx(-0.545)
    assert ridge["hedges_g"] == pytest.approx(hedges_g(differences))
    assert ridge["rank_biserial"] == rank_biserial(differences) == -1.0
    assert 0 < ridge["p_normality"] <= 1


def test_undefined_and_missing_are_counted_never_dropped() -> None:
    cases = cohort({"01": 1.0, "02": math.nan, "03": 2.0}, ridge={"01": 2.0, "02": 2.0, "03": 2.0})
    table = statistics(cases, missing=4)
    plain = table[(table["estimator"] == "synthetic") & (table["control"] == "")].iloc[0]
    assert (plain["subjects"], plain["undefined"], plain["missing"]) == (2, 1, 4)
    assert "2 subjects" in plain["interval"]
    paired = table[table["control"] == "ridge"].iloc[0]
    assert (paired["subjects"], paired["undefined"]) == (2, 1)
    assert len(scores_table(cases, OURS, "passed")) == 6


def test_nothing_defined_gives_a_row_all_the_same() -> None:
    row = statistics(cohort({"01": math.nan, "02": math.nan}, ridge={"01": 1.0, "02": 1.0}))
    plain = row[(row["estimator"] == "synthetic") & (row["control"] == "")].iloc[0]
    assert (plain["subjects"], plain["undefined"]) == (0, 2)
    assert math.isnan(plain["mean"])
    assert row[row["control"] == "ridge"].iloc[0]["better"] == "undecided"


def test_one_subject_is_resampled_within_itself_and_labelled() -> None:
    cases = [
        ScoredCase(Case("01"), {"synthetic": [record(1.0, slabs=8)], "ridge": [record(1.5, slabs=8)]}),
    ]
    table = statistics(cases)
    assert table["interval"].str.startswith("WITHIN ONE SUBJECT").all()
    assert table.iloc[-1]["difference_ci_high"] == pytest.approx(-0.5)
    assert math.isnan(table.iloc[-1]["p"])
    assert "none: 1 subject" in table.iloc[-1]["test"]


def test_one_subject_without_slabs_has_no_interval() -> None:
    table = statistics(cohort({"01": 1.0}, ridge={"01": 2.0}))
    assert table["interval"].str.startswith("none").all()


def test_the_leak_check_stands_in_every_row() -> None:
    said = "TRAINING SUBJECTS INCLUDED: sub-01"
    cases = cohort({"01": 1.0, "02": 2.0}, ridge={"01": 2.0, "02": 2.0})
    assert (statistics(cases, leak_check=said)["leak_check"] == said).all()
    assert (scores_table(cases, OURS, said)["leak_check"] == said).all()


def test_tables_of_two_protocols_are_refused() -> None:
    cases = cohort({"01": 1.0})
    tables = [scores_table(cases, PROTOCOLS.get(name), "passed") for name in ("recontrast", "osman2022")]
    assert len(combine_scores([tables[0], tables[0]])) == 2
    with pytest.raises(ConfigError, match="not comparable"):
        combine_scores(tables)


def test_no_case_gives_empty_tables_with_columns() -> None:
    assert "better" in statistics([]).columns
    assert "status" in scores_table([], OURS, "passed").columns


def test_conclusions_are_about_the_primary_metric_and_region() -> None:
    values = {f"{n:02d}": 20.0 + n for n in range(8)}
    cases = [
        ScoredCase(Case(s), {"synthetic": [record(v, "psnr"), record(v)], "ridge": [record(v - 2, "psnr"), record(v)]})
        for s, v in values.items()
    ]
    found = conclusions(statistics(cases), OURS, "brain")
    assert len(found) == 1
    assert found[0].startswith("psnr in brain: the synthetic image is better than ridge (difference +2")
    assert found[0].endswith("smaller ones may be there and stay unseen.")


def test_three_subjects_are_told_that_they_are_too_few() -> None:
    cases = [
        ScoredCase(Case(s), {"synthetic": [record(v, "psnr")], "ridge": [record(v - 2 - v / 9, "psnr")]})
        for s, v in {"01": 20.0, "02": 21.0, "03": 25.0}.items()
    ]
    assert "n = 3 cannot give p < 0.05 by Wilcoxon" in conclusions(statistics(cases), OURS, "brain")[-1]


def test_margins_give_p_values_and_sentences() -> None:
    values = {f"{n:02d}": 20.0 + n for n in range(8)}
    cases = [
        ScoredCase(Case(s), {"synthetic": [record(v, "psnr")], "ridge": [record(v + 0.1 * (-1) ** i, "psnr")]})
        for i, (s, v) in enumerate(values.items())
    ]
    table = statistics(cases, margins={"psnr": Margin(0.5, "seed noise, dB")})
    row = table[table["control"] == "ridge"].iloc[0]
    assert (row["margin"], row["margin_name"]) == (0.5, "seed noise, dB")
    assert row["p_non_inferior"] == pytest.approx(1 / 256)
    assert "is not worse than ridge by more than 0.5 (seed noise, dB)" in row["non_inferior"]
    found = conclusions(table, OURS, "brain")
    assert len(found) == 3
    assert "is equivalent to ridge within 0.5" in found[2]
    with pytest.raises(UnknownNameError, match="psnr"):
        statistics(cases, margins={"psnrr": Margin(0.5, "seed noise, dB")})


def test_margins_are_read_from_text() -> None:
    found = read_margins(["psnr=0.5:seed noise, dB", "mae=0.01:rounding"])
    assert found == {"psnr": Margin(0.5, "seed noise, dB"), "mae": Margin(0.01, "rounding")}
    for text in ("psnr", "psnr=much:why", "psnr=0.5", "psnr=-1:why"):
        with pytest.raises(ConfigError, match="margin"):
            read_margins([text])


def test_columns_are_those_declared() -> None:
    table = statistics(cohort({"01": 1.0, "02": 2.0}, ridge={"01": 2.0, "02": 2.5}))
    assert tuple(table.columns) == STATISTICS_COLUMNS


def test_an_oracle_is_not_among_what_is_tested_and_is_called_one(rng: np.random.Generator) -> None:
    subjects = {f"{n:02d}": float(v) for n, v in enumerate(20 + rng.random(8))}

    def records(value: float, number: int) -> dict[str, list[Record]]:
        made = {"synthetic": value, "ridge": value - 1 - 0.1 * number, "lut-oracle": value + 2 + 0.1 * number}
        return {name: [record(psnr, "psnr")] for name, psnr in made.items()}

    cases = [ScoredCase(Case(s), records(v, n)) for n, (s, v) in enumerate(subjects.items())]
    table = statistics(cases, margins={"psnr": Margin(0.5, "seed noise, dB")})
    rows = table[table["control"] != ""].set_index("control")
    ridge, oracle = rows.loc["ridge"], rows.loc["lut-oracle"]
    assert ridge["p"] == ridge["p_unadjusted"] == pytest.approx(2 / 256)
    assert ridge["test"].endswith("p by Holm over 1 control")
    assert oracle["p_unadjusted"] == pytest.approx(2 / 256)
    assert math.isnan(oracle["p"])
    assert math.isnan(oracle["p_bonferroni"])
    assert oracle["better"] == "control"
    assert oracle["test"].endswith("an oracle, p is not adjusted")
    assert "not worse than the oracle lut-oracle" in oracle["non_inferior"]
    said = conclusions(table, OURS, "brain")
    assert said[0].startswith("psnr in brain: the synthetic image is better than ridge (")
    assert said[1].startswith("psnr in brain: the synthetic image is worse than the oracle lut-oracle (")
    few = conclusions(statistics(cases[:3]), OURS, "brain")
    assert "but p is 0.250 (adjusted for the controls, as the interval is not), not below 0.05" in few[0]
    assert "but p is 0.250, not below 0.05: take it as a hint, not as shown." in few[1]
