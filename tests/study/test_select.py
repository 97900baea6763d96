"""Choice by ranks, by blends and by readers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from recontrast.errors import ConfigError, FormatError
from recontrast.study.plan import candidates_of, plan_jobs
from recontrast.study.score import Scoring
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


def test_weights_of_a_failed_training_are_not_judged(tmp_path: Path) -> None:
    group, _ = group_of_three()
    for candidate in group:
        kept = [candidate.job.run(tmp_path) / "snapshots" / f"step-{step:08d}" for step in range(1, 5)]
        for folder in kept:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "translator.json").write_text("{}")
        assert candidate.translator(tmp_path) is not None
    scoring = Scoring(tmp_path / "prepared", "validation", None, 1)
    failed = {candidate.job.key for candidate in group}
    table, absent = score_candidates(group, tmp_path, scoring, Selection(), failed)
    assert table.empty
    assert len(absent) == len(group)
    assert all("the training failed" in reason for reason in absent.values())
