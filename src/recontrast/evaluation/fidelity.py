"""Segmentation fidelity: segment synthetic images and references the same way, and compare what comes out.

Writes `volumes.tsv` (each structure of each case), `volume_summary.tsv` (over subjects) and, for segmenters of lesions,
`lesions.tsv` (each lesion). See `docs/concepts/segmentation.md`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.atomic import write_json
from recontrast.errors import LayoutError, RecontrastError
from recontrast.evaluation.cases import case_regions
from recontrast.evaluation.kept_labels import segment_once
from recontrast.evaluation.matching import ExpectedCase
from recontrast.evaluation.segmentation import SEGMENTERS, Segmentation, SegmentationInput
from recontrast.evaluation.volume_tables import FidelityResult, lesions_table, summary_table, volumes_table
from recontrast.evaluation.volumetry import (
    Lesion,
    StructureComparison,
    compare_structure,
    match_lesions,
)
from recontrast.execution.workers import failures, run_cases
from recontrast.io.bids import Case
from recontrast.io.nifti import is_nifti, read_volume
from recontrast.io.tables import write_table
from recontrast.preparation.mask import find_head
from recontrast.preparation.resample import resample
from recontrast.provenance import sha256_of, version
from recontrast.volume import Volume, require_same_grid, same_grid

VOLUMES, SUMMARY, LESIONS = "volumes.tsv", "volume_summary.tsv", "lesions.tsv"


@dataclass(frozen=True)
class FidelityJob:
    """One case and one segmenter.

    Attributes:
        expected: Files of the reference and the regions.
        synthetic: The synthetic image.
        target: Label of the contrast of both.
        segmenter: Name of the segmenter.
        labels: Folder of label maps made elsewhere; None where the segmenter makes its own.
        resample: Whether a synthetic image on another grid is put onto the reference's.
        part: File that keeps the result for a run that was stopped; None keeps none.
        keep_labels: Folder of segmentations of references that are kept; None keeps none.
    """

    expected: ExpectedCase
    synthetic: Path
    target: str
    segmenter: str
    labels: Path | None = None
    resample: bool = False
    part: Path | None = None
    keep_labels: Path | None = None


@dataclass(frozen=True)
class FidelitySettings:
    """What to segment and how.

    Attributes:
        segmenters: Names.
        labels: Folder of label maps for the segmenter `labels`.
        resample: See `FidelityJob`.
        workers: Cases worked on at once.
        seed: Seed of the bootstrap.
        memory_gb: Most memory of a worker; 0: no limit.
        scheduler: Dask scheduler; "" for this machine.
        keep_labels: See `FidelityJob`.
    """

    segmenters: tuple[str, ...]
    labels: Path | None = None
    resample: bool = False
    workers: int = 1
    seed: int = 0
    memory_gb: float = 0.0
    scheduler: str = ""
    keep_labels: Path | None = None


@dataclass
class Fidelity:
    """Results of a cohort.

    Attributes:
        results: What was found.
        failed: "case, segmenter" to the reason.
    """

    results: list[FidelityResult] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def check_segmenters(settings: FidelitySettings) -> None:
    """Refuse before any work what cannot be done: unknown names, absent programs, no folder of label maps.

    Raises:
        UnknownNameError: No such segmenter.
        DependencyError: Its program is not installed.
        LayoutError: `labels` is asked for without a folder that has `reference` and `synthetic`.
    """
    for name in settings.segmenters:
        SEGMENTERS.get(name)().version()
    if "labels" in settings.segmenters:
        folder = settings.labels
        if folder is None or not all((folder / side).is_dir() for side in ("reference", "synthetic")):
            raise LayoutError(
                f"{folder or 'no folder given'}: the segmenter 'labels' needs --labels FOLDER with the folders "
                "reference and synthetic, each with one label map a case (sub-01_dseg.nii.gz)"
            )


def measure_fidelity(
    ready: Sequence[tuple[ExpectedCase, Path]],
    target: str,
    settings: FidelitySettings,
    parts: Path | None = None,
) -> Fidelity:
    """Segment every case with every segmenter, in parallel; a case that fails is listed and the others go on.

    Args:
        ready: Expected cases with their synthetic images.
        target: Label of their contrast.
        settings: What to segment and how.
        parts: Folder that keeps results of a run that is stopped.
    """
    jobs = {
        f"{expected.case.key}, {name}": (
            FidelityJob(
                expected, synthetic, target, name, settings.labels, settings.resample,
                parts / f"{expected.case.key}_{name}.json" if parts else None, settings.keep_labels,
            ),
        )
        for name in settings.segmenters
        for expected, synthetic in ready
    }  # fmt: skip
    outcomes = run_cases(
        segment_case, jobs, workers=settings.workers, description="segment", scheduler=settings.scheduler,
        memory_gb=settings.memory_gb,
    )  # fmt: skip
    return Fidelity([o.value for o in outcomes if o.error is None], failures(outcomes))


def segment_case(job: FidelityJob) -> FidelityResult:
    """Segment reference and synthetic image of one case the same way, and compare.

    Raises:
        DataError: The segmenter cannot be used.
        GeometryError: The images lie on different grids.
        DependencyError: A program is not installed.
    """
    stamp = _fingerprint(job)
    if job.part is not None and (kept := _read_part(job.part, stamp)) is not None:
        return kept
    result = _compared(job)
    if job.part is not None:
        write_json(job.part, {"fingerprint": stamp, **_to_json(result)})
    return result


def _compared(job: FidelityJob) -> FidelityResult:
    expected, key = job.expected, job.expected.case.key
    reference = read_volume(expected.images[job.target]).reoriented("RAS")
    synthetic = read_volume(job.synthetic).reoriented("RAS")
    notes = []
    if job.resample and not same_grid(reference, synthetic):
        synthetic = resample(synthetic, reference)
        notes.append("the synthetic image was resampled")
    require_same_grid(reference, synthetic, f"{key}: reference and synthetic {job.target}")
    segmenter = SEGMENTERS.get(job.segmenter)()
    brain = case_regions(expected, reference).get("brain")
    if brain is None:
        head, stripped = find_head(reference)
        if stripped:
            brain = np.asarray(head.data, dtype=bool)
            notes.append("brain mask: where the skull-stripped reference is not zero")
    context = _context(expected, job.target, reference) if segmenter.lesions else {}
    found: list[Segmentation] = []
    for side, image, path in (("reference", reference, expected.images[job.target]),
                              ("synthetic", synthetic, job.synthetic)):  # fmt: skip
        labels = find_labels(job.labels / side, expected.case) if job.labels and job.segmenter == "labels" else None
        what = f"{key}: {side} {job.target}"
        given = SegmentationInput(image, job.target, brain, context, path, labels, what)
        if side == "reference" and labels is None:
            found.append(segment_once(segmenter, job.segmenter, given, expected.case, job.keep_labels))
        else:
            found.append(segmenter.segment(given))
    notes += [part for part in dict.fromkeys(s.notes for s in found) if part]
    names = list(dict.fromkeys([*found[0].structures, *found[1].structures]))
    true, made = ({name: _mask(segmentation, name) for name in names} for segmentation in found)
    structures = [compare_structure(name, true[name], made[name], reference.spacing) for name in names]
    lesions = None
    if segmenter.lesions and names:
        unions = [np.logical_or.reduce(list(masks.values())) for masks in (true, made)]
        lesions = match_lesions(unions[0], unions[1], reference.spacing)
    return FidelityResult(expected.case, job.segmenter, segmenter.version(), structures, lesions, "; ".join(notes))


def _mask(segmentation: Segmentation, name: str) -> NDArray[np.bool_]:
    if name in segmentation.structures:
        return segmentation.mask(name)
    return np.zeros(segmentation.labels.shape, dtype=bool)


def _context(expected: ExpectedCase, target: str, reference: Volume) -> dict[str, Volume]:
    """Acquired images of other contrasts on the reference's grid: they help on both sides in the same way."""
    found = {}
    for label, path in expected.images.items():
        if label != target:
            volume = read_volume(path).reoriented("RAS")
            if same_grid(volume, reference):
                found[label] = volume
    return found


def find_labels(folder: Path, case: Case) -> Path:
    """The label map of a case in a folder or below it: its name starts like the case's and it is the only one.

    Raises:
        LayoutError: There is none, or there are several.
    """
    found = sorted(
        path for path in folder.rglob(f"{case.key}_*") if is_nifti(path) and path.name.split(".")[0].endswith("dseg")
    )
    found = [path for path in found if case.session or "_ses-" not in path.name]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise LayoutError(f"{folder}: one label map named {case.key}_…dseg.nii.gz is needed, found {names}")
    return found[0]


def write_fidelity(out: Path, fidelity: Fidelity, leak_check: str, seed: int) -> list[str]:
    """Write the tables; returns the lines to print."""
    volumes = volumes_table(fidelity.results, leak_check, fidelity.failed)
    write_table(out / VOLUMES, volumes)
    summary = summary_table(volumes, fidelity.results, seed)
    write_table(out / SUMMARY, summary)
    lines = []
    if any(result.lesions is not None for result in fidelity.results):
        write_table(out / LESIONS, lesions_table(fidelity.results, leak_check))
    else:
        (out / LESIONS).unlink(missing_ok=True)  # of an earlier evaluation in this folder
    dice = summary[summary["measure"] == "dice"]
    for (name, number), table in dice.groupby(["segmenter", "segmenter_version"], sort=False):
        everybody = len({r.case.subject for r in fidelity.results if (r.segmenter, r.version) == (name, number)})
        told = [_dice_in_words(row, everybody) for row in table.to_dict("records")]
        more = f" and {len(told) - 6} more" if len(told) > 6 else ""
        lines.append(f"segmented with {name} (version {number}): mean Dice {', '.join(told[:6])}{more}")
    return lines


def _dice_in_words(row: Mapping[Any, Any], everybody: int) -> str:
    subjects = int(row["subjects"])
    value = f"{row['mean']:.3f}" if subjects else "undefined"
    return f"{row['structure']} {value}" + (f" ({subjects} of {everybody} subjects)" if subjects != everybody else "")


def _fingerprint(job: FidelityJob) -> str:
    files = [job.synthetic, *job.expected.images.values(), *(region.path for region in job.expected.regions)]
    if job.labels is not None and job.segmenter == "labels":
        for side in ("reference", "synthetic"):
            try:
                files.append(find_labels(job.labels / side, job.expected.case))
            except RecontrastError:
                continue  # the segmenter says what is wrong
    content = [job.segmenter, job.target, job.resample, version(), [sha256_of(path) for path in files]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _to_json(result: FidelityResult) -> dict[str, Any]:
    def plain(item: Any) -> dict[str, Any]:
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in vars(item).items()}

    return {
        "case": vars(result.case), "segmenter": result.segmenter, "version": result.version, "notes": result.notes,
        "structures": [plain(s) for s in result.structures],
        "lesions": None if result.lesions is None else [plain(lesion) for lesion in result.lesions],
    }  # fmt: skip


def _read_part(path: Path, fingerprint: str) -> FidelityResult | None:
    """The result a stopped run left, when nothing it depends on has changed."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if content.get("fingerprint") != fingerprint:
        return None
    kept: list[dict[str, Any]] = content["structures"]
    structures = [_structure({k: math.nan if v is None else v for k, v in fields.items()}) for fields in kept]
    lesions = None if content["lesions"] is None else [Lesion(**lesion) for lesion in content["lesions"]]
    return FidelityResult(
        Case(**content["case"]), content["segmenter"], content["version"], structures, lesions, content["notes"]
    )


def _structure(fields: dict[str, Any]) -> StructureComparison:
    return StructureComparison(**fields)
