from __future__ import annotations

import json
import re
from typing import Any

import pandas as pd
import pytest

from recontrast.errors import UnknownNameError
from recontrast.io.tables import read_table, write_table
from recontrast.reporting.evidence import Evaluation, find_evidence
from recontrast.reporting.verdict import (
    case_values,
    choose_primary,
    judge,
    leak_warning,
    protocols_of,
    subject_values,
    subjects_in_words,
    what_may_be_said,
)


@pytest.fixture
def evaluation(example: Any) -> Evaluation:
    return find_evidence(example.root).evaluations[0]


def changed(evaluation: Evaluation, **columns: object) -> Evaluation:
    """The same evaluation with other values in the rows that compare."""
    table = evaluation.statistics.copy()
    compares = table["control"].fillna("") != ""
    for name, value in columns.items():
        table.loc[compares, name] = value
    return Evaluation(evaluation.folder, evaluation.facts, evaluation.scores, table, evaluation.cases)


def test_the_protocols_primary_metric_and_region_decide(evaluation: Evaluation) -> None:
    primary = choose_primary(evaluation, "recontrast")
    assert primary is not None
    assert (primary.metric, primary.region, primary.place) == ("psnr", "brain", "the brain")
    chosen = choose_primary(evaluation, "recontrast", metric="mae")
    assert chosen is not None
    assert chosen.metric == "mae"
    with pytest.raises(UnknownNameError, match="psnr"):
        choose_primary(evaluation, "recontrast", metric="psmr")


def test_the_strongest_control_is_the_one_to_beat(evaluation: Evaluation) -> None:
    verdict = judge(evaluation, choose_primary(evaluation, "recontrast"))
    assert verdict.outcome == "beats"
    assert verdict.control == "boosting"
    assert verdict.sentence == (
        "The translator beats the best control (boosting) by 2.00 dB PSNR (95 % interval [1.40, 2.60], "
        "BCa bootstrap over 3 subjects) in the brain, 3 held-out subjects."
    )


def with_oracle(evaluation: Evaluation, *, facts: dict | None = None, name: str = "lut-oracle") -> Evaluation:
    """The same evaluation with the strongest control called an oracle."""
    table = evaluation.statistics.replace({"boosting": name})
    content = {**evaluation.facts, "controls": facts or {}}
    return Evaluation(
        evaluation.folder, content, evaluation.scores.replace({"boosting": name}), table, evaluation.cases
    )


@pytest.mark.parametrize(
    ("name", "facts"), [("lut-oracle", {}), ("of another version", {"of another version": {"oracle": True}})]
)
def test_an_oracle_is_not_the_control_to_beat(evaluation: Evaluation, name: str, facts: dict) -> None:
    told = with_oracle(evaluation, name=name, facts=facts)
    verdict = judge(told, choose_primary(told, "recontrast"))
    assert verdict.control == "identity"
    assert "the best control (identity) by 4.00 dB PSNR" in verdict.sentence
    table = told.statistics
    alone = table[(table["estimator"] != "identity") & (table["control"] != "identity")]
    only = Evaluation(told.folder, told.facts, told.scores, alone, told.cases)
    verdict = judge(only, choose_primary(only, "recontrast"))
    assert verdict.outcome == "unknown"
    assert f"No control but {name}, which has seen the answer, was scored" in verdict.sentence


def test_for_an_error_measure_a_negative_difference_is_a_gain(evaluation: Evaluation) -> None:
    verdict = judge(evaluation, choose_primary(evaluation, "recontrast", metric="mae"))
    assert verdict.outcome == "beats"
    assert re.search(r"by 0\.0\d+ scaled intensity MAE \(95 %", verdict.sentence)


def test_a_control_of_a_few_easy_subjects_is_not_the_one_to_beat(evaluation: Evaluation) -> None:
    """The best of unpaired means; subject by subject it is the weakest."""
    table = evaluation.statistics
    mine = (table["estimator"] == "identity") & (table["metric"] == "psnr")
    against = (table["control"] == "identity") & (table["metric"] == "psnr")
    table = table.assign(mean=table["mean"].mask(mine, 26.5), subjects=table["subjects"].mask(mine | against, 1))
    table.loc[against, "difference"] = 0.3
    easy = Evaluation(evaluation.folder, evaluation.facts, evaluation.scores, table, evaluation.cases)
    verdict = judge(easy, choose_primary(easy, "recontrast"))
    assert verdict.control == "boosting"
    assert verdict.sentence.endswith(" No candidate for the best control: identity (compared in 1 of 3 subjects).")


def test_the_best_control_has_the_smallest_difference_not_the_best_mean(evaluation: Evaluation) -> None:
    table = evaluation.statistics
    mine = (table["estimator"] == "identity") & (table["metric"] == "psnr")
    table = table.assign(mean=table["mean"].mask(mine, 26.5))
    told = Evaluation(evaluation.folder, evaluation.facts, evaluation.scores, table, evaluation.cases)
    assert judge(told, choose_primary(told, "recontrast")).control == "boosting"


def test_a_best_control_that_was_not_compared_is_said(evaluation: Evaluation) -> None:
    table = evaluation.statistics[evaluation.statistics["control"] != "boosting"]
    told = Evaluation(evaluation.folder, evaluation.facts, evaluation.scores, table, evaluation.cases)
    verdict = judge(told, choose_primary(told, "recontrast"))
    assert (verdict.outcome, verdict.control) == ("unknown", "boosting")


@pytest.mark.parametrize(
    ("better", "words"), [("undecided", "does NOT beat"), ("control", "is WORSE than"), ("synthetic", "beats")]
)
def test_the_sentence_says_what_the_evaluation_decided(evaluation: Evaluation, better: str, words: str) -> None:
    primary = choose_primary(evaluation, "recontrast")
    assert words in judge(changed(evaluation, better=better), primary).sentence


@pytest.mark.parametrize(("p", "outcome", "words"), [(0.08, "hint", "is ahead of"), (0.01, "beats", "beats")])
def test_what_the_adjusted_test_does_not_show_is_a_hint_not_a_victory(
    evaluation: Evaluation, p: float, outcome: str, words: str
) -> None:
    verdict = judge(changed(evaluation, better="synthetic", p=p), choose_primary(evaluation, "recontrast"))
    assert verdict.outcome == outcome
    assert f"The translator {words} the best control" in verdict.sentence
    assert ("take it as a hint" in verdict.sentence) == (outcome == "hint")


def test_without_the_evaluations_word_the_interval_decides(evaluation: Evaluation) -> None:
    primary = choose_primary(evaluation, "recontrast")
    both = {"difference_ci_low": -0.5, "difference_ci_high": 0.5}
    assert judge(changed(evaluation, better=None, **both), primary).outcome == "not"
    below = {"difference_ci_low": -0.5, "difference_ci_high": -0.1}
    assert judge(changed(evaluation, better=None, **below), primary).outcome == "worse"


def test_no_interval_is_said_with_its_reason(evaluation: Evaluation) -> None:
    absent = {"difference_ci_low": None, "difference_ci_high": None, "interval": "none: 2 subjects, needs 3"}
    sentence = judge(
        changed(evaluation, better="undecided", **absent), choose_primary(evaluation, "recontrast")
    ).sentence
    assert "(no interval: 2 subjects, needs 3)" in sentence


def test_one_subject_is_no_verdict_on_other_people(evaluation: Evaluation) -> None:
    one = changed(evaluation, interval="WITHIN ONE SUBJECT: bootstrap over 9 slabs", subjects=1)
    verdict = judge(one, choose_primary(evaluation, "recontrast"))
    assert verdict.outcome == "one"
    assert "says nothing of other people" in verdict.sentence


def test_without_controls_nothing_is_claimed(evaluation: Evaluation) -> None:
    table = evaluation.statistics[evaluation.statistics["estimator"] == "synthetic"]
    table = table[table["control"].fillna("") == ""]
    alone = Evaluation(evaluation.folder, evaluation.facts, evaluation.scores, table, evaluation.cases)
    verdict = judge(alone, choose_primary(alone, "recontrast"))
    assert verdict.outcome == "unknown"
    assert "No control was scored" in verdict.sentence


def test_cases_come_worst_first_and_undefined_ones_last(evaluation: Evaluation) -> None:
    scores = evaluation.scores.copy()
    rows = (scores["case"] == "sub-03") & (scores["metric"] == "psnr")
    scores.loc[rows, "value"] = None
    undefined = Evaluation(evaluation.folder, evaluation.facts, scores, evaluation.statistics, evaluation.cases)
    primary = choose_primary(evaluation, "recontrast")
    assert list(case_values(evaluation, primary)["case"]) == ["sub-02", "sub-01", "sub-03"]
    assert list(case_values(undefined, primary)["case"]) == ["sub-02", "sub-01", "sub-03"]
    mae = choose_primary(evaluation, "recontrast", metric="mae")
    assert list(case_values(evaluation, mae)["case"]) == ["sub-02", "sub-01", "sub-03"]


def test_sessions_of_a_subject_are_averaged(evaluation: Evaluation) -> None:
    again = evaluation.scores.assign(session="2", value=evaluation.scores["value"] + 2)
    both = pd.concat([evaluation.scores, again])
    twice = Evaluation(evaluation.folder, evaluation.facts, both, evaluation.statistics, evaluation.cases)
    table = subject_values(twice, choose_primary(twice, "recontrast"))
    assert list(table.columns) == ["synthetic", "boosting", "identity"]
    assert table.loc["sub-01", "synthetic"] == pytest.approx(25.0)


def test_protocols_are_kept_apart(example: Any) -> None:
    path = example.evaluation / "statistics.tsv"
    table = read_table(path)
    write_table(path, pd.concat([table, table.assign(protocol="osman2022")]))
    evaluation = find_evidence(example.root).evaluations[0]
    assert protocols_of(evaluation) == ["recontrast", "osman2022"]


def test_held_out_is_only_said_when_it_was_checked(example: Any) -> None:
    path = example.evaluation / "evaluation.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    for check, words, outcome in (
        ({"status": "passed"}, "2 held-out subjects", None),
        ({"status": "not possible", "reasons": ["no translator"]}, "2 subjects", "not"),
        ({"status": "VALIDATION SUBJECTS INCLUDED: sub-01"}, "2 subjects", "not"),
        ({"status": "TRAINING SUBJECTS INCLUDED: sub-01"}, "2 subjects", "worse"),
    ):
        path.write_text(json.dumps({**facts, "leak_check": check}), encoding="utf-8")
        evaluation = find_evidence(example.root).evaluations[0]
        assert subjects_in_words(evaluation, 2) == words
        warning = leak_warning(evaluation)
        assert (warning[0] if warning else None) == outcome


def test_what_may_be_said_names_the_limits_of_the_sample(evaluation: Evaluation) -> None:
    said = " ".join(what_may_be_said(evaluation, choose_primary(evaluation, "recontrast")))
    assert "n = 3 cannot give p < 0.05 by Wilcoxon" in said
    assert "Hedges" not in said  # an evaluation without effect sizes


def test_an_undecided_result_is_not_called_equal_and_says_how_many_would_be_needed(evaluation: Evaluation) -> None:
    primary = choose_primary(evaluation, "recontrast")
    unclear = changed(evaluation, better="undecided", hedges_g=0.5, rank_biserial=0.25, subjects=12)
    said = " ".join(what_may_be_said(unclear, primary))
    assert "+0.50 SD of the differences (Hedges' g, rank-biserial +0.25)" in said
    assert "does not show that there is none" in said
    assert "34 subjects find it with 80 % chance" in said


def test_margins_and_repeated_sessions_are_told(evaluation: Evaluation) -> None:
    primary = choose_primary(evaluation, "recontrast")
    told = changed(
        evaluation, non_inferior="It is not worse than boosting by more than 0.5 (noise).", mixed_mean=1.25,
        mixed_ci_low=0.5, mixed_ci_high=2.0, mixed="mixed model over 9 sessions of 3 subjects",
    )  # fmt: skip
    said = " ".join(what_may_be_said(told, primary))
    assert "by more than 0.5 (noise)." in said
    assert "mean difference +1.25 [0.50, 2.00] (mixed model over 9 sessions of 3 subjects)" in said
    assert what_may_be_said(changed(evaluation, subjects=None), primary) == []
