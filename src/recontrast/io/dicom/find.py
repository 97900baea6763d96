"""Series in a folder: every file is looked at, whatever its name; what is not an MR image is counted or listed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath, PureWindowsPath

from recontrast.errors import FormatError
from recontrast.io.dicom.headers import FileHeader, looks_like_dicom, read_header
from recontrast.io.dicom.stacks import Stack, take_apart

_CALLED_DICOM = (".dcm", ".dicom", ".ima")
_DIRECTORY = "1.2.840.10008.1.3.10"


@dataclass(frozen=True)
class Series:
    """A series of MR images.

    Attributes:
        uid: Series Instance UID; `study`: Study Instance UID; `patient`: Patient ID (an identifier: never written).
        texts: Attributes of its first image as text, see `headers.TEXTS`.
        stacks: Its volumes.
    """

    uid: str
    study: str
    patient: str
    texts: Mapping[str, str]
    stacks: tuple[Stack, ...]

    @property
    def number(self) -> str:
        """Series number, or an empty text."""
        return self.texts.get("SeriesNumber", "")

    @property
    def description(self) -> str:
        """Series description, or the protocol's name."""
        return self.texts.get("SeriesDescription") or self.texts.get("ProtocolName", "")


@dataclass(frozen=True)
class Other:
    """Files of a series that is not MR images: another modality, a report, a screen shot."""

    uid: str
    study: str
    patient: str
    modality: str
    texts: Mapping[str, str]
    files: int


@dataclass(frozen=True)
class Inventory:
    """What a folder holds.

    Attributes:
        series: MR series, ordered by patient, study date and series number.
        others: DICOM series of other kinds.
        problems: File to the reason why it cannot be used.
        files: Number of files looked at; `strangers`: of them not DICOM.
    """

    series: tuple[Series, ...]
    others: tuple[Other, ...] = ()
    problems: Mapping[Path, str] = field(default_factory=dict)
    files: int = 0
    strangers: int = 0


def find_series(folder: Path) -> Inventory:
    """Look at every file of a folder and below, and sort the MR images into series and stacks.

    Names and extensions do not matter. Links and DICOMDIR entries that lead out of the folder are not followed; they
    are listed, as are damaged files and folders that cannot be read. A single file may be given instead of a folder.

    Raises:
        FormatError: The folder does not exist.
        DependencyError: pydicom is not installed.

    Example:
        >>> [series.description for series in find_series(Path("scans")).series]  # doctest: +SKIP
        ['t1_mprage_sag', 't2_tse_tra']
    """
    if not folder.exists():
        raise FormatError(f"{folder}: no such file or folder")
    problems: dict[Path, str] = {}
    headers: list[FileHeader] = []
    files = strangers = 0
    for path in _files(folder, problems):
        files += 1
        try:
            if not looks_like_dicom(path):
                strangers += 1
                if path.suffix.lower() in _CALLED_DICOM:
                    problems[path] = f"is called {path.suffix} and is not DICOM"
                continue
            header = read_header(path)
        except FormatError as error:
            problems[path] = str(error).removeprefix(f"{path}: ")
            continue
        except MemoryError:  # the length of an attribute may be any number in a damaged file
            problems[path] = "its header needs more memory than there is: it is damaged, or this machine is too small"
            continue
        outside = [name for name in header.references if _leaves(name)]
        if outside:
            problems[path] = f"refers to '{outside[0]}', outside its folder; not followed"
        if header.damage:
            problems[path] = header.damage
        if header.sop_class != _DIRECTORY and not header.references:
            headers.append(header)
    grouped: dict[tuple[str, str, str], list[FileHeader]] = {}
    for header in headers:
        grouped.setdefault((header.patient, header.study, header.series), []).append(header)
    images = {key: group for key, group in grouped.items() if any(header.frames for header in group)}
    others = {key: group for key, group in grouped.items() if key not in images and not group[0].damage}
    return Inventory(
        series=tuple(sorted((_series(group) for group in images.values()), key=_order)),
        others=tuple(_other(group) for _, group in sorted(others.items())),
        problems=problems,
        files=files,
        strangers=strangers,
    )


def holds_dicom(path: Path) -> bool:
    """Whether a file is DICOM, or a folder has a DICOM file in it or below; looks no further than the first."""
    if path.is_file():
        return looks_like_dicom(path)
    for file in _files(path, {}):
        try:
            if looks_like_dicom(file):
                return True
        except FormatError:
            continue
    return False


def match_series(series: Iterable[Series], wanted: str) -> list[Series]:
    """The series a person means by a UID, a series number or a description (upper and lower case alike).

    A description may hold `*`, which stands for anything.
    """
    import fnmatch

    candidates = list(series)
    for test in (
        lambda one: one.uid == wanted,
        lambda one: one.number == wanted,
        lambda one: fnmatch.fnmatchcase(one.description.lower(), wanted.lower()),
    ):
        found = [one for one in candidates if test(one)]
        if found:
            return found
    return []


def _files(folder: Path, problems: dict[Path, str]) -> Iterator[Path]:
    """Files below a folder, sorted; folders that cannot be read and links that lead out become problems."""
    if folder.is_file():
        yield folder
        return
    root = folder.resolve()

    def unreadable(error: OSError) -> None:
        problems[Path(str(error.filename))] = f"the folder cannot be read ({error.strerror})"

    for place, names, files in os.walk(folder, onerror=unreadable):
        names.sort()
        for name in list(names):
            link = Path(place, name)
            # a link to a folder inside is not entered either: its files are read by their own names
            if link.is_symlink() and not link.resolve().is_relative_to(root):
                problems[link] = "is a link that leads out of the folder; not followed"
        for name in sorted(files):
            path = Path(place, name)
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                problems[path] = "is a link that leads out of the folder; not followed"
            elif path.is_file():
                yield path
            elif path.is_symlink():
                problems[path] = "is a link to a file that does not exist"


def _leaves(name: str) -> bool:
    """Whether a path written in a file leads out of the folder it lies in."""
    for flavour in (PurePosixPath(name), PureWindowsPath(name)):
        if flavour.is_absolute() or flavour.drive or ".." in flavour.parts:
            return True
    return False


def _series(headers: Sequence[FileHeader]) -> Series:
    whole = [header for header in headers if header.frames]
    ordered = sorted(whole, key=lambda header: (header.frames[0].instance, str(header.path)))
    first, damaged = ordered[0], [header for header in headers if header.damage]
    stacks = take_apart([frame for header in ordered for frame in header.frames])
    if damaged:  # at the end of a stack its absence could not be seen from the positions
        names = f"{damaged[0].path.name}{' …' if len(damaged) > 1 else ''}"
        problem = f"{len(damaged)} of its {len(headers)} files cannot be used ({names}): copy the series again"
        stacks = [replace(stack, problem=stack.problem or problem) for stack in stacks]
    elif lacking := _lacking(first.texts, stacks):
        stacks = [replace(stack, notes=(*stack.notes, lacking)) for stack in stacks]
    return Series(first.series, first.study, first.patient, first.texts, tuple(stacks))


def _lacking(texts: Mapping[str, str], stacks: Sequence[Stack]) -> str:
    """A note where the header counts more images than the series has; empty elsewhere.

    Vendors count differently. Whole multiples say nothing: the other images may lie in other series (parts, echoes).
    """
    stated = texts.get("ImagesInAcquisition", "")
    missing = sum(len(stack.grid.missing) for stack in stacks if stack.grid is not None)
    there = sum(len(stack.frames) for stack in stacks) + missing
    if not stated.isdecimal() or int(stated) <= there or int(stated) % there == 0:
        return ""
    return (
        f"the series has {there} images{', missing ones counted' if missing else ''}, its header says {stated} (Images "
        "in Acquisition): slices may be lost at an end, unless the scanner counts otherwise"
    )


def _other(headers: Sequence[FileHeader]) -> Other:
    first = headers[0]
    return Other(first.series, first.study, first.patient, first.modality, first.texts, len(headers))


def _order(series: Series) -> tuple[str, str, str, float, str]:
    date = series.texts.get("StudyDate", "") + series.texts.get("StudyTime", "")
    try:
        number = float(series.number)
    except ValueError:
        number = 0.0
    return (series.patient, date, series.study, number, series.uid)
