"""`recontrast import`: a folder of DICOM files in, a BIDS data set out."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from recontrast import provenance
from recontrast.atomic import make_folder, write_json, write_text
from recontrast.config import to_plain
from recontrast.errors import ConfigError, DataError, LayoutError, UnknownNameError
from recontrast.execution.workers import Summary, failures, run_cases
from recontrast.importing.plan import Entry, plan_series, series_key, sidecar
from recontrast.importing.subjects import Scrubber, label_sessions, label_subjects, patient_of, require_apart
from recontrast.io.bids import read_sidecar, sidecar_path, write_description, write_sidecar
from recontrast.io.dicom.find import Inventory, find_series
from recontrast.io.dicom.pixels import Scaling, read_stack
from recontrast.io.dicom.stacks import Stack
from recontrast.io.nifti import write_volume
from recontrast.io.tables import read_table, write_table

log = logging.getLogger(__name__)

STAGE = "import"
TABLE = "series.tsv"
COLUMNS = (
    "series", "subject", "session", "number", "description", "part", "images", "outcome", "contrast", "file",
    "evidence", "reason", "notes",
)  # fmt: skip
"""Columns of `series.tsv`: one row for each stack of each series, and for each file that could not be used."""

_NOT_BIDS = (provenance.FILE_NAME, TABLE)
_DECIDING = ("missing", "times", "scaling", "sessions")

Missing = Literal["refuse", "fill"]
Times = Literal["refuse", "first", "all"]


@dataclass(frozen=True, kw_only=True)
class ImportSettings:
    """What `import_dicom` does."""

    dicom: Path
    """folder with DICOM files, in any order and under any names, also in folders below; or one file"""

    out: Path
    """folder for the BIDS data set"""

    contrast: tuple[str, ...] = ()
    """names given by hand: SERIES=CONTRAST, the series by number, description (* for anything), UID or key of
    series.tsv; for example 4=T1w"""

    subjects: Path | None = None
    """TSV file with the columns patient_id and subject; empty: pseudonyms"""

    key: Path | None = None
    """file with the secret from which pseudonyms are made; empty: OUT.key beside OUT, made at the first import"""

    sessions: Literal["auto", "always"] = "auto"
    """auto (numbered by date where a patient has several studies), always"""

    mixed_patients: bool = False
    """accept images of several patients side by side in one folder, and one Patient ID with several birth dates"""

    missing: Missing = "refuse"
    """slices missing between others: refuse (the series fails), fill (zeros, named in the sidecar)"""

    times: Times = "refuse"
    """several images at each position over time: refuse, first, all (as runs)"""

    scaling: Scaling = "precise"
    """values: precise (Philips' private scale where there is one), display (rescale slope), stored"""

    workers: int = 2
    """series converted at the same time"""


def import_dicom(settings: ImportSettings) -> Summary:
    """Convert the MR series of a folder into a BIDS data set.

    Each series is found by its headers, sorted by position, and named from the headers; `series.tsv` lists every one
    with its outcome and the evidence. What cannot be named for certain is listed, not guessed. A series that cannot be
    converted is listed and the rest goes on. Started again, finished images are kept.

    Raises:
        FormatError: The folder does not exist.
        LayoutError: It holds no MR image, or images of several patients side by side or under one ID.
        ConfigError: A setting is wrong, or OUT holds something else, as images of other series.
        DependencyError: The extra `dicom` is not installed.
        OutputError: OUT cannot be written.

    Example:
        >>> import_dicom(ImportSettings(dicom=Path("scans"), out=Path("bids")))  # doctest: +SKIP
    """
    _check(settings)
    inventory = find_series(settings.dicom)
    if not inventory.series:
        raise LayoutError(_nothing(settings.dicom, inventory))
    if not settings.mixed_patients:
        require_apart(inventory)
    _open(settings)
    earlier = _earlier(settings.out)
    _refuse_other_series(settings, earlier, inventory)
    key = settings.key or settings.out.with_name(f"{settings.out.name}.key")
    labels = label_subjects(map(patient_of, inventory.series), settings.subjects, key)
    cases = label_sessions(inventory.series, labels, settings.sessions == "always")
    entries = plan_series(
        inventory.series, cases, overrides=settings.contrast, missing=settings.missing, times=settings.times
    )
    orphans = sorted(set(earlier) - {entry.target.as_posix() for entry in entries if entry.target})
    if orphans:
        raise ConfigError(
            f"{settings.out}: holds {len(orphans)} images that this import would not make ({orphans[0]}); "
            "name another folder, or remove it"
        )
    scrubber = Scrubber.of(inventory)
    _describe(settings, entries, scrubber)
    work = {entry.target.as_posix(): (entry, settings, scrubber) for entry in entries if entry.target}
    outcomes = run_cases(_convert, work, workers=settings.workers, description="import")
    failed = failures(outcomes)
    kept = sum(bool(outcome.value) for outcome in outcomes)
    _write_table(settings, entries, failed, inventory, scrubber)
    return Summary(_lines(settings, entries, failed, kept, inventory), _all_failed(entries, failed, inventory))


def _check(settings: ImportSettings) -> None:
    for name, allowed in (("missing", Missing), ("times", Times), ("scaling", Scaling)):
        value = getattr(settings, name)
        if value not in get_args(allowed):
            raise UnknownNameError.among(name, value, get_args(allowed))
    if settings.workers < 1:
        raise ConfigError(f"workers is {settings.workers}; at least 1 is needed")
    source, place = settings.dicom.resolve(), settings.out.resolve()
    if place.is_relative_to(source) or source.is_relative_to(place):
        raise ConfigError(f"{settings.out}: the data set and the DICOM folder must not lie in each other")


def _open(settings: ImportSettings) -> None:
    """Make or take over OUT."""
    make_folder(settings.out)
    path = settings.out / provenance.FILE_NAME
    if not path.is_file():
        if any(not item.name.startswith(".") for item in settings.out.iterdir()):
            raise ConfigError(f"{settings.out}: holds other files and was not made by `recontrast import`")
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        stage, values = before["stage"], dict(before["settings"])
    except (OSError, ValueError, KeyError, TypeError):
        stage, values = "", {}
    if stage != STAGE:
        raise ConfigError(f"{settings.out}: was not made by `recontrast import`; name another folder")
    now = to_plain(settings)
    changed = [f"{name} was {values.get(name)!r}, is now {now[name]!r}" for name in _DECIDING
               if values.get(name) != now[name]]  # fmt: skip
    if changed:
        raise ConfigError(f"{settings.out}: was imported with other settings ({'; '.join(changed)}); name another")


def _earlier(out: Path) -> dict[str, str]:
    """Images that an earlier import made: path below OUT to the key of their series, empty where it is not said.

    The images themselves are looked at: the table of an import that was killed was never written.
    """
    found: dict[str, str] = {}
    if (out / TABLE).is_file():
        table = read_table(out / TABLE, text_columns=COLUMNS)
        found = {str(file): "" for file in table["file"].dropna() if (out / str(file)).is_file()}
    for image in out.glob("sub-*/**/*.nii.gz"):
        try:
            source = read_sidecar(image).get("SourceSeries")
        except DataError:
            continue  # damaged: the image is made again where it is one of these
        if isinstance(source, str):
            found[image.relative_to(out).as_posix()] = source
    return found


def _refuse_other_series(settings: ImportSettings, earlier: Mapping[str, str], inventory: Inventory) -> None:
    """Refuse images of series that are not in the input: those of another visit would take their places."""
    known = {series_key(series) for series in inventory.series}
    others = sorted(file for file, source in earlier.items() if source and source.partition("_")[0] not in known)
    if others:
        raise ConfigError(
            f"{settings.out}: holds {len(others)} images of series that are not in {settings.dicom} ({others[0]}); "
            "name another folder, or import all of them together into a new one"
        )


def _describe(settings: ImportSettings, entries: Sequence[Entry], scrubber: Scrubber) -> None:
    out = settings.out
    # Paths and the command line may hold names of patients: both are cleaned before they are written.
    described = provenance.describe(STAGE, settings)
    cleaned = scrubber.clean_texts(described)
    # Words of ours, by which the next import knows this one: a patient may be called the same.
    ours = {name: described["settings"][name] for name in _DECIDING}
    content = {**cleaned, "stage": STAGE, "settings": {**cleaned["settings"], **ours}}
    write_json(out / provenance.FILE_NAME, content)
    write_description(out, "Scans imported from DICOM", version=provenance.version())
    write_text(out / ".bidsignore", "".join(f"{name}\n" for name in _NOT_BIDS))
    subjects = sorted({entry.case.subject for entry in entries if entry.target})
    table = pd.DataFrame({"participant_id": [f"sub-{subject}" for subject in subjects]})
    if subjects:
        write_table(out / "participants.tsv", table)


def _convert(entry: Entry, settings: ImportSettings, scrubber: Scrubber) -> bool:
    """Write one image; True when an earlier import had finished it."""
    if entry.target is None:
        raise ConfigError(f"{entry.key}: has no name")
    image = settings.out / entry.target
    content = {**sidecar(entry, scrubber), "SourceSHA256": _fingerprint(entry.stack)}
    if image.is_file():
        try:
            if read_sidecar(image) == content:
                return True
        except DataError:
            pass  # damaged: made again
    for outdated in (sidecar_path(image), image):  # it must not stand for the new one when that cannot be read
        outdated.unlink(missing_ok=True)
    volume = read_stack(entry.stack, settings.scaling, fill_missing=settings.missing == "fill")
    write_sidecar(image, content)  # first: an image without it could not be told from a stranger's
    try:
        write_volume(image, volume, np.dtype(volume.data.dtype), description="imported by recontrast")
    except BaseException:
        sidecar_path(image).unlink(missing_ok=True)
        raise
    return False


def _fingerprint(stack: Stack) -> str:
    """Hash of the files of a stack in their order."""
    digest = hashlib.sha256()
    for path in dict.fromkeys(frame.path for frame in stack.frames):
        digest.update(provenance.sha256_of(path).encode())
    return digest.hexdigest()


def _write_table(
    settings: ImportSettings,
    entries: Sequence[Entry],
    failed: Mapping[str, str],
    inventory: Inventory,
    scrubber: Scrubber,
) -> None:
    def clean(text: str) -> str | None:
        return scrubber.clean(text.replace(f"{settings.dicom}/", "").replace("\t", " ")) or None

    rows: list[dict[str, Any]] = []
    for entry in entries:
        broken = failed.get(entry.target.as_posix()) if entry.target else None
        rows.append(
            {
                "series": entry.key,
                "subject": entry.case.subject,
                "session": entry.case.session,
                "number": entry.series.number or None,
                "description": clean(entry.series.description),
                "part": entry.stack.name or None,
                "images": len(entry.stack.frames),
                "outcome": "failed" if broken else entry.outcome,
                "contrast": entry.contrast.label if entry.contrast else None,
                "file": entry.target.as_posix() if entry.target and not broken else None,
                "evidence": clean("; ".join(entry.evidence)),
                "reason": clean(broken or entry.reason),
                "notes": clean("; ".join(entry.stack.notes)),
            }
        )
    for other in inventory.others:
        description = other.texts.get("SeriesDescription", "")
        reason = f"{other.modality or 'no modality'}: not an MR image"
        key = hashlib.sha256(other.uid.encode()).hexdigest()[:8]
        rows.append({"series": key, "number": other.texts.get("SeriesNumber"), "description": clean(description),
                     "images": other.files, "outcome": "skipped", "reason": reason})  # fmt: skip
    for path, reason in inventory.problems.items():
        rows.append({"series": clean(str(path)), "images": 0, "outcome": "failed", "reason": clean(reason)})
    write_table(settings.out / TABLE, pd.DataFrame(rows, columns=list(COLUMNS), dtype=object))


def _all_failed(entries: Sequence[Entry], failed: Mapping[str, str], inventory: Inventory) -> dict[str, str]:
    reasons = {str(path): reason for path, reason in inventory.problems.items()}
    for entry in entries:
        broken = failed.get(entry.target.as_posix()) if entry.target else None
        if broken or entry.outcome == "failed":
            name = f"{entry.series.number} '{entry.series.description}' {entry.stack.name}".strip()
            reasons[f"series {name} ({series_key(entry.series)})"] = broken or entry.reason
    return reasons


def _lines(
    settings: ImportSettings,
    entries: Sequence[Entry],
    failed: Mapping[str, str],
    kept: int,
    inventory: Inventory,
) -> list[str]:
    counts = Counter(entry.outcome for entry in entries)
    made = counts["imported"] - len(failed)
    subjects = len({entry.case.subject for entry in entries if entry.target})
    lines = [
        f"{made} images of {subjects} subjects in {settings.out}"
        + (f", {kept} of them were there before" if kept else "")
        + f"; every series and its outcome: {settings.out / TABLE}"
    ]
    for entry in entries:
        if entry.outcome == "unnamed":
            part = f" {entry.stack.name}" if entry.stack.name else ""
            lines.append(f"unnamed: {entry.series.number} '{entry.series.description}'{part}: {entry.reason}")
    others = sum(other.files for other in inventory.others)
    if inventory.strangers or others or counts["skipped"]:
        lines.append(
            f"{inventory.files} files looked at; {inventory.strangers} are not DICOM, {others} are DICOM of other "
            f"kinds, {counts['skipped']} MR series are no anatomical contrast"
        )
    return lines


def _nothing(folder: Path, inventory: Inventory) -> str:
    others = sum(other.files for other in inventory.others)
    first = next(iter(inventory.problems.items()), None)
    problem = f"; {first[0]}: {first[1]}" if first else ""
    return (
        f"{folder}: no usable MR image in it ({inventory.files} files, {inventory.strangers} of them not DICOM, "
        f"{others} DICOM of other kinds){problem}"
    )
