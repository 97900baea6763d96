"""What becomes of each series: its name in the data set, or why it has none."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from recontrast import provenance
from recontrast.contrasts import Contrast
from recontrast.errors import ConfigError
from recontrast.importing.subjects import Scrubber, patient_of
from recontrast.io.bids import BidsName, Case
from recontrast.io.dicom.contrast import facts_of, name_contrast
from recontrast.io.dicom.find import Series, match_series
from recontrast.io.dicom.stacks import Stack

Outcome = Literal["imported", "unnamed", "skipped", "failed"]

_NUMBERS = {"EchoTime": "echo_time_ms", "RepetitionTime": "repetition_time_ms", "InversionTime": "inversion_time_ms"}
_TEXTS = ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "SeriesDescription", "ProtocolName",
          "ScanningSequence", "SequenceVariant", "ScanOptions", "SequenceName", "PulseSequenceName",
          "MRAcquisitionType", "BodyPartExamined", "PatientPosition")  # fmt: skip
"""Attributes that go into the sidecar under the name BIDS has for them."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One stack of a series and its outcome; one row of `series.tsv`.

    Attributes:
        key: A name for the stack that tells nothing about the patient; `--contrast` understands it.
        outcome: imported, unnamed (in doubt), skipped (known to be no anatomical contrast), failed.
        reason: Why it is not imported.
        target: Path of the image below the data set, when it is imported.
    """

    key: str
    case: Case
    series: Series
    stack: Stack
    outcome: Outcome
    contrast: Contrast | None = None
    entities: Mapping[str, str] = field(default_factory=dict)
    evidence: tuple[str, ...] = ()
    reason: str = ""
    target: Path | None = None


def plan_series(
    series: Sequence[Series],
    cases: Mapping[tuple[str, str], Case],
    *,
    overrides: Sequence[str],
    missing: str,
    times: str,
) -> list[Entry]:
    """Decide for each stack of each series.

    Args:
        series: All series.
        cases: Patient (`patient_of`) and study UID to case.
        overrides: `SERIES=CONTRAST`; see `ImportSettings.contrast`.
        missing: refuse, fill; see `ImportSettings`.
        times: refuse, first, all; see `ImportSettings`.

    Raises:
        ConfigError: An override names no series or no contrast.
    """
    named = _overrides(series, overrides)
    entries = []
    for one in series:
        for stack in one.stacks:
            entries.append(_decide(one, stack, cases[patient_of(one), one.study], named, missing=missing, times=times))
    return _with_targets(entries)


def series_key(series: Series, stack: Stack | None = None) -> str:
    """A short name of a series (and stack) that holds no identifier: the first digits of a hash of its UID."""
    key = hashlib.sha256(series.uid.encode()).hexdigest()[:8]
    return f"{key}_{stack.name}" if stack is not None and stack.name else key


def sidecar(entry: Entry, scrubber: Scrubber) -> dict[str, Any]:
    """Content of the image's JSON file: BIDS names and units (seconds, tesla, degrees), and the evidence."""
    texts, frame = entry.series.texts, entry.stack.frames[0]
    content: dict[str, Any] = {"Modality": "MR"}
    for name in _TEXTS:
        if name in texts:
            values = [scrubber.clean(value) for value in texts[name].split("\\")]
            content[name] = values if len(values) > 1 else values[0]
    for name, source in _NUMBERS.items():
        value = getattr(frame, source)
        if value:
            content[name] = round(value / 1000, 9)
    optional = {
        "FlipAngle": frame.flip_deg,
        "SliceThickness": frame.thickness,
        "SpacingBetweenSlices": abs(frame.between) if frame.between else None,
        "MagneticFieldStrength": _tesla(texts.get("MagneticFieldStrength", "")),
        "EchoTrainLength": _number(texts.get("EchoTrainLength", "")),
        "SeriesNumber": _number(entry.series.number),
        "ImageType": list(frame.image_type) or None,
    }
    content.update({name: value for name, value in optional.items() if value is not None})
    if entry.contrast is not None and dict(entry.contrast.entities).get("ce") == "gadolinium":
        content["ContrastBolusIngredient"] = "GADOLINIUM"
    content["ContrastEvidence"] = [scrubber.clean(text) for text in entry.evidence]
    content["SourceSeries"] = entry.key
    content["SourceImages"] = len(entry.stack.frames)
    if entry.stack.grid is not None and entry.stack.grid.missing:
        content["MissingSlices"] = list(entry.stack.grid.missing)
    if entry.stack.notes:
        content["Notes"] = [scrubber.clean(note) for note in entry.stack.notes]
    content["ConversionSoftware"] = "recontrast"
    content["ConversionSoftwareVersion"] = provenance.version()
    return content


def _decide(
    series: Series, stack: Stack, case: Case, named: Mapping[str, Contrast], *, missing: str, times: str
) -> Entry:
    key = series_key(series, stack)
    plain = Entry(key=key, case=case, series=series, stack=stack, outcome="failed")
    override = named.get(key) or named.get(series_key(series))
    naming = name_contrast(facts_of(series, stack))
    contrast, evidence = naming.contrast, naming.evidence
    if override is not None:
        contrast, evidence = override, (*evidence, f"named {override.label} on the command line")
    elif contrast is None:
        outcome: Outcome = "skipped" if naming.excluded else "unnamed"
        advice = "" if naming.excluded else f"; decide with --contrast {key}=T1w (or what it is)"
        return replace(plain, outcome=outcome, evidence=evidence, reason=naming.reason + advice)
    entities = naming.entities
    if override is not None:  # whatever it is called, it stays one of several echoes
        entities = {"echo": stack.traits["echo"]} if "echo" in stack.traits else {}
    plain = replace(plain, contrast=contrast, evidence=evidence, entities=entities)
    if stack.problem:
        return replace(plain, reason=stack.problem)
    if stack.grid is not None and stack.grid.missing and missing == "refuse":
        count, total = len(stack.grid.missing), stack.grid.shape[2]
        reason = f"{count} of {total} slices are missing; --missing fill puts zeros in their places"
        return replace(plain, reason=reason)
    if "time" in stack.traits and (times == "refuse" or (times == "first" and stack.traits["time"] != "1")):
        number = len({other.traits.get("time") for other in series.stacks})
        reason = f"one of {number} time points; --times first or --times all decides"
        return replace(plain, outcome="unnamed" if times == "refuse" else "skipped", reason=reason)
    return replace(plain, outcome="imported")


def _overrides(series: Sequence[Series], overrides: Sequence[str]) -> dict[str, Contrast]:
    """Key of a series or stack to the contrast a person gave it."""
    named = {}
    keys = {series_key(one, stack) for one in series for stack in one.stacks} | {series_key(one) for one in series}
    for entry in overrides:
        wanted, equals, label = entry.rpartition("=")
        if not equals or not wanted:
            raise ConfigError(f"--contrast '{entry}': write SERIES=CONTRAST, for example 4=T1w")
        contrast = Contrast.parse(label)
        found = [wanted] if wanted in keys else [series_key(one) for one in match_series(series, wanted)]
        if not found:
            there = "; ".join(f"{one.number} '{one.description}'" for one in series[:12])
            raise ConfigError(f"--contrast '{entry}': no series is called '{wanted}'; there is: {there}")
        named.update(dict.fromkeys(found, contrast))
    return named


def _with_targets(entries: Sequence[Entry]) -> list[Entry]:
    """Paths in the data set; images that would share one are numbered as runs."""
    names = [(e.case, e.contrast, tuple(sorted(e.entities.items()))) if e.outcome == "imported" else None
             for e in entries]  # fmt: skip
    counts, seen = Counter(name for name in names if name), Counter[Any]()
    placed = []
    for entry, name in zip(entries, names, strict=True):
        if name is None or entry.contrast is None:
            placed.append(entry)
            continue
        seen[name] += 1
        run = {"run": str(seen[name])} if counts[name] > 1 else {}
        filename = BidsName.of(entry.case, entry.contrast, **entry.entities, **run).filename
        placed.append(replace(entry, target=entry.case.folder / "anat" / filename))
    return placed


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if value.is_integer() else value


def _tesla(text: str) -> float | None:
    """Field strength; some old scanners wrote gauss."""
    value = _number(text)
    return value if value is None or value < 100 else value / 10000
