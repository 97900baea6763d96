"""`recontrast prepare`: raw BIDS data to prepared cases, side by side, resumable."""

from __future__ import annotations

import dataclasses
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from recontrast import provenance
from recontrast.atomic import make_folder, remove_partial_files, write_text
from recontrast.config import to_plain
from recontrast.errors import ConfigError, DataError, MissingContrastError, RecontrastWarning, UnknownNameError
from recontrast.execution.attempts import without_case
from recontrast.execution.workers import Outcome, Summary, failures, run_cases
from recontrast.io.bids import (
    BidsImage,
    Case,
    by_case,
    find_images,
    subjects_without_image,
    warn_of_strays,
    write_description,
)
from recontrast.io.tables import write_table
from recontrast.preparation.brain import TOOLS
from recontrast.preparation.by_hand import (
    read_by_hand,
    reasons_of_rejected,
    require_not_rejected,
    without_rejected,
)
from recontrast.preparation.case import LEDGER, CaseReport, CaseRequest, forget_case, prepare_case
from recontrast.preparation.cohort import REJECTED, prepared_settings
from recontrast.preparation.cohort_scale import fit_cohort_scale
from recontrast.preparation.normalize import SCALES, ScaleSettings
from recontrast.preparation.quality import QUALITY_COLUMNS, duplicates
from recontrast.preparation.recipes import PREPARATIONS, traits_of
from recontrast.preparation.selection import candidates, common_contrasts, parse_contrasts
from recontrast.preparation.splits import bare, choose_splits, known_subjects, read_splits, write_splits

log = logging.getLogger(__name__)

BY_RECIPE = "recipe"
"""Name of the scale that leaves the choice to the recipe."""

FREE_TO_CHANGE = ("workers", "memory_gb", "scheduler")
"""Settings that may differ when a preparation goes on where it stopped: they do not change the result."""


_NOT_BIDS = (provenance.FILE_NAME, "splits.tsv", "cases.tsv", "quality.tsv", f"{LEDGER}/")
"""Our files that the BIDS validator does not know."""


@dataclass(frozen=True, kw_only=True)
class PrepareSettings:
    """What `prepare` does."""

    bids: Path
    """BIDS data set with the raw scans"""

    out: Path
    """folder for the prepared cases"""

    recipe: str = "native"
    """native (own grid, fewest steps), t1-linear, brats, localizer, fixed-scale, synthetic-mri"""

    contrasts: tuple[str, ...] = ()
    """contrasts every case must have (T1w, ce-gadolinium_T1w, …); empty: all that every case has"""

    grid: str = ""
    """contrast whose grid the case gets; empty: the first contrast"""

    space: str = ""
    """take images with this space entity; images without one only where a contrast has none with it"""

    prefer: tuple[str, ...] = ()
    """entities that decide between several files of one contrast (run-1, rec-norm)"""

    subjects: tuple[str, ...] = ()
    """subjects to prepare; empty: all"""

    align: bool = True
    """align the contrasts of a case rigidly; without it they must share one grid"""

    scale: ScaleSettings = field(default_factory=lambda: ScaleSettings(name=BY_RECIPE))
    """intensity scale; name recipe: the one of the recipe"""

    size: tuple[int, ...] = ()
    """t1-linear, brats, localizer: voxels along right, anterior, superior; empty: the recipe's own"""

    brain: str = ""
    """find the brain where no mask is given: built-in, synthstrip, hd-bet; empty: only where the recipe needs it"""

    slices: Path | None = None
    """brats, localizer: table (TSV) case, first, last of axial slices chosen by hand"""

    grades: Path | None = None
    """table (TSV) of grades that people gave: case, contrast, grade_contrast, grade_motion, grade_noise, tier (the tier
    reject leaves the case out)"""

    regions: Path | None = None
    """data set with masks and label maps of the same subjects; left out: BIDS/derivatives/truth where there is one"""

    splits: Path | None = None
    """table (TSV) with columns subject and split (train, validation, test)"""

    test: tuple[str, ...] = ()
    """subjects to test on; empty: 20 % at random"""

    validation: tuple[str, ...] = ()
    """subjects to validate with; empty: 16 % at random"""

    low_quality: Literal["learn", "test"] = "learn"
    """subjects with an image of the tier low: learn (split like all others), or test (tested on, never learned from)"""

    seed: int = 0
    """seed of the random split and of the alignment"""

    workers: int = 2
    """cases prepared at the same time"""

    memory_gb: float = 0.0
    """most memory a worker process may take, GB: a case that needs more fails; 0: no limit"""

    scheduler: str = ""
    """Dask scheduler whose workers do the cases (tcp://host:8786, or its .json file); empty: this machine"""


def prepare(settings: PrepareSettings) -> Summary:
    """Prepare every case of a data set: one grid, aligned, masked, with an invertible scale and a split.

    A failed case is listed and the rest goes on. Started again with the same settings, finished cases whose input
    files are unchanged are kept.

    Raises:
        ConfigError: A setting is wrong, or the folder holds something else.
        LayoutError: Not a BIDS data set, or a subject is in two splits.
        MissingContrastError: No contrast is common to all cases.
        DataError: Not one case could be prepared.
        OutputError: The folder cannot be written.

    Example:
        >>> prepare(PrepareSettings(bids=Path("cohort"), out=Path("prepared")))  # doctest: +SKIP
    """
    _check(settings)
    settings = _with_scale(settings)
    everybody = by_case(find_images(settings.bids))
    cases = _chosen(settings, everybody)
    contrasts = _contrasts(settings, cases)
    there = {case.key: {image.name.contrast.label for image in images} for case, images in everybody.items()}
    spans, grades = read_by_hand(settings.slices, settings.grades, there)
    used = without_rejected(cases, grades, contrasts)
    rejected = reasons_of_rejected(cases, grades, contrasts, settings.grades)
    keys = {subject: [case.key for case in cases if case.subject == subject] for subject in {c.subject for c in cases}}
    named = {"--test": settings.test, "--validation": settings.validation}
    require_not_rejected(named, keys, grades, contrasts, settings.grades)
    previous = _open_folder(settings)
    for case in cases.keys() - used.keys():
        forget_case(settings.out, case)
    cases = used
    subjects = sorted({case.subject for case in cases})
    splits = choose_splits(
        subjects,
        test=settings.test,
        validation=settings.validation,
        table=settings.splits,
        seed=settings.seed,
        previous=previous,
    )
    settings = _with_cohort_scale(settings, cases, contrasts, splits)
    provenance.write_provenance(settings.out, "prepare", settings)
    write_splits(settings.out / "splits.tsv", splits)
    requests = {
        case.key: (_request(settings, case, images, contrasts, spans, grades),) for case, images in cases.items()
    }
    outcomes = run_cases(
        prepare_case,
        requests,
        workers=settings.workers,
        description="prepare",
        scheduler=settings.scheduler,
        memory_gb=settings.memory_gb,
    )
    return _finish(settings, contrasts, splits, outcomes, rejected)


def _check(settings: PrepareSettings) -> None:
    PREPARATIONS.get(settings.recipe)
    if settings.scale.name not in (BY_RECIPE, *SCALES):
        raise UnknownNameError.among("intensity scale", settings.scale.name, (BY_RECIPE, *SCALES))
    if settings.brain and settings.brain not in TOOLS:
        raise UnknownNameError.among("brain mask tool", settings.brain, TOOLS)
    if settings.workers < 1:
        raise ConfigError(f"workers is {settings.workers}; at least 1 is needed")
    _require_use(settings)
    for option, folder in (
        ("regions", settings.regions), ("splits", settings.splits),
        ("slices", settings.slices), ("grades", settings.grades),
    ):  # fmt: skip
        if folder is not None and not folder.exists():
            raise ConfigError(f"--{option} {folder}: does not exist")


def _require_use(settings: PrepareSettings) -> None:
    """Refuse what the recipe would not look at."""
    for option, given, trait in (("size", settings.size, "sized"), ("slices", settings.slices, "cut")):
        fitting = [name for name in PREPARATIONS.names() if getattr(traits_of(name), trait)]
        if given and settings.recipe not in fitting:
            raise ConfigError(
                f"--{option}: the recipe {settings.recipe} has no use for it; leave it out, or take a recipe that has "
                f"(--recipe {', '.join(fitting)})"
            )


def _with_scale(settings: PrepareSettings) -> PrepareSettings:
    """Settings with the recipe's scale where none is named, and with numbers that an earlier run fitted."""
    scale = settings.scale
    if scale.name == BY_RECIPE:
        own = traits_of(settings.recipe).scale
        untouched = scale == ScaleSettings(name=BY_RECIPE)
        scale = own if untouched else dataclasses.replace(scale, name=own.name)
    if _is_open(scale) and (settings.out / provenance.FILE_NAME).is_file():
        before = prepared_settings(settings.out).get("scale", {})
        if before.get("name") == scale.name:
            scale = dataclasses.replace(scale, contrasts=tuple(before.get("contrasts", ())))
    return dataclasses.replace(settings, scale=scale)


def _is_open(scale: ScaleSettings) -> bool:
    return scale.name == "fixed" and scale.fixed_factor is None and not scale.contrasts


def _with_cohort_scale(
    settings: PrepareSettings,
    cases: Mapping[Case, Sequence[BidsImage]],
    contrasts: Sequence[str],
    splits: Mapping[str, str],
) -> PrepareSettings:
    """Settings with one scale a contrast, fitted to the training subjects, where fixed numbers are not given."""
    if not _is_open(settings.scale):
        return settings
    files: dict[str, dict[str, Path]] = {}
    for case, images in cases.items():
        if splits.get(case.subject) != "train":
            continue
        found = candidates(images, settings.space, settings.prefer)
        files[case.key] = {label: found[label][0].path for label in contrasts if len(found.get(label, [])) == 1}
    if not files:
        warnings.warn(
            "no training subject, so that no scale can be fitted: give numbers with --scale.contrasts T1w=1200",
            RecontrastWarning,
            stacklevel=3,
        )
        return settings
    if settings.low_quality == "test":
        warnings.warn(
            "the scale is fitted before quality is known: subjects that are tested on for their low quality take part "
            "in it; give numbers with --scale.contrasts to keep them out",
            RecontrastWarning,
            stacklevel=3,
        )
    shared = traits_of(settings.recipe).shared_scale
    numbers = fit_cohort_scale(files, shared, settings.workers, settings.scale.high)
    return dataclasses.replace(settings, scale=dataclasses.replace(settings.scale, contrasts=numbers))


def _chosen(settings: PrepareSettings, cases: dict[Case, list[BidsImage]]) -> dict[Case, list[BidsImage]]:
    asked = {bare(subject) for subject in settings.subjects}
    warn_of_strays(settings.bids, asked)
    without = [label for label in subjects_without_image(settings.bids, cases) if not asked or label in asked]
    if without:
        names = ", ".join(f"sub-{label}" for label in without[:5]) + (" …" if len(without) > 5 else "")
        warnings.warn(
            f"{settings.bids}: {len(without)} subjects are left out, they have no image: {names}",
            RecontrastWarning,
            stacklevel=3,
        )
    wanted = known_subjects(settings.subjects, {case.subject for case in cases}, "subjects")
    return {case: images for case, images in cases.items() if not wanted or case.subject in wanted}


def _contrasts(settings: PrepareSettings, cases: Mapping[Case, Sequence[BidsImage]]) -> list[str]:
    contrasts = parse_contrasts(settings.contrasts)
    if not contrasts:
        contrasts, lacking = common_contrasts(cases, settings.space, settings.prefer)
        if not contrasts:
            there = "; ".join(f"{label} is absent in {', '.join(keys[:5])}" for label, keys in lacking.items())
            raise MissingContrastError(
                f"{settings.bids}: no contrast is there in every case ({there or 'no image found'}); "
                "name those that are needed with --contrasts, or the subjects with --subjects"
            )
        for label, keys in lacking.items():
            warnings.warn(
                f"{label} is left out: {', '.join(keys[:5])} {'have' if len(keys) > 1 else 'has'} none; "
                "name the contrasts with --contrasts to leave out cases instead",
                RecontrastWarning,
                stacklevel=3,
            )
    grid = parse_contrasts([settings.grid])[0] if settings.grid else contrasts[0]
    if grid not in contrasts:
        raise UnknownNameError.among("contrast in --grid:", grid, contrasts)
    return contrasts


def _open_folder(settings: PrepareSettings) -> dict[str, str]:
    """Make or take over the output folder; return the splits of an earlier run with the same settings."""
    folder = settings.out
    if (folder / provenance.FILE_NAME).is_file():
        _require_same_settings(settings, prepared_settings(folder))
        remove_partial_files(folder)
        splits = folder / "splits.tsv"
        return read_splits(splits) if splits.is_file() else {}
    make_folder(folder)
    if any(folder.iterdir()):
        raise ConfigError(f"{folder}: holds other files and was not made by `recontrast prepare`; name another folder")
    return {}


def _require_same_settings(settings: PrepareSettings, before: Mapping[str, Any]) -> None:
    now = to_plain(settings)
    # A folder of an older version knows fewer settings: these had their defaults.
    before = {**to_plain(PrepareSettings(bids=settings.bids, out=settings.out)), **before}
    keys = [item.name for item in dataclasses.fields(settings) if item.name not in (*FREE_TO_CHANGE, "out", "bids")]
    changed = [
        f"{key} was {before.get(key)!r}, is now {now.get(key)!r}" for key in keys if before.get(key) != now.get(key)
    ]
    if Path(before.get("bids", "")).resolve() != settings.bids.resolve():
        changed.insert(0, f"bids was {before.get('bids')}, is now {settings.bids}")
    if changed:
        raise ConfigError(
            f"{settings.out}: was prepared with other settings ({'; '.join(changed)}); "
            "name another folder, or remove this one"
        )


def _request(
    settings: PrepareSettings,
    case: Case,
    images: Sequence[BidsImage],
    contrasts: Sequence[str],
    spans: Mapping[str, tuple[int, int]],
    grades: Mapping[tuple[str, str], Mapping[str, Any]],
) -> CaseRequest:
    truth = settings.bids / "derivatives" / "truth"
    regions = settings.regions if settings.regions is not None else (truth if truth.is_dir() else None)
    return CaseRequest(
        case=case,
        images=tuple(images),
        bids=settings.bids,
        out=settings.out,
        recipe=settings.recipe,
        contrasts=tuple(contrasts),
        grid=parse_contrasts([settings.grid])[0] if settings.grid else contrasts[0],
        space=settings.space,
        prefer=settings.prefer,
        align=settings.align,
        scale=settings.scale,
        regions=regions,
        seed=settings.seed,
        size=settings.size,
        brain=settings.brain,
        span=spans.get(case.key),
        grades={contrast: grades[key, contrast] for key, contrast in grades if key == case.key},
    )


def _finish(
    settings: PrepareSettings, contrasts: Sequence[str], splits: Mapping[str, str], outcomes: Sequence[Outcome],
    rejected: Mapping[str, str],
) -> Summary:  # fmt: skip
    """Write the tables and say what was done."""
    failed = failures(outcomes)
    reports: dict[str, CaseReport] = {o.case: o.value for o in outcomes if o.error is None}
    for report in reports.values():
        for message in report.doubts:
            warnings.warn(message, RecontrastWarning, stacklevel=3)
    _write_quality(settings.out, reports)
    if settings.low_quality == "test":
        splits = _low_to_test(splits, reports)
        write_splits(settings.out / "splits.tsv", splits)
    _write_cases(settings.out, outcomes, reports, rejected)  # last: whoever finds it takes the splits for final
    inputs = {name: digest for report in reports.values() for name, digest in report.inputs.items()}
    provenance.write_provenance(settings.out, "prepare", settings, extra={"inputs": inputs})
    version = provenance.version()
    write_description(
        settings.out, "Prepared cases", version=version, derivative=True, sources=[str(settings.bids.resolve())]
    )
    write_text(settings.out / ".bidsignore", "".join(f"{name}\n" for name in _NOT_BIDS))
    if not reports:
        reasons = list(dict.fromkeys(failed.values()))
        more = f" (and {len(reasons) - 1} other reasons, see {settings.out / 'cases.tsv'})" if len(reasons) > 1 else ""
        raise DataError(f"not one of {len(outcomes)} cases could be prepared: {next(iter(failed))}: {reasons[0]}{more}")
    kept = sum(report.kept for report in reports.values())
    counts = {split: sum(value == split for value in splits.values()) for split in ("train", "validation", "test")}
    done = [
        f"prepared {len(reports)} of {len(outcomes)} cases in {settings.out}" + (f" ({kept} kept)" if kept else ""),
        f"contrasts: {', '.join(contrasts)}",
        "subjects: " + ", ".join(f"{count} {split}" for split, count in counts.items()),
    ]
    return Summary(done, failed)


def _low_to_test(splits: Mapping[str, str], reports: Mapping[str, CaseReport]) -> dict[str, str]:
    """Splits in which no subject with an image of low quality is learned from or chosen by."""
    low = {Case.parse(key).subject for key, report in reports.items() for row in report.quality if row["tier"] == "low"}
    found = {subject: "test" if subject in low else split for subject, split in splits.items()}
    if "train" in splits.values() and "train" not in found.values():
        raise DataError("every subject to learn from has an image of low quality; see quality.tsv, or grade by hand")
    return found


def _write_cases(
    out: Path, outcomes: Sequence[Outcome], reports: Mapping[str, CaseReport], rejected: Mapping[str, str]
) -> None:
    rows = []
    for outcome in outcomes:
        report = reports.get(outcome.case)
        doubts = report.doubts if report else ()
        message = outcome.error or "; ".join(without_case(doubt, outcome.case) for doubt in doubts)
        rows.append({"case": outcome.case, "status": "failed" if report is None else "ok", "message": message or None})
    rows += [{"case": key, "status": REJECTED, "message": reason} for key, reason in rejected.items()]
    write_table(out / "cases.tsv", pd.DataFrame(rows, columns=["case", "status", "message"]))


def _write_quality(out: Path, reports: Mapping[str, CaseReport]) -> None:
    quality = [dict(row) for report in reports.values() for row in report.quality]
    copies = duplicates(quality)
    for row in quality:
        row["duplicate_of"] = copies.get((row["case"], row["contrast"]))
        if row["duplicate_of"]:
            warnings.warn(
                f"{row['case']} {row['contrast']}: the same voxels as {row['duplicate_of']}, another subject by its "
                "name; keep one of them, or they may be learned from and tested on at once",
                RecontrastWarning,
                stacklevel=4,
            )
    write_table(out / "quality.tsv", pd.DataFrame(quality, columns=list(QUALITY_COLUMNS)))
