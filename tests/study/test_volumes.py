"""Volumes as metrics of a study."""

from __future__ import annotations

from pathlib import Path

import pytest

from recontrast.errors import UnknownNameError
from recontrast.evaluation.volume_tables import FidelityResult, volumes_table
from recontrast.evaluation.volumetry import StructureComparison
from recontrast.io.bids import Case
from recontrast.io.tables import write_table
from recontrast.study.volumes import heads_of_subjects, is_volume, title, volume_values


def test_sessions_are_averaged_and_undefined_values_left_out(tmp_path: Path) -> None:
    rows = [
        "sub-01_ses-1\tsub-01\t1\ttissue\tGM\t2.0", "sub-01_ses-2\tsub-01\t2\ttissue\tGM\t4.0",
        "sub-02\tsub-02\t\ttissue\tGM\tn/a", "sub-01_ses-1\tsub-01\t1\tsynthseg\tGM\t90.0",
    ]  # fmt: skip
    header = "case\tsubject\tsession\tsegmenter\tstructure\tavd\n"
    (tmp_path / "volumes.tsv").write_text(header + "\n".join(rows) + "\n")
    assert volume_values(tmp_path, "volumes.avd", "GM").to_dict() == {"sub-01": 3.0}


def test_nothing_was_segmented(tmp_path: Path) -> None:
    assert volume_values(tmp_path, "volumes.avd", "GM").empty
    assert heads_of_subjects(tmp_path, "GM").empty


def test_heads_of_subjects_are_relative_to_the_mean_of_the_evaluation(tmp_path: Path) -> None:
    results = [
        FidelityResult(Case(subject), "tissue", "1", [
            StructureComparison(tissue, head / 3, head / 3, 0.9, 1.0, 0.5) for tissue in ("GM", "WM", "CSF")
        ])
        for subject, head in (("01", 1200.0), ("02", 1600.0))
    ]  # fmt: skip
    write_table(tmp_path / "volumes.tsv", volumes_table(results, "", {"sub-03, tissue": "no brain mask"}))
    assert heads_of_subjects(tmp_path, "GM").to_dict() == pytest.approx({"sub-01": 1200 / 1400, "sub-02": 1600 / 1400})


def test_the_head_of_a_subject_counts_once_however_often_it_was_scanned(tmp_path: Path) -> None:
    results = [
        FidelityResult(case, "tissue", "1", [
            StructureComparison(tissue, head / 3, head / 3, 0.9, 1.0, 0.5) for tissue in ("GM", "WM", "CSF")
        ])
        for case, head in ((Case("01", "1"), 2000.0), (Case("01", "2"), 2000.0), (Case("02"), 1200.0))
    ]  # fmt: skip
    write_table(tmp_path / "volumes.tsv", volumes_table(results, "", {}))
    mean = (2000 + 2000 + 1200) / 3
    heads = heads_of_subjects(tmp_path, "GM")
    assert heads.to_dict() == pytest.approx({"sub-01": 2000 / mean, "sub-02": 1200 / mean})
    assert mean * heads.mean() == pytest.approx(1600)  # as in an evaluation without the second session


def test_names() -> None:
    assert not is_volume("psnr")
    assert title("volumes.vd") == "VD (cm³)"
    assert title("volumes.asd_mm") == "ASD (mm) ↓"
    with pytest.raises(UnknownNameError, match="avd"):
        is_volume("volumes.avdd")
