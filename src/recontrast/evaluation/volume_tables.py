"""Tables of segmentation fidelity: each structure of each case, each lesion, and what they are over subjects."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from recontrast.errors import StatisticsError
from recontrast.evaluation.segmentation import SEGMENTERS
from recontrast.evaluation.statistics import ANY, bootstrap_interval
from recontrast.evaluation.volumetry import (
    SIZES_ML,
    Detection,
    Lesion,
    StructureComparison,
    absolute_volume_difference,
    aspc,
    volume_difference,
)
from recontrast.io.bids import Case
from recontrast.metrics.agreement import bland_altman

TISSUES = ("GM", "WM", "CSF")
"""Structures whose sum is the total intracranial volume (TIV)."""

VOLUME_COLUMNS = (
    "case", "subject", "session", "segmenter", "segmenter_version", "structure", "volume_reference_ml",
    "volume_synthetic_ml", "dice", "aspc", "avd", "vd", "hd95_mm", "asd_mm", "status", "notes", "leak_check",
)  # fmt: skip
SUMMARY_COLUMNS = (
    "segmenter", "segmenter_version", "structure", "measure", "subjects", "undefined", "mean", "sd", "median",
    "ci_low", "ci_high", "leak_check",
)  # fmt: skip
LESION_COLUMNS = (
    "case", "subject", "session", "segmenter", "segmenter_version", "found", "size", "volume_ml", "overlap_ml",
    "leak_check",
)  # fmt: skip
_NOT_BELOW_ZERO = (0.0, math.inf)
MEASURES: Mapping[str, tuple[float, float]] = {
    "dice": (0.0, 1.0), "aspc": (0.0, 200.0), "avd": _NOT_BELOW_ZERO, "vd": ANY, "hd95_mm": _NOT_BELOW_ZERO,
    "asd_mm": _NOT_BELOW_ZERO, "volume_reference_ml": _NOT_BELOW_ZERO, "volume_synthetic_ml": _NOT_BELOW_ZERO,
}  # fmt: skip
"""Each measure with the lowest and the highest value it can have."""

SCALED_BY_HEAD = ("avd", "vd")
"""Measures that are scaled by the mean TIV of an evaluation's cases: another evaluation may have another scale."""


@dataclass(frozen=True)
class FidelityResult:
    """What one segmenter found in one case.

    Attributes:
        case: Subject and session.
        segmenter: Its name.
        version: Its version.
        structures: Each structure.
        lesions: Each lesion, for segmenters of lesions.
        notes: What is worth knowing; "" when nothing.
    """

    case: Case
    segmenter: str
    version: str
    structures: Sequence[StructureComparison]
    lesions: Sequence[Lesion] | None = None
    notes: str = ""


def volumes_table(
    results: Sequence[FidelityResult], leak_check: str = "", failed: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """One row for each structure of each case; AVD and VD use the mean TIV of the cases of one segmenter.

    Args:
        results: What was found.
        leak_check: What the leak check found; stands in every row.
        failed: "case, segmenter" to the reason; each becomes a row without values.
    """
    tiv = {(r.case, r.segmenter): _tiv(r) for r in results}
    mean_tiv = {}
    for segmenter in {r.segmenter for r in results}:
        known = [value for (_, name), value in tiv.items() if name == segmenter and math.isfinite(value)]
        mean_tiv[segmenter] = float(np.mean(known)) if known else math.nan
    rows = []
    for result in results:
        own, mean = tiv[result.case, result.segmenter], mean_tiv[result.segmenter]
        for s in result.structures:
            volumes = (s.volume_reference_ml, s.volume_synthetic_ml)
            rows.append({
                **_who(result, leak_check), "structure": s.structure, "volume_reference_ml": volumes[0],
                "volume_synthetic_ml": volumes[1], "dice": s.dice, "aspc": aspc(*volumes),
                "avd": absolute_volume_difference(*volumes, own, mean) if math.isfinite(own) else math.nan,
                "vd": volume_difference(*volumes, own, mean) if math.isfinite(own) else math.nan,
                "hd95_mm": s.hd95_mm, "asd_mm": s.asd_mm, "status": s.status, "notes": result.notes or None,
            })  # fmt: skip
    for key, reason in (failed or {}).items():
        name, _, segmenter = key.partition(", ")
        case = Case.parse(name)
        rows.append({
            **_who(FidelityResult(case, segmenter, SEGMENTERS.get(segmenter)().version(), ()), leak_check),
            "status": f"failed: {' '.join(reason.split())}",
        })  # fmt: skip
    return pd.DataFrame(rows, columns=list(VOLUME_COLUMNS))


def relative_heads(volumes: pd.DataFrame) -> pd.Series[float]:
    """TIV of each row's case over the mean TIV that `volumes_table` took; nan where GM, WM or CSF is missing.

    A measure in `SCALED_BY_HEAD` times the mean of this over some cases is what an evaluation of these cases alone
    would have found: it no longer matters which others failed.

    Args:
        volumes: Columns subject, session, segmenter, structure and volume_reference_ml of `volumes.tsv`.
    """
    keys = [volumes["subject"], volumes["session"].fillna(""), volumes["segmenter"]]
    tissues = volumes["volume_reference_ml"].where(volumes["structure"].isin(TISSUES))
    tiv = tissues.groupby(keys).transform("sum", min_count=len(TISSUES))
    once = ~pd.concat(keys, axis=1).duplicated()
    heads: pd.Series[float] = tiv / tiv.where(once).groupby(volumes["segmenter"]).transform("mean")
    return heads


def lesions_table(results: Sequence[FidelityResult], leak_check: str = "") -> pd.DataFrame:
    """One row for each lesion."""
    rows = [
        {**_who(result, leak_check), "found": lesion.found, "size": lesion.size, "volume_ml": lesion.volume_ml,
         "overlap_ml": lesion.overlap_ml}
        for result in results for lesion in result.lesions or ()
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(LESION_COLUMNS))


def summary_table(volumes: pd.DataFrame, results: Sequence[FidelityResult], seed: int = 0) -> pd.DataFrame:
    """Each measure of each structure over subjects (sessions averaged first), Bland-Altman, lesions by size.

    Bland-Altman rows: `bias_ml` (synthetic - reference) with its SD and interval, `limit_low_ml`, `limit_high_ml`.
    Lesion rows: counts over all cases, and sensitivity, precision and F1 of the pooled lesions.
    """
    rows: list[dict[str, Any]] = []
    for group, table in volumes.groupby(["segmenter", "segmenter_version", "structure"], sort=False):
        shared = dict(zip(("segmenter", "segmenter_version", "structure"), group, strict=True))
        shared["leak_check"] = table["leak_check"].iloc[0]
        for measure, bounds in MEASURES.items():
            sample = table.dropna(subset=[measure]).groupby("subject")[measure].mean().to_numpy(dtype=float)
            ends = bootstrap_interval(sample, seed=seed).within(bounds)
            rows.append({
                **shared, "measure": measure, "subjects": sample.size,
                "undefined": int(table[measure].isna().sum()), "mean": sample.mean() if sample.size else None,
                "sd": sample.std(ddof=1) if sample.size > 1 else None,
                "median": float(np.median(sample)) if sample.size else None, "ci_low": ends.low, "ci_high": ends.high,
            })  # fmt: skip
        rows += [{**shared, **row} for row in _bland_altman_rows(table)]
    rows += _lesion_rows(results, volumes)
    return pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))


def _bland_altman_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    both = table.groupby("subject")[["volume_reference_ml", "volume_synthetic_ml"]].mean().dropna()
    try:
        found = bland_altman(both["volume_reference_ml"].to_numpy(), both["volume_synthetic_ml"].to_numpy())
    except StatisticsError:
        return []
    values = (
        ("bias_ml", found.bias, found.sd, found.bias_interval),
        ("limit_low_ml", found.lower, None, found.lower_interval),
        ("limit_high_ml", found.upper, None, found.upper_interval),
    )
    return [
        {"measure": measure, "subjects": found.items, "undefined": 0, "mean": value, "sd": sd,
         "ci_low": ends[0], "ci_high": ends[1]}
        for measure, value, sd, ends in values
    ]  # fmt: skip


def _lesion_rows(results: Sequence[FidelityResult], volumes: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    names = dict.fromkeys((r.segmenter, r.version) for r in results if r.lesions is not None)
    for name, number in names:
        chosen = [r for r in results if (r.segmenter, r.version) == (name, number) and r.lesions is not None]
        lesions = [lesion for result in chosen for lesion in result.lesions or ()]
        shared = {
            "segmenter": name, "segmenter_version": number, "subjects": len({r.case.subject for r in chosen}),
            "undefined": 0, "leak_check": volumes["leak_check"].iloc[0],
        }  # fmt: skip
        for size in ("all", *(size for size, _ in SIZES_ML)):
            kept = [lesion.found for lesion in lesions if size in ("all", lesion.size)]
            counts = Detection(kept.count("both"), kept.count("only reference"), kept.count("only synthetic"))
            for measure, value in (
                ("lesions_both", counts.both), ("lesions_only_reference", counts.only_reference),
                ("lesions_only_synthetic", counts.only_synthetic), ("lesion_sensitivity", counts.sensitivity),
                ("lesion_precision", counts.precision), ("lesion_f1", counts.f1),
            ):  # fmt: skip
                rows.append({**shared, "structure": f"lesions, {size}", "measure": measure, "mean": value})
    return rows


def _tiv(result: FidelityResult) -> float:
    """GM + WM + CSF of the reference; nan where the segmenter has other structures."""
    volumes = {s.structure: s.volume_reference_ml for s in result.structures}
    return sum(volumes[name] for name in TISSUES) if set(TISSUES) <= set(volumes) else math.nan


def _who(result: FidelityResult, leak_check: str) -> dict[str, Any]:
    return {
        "case": result.case.key, "subject": f"sub-{result.case.subject}", "session": result.case.session,
        "segmenter": result.segmenter, "segmenter_version": result.version, "leak_check": leak_check,
    }  # fmt: skip
