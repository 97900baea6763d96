"""From scores of cases to the tables of an evaluation: `scores.tsv` and `statistics.tsv`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from recontrast.evaluation.protocols import Protocol, require_one_protocol
from recontrast.evaluation.scores import OK, Blocks, Record
from recontrast.evaluation.statistics import (
    Interval,
    PairedTest,
    bootstrap_interval,
    holm,
    no_interval,
    paired_test,
    verdict,
    verdict_in_words,
    within_subject_interval,
)
from recontrast.io.bids import Case
from recontrast.metrics import METRICS

SYNTHETIC = "synthetic"
"""Name of the estimator that is judged; the others are controls."""

STATISTICS_COLUMNS = (
    "estimator", "region", "metric", "protocol", "subjects", "undefined", "missing", "mean", "sd", "ci_low", "ci_high",
    "control", "difference", "difference_ci_low", "difference_ci_high", "p", "p_unadjusted", "test", "better",
    "interval", "leak_check",
)  # fmt: skip


@dataclass(frozen=True)
class ScoredCase:
    """All values of one case.

    Attributes:
        case: Subject and session.
        records: Estimator to its values.
    """

    case: Case
    records: Mapping[str, Sequence[Record]]


@dataclass(frozen=True)
class _Cell:
    """One estimator, region and metric: a value per subject, sessions averaged."""

    values: Mapping[str, float]
    blocks: Mapping[str, tuple[Blocks, ...]]
    undefined: int


def scores_table(cases: Sequence[ScoredCase], protocol: Protocol, leak_check: str) -> pd.DataFrame:
    """One row for each value of each case, undefined ones included."""
    rows = [
        {
            "case": scored.case.key,
            "subject": f"sub-{scored.case.subject}",
            "session": scored.case.session,
            "estimator": estimator,
            "region": record.region,
            "metric": record.metric,
            "unit": record.unit,
            "value": record.value,
            "protocol": protocol.name,
            "status": record.status,
            "units": record.units,
            "units_undefined": record.units_undefined,
            "leak_check": leak_check,
        }
        for scored in cases
        for estimator, records in scored.records.items()
        for record in records
    ]
    columns = (
        "case", "subject", "session", "estimator", "region", "metric", "unit", "value", "protocol", "status",
        "units", "units_undefined", "leak_check",
    )  # fmt: skip
    return pd.DataFrame(rows, columns=list(columns))


def combine_scores(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Several score tables as one.

    Raises:
        ConfigError: They are of different protocols.
    """
    combined = pd.concat(tables, ignore_index=True)
    require_one_protocol(combined["protocol"].astype(str), "scores")
    return combined


def statistics_table(
    cases: Sequence[ScoredCase],
    protocol: Protocol,
    *,
    missing: int,
    leak_check: str,
    seed: int,
    test: PairedTest = "wilcoxon",
) -> pd.DataFrame:
    """Mean, SD and interval of each estimator, and the synthetic image against each control.

    Args:
        cases: Scored cases.
        protocol: The protocol they were scored by.
        missing: Expected cases without scores; stands in every row.
        leak_check: What the leak check found; stands in every row.
        seed: Seed of the bootstrap.
        test: Paired test.
    """
    cells = _cells(cases)
    shared = {"protocol": protocol.name, "missing": missing, "leak_check": leak_check}
    rows = [
        {**shared, "estimator": estimator, "region": region, "metric": metric, "control": "",
         **_summary(cell, _finish(protocol, metric), seed)}
        for (estimator, region, metric), cell in cells.items()
    ]  # fmt: skip
    controls = sorted({key[0] for key in cells} - {SYNTHETIC}, key=[key[0] for key in cells].index)
    for (estimator, region, metric), cell in cells.items():
        if estimator == SYNTHETIC:
            pairs = {c: cells[c, region, metric] for c in controls if (c, region, metric) in cells}
            for row in _comparisons(cell, pairs, protocol, metric, seed, test):
                rows.append({**shared, "estimator": SYNTHETIC, "region": region, "metric": metric, **row})
    return pd.DataFrame(rows, columns=list(STATISTICS_COLUMNS))


def conclusions(statistics: pd.DataFrame, protocol: Protocol, region: str) -> list[str]:
    """Sentences about the primary metric in the primary region, one for each control."""
    chosen = statistics[
        (statistics["control"] != "")
        & (statistics["metric"] == protocol.primary_metric)
        & (statistics["region"] == region)
    ]
    return [
        verdict_in_words(
            row["better"],
            control=row["control"],
            metric=row["metric"],
            region=region,
            difference=row["difference"],
            interval=Interval(row["difference_ci_low"], row["difference_ci_high"], row["interval"]),
        )
        for row in chosen.to_dict("records")
    ]


def _cells(cases: Sequence[ScoredCase]) -> dict[tuple[str, str, str], _Cell]:
    values: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    blocks: dict[tuple[str, str, str], dict[str, list[Blocks | None]]] = {}
    undefined: dict[tuple[str, str, str], int] = {}
    for scored in cases:
        subject = f"sub-{scored.case.subject}"
        for estimator, records in scored.records.items():
            for record in records:
                key = (estimator, record.region, record.metric)
                values.setdefault(key, {})
                blocks.setdefault(key, {})
                undefined.setdefault(key, 0)
                if record.status != OK:
                    undefined[key] += 1
                    continue
                values[key].setdefault(subject, []).append(record.value)
                blocks[key].setdefault(subject, []).append(record.blocks)
    return {
        key: _Cell(
            {subject: float(np.mean(sessions)) for subject, sessions in values[key].items()},
            {s: tuple(b for b in found if b is not None) for s, found in blocks[key].items()},
            undefined[key],
        )
        for key in values
    }


def _summary(cell: _Cell, finish: Any, seed: int) -> dict[str, Any]:
    sample = np.array(list(cell.values.values()))
    interval = _interval(cell, None, finish, seed)
    return {
        "subjects": sample.size,
        "undefined": cell.undefined,
        "mean": sample.mean() if sample.size else math.nan,
        "sd": sample.std(ddof=1) if sample.size > 1 else math.nan,
        "ci_low": interval.low,
        "ci_high": interval.high,
        "interval": interval.over,
    }


def _comparisons(
    cell: _Cell, controls: Mapping[str, _Cell], protocol: Protocol, metric: str, seed: int, test: PairedTest
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name, control in controls.items():
        both = [subject for subject in cell.values if subject in control.values]
        differences = np.array([cell.values[s] - control.values[s] for s in both])
        interval = _interval(cell, control, _finish(protocol, metric), seed)
        result = paired_test(differences, test)
        rows.append(
            {
                "control": name,
                "subjects": len(both),
                "undefined": max(cell.undefined, control.undefined),
                "difference": differences.mean() if both else math.nan,
                "difference_ci_low": interval.low,
                "difference_ci_high": interval.high,
                "p_unadjusted": result.p,
                "test": result.test,
                "better": verdict(interval, higher_is_better=protocol.higher_is_better(metric)),
                "interval": interval.over,
            }
        )
    tested = sum(math.isfinite(row["p_unadjusted"]) for row in rows)
    for row, p in zip(rows, holm([row["p_unadjusted"] for row in rows]), strict=True):
        row["p"] = p
        if math.isfinite(p):
            row["test"] += f"; p by Holm over {tested} control{'s' if tested != 1 else ''}"
    return rows


def _interval(cell: _Cell, control: _Cell | None, finish: Any, seed: int) -> Interval:
    """Over subjects; for one subject, over slabs within it."""
    subjects = [s for s in cell.values if control is None or s in control.values]
    if len(subjects) != 1:
        sample = [cell.values[s] - (control.values[s] if control else 0.0) for s in subjects]
        return bootstrap_interval(sample, seed=seed)
    subject = subjects[0]
    if finish is None:
        return no_interval("1 subject, and the metric is not a mean over voxels")
    others = control.blocks[subject] if control else None
    if others is not None and len(others) != len(cell.blocks[subject]):
        return no_interval("estimate and control are defined in different sessions")
    return within_subject_interval(cell.blocks[subject], finish, others, subject=subject, seed=seed)


def _finish(protocol: Protocol, metric: str) -> Any:
    form = METRICS.get(protocol.use(metric).metric).form
    return form.finish if form is not None else None
