"""The sheet shows every candidate by a code that does not tell which it is."""

from __future__ import annotations

import shutil

import pytest

from recontrast.io.bids import write_sidecar
from recontrast.io.tables import read_table
from recontrast.preparation.cohort import read_cohort
from recontrast.preparation.normalize import Scale
from recontrast.study.plan import candidates_of, plan_jobs
from recontrast.study.settings import read_study
from recontrast.study.sheet import codes_of, write_sheet


@pytest.mark.slow
def test_sheet_and_key(make_study, make_prepared, tmp_path) -> None:  # type: ignore[no-untyped-def]
    study = read_study(make_study(), "cpu")
    group = candidates_of(plan_jobs(study, study.source(""), "cpu"))
    cohort = read_cohort(make_prepared())
    cases = cohort.split("validation")
    out = tmp_path / "out"
    scale = {"Scale": Scale("percentile", 0.0, 2e3).to_dict()}
    assert write_sheet(group, cases, out, 8) is None
    for candidate in group:
        folder = out / "selection" / "T1w-T2w" / candidate.name / "synthetic" / cases[0].case.folder / "anat"
        folder.mkdir(parents=True)
        shutil.copy(cases[0].images["T2w"], folder / f"{cases[0].key}_desc-synthetic_T2w.nii.gz")
        write_sidecar(folder / f"{cases[0].key}_desc-synthetic_T2w.nii.gz", scale)
    path = write_sheet(group, cases, out, 8)
    assert path is not None
    page = path.read_text(encoding="utf-8")
    key = read_table(path.with_name("T1w-T2w_osman2022_key.tsv"))
    assert sorted(key["code"]) == ["C1", "C2", "C3", "C4"]
    assert sorted(key["candidate"]) == sorted(candidate.name for candidate in group)
    assert "data:image/png" in page
    assert not any(candidate.name in page for candidate in group)
    assert codes_of(group) == codes_of(group)


def test_cases_without_source_or_target_are_not_shown(make_study, make_prepared, tmp_path) -> None:  # type: ignore[no-untyped-def]
    study = read_study(make_study(), "cpu")
    group = candidates_of(plan_jobs(study, study.source(""), "cpu"))
    splits = {"01": "train", "02": "validation", "03": "validation", "04": "validation"}
    cases = read_cohort(make_prepared(splits, absent=(("02", "T2w"), ("03", "T1w")))).split("validation")
    out = tmp_path / "out"
    for candidate in group:
        folder = out / "selection" / "T1w-T2w" / candidate.name / "synthetic" / cases[2].case.folder / "anat"
        folder.mkdir(parents=True)
        path = folder / f"{cases[2].key}_desc-synthetic_T2w.nii.gz"
        shutil.copy(cases[2].images["T2w"], path)
        write_sidecar(path, {"Scale": Scale("percentile", 0.0, 2e3).to_dict()})
    assert write_sheet(group, cases, out, 4) is not None
    assert write_sheet(group, cases[:2], out, 4) is None
