"""Who is who: subject and session labels for patients and studies, and keeping identifiers out of what is written."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from recontrast.atomic import make_folder, output_error
from recontrast.errors import ConfigError, LayoutError
from recontrast.io.bids import Case
from recontrast.io.dicom.find import Inventory, Other, Series
from recontrast.io.tables import read_table, require_columns

LABEL_LENGTH = 10
"""Hexadecimal digits of a pseudonym: two of a million patients share one with a chance of one half; that is checked."""

HIDDEN = "XXX"
"""Stands where an identifier was."""

_IDENTIFYING = ("PatientName", "OtherPatientIDs", "AccessionNumber", "PatientBirthDate")
_SHORTEST = 3


def patient_of(series: Series) -> str:
    """What tells patients apart: the Patient ID, else the name, else the study."""
    return series.patient or series.texts.get("PatientName", "") or f"study {series.study}"


def require_apart(inventory: Inventory) -> None:
    """Refuse images of several patients side by side in a folder, a study of two patients, and two persons of one ID.

    Persons of one Patient ID are told apart by their birth dates: they would become one subject.

    Raises:
        LayoutError: There is one; the folder is named, the patients are not.
    """
    folders: dict[Path, dict[str, int]] = {}
    studies: dict[str, set[str]] = {}
    births: dict[str, dict[str, Path]] = {}
    for series in inventory.series:
        patient = patient_of(series)
        if date := re.sub(r"\D", "", series.texts.get("PatientBirthDate", "")):  # old files write 1970.01.01
            births.setdefault(patient, {}).setdefault(date, series.stacks[0].frames[0].path.parent)
        studies.setdefault(series.study, set()).add(patient)
        for stack in series.stacks:
            for frame in stack.frames:
                counts = folders.setdefault(frame.path.parent, {})
                counts[patient] = counts.get(patient, 0) + 1
    advice = "check the export; if it is right so, say --mixed-patients"
    for folder, counts in sorted(folders.items()):
        if len(counts) > 1:
            numbers = " and ".join(str(count) for count in sorted(counts.values()))
            raise LayoutError(f"{folder}: holds images of {len(counts)} patients side by side ({numbers}); {advice}")
    for study, patients in studies.items():
        if len(patients) > 1:
            raise LayoutError(f"study {study}: its series name {len(patients)} different patients; {advice}")
    for dates in births.values():
        if len(dates) > 1:
            *_, where = dates.values()
            raise LayoutError(
                f"{where}: one Patient ID has {len(dates)} birth dates, as if several persons shared it; {advice}"
            )


def label_subjects(patients: Iterable[str], table: Path | None, key_file: Path) -> dict[str, str]:
    """Patient to subject label.

    Args:
        patients: From `patient_of`.
        table: A TSV file with the columns patient_id and subject; None for pseudonyms.
        key_file: Secret for the pseudonyms (the first digits of HMAC-SHA256 of the Patient ID); made where it is
            absent. With the same file a patient always gets the same label; without it nobody can tell whose it is.

    Raises:
        ConfigError: The table lacks a patient, has a label that is not letters and digits, or gives one label twice.
        OutputError: The key cannot be written.
    """
    wanted = sorted(set(patients))
    labels = _from_table(wanted, table) if table is not None else _pseudonyms(wanted, _key(key_file))
    owners: dict[str, str] = {}
    for patient, label in labels.items():
        if owners.setdefault(label, patient) != patient:
            where = table if table is not None else f"{key_file} (remove it to get other labels)"
            raise ConfigError(f"{where}: gives two patients the label sub-{label}")
    return labels


def label_sessions(series: Sequence[Series], labels: Mapping[str, str], always: bool) -> dict[tuple[str, str], Case]:
    """Patient and study UID to case. Studies of one subject are numbered by date; one alone makes no session.

    The study UID by itself does not do: badly de-identified studies of several patients share one, or have none.

    Args:
        series: All series.
        labels: Patient to subject.
        always: Number single studies, too, so that studies that come later do not rename them.
    """
    studies: dict[str, dict[str, str]] = {}
    for one in series:
        date = one.texts.get("StudyDate", "") + one.texts.get("StudyTime", "")
        studies.setdefault(patient_of(one), {})[one.study] = date
    cases = {}
    for patient, dates in studies.items():
        ordered = sorted(dates, key=lambda study: (dates[study], study))
        for number, study in enumerate(ordered, 1):
            cases[patient, study] = Case(labels[patient], str(number) if always or len(ordered) > 1 else None)
    return cases


class Scrubber:
    """Takes identifiers of patients out of texts that people typed (descriptions, paths).

    >>> Scrubber(["Roe^Jane", "P-77"]).clean("T1 for Roe, jane P-77")
    'T1 for XXX, XXX XXX'
    """

    def __init__(self, identifiers: Iterable[str]) -> None:
        words = {word for text in identifiers for word in (text, *re.split(r"[\^\s=\\,]+", text))}
        long = sorted((word for word in words if len(word) >= _SHORTEST), key=len, reverse=True)
        pattern = "|".join(map(re.escape, long))
        self._pattern = re.compile(rf"(?<![A-Za-z0-9])(?:{pattern})(?![A-Za-z0-9])", re.IGNORECASE) if long else None

    @classmethod
    def of(cls, inventory: Inventory) -> Scrubber:
        """For all patients of an inventory."""
        found = set()
        everything: list[Series | Other] = [*inventory.series, *inventory.others]
        for one in everything:
            found |= {one.patient, *(one.texts.get(name, "") for name in _IDENTIFYING)}
        return cls(found)

    def clean(self, text: str) -> str:
        """The text with `XXX` in place of each identifier."""
        return self._pattern.sub(HIDDEN, text) if self._pattern else text

    def clean_texts(self, content: Any) -> Any:
        """What JSON holds, with every text in it cleaned; keys, numbers and truth values stay.

        >>> Scrubber(["Test^True"]).clean_texts({"test": True, "paths": ["scans/test"]})
        {'test': True, 'paths': ['scans/XXX']}
        """
        if isinstance(content, dict):
            return {key: self.clean_texts(value) for key, value in content.items()}
        if isinstance(content, list | tuple):
            return [self.clean_texts(value) for value in content]
        return self.clean(content) if isinstance(content, str) else content


def _from_table(patients: Sequence[str], path: Path) -> dict[str, str]:
    table = read_table(path, text_columns=("patient_id", "subject"))
    require_columns(path, table, ("patient_id", "subject"))
    rows = {
        str(patient): str(subject).removeprefix("sub-")
        for patient, subject in zip(table["patient_id"], table["subject"], strict=True)
    }
    missing = [patient for patient in patients if patient not in rows]
    if missing:
        raise ConfigError(f"{path}: lacks {len(missing)} of {len(patients)} patients, for example '{missing[0]}'")
    for patient in patients:
        if not re.fullmatch(r"[A-Za-z0-9]+", rows[patient]):
            raise ConfigError(f"{path}: '{rows[patient]}' is no subject label; use letters and digits only")
    return {patient: rows[patient] for patient in patients}


def _pseudonyms(patients: Sequence[str], key: bytes) -> dict[str, str]:
    return {patient: hmac.new(key, patient.encode(), hashlib.sha256).hexdigest()[:LABEL_LENGTH] for patient in patients}


def _key(path: Path) -> bytes:
    try:
        if not path.exists():
            make_folder(path.parent)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(32) + "\n")
        content = path.read_bytes().strip()
    except OSError as error:
        raise output_error(path, error) from error
    if len(content) < 16:
        raise ConfigError(f"{path}: holds {len(content)} bytes; a key for pseudonyms has at least 16")
    return content
