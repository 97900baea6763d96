"""A study runs from its file to its page, goes on where it stopped, and takes the readers' pick."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from recontrast.errors import ConfigError, GeometryError, LayoutError
from recontrast.io.tables import read_table
from recontrast.study import cohort, command, score, select
from recontrast.study.command import StudySettings, study_paper

pytestmark = pytest.mark.slow

SPLITS = {"01": "train", "02": "validation", "03": "test", "04": "test"}
UNTRANSLATED = ('citation = "Nobody 2026"', 'citation = "Nobody 2026"\nuntranslated = true')
ONE = ('["mse", "l1"]', '["l1"]')


def settings(study: Path, prepared: Path, **other: object) -> StudySettings:
    return StudySettings(study=study, prepared=prepared, out=study.parent / "out", case_workers=1, **other)  # type: ignore[arg-type]


def test_a_study_from_file_to_page(
    make_study,
    make_prepared,
    monkeypatch: pytest.MonkeyPatch,  # type: ignore[no-untyped-def]
) -> None:
    prepared = make_prepared({**SPLITS, "05": "test", "06": "test"}, absent=(("04", "T1w"), ("05", "T2w")))
    path = make_study(ONE, UNTRANSLATED)
    wanted = settings(path, prepared)
    summary = study_paper(wanted)
    # A test subject without scores is said, not left out of the means in silence.
    assert {name.split()[-1] for name in summary.failed} == {"sub-04", "sub-05"}
    assert any("has no T2w" in reason for reason in summary.failed.values())
    (untranslated,) = {v for k, v in summary.failed.items() if k.endswith("sub-04") and "/untranslated" not in k}
    assert "T1w" in untranslated  # why it was not translated, not that its image is missing
    assert "missing" not in untranslated
    assert summary.failed["test T1w-T2w/untranslated sub-05"] == "has no T1w or no target"
    out = wanted.out
    jobs = read_table(out / "jobs.tsv")
    assert jobs["job"].tolist() == ["osman2022_loss-l1"]
    assert jobs["steps"].tolist() == [8]
    candidates = read_table(out / "candidates.tsv")
    assert candidates["fraction"].tolist() == [0.5, 1.0]
    assert candidates["chosen"].sum() == 1
    assert candidates.loc[candidates["rank psnr"] == 1, "chosen"].all()  # nothing adversarial: PSNR chooses
    orderings = read_table(out / "orderings.tsv")
    assert orderings["subjects"].tolist() == [2, 0]
    assert orderings["verdict"].tolist()[1] == "not tested"
    source = read_table(out / "test" / "T1w-T2w" / "untranslated" / "evaluation-recontrast" / "scores.tsv")
    (network,) = [
        folder for folder in (out / "test" / "T1w-T2w").glob("*/evaluation-recontrast") if "untr" not in str(folder)
    ]
    control = read_table(network / "scores.tsv")
    keys = ["case", "region", "metric"]
    same = source.merge(control[control["estimator"] == "identity"], on=keys, suffixes=("", "_control"))
    assert len(same) == len(source) > 0
    pd.testing.assert_series_equal(same["value"], same["value_control"], check_names=False, rtol=1e-6)
    page = (out / "study.html").read_text(encoding="utf-8")
    for said in ("30.0 ± 1.0", "It says nothing of people.", "Learning curves of all runs", "8 steps for every run"):
        assert said in page
    assert list((out / "sheets").glob("*.html"))

    # Again: nothing is trained, and the readers' pick wins.
    key = read_table(out / "sheets" / "T1w-T2w_osman2022_key.tsv")
    former = candidates.loc[candidates["chosen"], "code"].item()
    pick = next(code for code in key["code"] if code != former)
    picks = out / "picks.tsv"
    pd.DataFrame([("T1w-T2w", "osman2022", pick)], columns=["direction", "method", "code"]).to_csv(
        picks, sep="\t", index=False
    )
    logs = {path: path.read_bytes() for path in out.glob("runs/**/log.jsonl")}
    again = study_paper(settings(path, prepared, picks=picks))
    assert any("the readers' pick" in line and "psnr" in line for line in again.done)
    assert {path: path.read_bytes() for path in out.glob("runs/**/log.jsonl")} == logs

    # Once more: what a case lacks it will lack again, so nothing is translated or evaluated anew.
    for name in ("translate", "evaluate"):
        monkeypatch.setattr(score, name, None)
    assert study_paper(settings(path, prepared, picks=picks)).failed == again.failed

    other = make_study(ONE, UNTRANSLATED, ("steps = 8", "steps = 4"), name="other.toml")
    with pytest.raises(ConfigError, match="another 'budget'"):
        study_paper(settings(other, prepared))


@pytest.mark.filterwarnings("ignore:sub-02. has no T2w, it is left out", "ignore:.*no validation subject")
def test_a_method_is_tested_where_no_validation_subject_has_its_target(make_study, make_prepared) -> None:  # type: ignore[no-untyped-def]
    wanted = settings(make_study(ONE), make_prepared(SPLITS, absent=(("02", "T2w"),)))
    summary = study_paper(wanted)
    assert not summary.failed
    assert read_table(wanted.out / "orderings.tsv")["subjects"].tolist() == [2, 0]
    tested = [folder.name for folder in (wanted.out / "test" / "T1w-T2w").iterdir()]
    assert tested == ["osman2022_loss-l1@1"]  # as where there is no validation subject: the end of the first run


def test_a_study_of_candidates_that_cannot_be_scored_has_a_page(
    make_study,
    make_prepared,
    monkeypatch: pytest.MonkeyPatch,  # type: ignore[no-untyped-def]
) -> None:
    def score_translator(*_: object) -> None:
        raise GeometryError("the grids differ")

    for module in (select, command):
        monkeypatch.setattr(module, "score_translator", score_translator)
    wanted = settings(make_study(ONE), make_prepared(SPLITS))
    summary = study_paper(wanted)
    assert summary.failed["selection T1w-T2w/osman2022"] == "no candidate could be scored on the validation subjects"
    assert summary.failed["candidate T1w-T2w/osman2022_loss-l1@0.5"] == "the grids differ"
    assert "the grids differ" in (wanted.out / "study.html").read_text(encoding="utf-8")


def test_edited_data_are_refused_once_they_are_there(
    make_study,
    make_prepared,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,  # type: ignore[no-untyped-def]
) -> None:
    def make_cohort(*_: object) -> None:
        raise LayoutError("stopped here")

    monkeypatch.setattr(cohort, "make_cohort", make_cohort)

    def start(prepared: Path, table: str, **other: object) -> None:
        data = ("[budget]", f"[data.one]\nsimulate = {{ contrasts = ['T1w', 'T2w'] }}\n{table}\n[budget]")
        study_paper(settings(make_study(data), prepared, **other))

    for subject in ("03", "04"):  # there is no subject yet: a mistake may be mended
        with pytest.raises(LayoutError, match="stopped here"):
            start(tmp_path / "none", f"prepare = {{ test = ['{subject}'] }}")
    there = make_prepared()
    with pytest.raises(ConfigError, match=r"other data \('prepare' was .*04.*, is .*05"):
        start(there, "prepare = { test = ['05'] }")
    with pytest.raises(LayoutError, match="stopped here"):
        start(there, "summary = 'in other words'\nprepare = { test = ['04'], workers = 1 }", data="one")
    with pytest.raises(ConfigError, match="other data"):
        start(there, "synthetic_mri = true\nprepare = { test = ['04'] }")
