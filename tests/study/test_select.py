"""Choice by ranks, by blends and by readers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

from recontrast.errors import ConfigError, FormatError, GeometryError
from recontrast.study import select
from recontrast.study.plan import candidates_of, plan_jobs
from recontrast.study.score import Scored, Scoring
from recontrast.study.select import (
    Rule,
    best_by,
    choose,
    ranks_in_words,
    read_picks,
    rule_of,
    score_candidates,
    with_ranks,
)
from recontrast.study.settings import Selection, read_study

PROTOCOL = "recontrast-selection"
TABLE = pd.DataFrame(
    {
        "candidate": ["a", "b", "c"],
        "fraction": [1.0, 1.0, 1.0],
        "psnr": [30.0, 28.0, 29.0],
        "ssim_axial": [0.8, 0.9, 0.85],
        "gradient_distance": [1.0, 0.2, 0.1],
        "lpips_axial": [float("nan")] * 3,
    }
)


def test_ranks_follow_the_direction_of_the_metric() -> None:
    ranked = with_ranks(TABLE, PROTOCOL)
    assert ranked["rank psnr"].tolist() == [1, 3, 2]
    assert ranked["rank gradient_distance"].tolist() == [3, 2, 1]
    assert "rank lpips_axial" not in ranked


def test_a_blend_adds_ranks_and_an_absent_metric_is_named() -> None:
    ranked = with_ranks(TABLE, PROTOCOL)
    assert best_by(ranked, ["psnr"]) == 0
    assert best_by(ranked, ["ssim_axial", "gradient_distance"]) == 1  # ranks 1 + 2; c has 2 + 1, the first of equals
    with pytest.raises(ConfigError, match="lpips_axial"):
        best_by(ranked, ["lpips_axial"])


def test_lpips_chooses_where_something_is_adversarial_and_its_weights_are_there() -> None:
    assert rule_of(Selection(), adversarial=True, has_weights=True).metrics == ("lpips_axial",)
    without = rule_of(Selection(), adversarial=True, has_weights=False)
    assert without.metrics == ("ssim_axial", "gradient_distance")
    assert "--lpips-weights" in without.reason
    assert "stands in" in without.reason
    assert rule_of(Selection(), adversarial=False, has_weights=True).metrics == ("psnr",)
    assert rule_of(Selection(metric="mae"), adversarial=True, has_weights=True).metrics == ("mae",)
    assert rule_of(Selection(metric="lpips_axial"), adversarial=False, has_weights=False).metrics == without.metrics
    assert rule_of(Selection(blend=("psnr", "mae")), adversarial=True, has_weights=True).metrics == ("psnr", "mae")


def group_of_three():  # type: ignore[no-untyped-def]
    study = read_study("tagawa2025", "cpu")
    group = candidates_of(plan_jobs(study, study.source(""), "cpu"))[:3]
    return group, TABLE.assign(candidate=[candidate.name for candidate in group])


def test_readers_win_and_their_rank_is_told() -> None:
    group, table = group_of_three()
    codes = {candidate.name: f"C{number}" for number, candidate in enumerate(group)}
    rule = Rule(("psnr",), "")
    assert choose(group, table, rule, PROTOCOL, codes).candidate is group[0]
    choice = choose(group, table, rule, PROTOCOL, codes, pick="C1")
    assert choice.candidate is group[1]
    assert choice.by == "readers"
    assert "psnr 3, ssim_axial 1, gradient_distance 2" in ranks_in_words(choice)
    with pytest.raises(ConfigError, match="C9"):
        choose(group, table, rule, PROTOCOL, codes, pick="C9")


def test_readers_win_where_the_rule_can_choose_nothing() -> None:
    group, table = group_of_three()
    codes = {candidate.name: f"C{number}" for number, candidate in enumerate(group)}
    table, rule = table.assign(gradient_distance=math.nan), Rule(("ssim_axial", "gradient_distance"), "")
    with pytest.raises(ConfigError, match="cannot be chosen by gradient_distance"):
        choose(group, table, rule, PROTOCOL, codes)
    choice = choose(group, table, rule, PROTOCOL, codes, pick="C2")
    assert (choice.candidate, choice.by) == (group[2], "readers")
    assert "gradient_distance" not in ranks_in_words(choice)


def test_nothing_to_choose_by_takes_the_end_of_the_first_run() -> None:
    group, _ = group_of_three()
    choice = choose(group, pd.DataFrame(), Rule(("psnr",), ""), PROTOCOL, {})
    assert (choice.candidate, choice.by) == (group[2], "last")
    assert choose(group[:1], pd.DataFrame(), Rule(("psnr",), ""), PROTOCOL, {}).by == "one"
    assert ranks_in_words(choice) == ""


def test_picks_are_read_and_two_of_a_group_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "picks.tsv"
    path.write_text("direction\tmethod\tcode\nT1w-T2w\tunit\tC07\n")
    assert read_picks(path) == {("T1w-T2w", "unit"): "C07"}
    path.write_text("direction\tmethod\tcode\nT1w-T2w\tunit\tC07\nT1w-T2w\tunit\tC08\n")
    with pytest.raises(FormatError, match="two rows"):
        read_picks(path)
    path.write_text("direction\tmethod\nT1w-T2w\tunit\n")
    with pytest.raises(FormatError, match="code"):
        read_picks(path)


def with_snapshots(out: Path):  # type: ignore[no-untyped-def]
    """Three candidates of one training, whose weights are there."""
    group, _ = group_of_three()
    for candidate in group:
        for step in range(1, 5):
            folder = candidate.job.run(out) / "snapshots" / f"step-{step:08d}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "translator.json").write_text("{}")
        assert candidate.translator(out) is not None
    return group


def test_weights_of_a_failed_training_are_not_judged(tmp_path: Path) -> None:
    group = with_snapshots(tmp_path)
    scoring = Scoring(tmp_path / "prepared", "validation", None, 1)
    failed = {candidate.job.key for candidate in group}
    table, absent = score_candidates(group, tmp_path, scoring, Selection(), failed)
    assert table.empty
    assert len(absent) == len(group)
    assert all("the training failed" in reason for reason in absent.values())


def write_evaluation(folder: Path, psnr: Mapping[str, float | None], ssim: float = 0.5) -> None:
    """The scores of an evaluation: PSNR of each case, and one SSIM for all."""
    folder.mkdir(parents=True)
    (folder / "evaluation.json").write_text('{"primary_region": "brain"}')
    rows = [
        (case, case[:6], "synthetic", "brain", metric, value)
        for case, value in psnr.items()
        for metric, value in (("psnr", value), ("ssim_axial", ssim))
    ]
    columns = ["case", "subject", "estimator", "region", "metric", "value"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "scores.tsv", sep="\t", index=False, na_rep="n/a")


def test_candidates_are_compared_on_the_same_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = with_snapshots(tmp_path)
    # The first collapsed on one of two subjects: by the other alone it would win. No candidate has a value of sub-03.
    psnr = [
        {"sub-01": 40.0, "sub-02": None, "sub-03": None},
        {"sub-01": 30.0, "sub-02": 28.0, "sub-03": None},
        {"sub-01": 29.0, "sub-02": 27.0, "sub-03": None},
    ]
    made = iter(psnr)

    def score_translator(translator: Path, folder: Path, *_: object) -> Scored:
        write_evaluation(folder, next(made))
        return Scored(folder, {})

    monkeypatch.setattr(select, "score_translator", score_translator)
    scoring = Scoring(tmp_path / "prepared", "validation", None, 1)
    table, failed = score_candidates(group, tmp_path, scoring, Selection())
    assert not failed
    assert table["psnr"].isna().tolist() == [True, False, False]
    assert table["psnr"].tolist()[1:] == [29.0, 28.0]
    assert table["ssim_axial"].tolist() == [0.5] * 3
    ranked = with_ranks(table, PROTOCOL)
    assert ranked["rank psnr"].tolist() == [3, 1, 2]
    assert best_by(ranked, ["psnr"]) == 1


def test_sessions_that_a_candidate_lacks_are_not_averaged_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = with_snapshots(tmp_path)[:2]
    made = iter([{"sub-01_ses-1": 40.0, "sub-01_ses-2": None}, {"sub-01_ses-1": 30.0, "sub-01_ses-2": 28.0}])

    def score_translator(translator: Path, folder: Path, *_: object) -> Scored:
        write_evaluation(folder, next(made))
        return Scored(folder, {})

    monkeypatch.setattr(select, "score_translator", score_translator)
    table, _ = score_candidates(group, tmp_path, Scoring(tmp_path, "validation", None, 1), Selection())
    assert table["psnr"].isna().tolist() == [True, False]


def test_a_candidate_that_cannot_be_scored_and_a_case_without_scores_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = with_snapshots(tmp_path)

    def score_translator(translator: Path, folder: Path, *_: object) -> Scored:
        if folder.name == group[1].name:
            raise GeometryError("the grids differ")
        write_evaluation(folder, {"sub-01": 30.0})
        return Scored(folder, {"sub-02": "not enough memory"})

    monkeypatch.setattr(select, "score_translator", score_translator)
    table, failed = score_candidates(group, tmp_path, Scoring(tmp_path, "validation", None, 1), Selection())
    assert table["candidate"].tolist() == [group[0].name, group[2].name]
    direction, method = group[0].group
    assert failed == {
        f"candidate {direction}/{group[1].name}": "the grids differ",
        f"validation {direction}/{method} sub-02": "not enough memory (2 of 3 candidates)",
    }
