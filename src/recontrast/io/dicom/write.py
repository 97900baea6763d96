"""A derived MR series: computed voxels written back into the study they were made from, and marked as such.

The object is MR Image Storage (PS3.3 A.4), one file a slice, in the frame of reference and on the slices of its source.
Acquisition parameters of the source are not copied: nothing was acquired with them.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recontrast.atomic import atomic_folder
from recontrast.errors import GeometryError, IntensityError
from recontrast.io.dicom.headers import MR_IMAGE, Frame, lenient, load_pydicom, quiet
from recontrast.io.dicom.stacks import Stack
from recontrast.volume import Volume, same_grid

if TYPE_CHECKING:
    from pydicom import Dataset

PATIENT_AND_STUDY = (
    "SpecificCharacterSet", "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex",
    "OtherPatientIDs", "OtherPatientIDsSequence", "PatientBirthTime", "EthnicGroup", "PatientComments",
    "PatientSpeciesDescription", "PatientIdentityRemoved", "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialProtocolName", "ClinicalTrialSiteID",
    "ClinicalTrialSiteName", "ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID",
    "PatientAge", "PatientSize", "PatientWeight", "AdditionalPatientHistory", "PregnancyStatus",
    "StudyInstanceUID", "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber",
    "StudyDescription", "FrameOfReferenceUID", "PositionReferenceIndicator", "BodyPartExamined", "PatientPosition",
)  # fmt: skip
"""Copied from the source: modules patient, clinical trial, patient study, general study, frame of reference."""

_REQUIRED_EMPTY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "ReferringPhysicianName",
    "StudyID", "AccessionNumber", "PositionReferenceIndicator", "PatientPosition",
)  # fmt: skip
"""Type 2: there, even when the source lacks them."""

PAIRED = (
    "ANKLE", "ARM", "BREAST", "CLAVICLE", "EAR", "ELBOW", "EYE", "FEMUR", "FOOT", "HAND", "HIP", "KIDNEY", "KNEE",
    "LEG", "LUNG", "ORBIT", "SHOULDER", "TMJ", "WRIST", "EXTREMITY",
)  # fmt: skip
"""Body parts of which there are two; only of these the standard asks for the side."""

SCANNER = ("Manufacturer", "InstitutionName", "StationName", "ManufacturerModelName", "DeviceSerialNumber",
           "SoftwareVersions")  # fmt: skip

SYNTHETIC = "SYNTHETIC"
LEVELS = 65535


@dataclass(frozen=True, kw_only=True)
class Derivation:
    """What a derived series says of itself.

    Attributes:
        description: Series description; "SYNTHETIC" is put before it.
        statement: What it is and is not, for readers (image comments).
        method: How it was made (derivation description), up to 1024 characters.
        version: Version of Recontrast.
        window: Centre and width for display, in the units of the voxels.
        identity: What decides the voxels besides the sources (hash of the weights, settings): new identifiers follow.
        sources: Stacks it was made from; their images become source references.
        time: When it was made.
    """

    description: str
    statement: str
    method: str
    version: str
    window: tuple[float, float]
    identity: str
    sources: Sequence[Stack]
    time: datetime


def write_series(folder: Path, volume: Volume, grid_source: Stack, about: Derivation) -> list[Path]:
    """Write a volume as a new series on the slices of `grid_source`.

    Values are stored in 16 bits with the slope that uses them all (slope 1 for whole numbers that fit); they come back
    within half a step. Slices that the source lacks are not written. The folder appears as a whole or not at all.

    Args:
        folder: The folder to make; files in it are called 0001.dcm ….
        volume: Values on the very grid of `grid_source`, in (column, row, slice) order.
        grid_source: Stack whose positions and study are taken.
        about: What the series says of itself.

    Returns:
        The files.

    Raises:
        GeometryError: The volume lies on another grid.
        IntensityError: A value is not finite.
        OutputError: The folder cannot be written.

    Example:
        >>> write_series(Path("synthetic/T2w"), synthetic, series.stacks[0], about)  # doctest: +SKIP
    """
    if grid_source.grid is None:
        raise GeometryError(grid_source.problem)
    where = f"{grid_source.frames[0].path.parent}"
    if not same_grid(volume, Volume(np.empty(grid_source.grid.shape, np.bool_), grid_source.grid.affine)):
        raise GeometryError(f"{where}: the image to write lies on another grid than the series it was made from")
    if not np.isfinite(volume.data).all():
        raise IntensityError(f"{where}: the image to write holds NaN or infinity")
    stored, slope, intercept = quantise(volume.data)
    content = hashlib.sha256(np.ascontiguousarray(stored).tobytes()).hexdigest()
    identity = "|".join((about.identity, about.version, content, *(f.sop_uid for f in grid_source.frames)))
    series_uid = new_uid("series", identity)
    names = []
    with atomic_folder(folder) as partial:
        common = _common(grid_source.frames[0], about, series_uid, slope, intercept)
        for number, (frame, place) in enumerate(zip(grid_source.frames, grid_source.grid.places, strict=True), start=1):
            data = _slice(common, frame, stored[:, :, place], number, new_uid(f"instance {number}", identity), about)
            name = f"{number:04d}.dcm"
            with quiet():
                data.save_as(partial / name, enforce_file_format=True)
            names.append(folder / name)
    return names


def quantise(values: NDArray[Any]) -> tuple[NDArray[np.uint16], str, str]:
    """Values as 16-bit integers, and slope and intercept as DICOM writes them (decimals of at most 16 characters).

    The integers are computed from the decimals as written, so that rounding of these adds no error.

    >>> stored, slope, intercept = quantise(np.array([-1.0, 0.5, 2.0]))
    >>> bool(np.abs(stored * float(slope) + float(intercept) - [-1.0, 0.5, 2.0]).max() <= float(slope) / 2)
    True
    """
    low, high = float(values.min()), float(values.max())
    whole = bool(np.equal(np.rint(values), values).all()) and high - min(low, 0.0) <= LEVELS
    if whole:
        slope, intercept = "1", _decimal(min(low, 0.0), up=False)
    else:
        intercept = _decimal(low, up=False)
        slope = _decimal(max((high - float(intercept)) / LEVELS, 1e-12), up=True)
    stored = np.rint((values.astype(np.float64) - float(intercept)) / float(slope))
    return np.clip(stored, 0, LEVELS).astype(np.uint16), slope, intercept


def new_uid(kind: str, identity: str) -> str:
    """A UID that follows from what it identifies: the same content gets the same UID, other content another one."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'recontrast {kind}|{identity}').int}"


def _decimal(value: float, *, up: bool) -> str:
    """A number in at most 16 characters, rounded down or up so that the range covers all values."""
    if value == 0:
        return "0"
    exact = Decimal(value)
    digits = 9
    step = Decimal(1).scaleb(exact.adjusted() - digits + 1)
    rounded = exact.quantize(step, rounding="ROUND_CEILING" if up else "ROUND_FLOOR")
    text = f"{rounded:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) if len(text) <= 16 else f"{rounded:.8e}"


def _common(frame: Frame, about: Derivation, series_uid: str, slope: str, intercept: str) -> Dataset:
    """What all slices of the new series share."""
    pydicom = load_pydicom()
    with lenient(frame.path):
        source = pydicom.dcmread(frame.path, stop_before_pixels=True, force=True)
        data: Dataset = pydicom.Dataset()
        for name in PATIENT_AND_STUDY:
            if name in source and (name in _REQUIRED_EMPTY or _conforms(source[name])):
                data[name] = source[name]
            elif name in _REQUIRED_EMPTY:
                setattr(data, name, "" if name != "PatientName" else None)
        part = str(source.get("BodyPartExamined") or "")
        if source.get("Laterality") or part in ("", *PAIRED):
            data.Laterality = source.get("Laterality") or ""
        data.SOPClassUID = MR_IMAGE
        data.Modality = "MR"
        data.SeriesInstanceUID = series_uid
        data.SeriesNumber = _series_number(source)
        data.SeriesDescription = _short(f"{SYNTHETIC} {about.description}", 64)
        date, time = about.time.strftime("%Y%m%d"), about.time.strftime("%H%M%S")
        for name in ("SeriesDate", "ContentDate", "InstanceCreationDate"):
            setattr(data, name, date)
        for name in ("SeriesTime", "ContentTime", "InstanceCreationTime"):
            setattr(data, name, time)
        data.ImageType = ["DERIVED", "SECONDARY", "OTHER", SYNTHETIC]
        # Synthetic Data (0008,001C) came into the standard in 2023; checkers and archives before it call it an error.
        data.ImageComments = _short(about.statement, 1024)
        data.BurnedInAnnotation = "NO"
        data.LossyImageCompression = source.get("LossyImageCompression") or "00"
        for name in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
            if data.LossyImageCompression == "01" and name in source:
                data[name] = source[name]
        _equipment(data, source, about, f"{date}{time}")
        data.DerivationDescription = _short(about.method, 1024)
        data.DerivationCodeSequence = [_code("MR_TRANSLATION", "99RECONTRAST", "Contrast translation")]
        _acquisition(data)
        _pixels(data, frame, slope, intercept, about.window)
        return data


def _conforms(element: Any) -> bool:
    """Whether a value may stand in a DICOM file as it is (an age of "42" may not); optional ones are left out else."""
    valuerep = load_pydicom().valuerep
    if element.VR == "SQ" or element.is_empty:
        return True
    values = element.value if element.VM > 1 else [element.value]
    try:
        for value in values:
            valuerep.validate_value(element.VR, value, load_pydicom().config.RAISE)
    except (ValueError, TypeError):
        return False
    return True


def _slice(
    common: Dataset, frame: Frame, values: NDArray[np.uint16], number: int, uid: str, about: Derivation
) -> Dataset:
    pydicom = load_pydicom()
    with lenient(frame.path):
        data: Dataset = pydicom.Dataset()
        data.update(common)
        data.SOPInstanceUID = uid
        data.InstanceNumber = number
        data.AcquisitionNumber = None
        data.ImagePositionPatient = [_ds(v) for v in frame.position or ()]
        data.ImageOrientationPatient = [_ds(v) for v in frame.orientation or ()]
        data.PixelSpacing = [_ds(v) for v in frame.spacing or ()]
        data.SliceThickness = None if frame.thickness is None else _ds(frame.thickness)
        if frame.between:
            data.SpacingBetweenSlices = _ds(frame.between)
        data.PatientOrientation = None
        data.SourceImageSequence = _references(frame, about.sources)
        data.PixelData = np.ascontiguousarray(values.T).astype("<u2").tobytes()
        data["PixelData"].VR = "OW"
        meta = pydicom.dataset.FileMetaDataset()
        meta.MediaStorageSOPClassUID = MR_IMAGE
        meta.MediaStorageSOPInstanceUID = uid
        meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        meta.ImplementationClassUID = new_uid("implementation", about.version)
        meta.ImplementationVersionName = _short(f"RECONTRAST {about.version}", 16)
        data.file_meta = meta
        return data


def _references(frame: Frame, sources: Sequence[Stack]) -> list[Dataset]:
    """For each source its image at this slice, with the purpose "source image for image processing operation"."""
    pydicom = load_pydicom()
    items = []
    position = np.asarray(frame.position)
    for stack in sources:
        nearest = min(stack.frames, key=lambda one: float(np.linalg.norm(np.asarray(one.position) - position)))
        item = pydicom.Dataset()
        item.ReferencedSOPClassUID = nearest.sop_class
        item.ReferencedSOPInstanceUID = nearest.sop_uid
        if nearest.sop_class != MR_IMAGE:
            item.ReferencedFrameNumber = nearest.index + 1
        item.PurposeOfReferenceCodeSequence = [_code("121322", "DCM", "Source image for image processing operation")]
        items.append(item)
    return items


def _equipment(data: Dataset, source: Dataset, about: Derivation, moment: str) -> None:
    """Recontrast made these images; the scanner made their source."""
    pydicom = load_pydicom()
    data.Manufacturer = "Recontrast"
    data.ManufacturerModelName = "Recontrast"
    data.SoftwareVersions = about.version
    data.DeviceSerialNumber = "none"
    scanner = pydicom.Dataset()
    scanner.PurposeOfReferenceCodeSequence = [_code("109101", "DCM", "Acquisition Equipment")]
    scanner.Manufacturer = source.get("Manufacturer") or "unknown"
    for name in SCANNER[1:]:
        if source.get(name):
            scanner[name] = source[name]
    program = pydicom.Dataset()
    program.PurposeOfReferenceCodeSequence = [_code("109102", "DCM", "Processing Equipment")]
    program.Manufacturer = "Recontrast"
    program.ManufacturerModelName = "Recontrast"
    program.SoftwareVersions = about.version
    program.ContributionDateTime = moment
    program.ContributionDescription = _short(about.method, 1024)
    earlier = list(source.get("ContributingEquipmentSequence") or [])
    data.ContributingEquipmentSequence = [*earlier, scanner, program]


def _acquisition(data: Dataset) -> None:
    """The attributes an MR image must have; nothing was acquired, so they say "research mode" or nothing."""
    data.ScanningSequence = "RM"
    data.SequenceVariant = "NONE"
    for name in ("ScanOptions", "MRAcquisitionType", "RepetitionTime", "EchoTime", "EchoTrainLength"):
        setattr(data, name, None)


def _pixels(data: Dataset, frame: Frame, slope: str, intercept: str, window: tuple[float, float]) -> None:
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.Rows, data.Columns = frame.rows, frame.columns
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit = 15
    data.PixelRepresentation = 0
    data.RescaleIntercept, data.RescaleSlope, data.RescaleType = intercept, slope, "US"
    data.WindowCenter, data.WindowWidth = _ds(window[0]), _ds(max(window[1], 1.0 if slope == "1" else float(slope)))
    data.VOILUTFunction = "LINEAR_EXACT"


def _series_number(source: Dataset) -> int:
    """Far behind the scanner's own numbers, and still telling the source's number."""
    try:
        return 90000 + int(source.get("SeriesNumber") or 0) % 10000
    except (TypeError, ValueError):
        return 90000


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    pydicom = load_pydicom()
    item: Dataset = pydicom.Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _ds(value: float) -> str:
    """A number as a decimal string of at most 16 characters, as near as that allows."""
    text = repr(float(value))
    if len(text) <= 16:
        return text
    digits = 16
    while len(text) > 16:
        digits -= 1
        text = f"{value:.{digits}g}"
    return text


def _short(text: str, length: int) -> str:
    return text.encode("ascii", "replace").decode()[:length].strip()
