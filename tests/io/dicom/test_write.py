from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from recontrast.errors import GeometryError, IntensityError
from recontrast.io.dicom.find import find_series
from recontrast.io.dicom.pixels import read_stack
from recontrast.io.dicom.stacks import Stack
from recontrast.io.dicom.write import Derivation, new_uid, quantise, write_series
from recontrast.io.nifti import read_volume
from recontrast.volume import Volume


def derivation(source: Stack, **changes: Any) -> Derivation:
    plain: dict[str, Any] = {
        "description": "T2w from t1_mprage_tra",
        "statement": "Synthetic image. Not for diagnosis.",
        "method": "Computed by a neural network (preset test, weights abc)",
        "version": "0.1.0",
        "window": (450.0, 900.0),
        "identity": "weights abc",
        "sources": (source,),
        "time": datetime(2026, 11, 20, 12, 0, 0),
    }
    return Derivation(**{**plain, **changes})


@pytest.fixture
def source(make_series: Callable[..., Path]) -> Stack:
    return find_series(make_series()).series[0].stacks[0]


@pytest.fixture
def written(source: Stack, tmp_path: Path) -> tuple[Volume, list[Path]]:
    volume = Volume(read_stack(source).data.astype(np.float32) * 1.37 + 0.123, source.grid.affine)  # type: ignore[union-attr]
    return volume, write_series(tmp_path / "out" / "T2w", volume, source, derivation(source))


def test_values_come_back_within_half_a_step_on_the_same_grid(written: tuple[Volume, list[Path]]) -> None:
    volume, files = written
    stack = find_series(files[0].parent).series[0].stacks[0]
    back = read_stack(stack)
    slope = stack.frames[0].slope
    assert slope <= (volume.data.max() - volume.data.min()) / 65535 * 1.0001
    assert np.abs(back.data.astype(np.float64) - volume.data).max() <= slope / 2 + 1e-4  # float32 of 1000
    np.testing.assert_array_equal(back.affine, volume.affine)
    assert len(stack.frames) == volume.shape[2]


def test_the_standards_checker_finds_no_error(
    written: tuple[Volume, list[Path]], validate: Callable[[Path], list[str]]
) -> None:
    for path in written[1]:
        assert validate(path) == []


@pytest.mark.parametrize("part", ["BRAIN", "KNEE", "PROSTATE", None])
def test_the_checker_finds_no_error_for_any_body_part_and_a_wrong_age(
    part: str | None, make_series: Callable[..., Path], tmp_path: Path, validate: Callable[[Path], list[str]]
) -> None:
    folder = make_series(BodyPartExamined=part, Laterality="")
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        with pydicom.config.disable_value_validation():
            data.PatientAge = "42"
            data.save_as(path)
    stack = find_series(folder).series[0].stacks[0]
    files = write_series(tmp_path / "out", read_stack(stack), stack, derivation(stack))
    assert validate(files[0]) == []
    assert "PatientAge" not in pydicom.dcmread(files[0])


def test_it_is_a_new_synthetic_series_in_the_same_study(written: tuple[Volume, list[Path]], source: Stack) -> None:
    original = pydicom.dcmread(source.frames[0].path)
    made = [pydicom.dcmread(path) for path in written[1]]
    for name in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate",
                 "AccessionNumber", "FrameOfReferenceUID", "PatientPosition"):  # fmt: skip
        assert {str(data[name].value) for data in made} == {str(original[name].value)}
    first = made[0]
    assert first.SOPClassUID == "1.2.840.10008.5.1.4.1.1.4"
    assert first.Modality == "MR"
    assert first.SeriesInstanceUID != original.SeriesInstanceUID
    assert len({data.SOPInstanceUID for data in made}) == len(made)
    assert len({data.SeriesInstanceUID for data in made}) == 1
    assert {frame.sop_uid for frame in source.frames}.isdisjoint({data.SOPInstanceUID for data in made})
    assert list(first.ImageType) == ["DERIVED", "SECONDARY", "OTHER", "SYNTHETIC"]
    assert first.SeriesDescription == "SYNTHETIC T2w from t1_mprage_tra"
    assert first.SeriesNumber == 90004
    assert first.BurnedInAnnotation == "NO"
    assert (first.WindowCenter, first.WindowWidth) == (450, 900)
    assert first.DerivationDescription.startswith("Computed by a neural network")
    assert first.DerivationCodeSequence[0].CodeMeaning == "Contrast translation"
    purposes = [item.PurposeOfReferenceCodeSequence[0].CodeValue for item in first.ContributingEquipmentSequence]
    assert purposes == ["109101", "109102"]
    assert first.ContributingEquipmentSequence[0].ManufacturerModelName == "Prisma"
    assert first.Manufacturer == "Recontrast"
    assert "FlipAngle" not in first
    assert first.EchoTime is None


def test_other_programs_read_the_same(written: tuple[Volume, list[Path]], tmp_path: Path) -> None:
    volume, files = written
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(path) for path in files])
    image = reader.Execute()
    step = float(pydicom.dcmread(files[0]).RescaleSlope)
    theirs = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    assert np.abs(theirs - volume.data).max() <= step / 2 + 1e-3
    np.testing.assert_allclose(np.array(image.GetOrigin()) * [-1, -1, 1], volume.affine[:3, 3], atol=1e-4)
    np.testing.assert_allclose(image.GetSpacing(), volume.spacing, atol=1e-4)
    program = Path(sys.executable).with_name("dcm2niix")
    if not program.is_file():
        pytest.skip("dcm2niix is not installed (extra `dicom`)")
    command = [program, "-z", "n", "-f", "x", "-o", tmp_path, files[0].parent]
    subprocess.run(command, check=True, capture_output=True)
    converted, expected = read_volume(tmp_path / "x.nii").reoriented("RAS"), volume.reoriented("RAS")
    assert np.abs(converted.data - expected.data).max() <= step / 2 + 1e-3
    np.testing.assert_allclose(converted.affine, expected.affine, atol=1e-4)


def test_each_slice_refers_to_its_source(written: tuple[Volume, list[Path]], source: Stack) -> None:
    for path, frame in zip(written[1], source.frames, strict=True):
        data = pydicom.dcmread(path)
        reference = data.SourceImageSequence[0]
        assert reference.ReferencedSOPInstanceUID == frame.sop_uid
        assert reference.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
        assert [float(v) for v in data.ImagePositionPatient] == list(frame.position or ())


def test_same_content_same_identifiers_and_other_content_others(source: Stack, tmp_path: Path) -> None:
    volume = read_stack(source)
    uids = []
    for n, about in enumerate([derivation(source), derivation(source), derivation(source, identity="weights def")]):
        files = write_series(tmp_path / str(n), volume, source, about)
        uids.append(pydicom.dcmread(files[0]).SeriesInstanceUID)
    assert uids[0] == uids[1] != uids[2]
    changed = volume.with_data(volume.data + 1)
    files = write_series(tmp_path / "changed", changed, source, derivation(source))
    assert pydicom.dcmread(files[0]).SeriesInstanceUID not in uids


@pytest.mark.parametrize(
    "values",
    [
        np.array([0.0, 4095.0]),
        np.array([-3.0, 60000.0]),
        np.array([-1e-7, 3e-7, 2.2e-7]),
        np.array([1e7, 1.5e7, 1.234567e7]),
        np.array([-812.33, 17.1, 0.0]),
        np.array([5.5, 5.5]),
    ],
)
def test_sixteen_bits_hold_any_range(values: np.ndarray) -> None:
    stored, slope, intercept = quantise(values)
    assert max(len(slope), len(intercept)) <= 16
    assert np.abs(stored * float(slope) + float(intercept) - values).max() <= float(slope) / 2 * (1 + 1e-9)


def test_whole_numbers_are_stored_as_they_are() -> None:
    stored, slope, intercept = quantise(np.array([0.0, 7.0, 4095.0]))
    assert (stored.tolist(), slope, intercept) == ([0, 7, 4095], "1", "0")


def test_another_grid_and_wrong_values_are_refused(source: Stack, tmp_path: Path) -> None:
    volume = read_stack(source)
    moved = volume.affine.copy()
    moved[0, 3] += 1
    with pytest.raises(GeometryError, match="another grid"):
        write_series(tmp_path / "out", Volume(volume.data, moved), source, derivation(source))
    bad = volume.data.astype(np.float32)
    bad[0, 0, 0] = np.nan
    with pytest.raises(IntensityError, match="NaN"):
        write_series(tmp_path / "out", volume.with_data(bad), source, derivation(source))
    assert not (tmp_path / "out").exists()


def test_uids_are_valid() -> None:
    uid = pydicom.uid.UID(new_uid("series", "x"))
    assert uid.is_valid
    assert len(uid) <= 64
