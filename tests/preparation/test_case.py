"""One case: what is written, and when it is made again."""

from __future__ import annotations

import numpy as np
import pytest
from tests.preparation.conftest import write_raw

from recontrast.io.bids import Case, by_case, find_images, read_sidecar, write_sidecar
from recontrast.io.nifti import read_header, read_volume, write_volume
from recontrast.preparation.case import LEDGER, CaseRequest, prepare_case
from recontrast.preparation.normalize import ScaleSettings


@pytest.fixture
def request_of(raw, tmp_path):
    root = raw(1)

    def make(**changes):
        images = tuple(by_case(find_images(root))[Case("01")])
        plain = {
            "case": Case("01"), "images": images, "bids": root, "out": tmp_path / "out", "recipe": "native",
            "contrasts": ("T1w", "T2w"), "grid": "T1w", "space": "", "prefer": (), "align": False,
            "scale": ScaleSettings(), "regions": None, "seed": 0,
        }  # fmt: skip
        return CaseRequest(**{**plain, **changes})

    return make


def test_files_and_sidecars(request_of, head, tmp_path):
    report = prepare_case(request_of())
    folder = tmp_path / "out" / "sub-01" / "anat"
    assert sorted(p.name for p in folder.iterdir()) == [
        "sub-01_desc-head_mask.nii.gz",
        "sub-01_desc-prepared_T1w.json",
        "sub-01_desc-prepared_T1w.nii.gz",
        "sub-01_desc-prepared_T2w.json",
        "sub-01_desc-prepared_T2w.nii.gz",
    ]
    image = read_volume(folder / "sub-01_desc-prepared_T2w.nii.gz")
    np.testing.assert_array_equal(image.data, head("T2w", seed=1).data)  # raw was LPS: only turned
    assert read_header(folder / "sub-01_desc-prepared_T2w.nii.gz").dtype == np.float32
    sidecar = read_sidecar(folder / "sub-01_desc-prepared_T2w.nii.gz")
    assert sidecar["Sources"] == ["sub-01/anat/sub-01_T2w.nii.gz"]
    assert sidecar["Contrast"] == "T2w"
    assert sidecar["Transform"] == np.eye(4).tolist()
    assert sidecar["SkullStripped"] is False
    assert sidecar["Scale"]["name"] == "percentile"
    assert set(report.inputs) == {"sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_T2w.nii.gz"}
    assert not report.kept


def test_a_prepared_name_says_which_acquisition_it_is(request_of, head, tmp_path):
    anat = tmp_path / "raw" / "sub-01" / "anat"
    for echo in ("1", "2"):
        write_raw(
            tmp_path / "raw", Case("01"), "MESE", head("T2w", seed=int(echo)), run="3", echo=echo, space="scanner"
        )
    (anat / "sub-01_T2w.nii.gz").unlink()
    images = tuple(by_case(find_images(tmp_path / "raw"))[Case("01")])
    chosen = {"contrasts": ("T1w", "MESE"), "images": images, "space": "scanner"}
    report = prepare_case(request_of(**chosen, prefer=("echo-2",)))
    made = tmp_path / "out" / "sub-01" / "anat" / "sub-01_run-3_echo-2_desc-prepared_MESE.nii.gz"
    np.testing.assert_array_equal(read_volume(made).data, head("T2w", seed=2).data)
    assert any("echo-2" in name for name in report.inputs)
    prepare_case(request_of(**chosen, prefer=("echo-1",)))
    assert not made.exists()  # the image of the other echo does not stay beside it


def test_finished_work_is_kept_until_input_or_settings_change(request_of, raw, head, tmp_path):
    prepare_case(request_of())
    assert prepare_case(request_of()).kept
    assert not prepare_case(request_of(scale=ScaleSettings(high=99))).kept
    write_raw(tmp_path / "raw", Case("01"), "T2w", head("T2w", seed=9))
    again = prepare_case(request_of(scale=ScaleSettings(high=99)))
    assert not again.kept
    assert prepare_case(request_of(scale=ScaleSettings(high=99))).quality == again.quality


def test_how_an_image_was_acquired_is_kept(request_of, tmp_path):
    prepare_case(request_of())
    raw = tmp_path / "raw/sub-01/anat/sub-01_T1w.nii.gz"
    made = tmp_path / "out/sub-01/anat/sub-01_desc-prepared_T1w.nii.gz"
    assert "InversionTime" not in read_sidecar(made)
    write_sidecar(raw, {"InversionTime": 0.9, "FlipAngle": 0, "Manufacturer": "x"})
    assert not prepare_case(request_of()).kept
    assert prepare_case(request_of()).kept
    sidecar = read_sidecar(made)
    assert sidecar["InversionTime"] == 0.9
    assert not {"FlipAngle", "Manufacturer"} & set(sidecar)
    write_sidecar(raw, {"InversionTime": 0.9, "ScanningSequence": ["GR", "IR"], "Units": "ms"})
    assert not prepare_case(request_of()).kept
    assert read_sidecar(made)["ScanningSequence"] == ["GR", "IR"]
    assert read_sidecar(made)["Units"] == "ms"
    assert prepare_case(request_of()).kept


def test_a_lost_file_or_a_damaged_ledger_is_made_again(request_of, tmp_path):
    prepare_case(request_of())
    (tmp_path / "out" / "sub-01" / "anat" / "sub-01_desc-head_mask.nii.gz").unlink()
    assert not prepare_case(request_of()).kept
    (tmp_path / "out" / LEDGER / "sub-01.json").write_text("{")
    assert not prepare_case(request_of()).kept


def test_regions_that_are_gone_leave_with_the_outdated_result(request_of, head, tmp_path):
    lesion = tmp_path / "raw" / "sub-01" / "anat" / "sub-01_desc-lesion_mask.nii.gz"
    write_volume(lesion, head().with_data((head().data > 700).astype(np.uint8)), np.uint8)
    prepare_case(request_of())
    made = tmp_path / "out" / "sub-01" / "anat" / "sub-01_desc-lesion_mask.nii.gz"
    assert read_volume(made, np.uint8).data.any()
    lesion.unlink()
    prepare_case(request_of())
    assert not made.exists()


@pytest.mark.parametrize("known", [True, False])
def test_a_stripped_brain_is_said_to_be_stripped(request_of, head, tmp_path, known):
    for contrast in ("T1w", "T2w"):
        volume = head(contrast, seed=1)
        brain = head("T1w", seed=1).data > 450
        write_raw(tmp_path / "raw", Case("01"), contrast, volume.with_data(np.where(brain, volume.data, 0)))
    if known:
        mask = tmp_path / "raw" / "sub-01" / "anat" / "sub-01_brainmask.nii.gz"
        write_volume(mask, volume.with_data(brain.astype(np.uint8)), np.uint8)
    prepare_case(request_of())
    made = tmp_path / "out" / "sub-01" / "anat" / "sub-01_desc-prepared_T1w.nii.gz"
    assert read_sidecar(made)["SkullStripped"] is True


def test_a_whole_head_with_a_brain_mask_is_not_stripped(request_of, head, tmp_path):
    mask = tmp_path / "raw" / "sub-01" / "anat" / "sub-01_desc-brain_mask.nii.gz"
    write_volume(mask, head().with_data((head(seed=1).data > 450).astype(np.uint8)), np.uint8)
    prepare_case(request_of())
    made = tmp_path / "out" / "sub-01" / "anat" / "sub-01_desc-prepared_T1w.nii.gz"
    assert read_sidecar(made)["SkullStripped"] is False
