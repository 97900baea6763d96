"""A translator is scored once for the same weights and settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from recontrast.errors import DataError
from recontrast.execution.workers import Summary
from recontrast.study import score


def write_cases(folder: Path, **failed: str) -> None:
    """The table of an evaluation; `failed`: case to message."""
    rows = [("ok", "ok", ""), *((case, "failed", message) for case, message in failed.items())]
    pd.DataFrame(rows, columns=["case", "status", "message"]).to_csv(folder / "cases.tsv", sep="\t", index=False)


def translator_of(folder: Path, weights: str = "a") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "translator.json").write_text(json.dumps({"weights_sha256": weights}))
    return folder


def test_a_finished_evaluation_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def make(name: str) -> Any:
        def stage(settings: Any) -> Summary:
            calls.append(name)
            write_cases(settings.out)
            return Summary([])

        return stage

    monkeypatch.setattr(score, "translate", make("translate"))
    monkeypatch.setattr(score, "evaluate", make("evaluate"))
    translator = translator_of(tmp_path / "translator")
    scoring = score.Scoring(tmp_path / "prepared", "test", None, 1)

    def run(protocol: str = "recontrast", controls: tuple[str, ...] = ()) -> score.Scored:
        return score.score_translator(translator, tmp_path / "c", scoring, protocol, {"controls": controls})

    assert run() == score.Scored(tmp_path / "c" / "evaluation-recontrast", {})
    run()
    assert calls == ["translate", "evaluate"]
    run("osman2022")
    run(controls=("identity",))
    assert calls[2:] == ["evaluate", "evaluate"]
    translator_of(translator, "b")
    run()
    assert calls[4:] == ["translate", "evaluate"]


def test_segmentations_of_references_are_shared_and_where_they_are_kept_decides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Path | None] = []

    def evaluate(settings: Any) -> Summary:
        kept.append(settings.keep_labels)
        write_cases(settings.out)
        return Summary([])

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


class Stages:
    """Stand-ins for `translate` and `evaluate`, in which some cases fail.

    Attributes:
        untranslated: Cases that cannot be translated now.
        unscored: Cases that cannot be scored now.
        made: What was translated, in order; an image that is there already is kept.
        evaluated: How often an evaluation was made.
    """

    def __init__(self) -> None:
        self.untranslated: set[str] = set()
        self.unscored: set[str] = set()
        self.made: list[str] = []
        self.evaluated = 0

    def translate(self, settings: Any) -> Summary:
        for case in ("sub-01", "sub-02"):
            path = settings.out / f"{case}_T2w.nii"
            if case not in self.untranslated and not path.is_file():
                path.write_text(case)
                self.made.append(case)
        return Summary([], dict.fromkeys(sorted(self.untranslated), "not enough memory"))

    def evaluate(self, settings: Any) -> Summary:
        self.evaluated += 1
        failed = dict.fromkeys(sorted(self.unscored), "failed: the worker died")
        for case in ("sub-01", "sub-02"):
            if not (settings.synthetic / f"{case}_T2w.nii").is_file():
                failed[case] = "missing: no synthetic T2w"
        write_cases(settings.out, **failed)
        return Summary([], failed)


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    made = Stages()
    monkeypatch.setattr(score, "translate", made.translate)
    monkeypatch.setattr(score, "evaluate", made.evaluate)
    return made


def test_what_failed_is_said_with_its_reason_and_tried_again(stages: Stages, tmp_path: Path) -> None:
    translator = translator_of(tmp_path / "translator")
    scoring = score.Scoring(tmp_path / "prepared", "test", None, 1)

    def run() -> dict[str, str]:
        return dict(score.score_translator(translator, tmp_path / "c", scoring, "recontrast", {}).failed)

    stages.untranslated = {"sub-02"}
    assert run() == {"sub-02": "not enough memory"}  # not only that its image is missing
    assert run() == {"sub-02": "not enough memory"}
    stages.untranslated = set()
    assert run() == {}
    assert stages.made == ["sub-01", "sub-02"]  # the first image was kept
    assert stages.evaluated == 3
    assert run() == {}
    assert stages.evaluated == 3
    stages.unscored = {"sub-01"}
    translator_of(translator, "b")
    assert run() == {"sub-01": "failed: the worker died"}
    stages.unscored = set()
    assert run() == {}
    assert stages.made == ["sub-01", "sub-02"] * 2  # another translator's images were not kept


def test_where_nothing_could_be_translated_the_reason_is_told(stages: Stages, tmp_path: Path) -> None:
    stages.untranslated = {"sub-01", "sub-02"}
    scoring = score.Scoring(tmp_path / "prepared", "test", None, 1)
    with pytest.raises(DataError, match="not one of 2 cases could be translated: sub-01: not enough memory"):
        score.score_translator(translator_of(tmp_path / "t"), tmp_path / "c", scoring, "recontrast", {})


def test_failed_cases_that_an_older_version_took_for_done_are_tried_again(stages: Stages, tmp_path: Path) -> None:
    translator = translator_of(tmp_path / "translator")
    scoring = score.Scoring(tmp_path / "prepared", "test", None, 1)

    def run() -> dict[str, str]:
        return dict(score.score_translator(translator, tmp_path / "c", scoring, "recontrast", {}).failed)

    stages.untranslated, stages.unscored = {"sub-02"}, {"sub-01"}
    assert run().keys() == {"sub-01", "sub-02"}
    images, evaluation = tmp_path / "c" / score.IMAGES, tmp_path / "c" / "evaluation-recontrast"
    write_cases(images, **{"sub-02": "not enough memory"})
    for folder in (images, evaluation):
        begun = json.loads((folder / ".begun.json").read_text())
        (folder / "done.json").write_text(json.dumps({"key": begun["key"]}))
    assert run() == {"sub-01": "failed: the worker died", "sub-02": "not enough memory"}
    assert stages.evaluated == 2
    stages.untranslated, stages.unscored = set(), set()
    assert run() == {}
    assert stages.made == ["sub-01", "sub-02"]


def test_images_prepared_anew_are_scored_anew(stages: Stages, tmp_path: Path) -> None:
    translator = translator_of(tmp_path / "translator")
    scoring = score.Scoring(tmp_path / "prepared", "test", None, 1)
    scoring.prepared.mkdir()
    images = tmp_path / "c" / score.IMAGES
    for hash_of_image in ("aa", "aa", "bb"):
        (scoring.prepared / "quality.tsv").write_text(f"case\timage_hash\nsub-01\t{hash_of_image}\n")
        score.score_translator(translator, tmp_path / "c", scoring, "recontrast", {})
    assert (stages.made, stages.evaluated) == (["sub-01", "sub-02"] * 2, 2)
    # An older version did not say which images it scored: what it made is kept.
    for folder in (images, tmp_path / "c" / "evaluation-recontrast"):
        done = json.loads((folder / "done.json").read_text())
        (folder / "done.json").write_text(json.dumps({"key": done["key"]}))
        (folder / ".begun.json").unlink()
    (scoring.prepared / "quality.tsv").write_text("case\timage_hash\nsub-01\tcc\n")
    score.score_translator(translator, tmp_path / "c", scoring, "recontrast", {})
    assert stages.evaluated == 2


def test_a_case_that_lacks_a_contrast_is_listed_each_time_and_makes_nothing_again(
    stages: Stages, tmp_path: Path
) -> None:
    translator = translator_of(tmp_path / "translator")
    scoring = score.Scoring(tmp_path / "prepared", "test", None, 1, incomplete=frozenset({"sub-02"}))
    stages.untranslated = {"sub-02"}
    for _ in range(2):
        scored = score.score_translator(translator, tmp_path / "c", scoring, "recontrast", {})
        assert scored.failed == {"sub-02": "not enough memory"}
    assert stages.evaluated == 1
    stages.unscored = {"sub-01"}  # it lacks nothing: it may go well the next time
    for _ in range(2):
        score.score_translator(translator, tmp_path / "c", scoring, "osman2022", {})
    assert stages.evaluated == 3


def test_a_case_that_was_not_prepared_is_listed_each_time_and_makes_nothing_again(
    stages: Stages, tmp_path: Path
) -> None:
    translator = translator_of(tmp_path / "translator")
    scoring = score.Scoring(tmp_path / "prepared", "test", None, 1)
    scoring.prepared.mkdir()
    write_cases(scoring.prepared, **{"sub-02": "no T2w"})
    stages.untranslated = {"sub-02"}
    for _ in range(2):
        scored = score.score_translator(translator, tmp_path / "c", scoring, "recontrast", {})
        assert scored.failed == {"sub-02": "not enough memory"}
    assert stages.evaluated == 1
