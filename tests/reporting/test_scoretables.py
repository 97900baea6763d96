from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

from recontrast.io.tables import read_table, write_table
from recontrast.reporting.evidence import Evaluation, find_evidence
from recontrast.reporting.page import Fold, Picture, Table, Text
from recontrast.reporting.scoretables import protocol_facts, score_tables, values_picture
from recontrast.reporting.verdict import Primary, choose_primary, judge


@pytest.fixture
def evaluation(example: Any) -> Evaluation:
    return find_evidence(example.root).evaluations[0]


@pytest.fixture
def primary(evaluation: Evaluation) -> Primary:
    chosen = choose_primary(evaluation, "recontrast")
    assert chosen is not None
    return chosen


def test_means_stand_with_interval_subjects_and_direction(evaluation: Evaluation, primary: Primary) -> None:
    means = score_tables(evaluation, "recontrast", primary)[0]
    assert isinstance(means, Table)
    assert [cell.text for cell in means.header] == ["estimator", "PSNR ↑", "MAE ↓", "subjects"]
    assert [row[0].text for row in means.rows] == ["synthetic", "boosting", "identity"]
    assert means.rows[0][1].text == "23.90 ± 2.95"
    assert list(means.rows[0][1].small) == ["[20.95, 26.85]"]
    assert means.rows[0][1].look == "best"
    assert "Protocol recontrast, region brain" in means.caption
    assert "BCa bootstrap over 3 subjects" in means.note


def test_differences_are_marked_by_what_the_evaluation_decided(evaluation: Evaluation, primary: Primary) -> None:
    differences = score_tables(evaluation, "recontrast", primary)[1]
    assert isinstance(differences, Table)
    boosting = differences.rows[0]
    assert boosting[1].text == "▲ +2.00"
    assert list(boosting[1].small) == ["[1.40, 2.60]", "p = 0.030"]
    assert boosting[2].text.startswith("▲ −")


def test_a_difference_that_the_test_does_not_confirm_is_only_a_hint(example: Any) -> None:
    path = example.evaluation / "statistics.tsv"
    table = read_table(path)
    write_table(path, table.assign(p=table["p"].where(table["p"].isna(), 0.09)))
    evaluation = find_evidence(example.root).evaluations[0]
    primary = choose_primary(evaluation, "recontrast")
    assert primary is not None
    differences = score_tables(evaluation, "recontrast", primary)[1]
    assert isinstance(differences, Table)
    assert differences.rows[0][1].text == "△ +2.00"
    assert differences.rows[0][1].look == ""
    assert "a hint only" in differences.caption
    assert "The interval excludes zero, but p is 0.090" in judge(evaluation, primary).sentence


def test_many_metrics_become_several_tables_of_one_order(example: Any) -> None:
    path = example.evaluation / "statistics.tsv"
    table = read_table(path)
    more = [table[table["metric"] == "mae"].assign(metric=f"mae_{n}") for n in range(7)]
    write_table(path, pd.concat([table, *more]))
    evaluation = find_evidence(example.root).evaluations[0]
    blocks = score_tables(evaluation, "recontrast", choose_primary(evaluation, "recontrast"))
    first, second = blocks[:2]
    assert isinstance(first, Table)
    assert isinstance(second, Table)
    assert [len(part.header) for part in (first, second)] == [7, 6]  # 9 metrics, estimator and subjects
    assert [row[0].text for row in first.rows] == [row[0].text for row in second.rows]
    assert (first.note, second.note.startswith("Intervals: ")) == ("", True)


def test_why_values_are_undefined_is_said(example: Any) -> None:
    path = example.evaluation / "evaluation.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    line = "no value in lesion for psnr in 1 of 3 cases (sub-01): the region is empty"
    path.write_text(json.dumps({**facts, "undefined": [line]}), encoding="utf-8")
    evaluation = find_evidence(example.root).evaluations[0]
    blocks = score_tables(evaluation, "recontrast", choose_primary(evaluation, "recontrast"))
    assert f"N{line[1:]}." in [block.text for block in blocks if isinstance(block, Text)]


def test_undefined_values_and_absent_rows_are_shown(example: Any) -> None:
    path = example.evaluation / "statistics.tsv"
    table = read_table(path)
    ssim = table[
        (table["metric"] == "psnr") & (table["estimator"] == "synthetic") & (table["control"].fillna("") == "")
    ]
    rows = ssim.assign(metric="ssim", subjects=2, undefined=1)
    write_table(path, pd.concat([table, rows]))
    evaluation = find_evidence(example.root).evaluations[0]
    means = score_tables(evaluation, "recontrast", choose_primary(evaluation, "recontrast"))[0]
    assert isinstance(means, Table)
    column = [cell.text for cell in means.header].index("SSIM ↑")
    assert list(means.rows[0][column].small)[1:] == ["2 subjects", "1 undefined"]
    assert list(means.rows[1][column].small) == ["not scored"]


def test_two_protocols_never_share_a_table(example: Any) -> None:
    path = example.evaluation / "statistics.tsv"
    table = read_table(path)
    write_table(path, pd.concat([table, table.assign(protocol="osman2022", mean=99.0)]))
    evaluation = find_evidence(example.root).evaluations[0]
    means = score_tables(evaluation, "recontrast", choose_primary(evaluation, "recontrast"))[0]
    assert isinstance(means, Table)
    assert len(means.rows) == 3
    assert "99" not in means.rows[0][1].text


def test_other_regions_stand_behind_a_fold(evaluation: Evaluation, primary: Primary) -> None:
    table = evaluation.statistics
    more = pd.concat([table, table.assign(region="GM"), table.assign(region="lesion")])
    wide = Evaluation(evaluation.folder, evaluation.facts, evaluation.scores, more, evaluation.cases)
    blocks = score_tables(wide, "recontrast", primary)
    assert [type(block) for block in blocks] == [Table, Table, Table, Table, Text, Fold]
    assert blocks[-1].title == "Other regions: GM"  # type: ignore[union-attr]


def test_controls_that_were_not_scored_and_leaks_are_said_aloud(example: Any) -> None:
    path = example.evaluation / "evaluation.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    facts["controls"]["ridge"] = {"scored": False, "reason": "no training subjects"}
    facts["leak_check"] = {"status": "TRAINING SUBJECTS INCLUDED: sub-01"}
    path.write_text(json.dumps(facts), encoding="utf-8")
    evaluation = find_evidence(example.root).evaluations[0]
    blocks = score_tables(evaluation, "recontrast", choose_primary(evaluation, "recontrast"))
    texts = [b.text for b in blocks if isinstance(b, Text)]
    assert texts[0] == "Control ridge was not scored: no training subjects."
    assert texts[1].startswith("What may be concluded: Too few subjects: n = 3 cannot give p < 0.05 by Wilcoxon")
    assert all("TRAINING SUBJECTS INCLUDED" in b.caption for b in blocks if isinstance(b, Table))


def test_subjects_are_drawn_and_their_absence_is_said(evaluation: Evaluation, primary: Primary) -> None:
    assert isinstance(values_picture(evaluation, primary)[0], Picture)
    empty = Evaluation(evaluation.folder, {}, pd.DataFrame(), pd.DataFrame(), pd.DataFrame())
    assert values_picture(empty, primary)[0].kind == "absent"  # type: ignore[union-attr]
    assert score_tables(empty, "recontrast", primary)[0].kind == "absent"  # type: ignore[union-attr]


def test_the_protocol_is_defined_in_full(evaluation: Evaluation) -> None:
    fold = protocol_facts(evaluation, "recontrast")
    assert isinstance(fold, Fold)
    names = [name for block in fold.blocks for name, _ in block.pairs]  # type: ignore[union-attr]
    assert {"data range", "normaliser", "aggregation", "control boosting"} <= set(names)


def test_the_mean_of_fewer_subjects_is_not_the_best(example: Any) -> None:
    path = example.evaluation / "statistics.tsv"
    table = read_table(path)
    easy = (table["estimator"] == "identity") & (table["metric"] == "psnr")
    write_table(path, table.assign(mean=table["mean"].mask(easy, 30.0), subjects=table["subjects"].mask(easy, 1)))
    evaluation = find_evidence(example.root).evaluations[0]
    means = score_tables(evaluation, "recontrast", choose_primary(evaluation, "recontrast"))[0]
    assert isinstance(means, Table)
    looks = {row[0].text: row[1].look for row in means.rows}
    assert looks == {"identity": "", "synthetic": "best", "boosting": ""}
    assert "the best mean is bold (none of fewer subjects)" in means.caption


def test_an_oracle_is_listed_with_the_word_and_never_the_best(example: Any) -> None:
    path = example.evaluation / "statistics.tsv"
    table = read_table(path).replace({"boosting": "lut-oracle"})
    best = (table["estimator"] == "lut-oracle") & (table["metric"] == "psnr")
    write_table(path, table.assign(mean=table["mean"].where(~best, 40.0)))
    evaluation = find_evidence(example.root).evaluations[0]
    means, differences = score_tables(evaluation, "recontrast", choose_primary(evaluation, "recontrast"))[:2]
    assert isinstance(means, Table)
    assert isinstance(differences, Table)
    (row,) = [row for row in means.rows if row[0].text == "lut-oracle"]
    assert list(row[0].small) == ["oracle: it has seen the answer"]
    assert row[1].look == ""
    assert means.rows[0][1].look == "best"
    assert "the best mean is bold (no oracle)" in means.caption
    (row,) = [row for row in differences.rows if row[0].text == "lut-oracle"]
    assert row[1].text.startswith("▲")  # of an evaluation that says nothing of the p
    table = read_table(path)
    oracle = table["control"].fillna("") == "lut-oracle"
    write_table(path, table.assign(p_unadjusted=0.25, p=table["p"].where(~oracle)))
    evaluation = find_evidence(example.root).evaluations[0]
    differences = score_tables(evaluation, "recontrast", choose_primary(evaluation, "recontrast"))[1]
    assert isinstance(differences, Table)
    (hinted,) = [row for row in differences.rows if row[0].text == "lut-oracle"]
    assert (hinted[1].text, hinted[1].look) == ("△ +2.00", "")
    assert "p = 0.250, not adjusted" in hinted[1].small
    assert list(row[0].small) == ["oracle: it has seen the answer"]
