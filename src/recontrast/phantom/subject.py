"""One subject of a cohort, from random numbers to files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import DTypeLike

from recontrast.atomic import write_json
from recontrast.contrasts import Contrast
from recontrast.io.bids import BidsName, Case, write_sidecar
from recontrast.io.nifti import write_volume
from recontrast.io.tables import write_table
from recontrast.phantom.acquisition import FULL_SCALE, Motion, draw_motion, receiver_gain, to_integers
from recontrast.phantom.anatomy import Head, Shape, draw_shape, render
from recontrast.phantom.head import mni_head
from recontrast.phantom.labels import label_head, label_maps
from recontrast.phantom.lesions import NEEDED, add_pathology
from recontrast.phantom.protocols import Scan, scans_of, without_agent
from recontrast.phantom.random_contrast import draw_any_tissues, draw_field, draw_scans
from recontrast.phantom.scanner import (
    FieldOfView,
    Image,
    Subject,
    Truth,
    acquire,
    field_of_view,
    make_coil,
    make_transmit,
    stream,
    textures,
    truth_of,
)
from recontrast.phantom.tissues import LESIONAL, Tissue, draw_tissues, tissues_at
from recontrast.phantom.warehouse import GOOD, Grades, Scanner, as_on, draw_wander, scanner_of
from recontrast.volume import Volume

if TYPE_CHECKING:
    from recontrast.phantom.cohort import SimulateSettings


def simulate_subject(settings: SimulateSettings, index: int, plan: Mapping[str, Any]) -> None:
    """Make one subject: anatomy, pathology, scans, truth; the record of what was drawn comes last.

    Args:
        settings: Settings of the cohort.
        index: Number of the subject, from 0.
        plan: Its age, sex and pathology; `scanner`, its name in a warehouse; `quality`, grades of its contrasts.
    """
    quality: Mapping[str, Grades] = plan.get("quality", {})
    scanner = scanner_of(plan["scanner"]) if "scanner" in plan else None
    if scanner is not None:
        settings = replace(
            settings, field_strength_t=scanner.field_strength_t, snr=settings.snr * scanner.snr,
            bias=settings.bias * scanner.bias,
        )  # fmt: skip
    elif settings.random_contrast:
        settings = replace(settings, field_strength_t=draw_field(stream(settings.seed, index, "random field")))
    case = Case(f"{index + 1:02d}")
    view = field_of_view(settings.spacing_mm)
    head, means = _template(settings, index, view)
    shape = draw_shape(stream(settings.seed, index, "shape"), plan["age"], head.scale, head.deform)
    anatomy = render(
        head, shape, stream(settings.seed, index, "deformation"), view.fine, view.region, NEEDED[plan["pathology"]]
    )
    lesion = add_pathology(anatomy, plan["pathology"], stream(settings.seed, index, "lesions"))
    if "lesion" in head.tissues:
        # A label map may bring lesions of its own.
        lesion = np.maximum(lesion, anatomy.share("lesion"))
    vary = draw_any_tissues if settings.random_contrast else draw_tissues
    water, iron = textures(stream(settings.seed, index, "texture"), view.fine, view.region)
    subject = Subject(
        anatomy=anatomy,
        lesion=lesion,
        tissues=vary(stream(settings.seed, index, "tissues"), means),
        view=view,
        coil=make_coil(stream(settings.seed, index, "coil"), view, settings.bias),
        water=water,
        iron=iron,
        field_strength_t=settings.field_strength_t,
        transmit=make_transmit(stream(settings.seed, index, "transmit field"), view, settings.transmit),
        inversion_efficiency=settings.inversion_efficiency,
    )
    with Written(settings.out) as written:
        _write_truth(written, case, truth_of(subject, _numbers(head)), view, head)
        motions: dict[str, Motion] = {}
        for position, requested in enumerate(settings.contrasts):
            amount = 0.0 if position == 0 else settings.motion
            motion = draw_motion(stream(settings.seed, index, f"motion of {requested}"), amount)
            rng = stream(settings.seed, index, f"noise of {requested}")
            grades = quality.get(requested, GOOD)
            scans = [as_on(scan, scanner, grades) for scan in _protocol(settings, index, requested, subject.tissues)]
            scans = [replace(s, fat_saturated=s.fat_saturated and settings.fat_saturation) for s in scans]
            wander = draw_wander(stream(settings.seed, index, f"jerks of {requested}"), motion, grades)
            snr = settings.snr * grades.snr or np.inf
            images = acquire(subject, scans, motion, snr, rng, settings.slice_mm, settings.slice_gap_mm, wander)
            gain = settings.gain * FULL_SCALE or receiver_gain([np.abs(image.values) for image in images], rng)
            for image in images:
                motions[image.scan.contrast.label] = motion
                _write_image(written, settings, case, image, gain, scanner)
    graded = {label: asdict(grades) for label, grades in quality.items() if grades != GOOD}
    plan = {
        **{key: value for key, value in plan.items() if key != "quality"},
        **({"quality": graded} if graded else {}),
    }
    _write_record(settings.out, case, plan, shape, subject, motions, written.files)


class Written:
    """Files of a subject, packed and written by a thread beside the simulation; all are there when its block ends.

    Attributes:
        out: The data set's folder.
        files: Paths below the data set, in the order they were asked for.
    """

    def __init__(self, out: Path) -> None:
        self.files: list[str] = []
        self.out = out
        self._thread = ThreadPoolExecutor(1)
        self._jobs: list[Future[None]] = []

    def volume(self, path: Path, volume: Volume, dtype: DTypeLike) -> None:
        """Write a volume; a failure is raised at the end of the block at the latest."""
        self.files.append(path.relative_to(self.out).as_posix())
        self._jobs.append(self._thread.submit(write_volume, path, volume, dtype))

    def __enter__(self) -> Written:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown(cancel_futures=kind is not None)
        if kind is None:
            for job in self._jobs:
                job.result()


def record_path(out: Path, case: Case) -> Path:
    """The file that says what was drawn for a subject; it is written last."""
    return out / "derivatives" / "truth" / case.folder / f"{case.key}_simulation.json"


def finished(out: Path, case: Case) -> bool:
    """Whether a subject's record and all files it lists are there."""
    path = record_path(out, case)
    if not path.is_file():
        return False
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["Files"]
    except (ValueError, KeyError):
        return False
    return all((out / file).is_file() for file in files)


def _template(settings: SimulateSettings, index: int, view: FieldOfView) -> tuple[Head, Mapping[str, Tissue]]:
    """The template head of a subject and the mean parameters of its tissues."""
    tissues = tissues_at(settings.field_strength_t)
    if settings.labels is not None:
        maps = label_maps(settings.labels)
        head, own = label_head(maps[index % len(maps)], settings.label_table)
        return head, {**tissues, **own}
    spacing = float(np.clip(view.fine.spacing[0], 1.0, 2.0))
    return mni_head(spacing), tissues


def _protocol(settings: SimulateSettings, index: int, label: str, tissues: Mapping[str, Tissue]) -> tuple[Scan, ...]:
    """The images that make a contrast; at random those before and after gadolinium have one timing."""
    if not settings.random_contrast:
        return scans_of(label)
    return draw_scans(stream(settings.seed, index, f"random {without_agent(label)}"), label, tissues)


def _numbers(head: Head) -> dict[str, int]:
    """Label number of each tissue: those of the template from 1, then those of pathology."""
    names = [*head.tissue_names, *(name for name in LESIONAL if name not in head.tissue_names)]
    return {name: number for number, name in enumerate(names, start=1)}


def _write_image(
    written: Written, settings: SimulateSettings, case: Case, image: Image, gain: float, scanner: Scanner | None
) -> None:
    """Write magnitude, and phase where the scan has one, with sidecars."""
    scan, affine = image.scan, image.grid.affine
    folder = settings.out / case.folder / "anat"
    sidecar = _sidecar(settings, scan, image.grid.spacing)
    if scanner is not None:
        sidecar["ManufacturersModelName"] = scanner.model
    entities = {**scan.entities, **({"part": "mag"} if scan.phase else {})}
    path = folder / BidsName.of(case, scan.contrast, **entities).filename
    written.volume(path, Volume(to_integers(np.abs(image.values), gain), affine), np.int16)
    write_sidecar(path, sidecar)
    if scan.phase:
        # The phase shows something else than the magnitude, so that it is a contrast of its own.
        named = dict(scan.contrast.entities)
        named["acq"] = f"{named.get('acq', '')}phase"
        contrast = Contrast(scan.contrast.suffix, tuple(named.items()))
        path = folder / BidsName.of(case, contrast, **{**entities, "part": "phase"}).filename
        written.volume(path, Volume(np.angle(image.values).astype(np.float32), affine), np.float32)
        write_sidecar(path, {**sidecar, "Units": "rad"})


def _sidecar(settings: SimulateSettings, scan: Scan, spacing: tuple[float, float, float]) -> dict[str, Any]:
    content: dict[str, Any] = {
        "Modality": "MR",
        "Manufacturer": "Recontrast",
        "ManufacturersModelName": "virtual scanner",
        "MagneticFieldStrength": settings.field_strength_t,
        "MRAcquisitionType": "3D" if scan.three_dimensional else "2D",
        **scan.sequence.sidecar(),
        "SliceThickness": settings.slice_mm or spacing[2] if not scan.three_dimensional else spacing[2],
        "SpacingBetweenSlices": spacing[2],
    }
    if "echo" in scan.entities:
        content["EchoNumber"] = int(scan.entities["echo"])
    if scan.fat_saturated:
        content["ScanOptions"] = "FS"
    if scan.gadolinium:
        content |= {"ContrastBolusIngredient": "GADOLINIUM", "ContrastBolusAgent": "gadobutrol 0.1 mmol/kg"}
    return {**content, "Simulated": True}


def _write_truth(written: Written, case: Case, truth: Truth, view: FieldOfView, head: Head) -> None:
    folder, affine = record_path(written.out, case).parent / "anat", view.image.affine

    def write(name: BidsName, data: Any, dtype: Any) -> Path:
        path = folder / name.filename
        written.volume(path, Volume(data, affine), dtype)
        return path

    write(BidsName.of(case, "mask", desc="brain"), truth.brain, np.uint8)
    write(BidsName.of(case, "mask", desc="lesion"), truth.lesion, np.uint8)
    labels = BidsName.of(case, "dseg", desc="tissue")
    write(labels, truth.labels, np.uint8)
    rows = [{"index": number, "name": name} for name, number in _numbers(head).items()]
    write_table(folder / labels.with_extension(".tsv").filename, pd.DataFrame(rows))
    for name, share in truth.fractions.items():
        write(BidsName.of(case, "probseg", label=name), np.rint(share * 250) / 250, np.uint8)
    for suffix, values in truth.maps.items():
        path = write(BidsName.of(case, suffix), values, np.float32)
        units = "arbitrary" if suffix == "PDmap" else "s"
        write_sidecar(path, {"Units": units, "SkullStripped": False, "Simulated": True})


def _write_record(
    out: Path,
    case: Case,
    plan: Mapping[str, Any],
    shape: Shape,
    subject: Subject,
    motions: Mapping[str, Motion],
    files: list[str],
) -> None:
    write_json(record_path(out, case), {
        **{key.capitalize(): value for key, value in plan.items()},
        "FieldStrength": subject.field_strength_t,
        "Shape": asdict(shape),
        "Tissues": {name: asdict(subject.tissues[name]) for name in subject.anatomy.tissues},
        "Motion": {
            contrast: {"ReferenceToScan": motion.matrix.tolist(), "RotationDegrees": list(motion.rotation_deg),
                       "ShiftMillimetres": list(motion.shift_mm)}
            for contrast, motion in motions.items()
        },
        "Files": sorted(files),
    })  # fmt: skip
