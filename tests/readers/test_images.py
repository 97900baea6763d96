"""Finding the images of a study: patterns, BIDS places, tables; what is missing is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from recontrast.errors import ConfigError, LayoutError
from recontrast.readers.images import find_study_images
from recontrast.readers.study import Study, study_from

QUESTION = {"name": "q", "text": "?", "choices": ["no", "yes"]}


def study(files: tuple[str, ...], **more: object) -> Study:
    arms = [{"name": f"arm{i}", "files": pattern} for i, pattern in enumerate(files)]
    return study_from({"title": "t", "readers": ["A"], "arms": arms, "questions": [QUESTION], **more}, "test")


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_bids_places_give_cases_with_sessions(tmp_path: Path) -> None:
    for label in ("01", "02"):
        touch(tmp_path, f"raw/sub-{label}/ses-1/anat/sub-{label}_ses-1_FLAIR.nii.gz", f"syn/sub-{label}_ses-1_x.nii.gz")
    touch(tmp_path, "raw/sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz")
    found = find_study_images(
        study(("raw/sub-{subject}/ses-{session}/anat/*_FLAIR.nii.gz", "syn/{case}_*.nii.gz")), tmp_path
    )
    assert list(found) == ["sub-01_ses-1", "sub-02_ses-1"]
    assert found["sub-02_ses-1"]["arm1"].name == "sub-02_ses-1_x.nii.gz"


def test_a_table_names_files_beside_itself(tmp_path: Path) -> None:
    touch(tmp_path, "e/a.nii", "e/b.nii")
    (tmp_path / "e" / "cases.tsv").write_text("case\tarm0\tarm1\nsub-1\ta.nii\tb.nii\n")
    found = find_study_images(study(("", ""), table="e/cases.tsv"), tmp_path)
    assert found == {"sub-1": {"arm0": tmp_path / "e" / "a.nii", "arm1": tmp_path / "e" / "b.nii"}}


def test_missing_and_ambiguous_images_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "a_1.nii", "b_1.nii", "b_2.nii", "a_2.nii")
    with pytest.raises(LayoutError, match="case a, arm 'arm1': no file"):
        find_study_images(study(("{case}_1.nii", "{case}_3.nii")), tmp_path)
    with pytest.raises(LayoutError, match="2 files"):
        find_study_images(study(("{case}_*.nii",), cases=["a"]), tmp_path)
    with pytest.raises(LayoutError, match="case c, arm 'arm0': no file"):
        find_study_images(study(("{case}_1.nii",), training=["c"], cases=["a"]), tmp_path)
    with pytest.raises(ConfigError, match="every case"):
        find_study_images(study(("{case}_1.nii",), training=["a", "b"]), tmp_path)
    with pytest.raises(ConfigError, match="or a table"):
        find_study_images(study(("x.nii",)), tmp_path)
