"""A study makes its prepared folder when it is not there, and says what it needs when it cannot."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from recontrast.errors import LayoutError
from recontrast.execution.workers import Summary
from recontrast.study import cohort
from recontrast.study.settings import DataSource, Direction


def test_a_prepared_folder_is_read(make_prepared, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    found = cohort.make_cohort(DataSource(), make_prepared(), tmp_path / "out", None, 1)
    assert len(found.cases) == 4


def test_what_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="--bids"):
        cohort.make_cohort(DataSource(), tmp_path / "none", tmp_path, None, 1)
    simulated = DataSource(simulate={"contrasts": ("T1w",)})
    with pytest.raises(LayoutError, match="--data"):
        cohort.make_cohort(simulated, tmp_path / "none", tmp_path, tmp_path, 1)


def test_it_is_simulated_and_prepared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[Any] = []
    for name in ("simulate", "prepare", "read_cohort"):
        monkeypatch.setattr(cohort, name, calls.append)
    data = DataSource(simulate={"contrasts": ["T1w"], "subjects": 3}, prepare={"test": ["03"]})
    cohort.make_cohort(data, tmp_path / "prepared", tmp_path / "out", None, 1)
    simulated, prepared, read = calls
    assert (simulated.out, simulated.subjects, simulated.workers) == (tmp_path / "out" / "cohort", 3, 1)
    assert (prepared.bids, prepared.out, prepared.test) == (tmp_path / "out" / "cohort", tmp_path / "prepared", ("03",))
    assert read == tmp_path / "prepared"


def test_true_grades_of_a_simulated_warehouse_are_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[Any] = []

    def simulate(settings: Any) -> None:
        path = settings.out / "derivatives" / "truth" / cohort.GRADES
        path.parent.mkdir(parents=True)
        path.write_text("case\tcontrast\n")

    monkeypatch.setattr(cohort, "simulate", simulate)
    monkeypatch.setattr(cohort, "prepare", calls.append)
    monkeypatch.setattr(cohort, "read_cohort", calls.append)
    cohort.make_cohort(DataSource(simulate={"contrasts": ["T1w"]}), tmp_path / "p", tmp_path / "out", None, 1)
    assert calls[0].grades == tmp_path / "out" / "cohort" / "derivatives" / "truth" / cohort.GRADES


def test_cases_of_a_direction_have_its_sources_and_its_target(make_prepared) -> None:  # type: ignore[no-untyped-def]
    cases = cohort.read_cohort(make_prepared(absent=(("01", "T2w"), ("02", "FLAIR"), ("03", "T1w")))).cases
    direction = Direction(source=("T1w", "FLAIR"), target="T2w")
    assert [case.key for case in cohort.complete_cases(cases, direction)] == ["sub-04"]
    assert cohort.incomplete_cases(cases, direction) == {"sub-01", "sub-02", "sub-03"}


def test_a_prepared_folder_is_known_by_what_is_in_it(make_prepared, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = make_prepared()
    (folder / "quality.tsv").write_text("case\tcontrast\timage_hash\nsub-01\tT1w\taa\n")
    former = cohort.prepared_id(folder)
    there = tmp_path / "elsewhere"
    shutil.copytree(folder, there)
    made = {"stage": "prepare", "created": "later", "settings": {"scale": {}, "bids": "raw", "workers": 8}}
    (there / "provenance.json").write_text(json.dumps(made))
    assert cohort.prepared_id(there) == former
    for name, text in (
        ("quality.tsv", "case\tcontrast\timage_hash\nsub-01\tT1w\tbb\n"),
        ("splits.tsv", "subject\tsplit\n01\ttest\n"),
        ("provenance.json", json.dumps({"stage": "prepare", "settings": {"scale": {}, "recipe": "brats"}})),
        ("provenance.json", json.dumps({**made, "inputs": {"sub-01_T1w.nii": "another file"}})),
    ):
        before = (there / name).read_text()
        (there / name).write_text(text)
        assert cohort.prepared_id(there) != former
        (there / name).write_text(before)


def test_a_subject_is_low_when_one_of_its_sessions_is(tmp_path: Path) -> None:
    rows = ["01_ses-1\tT1w\tlow", "01_ses-2\tT1w\tgood", "02\tT1w\tmedium", "02\tT2w\tlow"]
    (tmp_path / "quality.tsv").write_text("case\tcontrast\ttier\n" + "".join(f"sub-{row}\n" for row in rows))
    assert cohort.source_tiers(tmp_path, "T1w") == {"sub-01": "low", "sub-02": "good"}
    assert cohort.source_tiers(tmp_path / "none", "T1w") == {}


def test_maps_are_fitted_between(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[str] = []
    for name in ("simulate", "prepare", "read_cohort"):
        monkeypatch.setattr(cohort, name, lambda _, name=name: calls.append(name))
    monkeypatch.setattr(
        cohort, "add_synthetic", lambda raw, workers: calls.append(raw.name) or Summary([], {"sub-01": "no"})
    )
    data = DataSource(simulate={"contrasts": ["MESE"]}, synthetic_mri=True)
    cohort.make_cohort(data, tmp_path / "prepared", tmp_path / "out", None, 1)
    assert calls == ["simulate", "cohort", "prepare", "read_cohort"]
