from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from recontrast.errors import FormatError, GeometryError
from recontrast.io.dicom.find import find_series
from recontrast.io.dicom.pixels import read_stack, rescaling
from recontrast.io.dicom.stacks import Stack
from recontrast.io.nifti import read_volume
from recontrast.volume import Volume

OBLIQUE = (0.984807753012, 0.173648177667, 0.0, -0.172987393925, 0.981060262190, -0.087155742748)
ENHANCED = "1.2.840.10008.5.1.4.1.1.4.1"


def only(folder: Path) -> Stack:
    ((stack,),) = [series.stacks for series in find_series(folder).series]
    return stack


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 4000, (6, 8, 5)).astype(np.uint16)


def test_values_and_affine_are_the_ones_put_in(make_series: Callable[..., Path], values: np.ndarray) -> None:
    volume = read_stack(only(make_series(values=values)))
    np.testing.assert_array_equal(volume.data, values.transpose(1, 0, 2))
    row, column = np.array(OBLIQUE[:3]), np.array(OBLIQUE[3:])
    expected = np.diag([-1.0, -1, 1]) @ np.column_stack([row * 1.0, column * 1.5, np.cross(row, column) * 3])
    np.testing.assert_allclose(volume.affine[:3, :3], expected, atol=1e-8)
    np.testing.assert_allclose(volume.affine[:3, 3], [-12, 7.5, -30], atol=1e-12)


def test_dcm2niix_makes_the_same_image(make_series: Callable[..., Path], values: np.ndarray, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("dcm2niix")
    if not program.is_file():
        pytest.skip("dcm2niix is not installed (extra `dicom`)")
    folder = make_series(values=values)
    (tmp_path / "out").mkdir()
    command = [program, "-z", "n", "-f", "x", "-o", tmp_path / "out", folder]
    subprocess.run(command, check=True, capture_output=True)
    theirs = read_volume(tmp_path / "out" / "x.nii", np.uint16).reoriented("RAS")
    ours = read_stack(only(folder)).reoriented("RAS")
    np.testing.assert_array_equal(ours.data, theirs.data)
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-4)


def test_each_slice_has_its_own_slope(make_series: Callable[..., Path], values: np.ndarray) -> None:
    folder = make_series(values=values, each=lambda k: {"RescaleSlope": k + 0.5, "RescaleIntercept": -k})
    data = read_stack(only(folder)).data
    assert data.dtype == np.float32
    for k in range(5):
        np.testing.assert_allclose(data[:, :, k], values[:, :, k].T * (k + 0.5) - k, rtol=1e-6)


PHILIPS = "Philips MR Imaging DD 001"


@pytest.mark.parametrize(
    ("syntax", "vr", "creator"),
    [("ExplicitVRLittleEndian", "FL", PHILIPS), ("ImplicitVRLittleEndian", "FL", PHILIPS),
     ("ExplicitVRLittleEndian", "UN", PHILIPS), ("ExplicitVRLittleEndian", "UN", None),
     ("ImplicitVRLittleEndian", "FL", None)],
)  # fmt: skip
def test_the_private_scale_of_philips_is_applied(
    syntax: str, vr: str, creator: str | None, make_series: Callable[..., Path], values: np.ndarray
) -> None:
    folder = make_series(values=values, Manufacturer="Philips", RescaleSlope=2, RescaleIntercept=-10)
    with_private_scale(folder, syntax, vr, creator)
    stack = only(folder)
    assert rescaling(stack.frames[0]) == (4.0, -20.0)  # (2 s - 10) / (2 x 0.25)
    np.testing.assert_allclose(read_stack(stack).data, values.transpose(1, 0, 2) * 4.0 - 20, rtol=1e-6)
    np.testing.assert_allclose(read_stack(stack, "display").data, values.transpose(1, 0, 2) * 2.0 - 10, rtol=1e-6)
    np.testing.assert_array_equal(read_stack(stack, "stored").data, values.transpose(1, 0, 2))


@pytest.mark.parametrize("syntax", ["ExplicitVRLittleEndian", "ImplicitVRLittleEndian"])
def test_what_others_keep_at_the_place_of_the_private_scale_is_no_scale(
    syntax: str, make_series: Callable[..., Path], values: np.ndarray
) -> None:
    folder = make_series(values=values, Manufacturer="Philips", RescaleSlope=2, RescaleIntercept=-10)
    with_private_scale(folder, syntax, "FL", "Philips MR Imaging DD 005")
    assert rescaling(only(folder).frames[0]) == (2.0, -10.0)


def with_private_scale(folder: Path, syntax: str, vr: str, creator: str | None) -> None:
    """Put the scale slope 0.25 and the intercept 0 into all files; without creator: as de-identifiers do."""
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        if creator:
            data.private_block(0x2005, creator, create=True)
        for tag, value in (((0x2005, 0x100D), 0.0), ((0x2005, 0x100E), 0.25)):
            data.add_new(tag, vr, value if vr == "FL" else struct.pack("<f", value))
        data.file_meta.TransferSyntaxUID = getattr(pydicom.uid, syntax)
        data.save_as(path)


def test_negative_values_stay_negative(make_series: Callable[..., Path]) -> None:
    signed = np.arange(-30, 30, dtype=np.int16).reshape(4, 5, 3)
    volume = read_stack(only(make_series(values=signed)))
    assert volume.data.dtype == np.int16
    np.testing.assert_array_equal(volume.data, signed.transpose(1, 0, 2))


def test_overlay_bits_above_the_stored_ones_are_cut(make_series: Callable[..., Path]) -> None:
    values = np.array([[[0x0FFF], [0xF123]]], dtype=np.uint16)
    folder = make_series(values=values)
    (path,) = folder.iterdir()
    data = pydicom.dcmread(path)
    data.BitsStored, data.HighBit = 12, 11
    data.save_as(path)
    assert read_stack(only(folder)).data.ravel().tolist() == [0x0FFF, 0x0123]


@pytest.mark.parametrize("syntax", ["RLELossless", "JPEGLSLossless"])
def test_compressed_by_pydicom(syntax: str, make_series: Callable[..., Path], values: np.ndarray) -> None:
    folder = make_series(values=values)
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        data.compress(getattr(pydicom.uid, syntax))
        data.save_as(path)
    np.testing.assert_array_equal(read_stack(only(folder)).data, values.transpose(1, 0, 2))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "syntax"),
    [("--jpeg", "1.2.840.10008.1.2.4.70"), ("--j2k", "1.2.840.10008.1.2.4.90"), ("--jpegls", "1.2.840.10008.1.2.4.80")],
)
def test_compressed_by_gdcm(option: str, syntax: str, make_series: Callable[..., Path]) -> None:
    values = np.random.default_rng(1).integers(0, 4000, (48, 40, 3)).astype(np.uint16)
    program = Path(sys.executable).with_name("gdcmconv")
    if not program.is_file():
        pytest.skip("gdcmconv is not installed (extra `dicom`)")
    folder = make_series(values=values)
    for path in list(folder.iterdir()):
        subprocess.run([program, option, path, path.with_suffix(".c")], check=True, capture_output=True)
        path.unlink()
        assert pydicom.dcmread(path.with_suffix(".c")).file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(read_stack(only(folder)).data, values.transpose(1, 0, 2))


def test_big_endian(make_series: Callable[..., Path], values: np.ndarray) -> None:
    folder = make_series(values=values)
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        data.PixelData = data.pixel_array.astype(">u2").tobytes()
        data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
        pydicom.dcmwrite(path, data, implicit_vr=False, little_endian=False)
    np.testing.assert_array_equal(read_stack(only(folder)).data, values.transpose(1, 0, 2))


def test_damaged_compressed_pixels_are_named(make_series: Callable[..., Path], values: np.ndarray) -> None:
    folder = make_series(values=values)
    path = sorted(folder.iterdir())[1]
    data = pydicom.dcmread(path)
    data.compress(pydicom.uid.RLELossless)
    data.save_as(path)
    content = path.read_bytes()
    path.write_bytes(content[:-30])
    with pytest.raises(FormatError, match=path.name):
        read_stack(only(folder))


def test_missing_slices_are_refused_or_filled(make_series: Callable[..., Path], values: np.ndarray) -> None:
    stack = only(make_series(values=values, where=[0, 1, 3, 4]))
    with pytest.raises(GeometryError, match="1 of 5 slices are missing"):
        read_stack(stack)
    filled = read_stack(stack, fill_missing=True)
    assert not filled.data[:, :, 2].any()
    np.testing.assert_array_equal(filled.data[:, :, 3], values[:, :, 3].T)


def enhanced(values: np.ndarray, base: Dataset, order: list[int]) -> Dataset:
    """An Enhanced MR object: frames in any order, positions and scaling per frame, orientation and timing shared."""
    data = Dataset()
    data.update(base)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "EchoTime"):
        delattr(data, name)
    data.SOPClassUID = ENHANCED

    def item(**attributes: Any) -> Dataset:
        made = Dataset()
        for name, value in attributes.items():
            setattr(made, name, value)
        return made

    shared = Dataset()
    shared.PlaneOrientationSequence = [item(ImageOrientationPatient=list(OBLIQUE))]
    shared.PixelMeasuresSequence = [item(PixelSpacing=[1.5, 1.0], SliceThickness=3)]
    shared.MREchoSequence = [item(EffectiveEchoTime=98.0)]
    shared.MRTimingAndRelatedParametersSequence = [item(RepetitionTime=5000.0, FlipAngle=150.0)]
    data.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for k in order:
        position = np.array([12.0, -7.5, -30.0]) + 3 * k * np.cross(OBLIQUE[:3], OBLIQUE[3:])
        frame = Dataset()
        frame.PlanePositionSequence = [item(ImagePositionPatient=[f"{v:.10g}" for v in position])]
        frame.PixelValueTransformationSequence = [item(RescaleSlope=k + 1, RescaleIntercept=0, RescaleType="US")]
        frame.FrameContentSequence = [item(StackID="1", InStackPositionNumber=k + 1)]
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = frames
    data.NumberOfFrames = len(order)
    data.PixelData = np.ascontiguousarray(values[:, :, order].transpose(2, 0, 1)).astype("<u2").tobytes()
    return data


def test_enhanced_mr(
    make_series: Callable[..., Path], save_object: Callable[..., Path], values: np.ndarray, tmp_path: Path
) -> None:
    classic = make_series(values=values)
    expected = read_stack(only(classic))
    data = enhanced(values, pydicom.dcmread(sorted(classic.iterdir())[0]), [3, 0, 4, 1, 2])
    shutil.rmtree(classic)
    stack = only(save_object(data, tmp_path / "enhanced" / "one").parent)
    volume = read_stack(stack)
    np.testing.assert_array_equal(volume.affine, expected.affine)
    np.testing.assert_array_equal(volume.data, expected.data * np.arange(1, 6, dtype=np.float32))
    assert (stack.frames[0].echo_time_ms, stack.frames[0].repetition_time_ms) == (98, 5000)
    assert isinstance(volume, Volume)


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["sub-P0000/T2w_tra", "sub-P0218/VIBE_fa02", "sub-SF02/T1w_slab"])
def test_dcm2niix_makes_the_same_image_of_real_series(name: str, realdata: Path, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("dcm2niix")
    if not program.is_file():
        pytest.skip("dcm2niix is not installed (extra `dicom`)")
    folder = realdata / "dicom" / name
    subprocess.run([program, "-z", "n", "-f", "x", "-o", tmp_path, folder], check=True, capture_output=True)
    theirs = read_volume(tmp_path / "x.nii", np.float32).reoriented("RAS")
    ours = read_stack(only(folder)).reoriented("RAS")
    np.testing.assert_array_equal(ours.data, theirs.data)
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-4)
