"""What one DICOM file says of itself: its frames with their positions, timings and scaling, without its pixels."""

from __future__ import annotations

import math
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recontrast.errors import DependencyError, FormatError, RecontrastError

if TYPE_CHECKING:
    from pydicom import Dataset

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
LEGACY_ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.4"
IMAGES = {MR_IMAGE: "MR Image", ENHANCED_MR: "Enhanced MR Image", LEGACY_ENHANCED_MR: "Legacy Converted Enhanced MR"}
"""SOP classes that are read."""

_NATIVE = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"}
_DEFLATED = "1.2.840.10008.1.2.1.99"
_SUSPICIOUS_BYTES, _SUSPICIOUS_RATIO = 2**26, 1000
"""A compressed file may not claim to hold more than this, and at once more than this many times its own length."""

_PARTS = {"P": "phase", "PHASE": "phase", "PHASE MAP": "phase", "R": "real", "REAL": "real",
          "I": "imag", "IMAGINARY": "imag"}  # fmt: skip

TEXTS = (
    "Modality", "Manufacturer", "ManufacturerModelName", "SoftwareVersions", "StationName", "InstitutionName",
    "MagneticFieldStrength", "SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName", "SeriesNumber",
    "ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType", "ContrastBolusAgent", "ImageType",
    "BodyPartExamined", "PatientPosition", "StudyDate", "StudyTime", "EchoTrainLength", "ImagesInAcquisition",
    "RepetitionTime", "EchoPulseSequence", "EchoPlanarPulseSequence", "InversionRecovery", "Spoiling", "PixelBandwidth",
    "PatientName", "PatientBirthDate", "OtherPatientIDs", "AccessionNumber",
)  # fmt: skip
"""Attributes kept as text for naming and sidecars (the last four only to keep them out of what is written)."""

_TAGS = (
    *TEXTS, "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID", "InstanceNumber",
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "BitsAllocated", "BitsStored", "PixelRepresentation",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices",
    "EchoTime", "EchoNumbers", "InversionTime", "FlipAngle", "TemporalPositionIdentifier", "AcquisitionNumber",
    "TriggerTime", "AcquisitionTime", "ContentTime", "DiffusionBValue", "RescaleSlope", "RescaleIntercept",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "SpecificCharacterSet", "StackID",
    "ComplexImageComponent", "DirectoryRecordSequence", "ContrastBolusAgentSequence",
)  # fmt: skip

TELLS = (
    "TemporalPositionIndex", "TemporalPositionIdentifier", "StackID", "AcquisitionNumber", "FrameAcquisitionNumber",
    "TriggerTime", "NominalCardiacTriggerDelayTime", "AcquisitionTime", "FrameAcquisitionDateTime", "ContentTime",
)  # fmt: skip
"""Attributes that may tell frames at one position apart, the surest first."""

_PHILIPS_SLOPE, _PHILIPS_INTERCEPT = (0x2005, 0x100E), (0x2005, 0x100D)
_PHILIPS_CREATOR, _PHILIPS = (0x2005, 0x0010), "philips mr imaging dd 001"
"""Where it is said whose these are. Without it, pydicom does not know their type where the file does not say it."""


@dataclass(frozen=True)
class Frame:
    """One slice in one file, in DICOM's own terms (LPS, mm, ms).

    Attributes:
        path: The file.
        index: Number of the frame in the file, from 0.
        instance: Instance number of the file, which all of its frames share.
        position: Centre of the first pixel, LPS, mm; None when the header lacks it.
        orientation: Direction cosines of a row, then of a column, LPS; None when lacking.
        spacing: Distance between rows, then between columns, mm; None when lacking.
        tells: Those of `TELLS` that are given, name to value.
        slope: Rescale slope; `intercept`: rescale intercept.
        private: Philips scale slope and intercept; None elsewhere.
    """

    path: Path
    index: int
    sop_uid: str
    sop_class: str
    instance: int
    rows: int
    columns: int
    position: tuple[float, ...] | None = None
    orientation: tuple[float, ...] | None = None
    spacing: tuple[float, ...] | None = None
    thickness: float | None = None
    between: float | None = None
    repetition_time_ms: float | None = None
    echo_time_ms: float | None = None
    inversion_time_ms: float | None = None
    flip_deg: float | None = None
    b_value: float | None = None
    part: str = "mag"
    image_type: tuple[str, ...] = ()
    tells: tuple[tuple[str, float | str], ...] = ()
    slope: float = 1.0
    intercept: float = 0.0
    private: tuple[float, float] | None = None
    signed: bool = False
    bits: int = 16

    @property
    def order(self) -> tuple[int, int]:
        """Where the frame stands in its series: file by instance number, frame by frame."""
        return self.instance, self.index


@dataclass(frozen=True)
class FileHeader:
    """A DICOM file without its pixels.

    Attributes:
        path: The file.
        sop_class: SOP class UID.
        modality: "MR", "CT", "SR", …
        patient: Patient ID; `study` and `series`: instance UIDs.
        texts: Attributes of `TEXTS` that are there, as text.
        frames: Its frames; empty when it is not an MR image.
        references: Files that a DICOMDIR names, as written there.
        damage: Why its pixels cannot be used although the header can be read; it has no frames then.
    """

    path: Path
    sop_class: str
    modality: str
    patient: str
    study: str
    series: str
    texts: dict[str, str]
    frames: tuple[Frame, ...] = ()
    references: tuple[str, ...] = field(default=())
    damage: str = ""


def load_pydicom() -> Any:
    """The pydicom package.

    Raises:
        DependencyError: It is not installed.
    """
    try:
        import pydicom
    except ImportError as error:
        raise DependencyError(
            "reading and writing DICOM needs pydicom, which is not installed: pip install 'recontrast[dicom]'"
        ) from error
    return pydicom


@contextmanager
def quiet() -> Iterator[None]:
    """Work with pydicom without its complaints about values that only bend the standard."""
    pydicom = load_pydicom()
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def lenient(path: Path) -> Iterator[None]:
    """Read quietly; what cannot be read is one clear line.

    Raises:
        FormatError: pydicom failed on `path`; too little memory stays a MemoryError.
    """
    try:
        with quiet():
            yield
    except (RecontrastError, MemoryError):
        raise
    except Exception as error:  # a parser fed with damaged bytes fails in any way there is
        lines = str(error).strip().splitlines()
        reason = lines[0][:160] if lines else type(error).__name__
        raise FormatError(f"{path}: the DICOM file is truncated or damaged ({reason}); copy it again") from error


def looks_like_dicom(path: Path) -> bool:
    """Whether the first bytes are DICOM's: the word DICM after a preamble, or a bare data set as older files have it.

    Raises:
        FormatError: The file cannot be opened.
    """
    try:
        with path.open("rb") as file:
            start = file.read(132)
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror})") from error
    return start[128:] == b"DICM" or (len(start) == 132 and start[:2] in (b"\x08\x00", b"\x02\x00") and start[3] == 0)


def read_header(path: Path) -> FileHeader:
    """Read a file's header.

    Raises:
        FormatError: It is damaged, or no DICOM object.
        DependencyError: pydicom is not installed.

    Example:
        >>> read_header(Path("IM0001")).modality  # doctest: +SKIP
        'MR'
    """
    pydicom = load_pydicom()
    with lenient(path):
        _check_deflated(path)
        tags = [pydicom.tag.Tag(name) for name in (*_TAGS, _PHILIPS_CREATOR, _PHILIPS_SLOPE, _PHILIPS_INTERCEPT)]
        with path.open("rb") as file:
            data = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=tags, force=True)
            left = path.stat().st_size - file.tell()
        texts = {name: text for name in TEXTS if (text := _text(data, name))}
        if "ContrastBolusAgent" not in texts and (agents := data.get("ContrastBolusAgentSequence")):
            texts["ContrastBolusAgent"] = _text(agents[0], "CodeMeaning") or "given"
        sop_class = _text(data, "SOPClassUID") or _text(data.file_meta, "MediaStorageSOPClassUID")
        if not sop_class and "DirectoryRecordSequence" not in data:
            raise FormatError(f"{path}: not a DICOM object (it has no SOP class); remove it, or copy it again")
        is_image = sop_class in IMAGES and texts.get("Modality", "MR") == "MR"
        damage = _damage(path, data, left) if is_image else ""
        return FileHeader(
            path=path,
            sop_class=sop_class,
            modality=texts.get("Modality", "MR" if is_image else ""),
            patient=_text(data, "PatientID"),
            study=_text(data, "StudyInstanceUID"),
            series=_text(data, "SeriesInstanceUID"),
            texts=texts,
            frames=tuple(_frames(path, data, sop_class)) if is_image and not damage else (),
            references=tuple(_references(data)),
            damage=damage,
        )


def _check_deflated(path: Path) -> None:
    """Refuse a deflated file that grows beyond reason, without keeping what it grows to."""
    pydicom = load_pydicom()
    with path.open("rb") as file:
        if file.read(132)[128:] != b"DICM":
            return
        file.seek(0)
        pydicom.filereader.read_preamble(file, False)
        meta = pydicom.filereader._read_file_meta_info(file)
        if str(meta.get("TransferSyntaxUID", "")) != _DEFLATED:
            return
        limit = max(_SUSPICIOUS_BYTES, 50 * path.stat().st_size)
        inflater, size, rest = zlib.decompressobj(-zlib.MAX_WBITS), 0, b""
        while block := rest or file.read(2**16):
            size += len(inflater.decompress(block, 2**22))
            rest = inflater.unconsumed_tail
            if size > limit:
                raise FormatError(f"{path}: unpacks to more than {limit >> 20} MiB; refused as a decompression bomb")


def _damage(path: Path, data: Dataset, left: int) -> str:
    """What is wrong with the pixels: the header's claims against the bytes left in the file, before memory is taken."""
    rows, columns = int(data.get("Rows") or 0), int(data.get("Columns") or 0)
    if rows <= 0 or columns <= 0:
        return f"has no pixels ({rows} rows, {columns} columns); it is no image"
    if int(data.get("SamplesPerPixel") or 1) != 1:
        return "is a colour image; MR images have one value a pixel"
    frames, bits = int(data.get("NumberOfFrames") or 1), int(data.get("BitsAllocated") or 16)
    claimed = rows * columns * frames * max(bits // 8, 1)
    syntax = str(data.file_meta.get("TransferSyntaxUID", "1.2.840.10008.1.2"))
    if syntax in _NATIVE and claimed > left:
        return (
            f"is truncated, or its header lies: {rows}x{columns} pixels in {frames} frames of {bits} bits are "
            f"{claimed} bytes, the file holds {left}; copy it again"
        )
    if claimed > max(_SUSPICIOUS_BYTES, _SUSPICIOUS_RATIO * max(left, 1)):
        return (
            f"claims {rows}x{columns} pixels in {frames} frames ({claimed >> 20} MiB) in {left} bytes; "
            "refused before memory is taken"
        )
    groups = data.get("PerFrameFunctionalGroupsSequence")
    if groups and len(groups) != frames:
        return f"has {frames} frames and describes {len(groups)} of them; copy it again"
    if frames > 1 and not groups:
        return f"has {frames} frames and does not say where they lie; export it as single images"
    return ""


def _frames(path: Path, data: Dataset, sop_class: str) -> Iterator[Frame]:
    shared = _first(data, "SharedFunctionalGroupsSequence")
    groups: Sequence[Any] = data.get("PerFrameFunctionalGroupsSequence") or []
    count = int(data.get("NumberOfFrames") or 1)
    for index in range(count):
        places = [data] if not groups else [*_items(groups[index]), *_items(shared), data]
        yield _frame(path, index, data, sop_class, _Lookup(places))


def _frame(path: Path, index: int, data: Dataset, sop_class: str, look: _Lookup) -> Frame:
    kind = tuple(look.texts("FrameType") or look.texts("ImageType"))
    component = look.text("ComplexImageComponent")
    words = [component] if component else [*kind[2:]]
    part = next((_PARTS[word] for word in words if word in _PARTS), "mag")
    slope, intercept = look.number("RescaleSlope"), look.number("RescaleIntercept")
    return Frame(
        path=path,
        index=index,
        sop_uid=_text(data, "SOPInstanceUID"),
        sop_class=sop_class,
        instance=int(_plain(data.get("InstanceNumber")) or 0),
        rows=int(data.Rows),
        columns=int(data.Columns),
        position=look.numbers("ImagePositionPatient", 3),
        orientation=look.numbers("ImageOrientationPatient", 6),
        spacing=look.numbers("PixelSpacing", 2),
        thickness=look.number("SliceThickness"),
        between=look.number("SpacingBetweenSlices"),
        repetition_time_ms=look.number("RepetitionTime"),
        echo_time_ms=look.number("EffectiveEchoTime", "EchoTime"),
        inversion_time_ms=look.number("InversionTimes", "InversionTime"),
        flip_deg=look.number("FlipAngle"),
        b_value=look.number("DiffusionBValue"),
        part=part,
        image_type=kind,
        tells=tuple((name, value) for name in TELLS if (value := look.text(name)) != ""),
        slope=1.0 if slope is None or slope == 0 else slope,
        intercept=intercept or 0.0,
        private=_private_scale(look.places),
        signed=int(data.get("PixelRepresentation") or 0) == 1,
        bits=int(data.get("BitsStored") or data.get("BitsAllocated") or 16),
    )


def _private_scale(places: Sequence[Any]) -> tuple[float, float] | None:
    """Philips' scale slope and intercept, from the first place that has them."""
    for place in places:
        creator = str(place[_PHILIPS_CREATOR].value).strip().lower() if _PHILIPS_CREATOR in place else _PHILIPS
        if _PHILIPS_SLOPE in place and creator == _PHILIPS:
            slope, intercept = (_float(place[tag].value) if tag in place else None
                                for tag in (_PHILIPS_SLOPE, _PHILIPS_INTERCEPT))  # fmt: skip
            return (slope, intercept or 0.0) if slope else None
    return None


def _float(value: Any) -> float | None:
    """A number, also one that came as four bytes because neither the file nor pydicom knew its type."""
    return _plain(struct.unpack("<f", value)[0] if isinstance(value, bytes) and len(value) == 4 else value)


class _Lookup:
    """Finds an attribute of a frame: in its own groups first, then in the shared ones, then in the file."""

    def __init__(self, places: Sequence[Any]) -> None:
        self.places = places

    def _value(self, *names: str) -> Any:
        for name in names:
            for place in self.places:
                value = place.get(name) if name in place else None
                if value is not None and value != "":
                    return value
        return None

    def number(self, *names: str) -> float | None:
        return _plain(self._value(*names))

    def numbers(self, name: str, count: int) -> tuple[float, ...] | None:
        value = self._value(name)
        if value is None or isinstance(value, str | int | float) or len(value) != count:
            return None
        found = tuple(float(v) for v in value)
        return found if all(map(math.isfinite, found)) else None

    def text(self, name: str) -> str:
        return "\\".join(self.texts(name))

    def texts(self, name: str) -> list[str]:
        value = self._value(name)
        if value is None:
            return []
        # names of persons have a length and are no lists
        many = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]
        return [str(v).strip() for v in many]


def _items(group: Any) -> list[Any]:
    """The single items of the sequences in a functional group, and those below them that hold a number we need."""
    found: list[Any] = []
    for element in group or ():
        if element.VR == "SQ" and len(element.value):
            item = element.value[0]
            found.append(item)
            found.extend(_items(item) if element.keyword == "" else ())
    return found


def _first(data: Dataset, name: str) -> Any:
    sequence = data.get(name)
    return sequence[0] if sequence else None


def _references(data: Dataset) -> Iterator[str]:
    for record in data.get("DirectoryRecordSequence") or []:
        value = record.get("ReferencedFileID")
        if value:
            yield str(value) if isinstance(value, str) else "/".join(map(str, value))


def _text(data: Any, name: str) -> str:
    try:
        return _Lookup([data]).text(name).replace("\0", "")
    except (ValueError, TypeError, LookupError, NotImplementedError, AttributeError):
        return ""  # one damaged text does not make an image unusable


def _plain(value: Any) -> float | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str | bytes) and hasattr(value, "__len__"):
        value = value[0] if len(value) else None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
