"""DICOM series in, a synthetic DICOM series in the same study out."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recontrast import provenance
from recontrast.errors import ConfigError, DataError, LayoutError, RecontrastWarning
from recontrast.execution.workers import Summary, failures, run_cases
from recontrast.importing.plan import Entry, plan_series, series_key
from recontrast.importing.subjects import patient_of
from recontrast.io.bids import Case, holds_images, is_bids, read_sidecar, sidecar_path, write_sidecar
from recontrast.io.dicom.contrast import facts_of
from recontrast.io.dicom.find import Inventory, Series, find_series, holds_dicom
from recontrast.io.dicom.pixels import read_stack
from recontrast.io.dicom.write import Derivation, write_series
from recontrast.io.nifti import is_nifti
from recontrast.preparation.acquisition import PARAMETERS, acquisition_of
from recontrast.preparation.mask import require_signal
from recontrast.translation.cases import TranslationCase
from recontrast.translation.output import (
    DISTANCE,
    CaseReport,
    check_leftovers,
    image_sidecar,
    made_before,
    open_folder,
    read_cases,
    relative,
    write_cases,
    write_record,
)
from recontrast.translation.raw import translate_raw
from recontrast.volume import Volume

if TYPE_CHECKING:
    from recontrast.translation.description import TranslatorDescription
    from recontrast.translation.settings import TranslateSettings
    from recontrast.translation.translator import Translator


@dataclass(frozen=True)
class DicomCase:
    """Stacks that are translated together.

    Attributes:
        key: Name in tables; also the folder of the result below OUT. It holds no identifier.
        entries: Source contrast to stack; one of them when `problem` says what is wrong.
        problem: Why it cannot be translated.
        skipped: Whether it was left out on purpose.
    """

    key: str
    entries: Mapping[str, Entry] = field(default_factory=dict)
    problem: str = ""
    skipped: bool = False

    def row(self) -> TranslationCase:
        """The case as `cases.tsv` lists it."""
        folders = {label: entry.stack.frames[0].path.parent for label, entry in self.entries.items()}
        return TranslationCase(
            key=self.key, sources=folders, output=Path(self.key), problem=self.problem, skipped=self.skipped
        )


def reads_dicom(source: Path) -> bool:
    """Whether an input is a DICOM file, or a folder of DICOM files and not a data set or a folder of NIfTI files.

    Folders of patients may be called `sub-…`, as those of a data set are: what lies in them decides.
    """
    if source.is_file():
        return not is_nifti(source) and holds_dicom(source)
    if not source.is_dir() or any(is_nifti(path) for path in source.iterdir()):
        return False
    if is_bids(source):
        return not holds_images(source) and any(holds_dicom(folder) for folder in source.glob("sub-*/"))
    return holds_dicom(source)


def translate_dicom(settings: TranslateSettings, translator: Translator, deciding: Mapping[str, Any]) -> Summary:
    """Translate the DICOM series of a folder; called by `translate`.

    Each case becomes a folder of files, a new series of the study it was made from. Patients and studies are never
    mixed: a result takes the patient and the study of its own source.

    Args:
        settings: Of `translate`.
        translator: Loaded.
        deciding: Settings that decide the result.

    Raises:
        LayoutError: No series of the contrast that the translator needs.
        ConfigError: OUT holds something else, or the images are to be harmonised.
    """
    about, out = translator.description.making(settings.target, settings.source), settings.out
    translator = translator.with_error_bars({})  # a series has no place for them
    if settings.harmonise:
        raise ConfigError(
            f"--harmonise: {settings.input} holds DICOM files; make a data set of them with `recontrast import`"
        )
    _refuse_ignored(settings, about)
    inventory = find_series(settings.input)
    cases = find_dicom_cases(inventory, about, settings.contrast, settings.input)
    facts = {
        "deciding": {**deciding, "contrast": list(settings.contrast)},
        "translator": {"weights_sha256": about.weights_sha256, "preset": about.preset},
    }
    open_folder(out, facts["deciding"])
    rows = [case.row() for case in cases]
    before = read_cases(out)
    check_leftovers(out, before, rows, about.weights_sha256)
    for outdated in made_before(out, before, rows):
        _forget(outdated)
    write_record(out, settings, facts)
    failed = {case.key: case.problem for case in cases if case.problem and not case.skipped}
    work = {case.key: (case, translator, settings) for case in cases if not case.problem}
    outcomes = run_cases(_translate, work, workers=settings.workers + 1, description="translate", threads=True)
    failed.update(failures(outcomes))
    reports = {outcome.case: outcome.value for outcome in outcomes if outcome.error is None}
    write_cases(out, rows, reports, failed, about.weights_sha256)
    write_record(out, settings, facts, [report.hashes for report in reports.values()])
    failed.update({str(path): reason for path, reason in inventory.problems.items()})
    skipped = sum(case.skipped for case in cases)
    line = f"{len(reports)} synthetic {about.target} series in {out}"
    kept = sum(report.kept for report in reports.values())
    details = [f"{kept} were finished before"] if kept else []
    details += [f"{skipped} series are other contrasts, see cases.tsv"] if skipped else []
    without = _studies_without(cases) if about.bank is not None else 0
    details += [f"{without} of the studies had no {' and no '.join(about.sources)}"] if without else []
    details += [f"{len(failed)} failed"] if failed else []
    calibrated = about.calibration or about.calibrations
    words = ["no error bars: they are not written as DICOM; translate NIfTI files"] if calibrated else []
    return Summary(["; ".join([line, *details]), *(words if settings.uncertainty else [])], failed)


def _refuse_ignored(settings: TranslateSettings, about: TranslatorDescription) -> None:
    """Refuse settings that would otherwise be ignored without a word."""
    if is_nifti(settings.out):
        raise ConfigError(
            f"{settings.out}: is one file, the result of DICOM input ({settings.input}) is a series; name a folder"
        )
    names = ["subjects", "split", "space", "prefer", "also", "volume", "dtype", "scheduler"]
    names += ["memory_gb"] if about.spatial_dims == 2 else []
    given = [name for name in names if getattr(settings, name) != getattr(type(settings), name)]
    if given:
        listed = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ConfigError(
            f"{listed}: not for DICOM input ({settings.input}); make a data set of it with `recontrast import`, and "
            "translate that"
        )


def find_dicom_cases(
    inventory: Inventory, about: TranslatorDescription, overrides: Sequence[str], source: Path
) -> list[DicomCase]:
    """Which stacks are translated, and why the others are not.

    A folder that holds one series of one stack is taken as what the translator needs. Else stacks are named from their
    headers, as `recontrast import` does, or by hand. A translator with several sources needs one of each in a study;
    one of several contrasts takes those that there are.

    Args:
        inventory: What the folder holds.
        about: The translator.
        overrides: `SERIES=CONTRAST`, see `TranslateSettings.contrast`.
        source: The folder, for messages.

    Raises:
        LayoutError: Nothing can be translated.
        ConfigError: An override names no series.
    """
    studies = {(patient_of(series), series.study): Case("x") for series in inventory.series}
    entries = plan_series(inventory.series, studies, overrides=overrides, missing="fill", times="all")
    if len(entries) == 1 and len((about.bank or about).sources) == 1 and not overrides:
        return [_alone(entries[0], about.sources[0])]
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((patient_of(entry.series), entry.series.study), []).append(entry)
    cases = _told_apart([case for group in groups.values() for case in _of_study(group, about)])
    if all(case.skipped for case in cases):
        there = "; ".join(f"{_named(entry.series)}: {_what(entry)}" for entry in entries[:8])
        wanted = (" or " if about.bank else " and ").join(about.sources)
        raise LayoutError(
            f"{source}: no series is {wanted} ({there or 'there is no MR image'}); "
            f"say which is with --contrast SERIES={about.sources[0]}"
        )
    return cases


def _alone(entry: Entry, label: str) -> DicomCase:
    if entry.stack.problem and entry.outcome != "skipped":
        return DicomCase(_key(entry), {label: entry}, entry.stack.problem)
    # an echo-planar series of no name is a field map or the like far more often than a scan of the anatomy
    nameless = entry.contrast is None and facts_of(entry.series, entry.stack).planar
    if entry.outcome == "skipped" or nameless:
        key = series_key(entry.series)
        problem = f"{_what(entry)}; where it is {label} all the same, say so with --contrast {key}={label}"
        return DicomCase(_key(entry), {label: entry}, problem)
    known = (
        f"is {entry.contrast.label} by its headers" if entry.contrast else f"its contrast is in doubt ({_what(entry)})"
    )
    if entry.contrast is None or entry.contrast.label != label:
        warnings.warn(
            f"series {_named(entry.series)}: {known}, the translator learned from {label}; taken as that",
            RecontrastWarning,
            stacklevel=3,
        )
    return DicomCase(_key(entry), {label: entry})


def _of_study(entries: Sequence[Entry], about: TranslatorDescription) -> list[DicomCase]:
    found: dict[str, list[Entry]] = {label: [] for label in about.sources}
    cases = []
    for entry in entries:
        label = entry.contrast.label if entry.contrast else ""
        if label in found and entry.outcome != "skipped":
            found[label].append(entry)
        else:
            problem = f"{_named(entry.series)}: {_what(entry)}"
            cases.append(DicomCase(_key(entry), {label or "unnamed": entry}, problem, skipped=True))
    first = about.sources[0]
    if len(found) == 1:
        return [*(DicomCase(_key(entry), {first: entry}, entry.stack.problem) for entry in found[first]), *cases]
    if not any(found.values()):
        return cases
    counts = {label: len(some) for label, some in found.items()}
    chosen = {label: some[0] for label, some in found.items() if some}
    key = _key(next(iter(chosen.values())))
    allowed = {0, 1} if about.bank is not None else {1}
    if not set(counts.values()) <= allowed:
        listed = ", ".join(f"{count} {label}" for label, count in counts.items())
        needed = "one of each is needed" if about.bank is None else "one of each is taken"
        problem = f"the study has {listed}; {needed}: say which with --contrast SERIES=CONTRAST"
        return [DicomCase(key, chosen, problem), *cases]
    broken = [entry.stack.problem for entry in chosen.values() if entry.stack.problem]
    return [DicomCase(key, chosen, broken[0] if broken else ""), *cases]


def _studies_without(cases: Sequence[DicomCase]) -> int:
    """Number of studies of which no series is a source."""
    studies: dict[tuple[str, str], bool] = {}
    for case in cases:
        for entry in case.entries.values():
            of = patient_of(entry.series), entry.series.study
            studies[of] = studies.get(of, True) and case.skipped
    return sum(studies.values())


def _told_apart(cases: list[DicomCase]) -> list[DicomCase]:
    """Cases that would write one folder are problems: the result of one patient must not stand for another's."""
    patients: dict[str, set[str]] = {}
    for case in cases:
        patients.setdefault(case.key, set()).update(patient_of(entry.series) for entry in case.entries.values())
    clash = "another patient's images have the same study and series UIDs; translate the patients from folders apart"
    return [
        replace(case, problem=clash) if not case.skipped and len(patients[case.key]) > 1 else case for case in cases
    ]


def _translate(case: DicomCase, translator: Translator, settings: TranslateSettings) -> CaseReport:
    """Translate one case and write its series, or keep what an earlier run finished."""
    translator = translator.given(case.entries, {label: _acquired(entry) for label, entry in case.entries.items()})
    about, folder = translator.description, settings.out / case.key
    files = [frame.path for entry in case.entries.values() for frame in entry.stack.frames]
    hashes = {relative(path, settings.out): provenance.sha256_of(path) for path in dict.fromkeys(files)}
    facts = {
        "SourcesSHA256": hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest(),
        "Translator": {"weights_sha256": about.weights_sha256, "preset": about.preset},
        "Settings": {"precision": settings.precision, "engine": settings.engine, "device": settings.device},
        **({} if about.bank is None else {"Contrast": about.target, "SourceContrasts": list(about.sources)}),
        **({} if about.acquisition is None else {"Acquisition": translator.acquired}),
    }
    before = _finished(folder, facts)
    if before is not None and (translator.training is None or DISTANCE in before):
        return CaseReport(hashes, str(before.get("Engine")), str(before.get("Precision")), kept=True)
    _forget(folder)
    volumes = {label: _read(entry) for label, entry in case.entries.items()}
    for label, volume in volumes.items():
        require_signal(volume, f"{case.key}: {label}")
    made = translate_raw(translator, volumes, case.key)
    engine, first = made.choice.engine, case.entries[about.sources[0]]
    scale = about.target_scale
    made_of = about.target if about.bank is None else f"{about.target} from {' + '.join(about.sources)}"
    derivation = Derivation(
        description=f"{made_of} of {first.series.description or 'series ' + first.series.number}",
        statement=about.synthetic_statement,
        method=(
            f"{about.target} computed from {' and '.join(about.sources)} by a neural network: Recontrast "
            f"{provenance.version()}, preset {about.preset}, weights SHA-256 {about.weights_sha256}, "
            f"{engine.name} {engine.precision}. Not acquired."
        ),
        version=provenance.version(),
        window=(scale.offset + scale.factor / 2, scale.factor),
        identity=json.dumps({**facts, "engine": engine.name, "precision": engine.precision}, sort_keys=True),
        sources=[entry.stack for entry in case.entries.values()],
        time=datetime.now().astimezone(),
    )
    written = write_series(folder, made.volume, first.stack, derivation)
    content = {
        **image_sidecar(made, about),
        **({} if translator.training is None else {DISTANCE: made.distance and made.distance.to_dict()}),
        "Images": len(written),
        "Sources": list(hashes),
        **facts,
    }
    write_sidecar(folder, content)
    return CaseReport(hashes, engine.name, engine.precision, kept=False)


def _acquired(entry: Entry) -> dict[str, float]:
    """What the headers say of the acquisition, in seconds and degrees, rounded as `import` writes it."""
    frame = entry.stack.frames[0]
    times = (frame.repetition_time_ms, frame.echo_time_ms, frame.inversion_time_ms)
    values = [*(time and round(time / 1000, 9) for time in times), frame.flip_deg]
    return acquisition_of(dict(zip(PARAMETERS, values, strict=True)))


def _read(entry: Entry) -> Volume:
    grid = entry.stack.grid
    if grid is not None and grid.missing:
        warnings.warn(
            f"series {_named(entry.series)}: {len(grid.missing)} of {grid.shape[2]} slices are missing; they are "
            "missing in the result, too",
            RecontrastWarning,
            stacklevel=2,
        )
    volume = read_stack(entry.stack, fill_missing=True)
    return volume.with_data(volume.data.astype(np.float32))


def _forget(folder: Path) -> None:
    """Remove an outdated series, its sidecar first."""
    sidecar_path(folder).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _finished(folder: Path, facts: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        content = read_sidecar(folder) if folder.is_dir() else {}
    except DataError:
        return None  # damaged: made again
    complete = len(list(folder.glob("*.dcm"))) == content.get("Images") if content else False
    return content if complete and all(content.get(name) == value for name, value in facts.items()) else None


def _key(entry: Entry) -> str:
    """Folder of a case: the study and the series by hashes of their UIDs, which tell nothing about the patient."""
    study = hashlib.sha256(entry.series.study.encode()).hexdigest()[:8]
    return f"study-{study}/series-{series_key(entry.series, entry.stack)}"


def _named(series: Series) -> str:
    return f"{series.number} '{series.description}'"


def _what(entry: Entry) -> str:
    return f"is {entry.contrast.label} by its headers" if entry.contrast else entry.reason.split(";")[0]
