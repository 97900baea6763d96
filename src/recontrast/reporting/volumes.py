"""The report's section on volumes: structures and lesions in synthetic images and in their references."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from recontrast.errors import FormatError
from recontrast.evaluation.fidelity import SUMMARY, VOLUMES
from recontrast.evaluation.volumetry import SIZES_ML
from recontrast.io.tables import read_table, require_columns
from recontrast.reporting.evidence import Evaluation, Evidence, records
from recontrast.reporting.numbers import count, interval, is_number, number
from recontrast.reporting.page import (
    KIND_ABSENT,
    KIND_WARNING,
    Block,
    Cell,
    Fold,
    Heading,
    Section,
    Table,
    Text,
    frame_table,
)

NO_VOLUMES = (
    "No evaluation in this folder compared volumes: run `recontrast evaluate … --segmenter tissue` "
    "(or lesion, labels, synthseg …), and make the report again."
)

_COLUMNS = (
    ("volume_reference_ml", "Reference (ml)", 1), ("volume_synthetic_ml", "Synthetic (ml)", 1), ("dice", "Dice ↑", 3),
    ("aspc", "ASPC (%) ↓", 2), ("avd", "AVD (cm³) ↓", 2), ("vd", "VD (cm³)", 2), ("hd95_mm", "HD95 (mm) ↓", 2),
    ("asd_mm", "ASD (mm) ↓", 2),
)  # fmt: skip
TITLES = {name: title for name, title, _ in _COLUMNS}
"""Name, unit and direction of each measure of volumes."""

_SUMMARY_NEEDS = (
    "segmenter",
    "segmenter_version",
    "structure",
    "measure",
    "subjects",
    "mean",
    "sd",
    "ci_low",
    "ci_high",
)

EXPLAINED = (
    "Both images went through the same segmenter with the same brain mask. ASPC is 200 |X − Y| / (X + Y). VD is "
    "reference − synthetic, scaled to the mean head: negative where the synthetic image has too much. Bland-Altman "
    "limits hold 95 % of differences synthetic − reference. Volumes measured in a synthetic image say what the "
    "segmenter sees in it, not what is in the patient."
)


def volume_section(evidence: Evidence) -> Section:
    """Volumes of each evaluation that has them; absent evidence is printed as absent."""
    blocks: list[Block] = []
    for evaluation in evidence.evaluations:
        if (evaluation.folder / VOLUMES).is_file():
            if len(evidence.evaluations) > 1:
                blocks.append(Heading(f"Evaluation {evidence.name_of(evaluation.folder)}"))
            blocks.extend(_volumes(evaluation))
    return Section("volumes", "Volumes", blocks or [Text(NO_VOLUMES, KIND_ABSENT)])


def _volumes(evaluation: Evaluation) -> list[Block]:
    try:
        volumes = read_table(evaluation.folder / VOLUMES, ("case", "subject", "session", "status", "segmenter_version"))
        require_columns(evaluation.folder / VOLUMES, volumes, ("case", "segmenter", "structure", "status"))
        summary = read_table(evaluation.folder / SUMMARY, ("segmenter_version",))
        require_columns(evaluation.folder / SUMMARY, summary, _SUMMARY_NEEDS)
    except FormatError as error:
        return [Text(str(error), KIND_WARNING)]
    blocks: list[Block] = []
    for name, found in summary.groupby(["segmenter", "segmenter_version"], sort=False):
        title = f"{name[0]}, version {name[1]}"
        lesions = found["structure"].str.startswith("lesions, ")
        blocks.append(_structures(title, found[~lesions]))
        if lesions.any():
            blocks.append(_lesions(title, found[lesions]))
    failed = volumes[volumes["status"].astype(str).str.startswith("failed")]
    if len(failed):
        text = "; ".join(f"{row['case']} ({row['segmenter']}): {row['status']}" for row in records(failed))
        blocks.append(Text(f"Not segmented: {count(len(failed), 'case')}. {text}", KIND_WARNING))
    blocks.append(Text(EXPLAINED))
    shown = volumes.drop(columns=[c for c in ("subject", "leak_check", "notes") if c in volumes])
    blocks.append(Fold("Every structure of every case", [frame_table(shown, "volumes.tsv")]))
    return blocks


def _structures(title: str, found: pd.DataFrame) -> Table:
    rows = []
    for structure, table in found.groupby("structure", sort=False):
        measures = {str(row["measure"]): row for row in records(table)}
        subjects = max(int(row["subjects"]) for row in measures.values())
        cells = [Cell(str(structure), (count(subjects, "subject"),))]
        cells += [_mean(measures.get(name), decimals, subjects) for name, _, decimals in _COLUMNS]
        bias, low, high = (measures.get(name, {}).get("mean") for name in ("bias_ml", "limit_low_ml", "limit_high_ml"))
        cells.append(Cell(number(bias, 2, signed=True), (interval(low, high, 2, signed=True),)))
        rows.append(cells)
    header = [Cell("Structure"), *(Cell(label) for _, label, _ in _COLUMNS), Cell("Bias (ml), limits")]
    caption = (
        f"Segmented with {title}: mean ± SD over subjects, with the 95 % interval of the mean, cut off where the "
        "measure ends (Dice 0 to 1)."
    )
    note = (
        "Undefined: Dice where neither image has the structure; distances also where only one has it, so that a "
        "structure that was missed altogether is in no distance; AVD and VD where GM, WM and CSF are not all known."
    )
    undefined = "undefined" in found and bool((found["undefined"] > 0).any())
    return Table(caption, header, rows, numeric=len(header) - 1, note=note if undefined else "")


def _mean(row: Mapping[str, Any] | None, decimals: int, subjects: int) -> Cell:
    if row is None:
        return Cell(number(None, decimals))
    remarks = [interval(row["ci_low"], row["ci_high"], decimals)]
    if int(row["subjects"]) != subjects:
        remarks.append(count(int(row["subjects"]), "subject"))
    if is_number(row.get("undefined")) and int(row["undefined"]):
        remarks.append(f"{int(row['undefined'])} undefined")
    return Cell(f"{number(row['mean'], decimals)} ± {number(row['sd'], decimals)}", remarks)


def _lesions(title: str, found: pd.DataFrame) -> Table:
    rows = []
    for size, table in found.groupby("structure", sort=False):
        values = {str(row["measure"]): row["mean"] for row in records(table)}
        cells = [Cell(str(size).removeprefix("lesions, "))]
        cells += [Cell(number(values.get(f"lesions_{n}"), 0)) for n in ("both", "only_reference", "only_synthetic")]
        cells += [Cell(number(values.get(f"lesion_{n}"), 2)) for n in ("sensitivity", "precision", "f1")]
        rows.append(cells)
    header = ("Size", "In both", "Only reference", "Only synthetic", "Sensitivity ↑", "Precision ↑", "F1 ↑")
    sizes = ", ".join(f"{name}: {f'below {end:g} ml' if math.isfinite(end) else 'above'}" for name, end in SIZES_ML)
    note = f"{sizes}. Lesions of all cases together."
    return Table(f"Lesions one by one, {title}.", [Cell(h) for h in header], rows, numeric=6, note=note)
