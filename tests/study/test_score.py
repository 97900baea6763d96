"""A translator is scored once for the same weights and settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from recontrast.study import score


def test_a_finished_evaluation_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def make(name: str) -> Any:
        def stage(settings: Any) -> None:
            calls.append(name)
            settings.out.mkdir(parents=True)

        return stage

    monkeypatch.setattr(score, "translate", make("translate"))
    monkeypatch.setattr(score, "evaluate", make("evaluate"))
    translator = tmp_path / "translator"
    translator.mkdir()
    description = translator / "translator.json"
    description.write_text(json.dumps({"weights_sha256": "a"}))
    scoring = score.Scoring(tmp_path / "prepared", "test", None, 1)

    def run(protocol: str = "recontrast", controls: tuple[str, ...] = ()) -> Path:
        return score.score_translator(translator, tmp_path / "c", scoring, protocol, {"controls": controls})

    assert run() == tmp_path / "c" / "evaluation-recontrast"
    run()
    assert calls == ["translate", "evaluate"]
    run("osman2022")
    run(controls=("identity",))
    assert calls[2:] == ["evaluate", "evaluate"]
    description.write_text(json.dumps({"weights_sha256": "b"}))
    run()
    assert calls[4:] == ["translate", "evaluate"]


def test_segmentations_of_references_are_shared_and_where_they_are_kept_decides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Path | None] = []

    def evaluate(settings: Any) -> None:
        kept.append(settings.keep_labels)
        settings.out.mkdir(parents=True)

    monkeypatch.setattr(score, "evaluate", evaluate)
    for labels in (tmp_path / "labels", tmp_path / "elsewhere"):
        scoring = score.Scoring(tmp_path / "prepared", "test", None, 1, keep_labels=labels)
        score.score_images(tmp_path / "one", "a", scoring, "recontrast", {})
    assert kept == [tmp_path / "labels"]
    score.score_images(tmp_path / "one", "a", scoring, "recontrast", {"keep_labels": tmp_path / "own"})
    assert kept[1:] == [tmp_path / "own"]


def test_sessions_are_averaged_and_undefined_values_left_out() -> None:
    scores = pd.DataFrame(
        {
            "subject": ["1", "1", "2", "3"], "estimator": "synthetic", "region": "brain", "metric": "psnr",
            "value": ["20", "30", "40", None],
        }
    )  # fmt: skip
    assert score.subject_values(scores, "psnr", "brain").to_dict() == {"1": 25.0, "2": 40.0}


def test_expected_cases_without_scores_are_named(tmp_path: Path) -> None:
    rows = ["sub-01\tok\tn/a", "sub-02\tfailed\tthe grids differ", "sub-03\tmissing\tno synthetic T2w in made"]
    (tmp_path / "cases.tsv").write_text("case\tstatus\tmessage\n" + "".join(f"{row}\n" for row in rows))
    assert score.unscored(tmp_path) == {
        "sub-02": "failed: the grids differ", "sub-03": "missing: no synthetic T2w in made",
    }  # fmt: skip
