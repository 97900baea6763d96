"""The files of one subject."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.phantom.conftest import SETTINGS

from recontrast.io.bids import Case, read_sidecar
from recontrast.io.nifti import read_volume
from recontrast.io.tables import read_table
from recontrast.phantom.cohort import SimulateSettings, simulate
from recontrast.phantom.subject import finished, record_path
from recontrast.volume import same_grid


def truth_folder(cohort, subject):
    return cohort / "derivatives" / "truth" / f"sub-{subject}" / "anat"


@pytest.mark.slow
def test_images_are_twelve_bit_integers_with_sequence_parameters(small_cohort):
    path = small_cohort / "sub-01" / "anat" / "sub-01_FLAIR.nii.gz"
    volume = read_volume(path, np.int16)
    assert volume.orientation == "RAS"
    assert volume.data.min() >= 0
    assert 1000 < volume.data.max() <= 4095
    sidecar = read_sidecar(path)
    assert sidecar["InversionTime"] == 2.472
    assert sidecar["MagneticFieldStrength"] == 3.0
    assert sidecar["MRAcquisitionType"] == "2D"


def test_truth_lies_on_the_grid_of_the_scans(small_cohort):
    folder = truth_folder(small_cohort, "01")
    scan = read_volume(small_cohort / "sub-01" / "anat" / "sub-01_T1w.nii.gz")
    for name in ("desc-brain_mask", "desc-lesion_mask", "desc-tissue_dseg", "T1map", "label-GM_probseg"):
        assert same_grid(scan, read_volume(folder / f"sub-01_{name}.nii.gz"))
    brain = read_volume(folder / "sub-01_desc-brain_mask.nii.gz", np.uint8).data > 0
    litres = brain.sum() * 6**3 / 1e6
    assert 1.0 < litres < 1.8


def test_labels_have_names(small_cohort):
    folder = truth_folder(small_cohort, "01")
    table = read_table(folder / "sub-01_desc-tissue_dseg.tsv")
    names = dict(zip(table["index"], table["name"], strict=True))
    present = np.unique(read_volume(folder / "sub-01_desc-tissue_dseg.nii.gz", np.uint8).data)
    assert {"GM", "WM", "CSF", "deepGM"} <= set(names.values())
    assert set(present) - {0} <= set(names)


def test_fractions_add_up_to_one_inside_the_brain(small_cohort):
    folder = truth_folder(small_cohort, "01")
    total = sum(read_volume(path).data for path in folder.glob("*_probseg.nii.gz"))
    brain = read_volume(folder / "sub-01_label-WM_probseg.nii.gz").data > 0.5
    np.testing.assert_allclose(total[brain], 1, atol=0.03)


def test_lesions_show_where_their_mask_says(small_cohort):
    table = read_table(small_cohort / "participants.tsv")
    assert sorted(table["pathology"]) == ["infarct", "ms", "none", "tumour"]
    for case, kind in zip(table["participant_id"], table["pathology"], strict=True):
        subject = case.removeprefix("sub-")
        mask = read_volume(truth_folder(small_cohort, subject) / f"{case}_desc-lesion_mask.nii.gz", np.uint8).data
        assert (mask.sum() > 0) == (kind != "none")
        if kind == "tumour":
            flair = read_volume(small_cohort / case / "anat" / f"{case}_FLAIR.nii.gz").data
            white = read_volume(truth_folder(small_cohort, subject) / f"{case}_label-WM_probseg.nii.gz").data > 0.9
            assert np.median(flair[mask > 0]) > 1.2 * np.median(flair[white])


def test_record_keeps_motion_shape_and_tissues(small_cohort):
    record = json.loads(record_path(small_cohort, Case("02")).read_text())
    np.testing.assert_array_equal(record["Motion"]["T1w"]["ReferenceToScan"], np.eye(4))
    matrix = np.array(record["Motion"]["FLAIR"]["ReferenceToScan"])
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-9)
    assert not np.allclose(matrix, np.eye(4))
    assert record["Tissues"]["WM"]["t1_s"] == pytest.approx(0.84, rel=0.2)
    assert record["Shape"]["sulci"] > 0


def test_a_subject_is_finished_only_with_all_its_files(tmp_path):
    settings = SimulateSettings(out=tmp_path, subjects=1, spacing_mm=8.0, contrasts=("T1w",), workers=1)
    assert not finished(tmp_path, Case("01"))
    simulate(settings)
    assert finished(tmp_path, Case("01"))
    (tmp_path / "sub-01" / "anat" / "sub-01_T1w.nii.gz").unlink()
    assert not finished(tmp_path, Case("01"))
    record_path(tmp_path, Case("01")).write_text("{")
    assert not finished(tmp_path, Case("01"))


def test_complex_scans_come_as_magnitude_and_phase_with_one_gain(tmp_path):
    settings = SimulateSettings(
        out=tmp_path, subjects=1, spacing_mm=8.0, contrasts=("MESE", "ce-gadolinium_T1w"), workers=1, snr=0.0,
        pathology="none", gain=0.5, bias=0.0,
    )  # fmt: skip
    simulate(settings)
    folder = tmp_path / "sub-01" / "anat"
    assert len(list(folder.glob("*part-mag_MESE.nii.gz"))) == 8
    phase = read_volume(folder / "sub-01_acq-delay146echo1phase_echo-1_part-phase_MESE.nii.gz").data
    assert np.abs(phase).max() <= np.pi + 1e-6
    seventh, eighth = (
        read_volume(folder / f"sub-01_acq-delay3879echo{e}_echo-{e}_part-mag_MESE.nii.gz").data for e in (1, 2)
    )
    white = read_volume(tmp_path / "derivatives/truth/sub-01/anat/sub-01_label-WM_probseg.nii.gz").data > 0.95
    assert np.median(eighth[white] / seventh[white]) == pytest.approx(0.4, abs=0.08)
    # A calibrated receiver: the signal of 1 is stored as half of full scale.
    assert np.median(seventh[white]) == pytest.approx(0.5 * 4095 * 0.7 * np.exp(-16.9 / 74), rel=0.08)
    assert read_sidecar(folder / "sub-01_ce-gadolinium_T1w.nii.gz")["ContrastBolusIngredient"] == "GADOLINIUM"


@pytest.mark.slow
def test_fat_is_bright_in_flair_without_fat_saturation(small_cohort, tmp_path):
    simulate(SimulateSettings(out=tmp_path / "bids", **{**SETTINGS, "subjects": 1, "fat_saturation": False}))
    paths = [folder / "sub-01" / "anat" / "sub-01_FLAIR.nii.gz" for folder in (small_cohort, tmp_path / "bids")]
    with_, without = (read_volume(path).data for path in paths)
    truth = truth_folder(small_cohort, "01")
    fat, white = (read_volume(truth / f"sub-01_label-{name}_probseg.nii.gz").data > 0.8 for name in ("fat", "WM"))
    # Each scan has its own gain, so fat is measured by white matter.
    assert without[fat].mean() / without[white].mean() > 3 * with_[fat].mean() / with_[white].mean()
    assert [read_sidecar(path).get("ScanOptions") for path in paths] == ["FS", None]
