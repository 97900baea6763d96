"""`recontrast simulate`: a cohort of heads as a BIDS data set, with its truth beside it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits

from recontrast.atomic import make_folder, remove_partial_files, write_json, write_text
from recontrast.config import to_plain
from recontrast.errors import ConfigError, UnknownNameError
from recontrast.execution.workers import Summary, failures, run_cases
from recontrast.io.bids import Case, write_description
from recontrast.io.tables import write_table
from recontrast.phantom.labels import label_maps, read_label_table
from recontrast.phantom.lesions import KINDS
from recontrast.phantom.protocols import scans_of
from recontrast.phantom.scanner import stream
from recontrast.phantom.subject import finished, simulate_subject
from recontrast.phantom.tissues import tissues_at
from recontrast.phantom.warehouse import Grades, can_be_weak, check_shares, draw_grades, scanner_of
from recontrast.provenance import FILE_NAME, version, write_provenance

PATHOLOGIES = (*KINDS, "mixed")

GRADES = "grades.tsv"
"""True quality of each scan, beside the truth of the heads."""


@dataclass(frozen=True, kw_only=True)
class SimulateSettings:
    """What to simulate."""

    out: Path
    """Folder of the data set to make."""
    subjects: int = 12
    """Number of subjects; a finished cohort can be enlarged by asking for more."""
    spacing_mm: float = 2.0
    """Voxel size in mm."""
    contrasts: tuple[str, ...] = ("T1w", "T2w", "PDw", "FLAIR")
    """Contrasts to acquire; the first is the reference position of the head. `ce-gadolinium_` may stand before each."""
    pathology: str = "mixed"
    """none, ms, tumour, infarct, or mixed: these four in turn."""
    labels: Path | None = None
    """A label map, or a folder of them, in FreeSurfer numbering, to take heads from; none: the MNI152 template."""
    label_table: Path | None = None
    """Table that gives the tissue of each label number, if it is not FreeSurfer's: columns class, labels and times."""
    field_strength_t: float = 3.0
    """Field strength in T: 1.5 or 3."""
    snr: float = 40.0
    """Mean signal of white matter over the standard deviation of the noise in real and imaginary part; 0: no noise."""
    motion: float = 0.7
    """Motion of the head between contrasts: standard deviation in mm, and in degrees, about each axis."""
    bias: float = 0.2
    """Unevenness of the receive coil: standard deviation of the logarithm of its sensitivity."""
    slice_mm: float = 0.0
    """Slice thickness of 2D sequences in mm; 0: isotropic voxels."""
    slice_gap_mm: float = 0.0
    """Gap between the slices of 2D sequences in mm."""
    transmit: float = 0.0
    """Unevenness of the transmit field (B1): standard deviation of its relative strength over the field of view."""
    inversion_efficiency: float = 1.0
    """Share of the magnetisation that the inversion pulse of FLAIR turns; scanners reach about 0.96."""
    fat_saturation: bool = True
    """Whether the signal of fat is suppressed in FLAIR."""
    gain: float = 0.0
    """Share of full scale that a signal of 1 (all of pure water) is stored as; 0: every scan has its own gain."""
    random_contrast: bool = False
    """Draw field strength, relaxation of the tissues and timing of T1w, T2w, PDw, FLAIR and T2starw for each subject
    from wide ranges, in which each contrast stays what it is: heads to pre-train a network with."""
    scanners: tuple[str, ...] = ()
    """Scanners of a clinical warehouse (mprage-3t, mprage-1.5t, spgr-3t); each subject lies in one of them. Their field
    strength, T1w sequence, noise and coil take the place of those above. None: one scanner, as above."""
    medium_quality: float = 0.0
    """Share of scans of medium quality: noisier, moved during the scan, or (T1w gradient echoes) of weaker contrast."""
    low_quality: float = 0.0
    """Share of scans of low quality, but for the first contrast, which is never worse than medium."""
    seed: int = 0
    """Seed: the same seed gives the same bytes."""
    workers: int = 2
    """Subjects simulated at the same time."""


def simulate(settings: SimulateSettings) -> Summary:
    """Simulate a cohort and write it as a BIDS data set with `derivatives/truth`.

    A stopped run goes on where it stopped. Subjects do not depend on each other, on their number or on the number of
    workers: the same seed gives the same bytes.

    Args:
        settings: What to simulate.

    Raises:
        ConfigError: A setting is wrong, or the folder holds a cohort simulated with other settings.
        OutputError: The folder cannot be written.

    Example:
        >>> simulate(SimulateSettings(out=Path("cohort"), subjects=2)).done  # doctest: +SKIP
        ['simulated 2 subjects in cohort: T1w, T2w, PDw, FLAIR']
    """
    check(settings)
    out = make_folder(settings.out)
    _require_same(settings)
    remove_partial_files(out)
    _write_frame(settings)
    cases = {
        Case(f"{i + 1:02d}").key: (settings, i, {**plan_subject(settings, i), "quality": grades_of(settings, i)})
        for i in range(settings.subjects)
    }
    todo = {key: arguments for key, arguments in cases.items() if not finished(out, Case.parse(key))}
    # One thread a subject: the sums of linear algebra then run in the same order on every machine setting.
    with threadpool_limits(limits=1):
        outcomes = run_cases(_run, todo, workers=settings.workers, description="simulate")
    write_provenance(out, "simulate", settings, _inputs(settings))
    failed = failures(outcomes)
    kept = len(cases) - len(todo)
    done = [f"simulated {_count(len(todo) - len(failed))} in {out}: {', '.join(settings.contrasts)}"]
    if kept:
        done.append(f"kept {_count(kept)} finished before")
    return Summary(done, failed)


def _grades_table(settings: SimulateSettings) -> pd.DataFrame:
    """True grades, as `recontrast prepare --grades` reads them."""
    rows = []
    for index in range(settings.subjects):
        for label, grades in grades_of(settings, index).items():
            for scan in scans_of(label):
                rows.append({
                    "case": Case(f"{index + 1:02d}").key, "contrast": scan.contrast.label,
                    "grade_contrast": grades.contrast, "grade_motion": grades.motion, "grade_noise": grades.noise,
                    "tier": grades.tier,
                })  # fmt: skip
    return pd.DataFrame(rows)


def _count(subjects: int) -> str:
    return f"{subjects} subject{'' if subjects == 1 else 's'}"


def _run(settings: SimulateSettings, index: int, plan: dict[str, Any]) -> None:
    with threadpool_limits(limits=1):
        simulate_subject(settings, index, plan)


def plan_subject(settings: SimulateSettings, index: int) -> dict[str, Any]:
    """Age, sex and pathology of a subject; depends on seed and index only."""
    rng = stream(settings.seed, index, "person")
    age = round(float(rng.uniform(20, 80)), 1)
    sex = "F" if rng.random() < 0.5 else "M"
    first = int(stream(settings.seed, 0, "pathology").integers(len(KINDS)))
    kind = KINDS[(first + index) % len(KINDS)] if settings.pathology == "mixed" else settings.pathology
    plan = {"age": age, "sex": sex, "pathology": kind}
    if settings.scanners:
        chosen = stream(settings.seed, index, "scanner").integers(len(settings.scanners))
        plan["scanner"] = settings.scanners[int(chosen)]
    return plan


def grades_of(settings: SimulateSettings, index: int) -> dict[str, Grades]:
    """Quality of each contrast of a subject; depends on seed and index only."""
    found = {}
    for position, label in enumerate(settings.contrasts):
        low = settings.low_quality if position else 0.0
        rng = stream(settings.seed, index, f"quality of {label}")
        weakened = all(can_be_weak(scan) for scan in scans_of(label))
        found[label] = draw_grades(rng, settings.medium_quality, low, weakened)
    return found


def check(settings: SimulateSettings) -> None:
    """Raise `ConfigError` for the first setting that cannot be used."""
    _check_numbers(settings)
    if settings.pathology not in PATHOLOGIES:
        raise UnknownNameError.among("pathology", settings.pathology, PATHOLOGIES)
    if not settings.contrasts:
        raise ConfigError("contrasts is empty: name at least one, for example T1w")
    if len(set(settings.contrasts)) < len(settings.contrasts):
        raise ConfigError(f"contrasts names one of them twice: {', '.join(settings.contrasts)}")
    if settings.label_table is not None and settings.labels is None:
        raise ConfigError("label_table is given without labels: name the label map it belongs to")
    if settings.labels is not None:
        label_maps(settings.labels)
    if settings.label_table is not None:
        read_label_table(settings.label_table)
    tissues_at(settings.field_strength_t)
    for name in settings.scanners:
        scanner_of(name)
    if settings.random_contrast and (settings.scanners or settings.medium_quality or settings.low_quality):
        raise ConfigError(
            "random_contrast draws field strength and sequences, which scanners and shares of quality fix: give either"
        )
    check_shares(settings.medium_quality, settings.low_quality)
    if settings.snr == 0 and (settings.medium_quality or settings.low_quality):
        raise ConfigError("snr is 0, no noise, so that no scan can be noisier: give an snr beside shares of quality")
    for contrast in settings.contrasts:
        scans_of(contrast)


def _check_numbers(settings: SimulateSettings) -> None:
    for name in ("subjects", "workers"):
        if getattr(settings, name) < 1:
            raise ConfigError(f"{name} must be at least 1, got {getattr(settings, name)}")
    if settings.seed < 0:
        raise ConfigError(f"seed must be at least 0, got {settings.seed}")
    if not 0.5 <= settings.spacing_mm <= 10:
        raise ConfigError(f"spacing_mm must lie between 0.5 and 10 mm, got {settings.spacing_mm:g}")
    for name in ("snr", "motion", "bias", "slice_mm", "slice_gap_mm", "transmit", "gain"):
        value = getattr(settings, name)
        if not (math.isfinite(value) and value >= 0):
            raise ConfigError(f"{name} must be a number of at least 0, got {value:g}")
    if settings.transmit > 0.3:
        raise ConfigError(f"transmit is {settings.transmit:g}; more than 0.3 is no field of a scanner")
    if not 0 < settings.inversion_efficiency <= 1:
        raise ConfigError(
            f"inversion_efficiency must lie above 0 and at most at 1, got {settings.inversion_efficiency:g}"
        )
    if settings.slice_gap_mm > 0 and settings.slice_mm == 0:
        raise ConfigError("slice_gap_mm needs slice_mm: give the thickness of the slices as well")


def _require_same(settings: SimulateSettings) -> None:
    """Refuse to mix cohorts: everything but folder, workers and a larger number of subjects must be as it was."""
    path = settings.out / FILE_NAME
    if not path.is_file():
        if any(settings.out.glob("sub-*")):
            raise ConfigError(f"{settings.out} holds subjects that were not simulated here; choose another folder")
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))["settings"]
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{path} cannot be read; choose another folder or remove this one") from None
    now = to_plain(settings)
    # A cohort of an older version knows fewer settings: these had their defaults.
    before = {**to_plain(SimulateSettings(out=settings.out)), **before}
    for name in sorted({*before, *now} - {"out", "workers", "subjects"}):
        if before.get(name) != now.get(name):
            raise ConfigError(
                f"{settings.out} holds a cohort simulated with {name} = {before.get(name)}, not {now.get(name)}; "
                "use the same settings to go on, or choose another folder"
            )
    if now["subjects"] < before["subjects"]:
        raise ConfigError(
            f"{settings.out} holds {before['subjects']} subjects, {now['subjects']} are asked for; "
            "choose another folder"
        )


def _inputs(settings: SimulateSettings) -> list[Path]:
    if settings.labels is None:
        return []
    return [*label_maps(settings.labels), *([settings.label_table] if settings.label_table is not None else [])]


def _write_frame(settings: SimulateSettings) -> None:
    """Write what belongs to the data set as a whole; provenance first, so that a killed run can be taken up again."""
    out, truth = settings.out, settings.out / "derivatives" / "truth"
    write_provenance(out, "simulate", settings, _inputs(settings))
    write_description(out, "Simulated heads", version=version())
    write_description(truth, "Truth of simulated heads", version=version(), derivative=True, sources=["../.."])
    # Files that BIDS does not know.
    write_text(out / ".bidsignore", f"{FILE_NAME}\n")
    write_text(truth / ".bidsignore", f"*_simulation.json\n{GRADES}\n")
    if settings.medium_quality or settings.low_quality:
        write_table(truth / GRADES, _grades_table(settings))
    plans = [plan_subject(settings, i) for i in range(settings.subjects)]
    rows = [{"participant_id": Case(f"{i + 1:02d}").key, **plan} for i, plan in enumerate(plans)]
    write_table(out / "participants.tsv", pd.DataFrame(rows))
    described = {"scanner": {"Description": "Scanner of the simulated warehouse"}} if settings.scanners else {}
    write_json(out / "participants.json", {
        "age": {"Description": "Age the simulated head was given; ventricles and sulci widen with it", "Units": "year"},
        "sex": {"Description": "Sex the simulated subject was given; it has no effect",
                "Levels": {"F": "female", "M": "male"}},
        "pathology": {
            "Description": "Pathology added to the head",
            "Levels": {"none": "none", "ms": "multiple sclerosis", "tumour": "high-grade tumour with oedema",
                       "infarct": "old infarct"},
        },
        **described,
    })  # fmt: skip
