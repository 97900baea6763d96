"""Which cases are expected and which synthetic image is theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recontrast.errors import ConfigError, LayoutError
from recontrast.evaluation.matching import read_reference, read_synthetic, source_labels
from recontrast.io.bids import Case, write_sidecar
from recontrast.io.nifti import write_volume
from recontrast.io.tables import read_table, write_table
from recontrast.volume import Volume


def put(path: Path) -> Path:
    write_volume(path, Volume(np.random.default_rng(0).random((6, 6, 6)).astype(np.float32), np.eye(4)))
    return path


def test_the_split_of_a_prepared_folder_is_expected(prepared: Path) -> None:
    reference = read_reference(prepared, "T2w", "test")
    assert [item.case.key for item in reference.expected] == ["sub-04", "sub-05", "sub-06"]
    assert [item.case.key for item in reference.training] == ["sub-01", "sub-02"]
    assert set(reference.expected[0].images) == {"T1w", "T2w"}
    assert {region.name for region in reference.expected[0].regions} == {"head", "brain", "lesion"}
    assert reference.scale_settings is not None


def test_cases_that_could_not_be_prepared_are_expected_all_the_same(prepared: Path) -> None:
    table = read_table(prepared / "cases.tsv", ("case", "status", "message"))
    table.loc[table["case"] == "sub-05", ["status", "message"]] = ["failed", "all voxels are zero"]
    write_table(prepared / "cases.tsv", table)
    found = {item.case.key: item.problem for item in read_reference(prepared, "T2w", "test").expected}
    assert found["sub-05"] == "was not prepared: all voxels are zero"
    assert found["sub-04"] == ""


def test_a_case_without_the_target_is_expected_and_says_so(prepared: Path) -> None:
    for path in (prepared / "sub-04" / "anat").glob("*_T2w*"):
        path.unlink()
    assert "has no T2w (it has T1w)" in read_reference(prepared, "T2w", "test").expected[0].problem


def test_the_training_split_gives_no_training_cases_to_controls(prepared: Path) -> None:
    assert read_reference(prepared, "T2w", "train").training == ()


def test_nothing_to_evaluate_is_an_error(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="no split is called"):
        read_reference(prepared, "T2w", "tset")
    put(tmp_path / "flat" / "sub-01_T1w.nii.gz")
    with pytest.raises(LayoutError, match="no case to evaluate has a T2w image"):
        read_reference(tmp_path / "flat", "T2w", "test")
    with pytest.raises(LayoutError, match="no such folder"):
        read_reference(tmp_path / "nowhere", "T2w", "test")


def test_plain_folders_and_bids_data_sets(tmp_path: Path) -> None:
    flat, bids = tmp_path / "flat", tmp_path / "bids"
    for subject in ("01", "02"):
        put(flat / f"sub-{subject}_T2w.nii.gz")
        put(bids / f"sub-{subject}" / "anat" / f"sub-{subject}_T2w.nii.gz")
        put(bids / f"sub-{subject}" / "anat" / f"sub-{subject}_T1w.nii.gz")
    put(bids / "sub-01" / "anat" / "sub-01_desc-brain_mask.nii.gz")
    put(bids / "sub-01" / "anat" / "sub-01_desc-synthetic_T2w.nii.gz")
    assert len(read_reference(flat, "T2w", "").expected) == 2
    reference = read_reference(bids, "T2w", "test")
    assert reference.split == "all"
    assert set(reference.expected[0].images) == {"T1w", "T2w"}
    assert reference.expected[0].regions[0].name == "brain"


def test_several_references_for_one_case_are_told_apart_by_space(tmp_path: Path) -> None:
    for name in ("sub-01_T2w", "sub-01_space-MNI_T2w"):
        put(tmp_path / "bids" / "sub-01" / "anat" / f"{name}.nii.gz")
    assert "--space" in read_reference(tmp_path / "bids", "T2w", "").expected[0].problem
    chosen = read_reference(tmp_path / "bids", "T2w", "", "MNI").expected[0]
    assert chosen.images["T2w"].name == "sub-01_space-MNI_T2w.nii.gz"


def test_synthetic_images_are_found_and_marked_ones_preferred(tmp_path: Path) -> None:
    put(tmp_path / "s" / "sub-01" / "anat" / "sub-01_desc-synthetic_T2w.nii.gz")
    put(tmp_path / "s" / "sub-01" / "anat" / "sub-01_T1w.nii.gz")
    found = read_synthetic(tmp_path / "s")
    assert found.target == "T2w"
    assert list(found.images) == [Case("01")]
    put(tmp_path / "other" / "sub-01_T2w.nii.gz")
    assert read_synthetic(tmp_path / "other").target == "T2w"


def test_an_ambiguous_target_must_be_named(tmp_path: Path) -> None:
    for label in ("T2w", "FLAIR"):
        put(tmp_path / "s" / f"sub-01_desc-synthetic_{label}.nii.gz")
    with pytest.raises(ConfigError, match=r"several contrasts \(FLAIR, T2w\).*--target"):
        read_synthetic(tmp_path / "s")
    assert read_synthetic(tmp_path / "s", "FLAIR").target == "FLAIR"
    with pytest.raises(ConfigError, match="no synthetic T1w"):
        read_synthetic(tmp_path / "s", "T1w")


def test_an_empty_folder_says_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="no image with a BIDS name"):
        read_synthetic(tmp_path)


def test_sources_come_from_the_sidecars(tmp_path: Path) -> None:
    first = put(tmp_path / "s" / "sub-01_desc-synthetic_T2w.nii.gz")
    second = put(tmp_path / "s" / "sub-02_desc-synthetic_T2w.nii.gz")
    assert source_labels(read_synthetic(tmp_path / "s"), ()) == ()
    write_sidecar(first, {"Sources": ["bids:raw:sub-01/anat/sub-01_ce-gadolinium_T1w.nii.gz", "x/sub-01_PDw.nii.gz"]})
    assert source_labels(read_synthetic(tmp_path / "s"), ()) == ("ce-gadolinium_T1w", "PDw")
    write_sidecar(second, {"Sources": ["sub-02_FLAIR.nii.gz"]})
    with pytest.raises(ConfigError, match="different sources"):
        source_labels(read_synthetic(tmp_path / "s"), ())
    assert source_labels(read_synthetic(tmp_path / "s"), ("T1w",)) == ("T1w",)


def test_masks_in_a_flat_folder_become_regions(tmp_path: Path) -> None:
    put(tmp_path / "flat" / "sub-01_T2w.nii.gz")
    put(tmp_path / "flat" / "sub-01_desc-brain_mask.nii.gz")
    reference = read_reference(tmp_path / "flat", "T2w", "test")
    assert [region.name for region in reference.expected[0].regions] == ["brain"]
