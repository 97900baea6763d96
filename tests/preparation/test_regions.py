"""Masks and label maps become regions on the grid of the case."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recontrast.errors import FormatError, LayoutError, RecontrastWarning
from recontrast.io.bids import Case, by_case, find_images
from recontrast.io.nifti import write_volume
from recontrast.preparation.regions import find_regions, read_regions, simulated_motion

CASE = Case("01")


@pytest.fixture
def store(tmp_path, head):
    """Write label images of sub-01; returns the folder's images."""

    def write(*names, root="raw", value=1):
        volume = head()
        labels = volume.with_data((volume.data > 500).astype(np.int16) * value)
        for name in names:
            write_volume(tmp_path / root / "sub-01" / "anat" / name, labels.reoriented("LPS"), np.int16)
        return by_case(find_images(tmp_path / root))[CASE]

    return write


def names(files):
    return sorted(file.name for file in files)


def test_names_of_masks(store, head):
    images = store(
        "sub-01_space-MNI_desc-auto_brainmask.nii.gz",
        "sub-01_space-MNI_desc-lesion_mask.nii.gz",
        "sub-01_space-MNI_label-GM_mask.nii.gz",
        "sub-01_space-X_desc-other_mask.nii.gz",
        "sub-01_space-MNI_T1w.nii.gz",
    )
    files = find_regions(CASE, images, None, ["MNI", "T1w", ""])
    assert names(files) == ["GM", "brain", "lesion"]
    regions = read_regions(files, head(), "sub-01")
    np.testing.assert_array_equal(regions["brain"].data, head().data > 500)
    assert regions["brain"].data.dtype == np.uint8


def test_the_first_space_wins_and_two_files_in_one_space_are_refused(store):
    images = store("sub-01_space-FLAIR_brainmask.nii.gz", "sub-01_brainmask.nii.gz")
    (file,) = find_regions(CASE, images, None, ["FLAIR", ""])
    assert "space-FLAIR" in file.path.name
    images = store("sub-01_desc-brain_mask.nii.gz")
    with pytest.raises(LayoutError, match=r"region 'brain' is in .*sub-01_.*brain"):
        find_regions(CASE, images, None, [""])


def test_a_folder_of_regions_goes_before_masks_beside_the_images(store, tmp_path):
    images = store("sub-01_desc-brain_mask.nii.gz", "sub-01_desc-lesion_mask.nii.gz")
    store("sub-01_desc-brain_mask.nii.gz", "stray.nii.gz", "sub-01_T1map.nii.gz", root="truth")
    files = {file.name: file.path for file in find_regions(CASE, images, tmp_path / "truth", [""])}
    assert set(files) == {"brain", "lesion"}
    assert "truth" in str(files["brain"])


def test_label_maps_with_high_numbers_and_odd_names(store, head, tmp_path):
    images = store("sub-01_desc-tissue_dseg.nii.gz", value=257)
    table = tmp_path / "raw" / "sub-01" / "anat" / "sub-01_desc-tissue_dseg.tsv"
    table.write_text("index\tname\n0\tBackground\n1\tCSF\n2\tn/a\n257\tLeft-White Matter\n")
    regions = read_regions(find_regions(CASE, images, None, [""]), head(), "sub-01")
    assert sorted(regions) == ["CSF", "LeftWhiteMatter"]
    assert not regions["CSF"].data.any()
    np.testing.assert_array_equal(regions["LeftWhiteMatter"].data, head().data > 500)


@pytest.mark.parametrize("index", ["", "n/a", "one", "1.5", "inf"])
def test_a_label_table_whose_index_is_no_whole_number_is_named(store, head, tmp_path, index):
    images = store("sub-01_dseg.nii.gz")
    table = tmp_path / "raw" / "sub-01" / "anat" / "sub-01_dseg.tsv"
    table.write_text(f"index\tname\n1\tCSF\n{index}\tGM\n")
    with pytest.raises(FormatError, match=r"sub-01_dseg\.tsv: row 2 \(GM\): index '.*' must be a whole number"):
        read_regions(find_regions(CASE, images, None, [""]), head(), "sub-01")


def test_a_label_map_without_names_gives_a_warning(store):
    images = store("sub-01_dseg.nii.gz")
    with pytest.warns(RecontrastWarning, match=r"sub-01_dseg\.tsv"):
        assert find_regions(CASE, images, None, [""]) == []


def test_another_grid_is_resampled_and_an_empty_brain_is_told(store, head):
    files = find_regions(CASE, store("sub-01_brainmask.nii.gz"), None, [""])
    grid = head()
    half = type(grid)(grid.data[::2, ::2], grid.affine @ np.diag([2.0, 2, 1, 1]))
    np.testing.assert_array_equal(read_regions(files, half, "sub-01")["brain"].data, half.data > 500)
    away = grid.affine.copy()
    away[:3, 3] += 1000
    with pytest.warns(RecontrastWarning, match="sub-01: region 'brain' is empty"):
        read_regions(files, type(grid)(grid.data, away), "sub-01")


def test_truth_of_a_simulated_head_follows_the_grid_contrast(tmp_path):
    assert np.array_equal(simulated_motion(CASE, None, "T1w"), np.eye(4))
    assert np.array_equal(simulated_motion(CASE, tmp_path, "T1w"), np.eye(4))
    motion = np.eye(4)
    motion[0, 3] = 2.0
    record = tmp_path / "sub-01" / "sub-01_simulation.json"
    record.parent.mkdir()
    record.write_text(json.dumps({"Motion": {"FLAIR": {"ReferenceToScan": motion.tolist()}}}))
    assert simulated_motion(CASE, tmp_path, "FLAIR")[0, 3] == -2.0
    with pytest.raises(FormatError, match="does not say how the head moved for T1w"):
        simulated_motion(CASE, tmp_path, "T1w")
