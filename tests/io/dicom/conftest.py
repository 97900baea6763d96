"""Small DICOM series made by hand: classic and Enhanced MR, any position, with all that can be wrong with them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom", reason="the extra `dicom` is not installed")

from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.uid import ExplicitVRLittleEndian  # noqa: E402

MR, ENHANCED = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
OBLIQUE = (0.984807753012, 0.173648177667, 0.0, -0.172987393925, 0.981060262190, -0.087155742748)
"""Row and column directions (LPS): 10 degrees about z, then 5 about x."""


def normal(orientation: Sequence[float]) -> np.ndarray:
    return np.cross(orientation[:3], orientation[3:])


def save(data: Dataset, path: Path) -> Path:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = data.SOPClassUID
    meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta = meta
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def slice_of(values: np.ndarray, **changes: Any) -> Dataset:
    """One MR image; `values` as (row, column) integers; keyword arguments set attributes, None removes them."""
    data = Dataset()
    attributes = {
        "SOPClassUID": MR, "SOPInstanceUID": "1.2.3.4.1", "StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4",
        "FrameOfReferenceUID": "1.2.3.9", "Modality": "MR", "PatientID": "PAT-77", "PatientName": "Roe^Jane",
        "PatientBirthDate": "19700101", "PatientSex": "F", "StudyDate": "20200102", "StudyTime": "101112",
        "AccessionNumber": "ACC123", "StudyID": "ST1", "ReferringPhysicianName": "House^G", "SeriesNumber": 4,
        "SeriesDescription": "t1_mprage_tra", "Manufacturer": "SIEMENS", "ManufacturerModelName": "Prisma",
        "InstanceNumber": 1, "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"], "ScanningSequence": ["GR", "IR"],
        "SequenceVariant": ["SP", "MP"], "ScanOptions": "", "MRAcquisitionType": "3D", "RepetitionTime": 2300,
        "EchoTime": 2.98, "InversionTime": 900, "FlipAngle": 9, "EchoTrainLength": 1, "MagneticFieldStrength": 3,
        "PatientPosition": "HFS", "SliceThickness": 3, "PixelSpacing": [1.5, 1.0],
        "ImageOrientationPatient": list(OBLIQUE), "ImagePositionPatient": [12.0, -7.5, -30.0],
        "PositionReferenceIndicator": "", "AcquisitionNumber": 1,
    }  # fmt: skip
    for name, value in {**attributes, **changes}.items():
        if value is not None:
            setattr(data, name, value)
    signed = values.dtype == np.int16
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.Rows, data.Columns = values.shape
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, int(signed)
    data.PixelData = values.astype("<i2" if signed else "<u2").tobytes()
    data["PixelData"].VR = "OW"
    return data


@pytest.fixture
def make_series(tmp_path: Path) -> Callable[..., Path]:
    """Write a series of classic MR images; slices 3 mm apart along the normal, in any order and under any names.

    Keyword arguments of `slice_of` hold for all; `each` gives further ones for slice k.
    """

    def make(
        folder: Path | None = None,
        values: np.ndarray | None = None,
        *,
        count: int = 5,
        step: float = 3.0,
        where: Sequence[int] | None = None,
        each: Callable[[int], dict[str, Any]] | None = None,
        prefix: str = "",
        **changes: Any,
    ) -> Path:
        folder = folder or tmp_path / "scans"
        if values is None:
            values = np.random.default_rng(1).integers(0, 900, (6, 8, count)).astype(np.uint16)
        series = changes.get("SeriesInstanceUID", "1.2.3.4")
        orientation = changes.get("ImageOrientationPatient", OBLIQUE)
        start = np.array(changes.pop("start", (12.0, -7.5, -30.0)))
        for n, k in enumerate(where if where is not None else range(values.shape[2])):
            own = {
                "SOPInstanceUID": f"{series}.{1 + sum(map(ord, prefix))}.{k + 1}",
                "InstanceNumber": values.shape[2] - k,
                "ImagePositionPatient": [f"{v:.10g}" for v in start + k * step * normal(orientation)],
                **changes,
                **(each(k) if each else {}),
            }
            save(slice_of(values[:, :, k], **own), folder / f"{prefix}x{(7 * n) % 11:02d}_{n}")
        return folder

    return make


@pytest.fixture
def save_image() -> Callable[..., Path]:
    """Write one image: values as (row, column), path, then attributes as `slice_of` takes them."""

    def make(values: np.ndarray, path: Path, **changes: Any) -> Path:
        return save(slice_of(values, **changes), path)

    return make


@pytest.fixture
def save_object() -> Callable[[Dataset, Path], Path]:
    """Write any data set as a DICOM file."""
    return save


@pytest.fixture
def validate() -> Callable[[Path], list[str]]:
    """Errors that dciodvfy finds in a file; skips the test, saying so, where the program is not installed."""
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not installed (Debian package dicom3tools)")

    def errors(path: Path) -> list[str]:
        ran = subprocess.run([program, str(path)], capture_output=True, text=True, check=False, errors="replace")
        return [line for line in (ran.stdout + ran.stderr).splitlines() if line.startswith("Error")]

    return errors
