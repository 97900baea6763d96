"""Reading what was prepared."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from recontrast.errors import FormatError, LayoutError
from recontrast.io.nifti import read_volume
from recontrast.preparation.cohort import read_cohort
from recontrast.preparation.normalize import ScaleSettings, fit_scale
from recontrast.preparation.pipeline import PrepareSettings, prepare


@pytest.fixture
def prepared(raw, tmp_path):
    prepare(PrepareSettings(bids=raw(4), out=tmp_path / "out", align=False, workers=1, scale=ScaleSettings(high=99.0)))
    return tmp_path / "out"


def test_cases_splits_scales_and_regions(prepared):
    cohort = read_cohort(prepared)
    assert cohort.folder == prepared
    assert cohort.scale_settings == ScaleSettings(high=99.0)
    assert cohort.contrasts == ("T1w", "T2w")
    assert [case.key for case in cohort.cases] == ["sub-01", "sub-02", "sub-03", "sub-04"]
    assert sum(len(cohort.split(name)) for name in ("train", "validation", "test")) == 4
    case = cohort.cases[0]
    image = read_volume(case.images["T2w"])
    assert fit_scale(image, cohort.scale_settings) == case.scales["T2w"]
    assert set(np.unique(read_volume(case.regions["head"], np.uint8).data)) == {0, 1}


def test_unknown_split(prepared):
    with pytest.raises(LayoutError, match="no split is called 'dev'"):
        read_cohort(prepared).split("dev")


def damage(folder, what):
    if what == "two splits":
        with (folder / "splits.tsv").open("a") as table:
            table.write("sub-01\ttrain\nsub-01\ttest\n")
    elif what == "no row":
        (folder / "splits.tsv").write_text("subject\tsplit\n01\ttrain\n")
    elif what == "unfinished":
        (folder / "cases.tsv").unlink()
    elif what == "files gone":
        (folder / "sub-02" / "anat" / "sub-02_desc-head_mask.nii.gz").unlink()
    elif what == "no scale":
        (folder / "sub-02" / "anat" / "sub-02_desc-prepared_T1w.json").write_text("{}")
    elif what == "other stage":
        (folder / "provenance.json").write_text(json.dumps({"stage": "train", "settings": {}}))
    elif what == "broken json":
        (folder / "provenance.json").write_text("{")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "error", "words"),
    [
        ("two splits", LayoutError, "sub-01 is in two splits"),
        ("no row", LayoutError, "sub-02 has no row"),
        ("unfinished", LayoutError, "not finished"),
        ("files gone", LayoutError, "sub-02 is listed as prepared but its files are gone"),
        ("no scale", LayoutError, r"sub-02_desc-prepared_T1w.*has no Scale"),
        ("other stage", LayoutError, "made by `recontrast train`"),
        ("broken json", FormatError, "not valid JSON"),
    ],
)
def test_damaged_folders(prepared, what, error, words):
    damage(prepared, what)
    with pytest.raises(error, match=words):
        read_cohort(prepared)


def test_not_a_prepared_folder(tmp_path):
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(LayoutError, match="not a prepared folder"):
            read_cohort(folder)


def test_reading_needs_neither_torch_nor_simpleitk():
    code = "import sys, recontrast.preparation.cohort; sys.exit(bool({'torch', 'SimpleITK'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
