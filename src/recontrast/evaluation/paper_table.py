"""The table of an evaluation as papers print it, `table.tsv` and `table.md`: mean ± SD, one row an estimator.

Papers that score slice by slice print the SD over all slices of all subjects. Slices of one subject resemble each
other, so that SD says nothing of how subjects differ; it stands beside ours only to be compared with the paper's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recontrast.atomic import write_text
from recontrast.evaluation.leaks import PASSED
from recontrast.evaluation.protocols import MetricUse, Protocol
from recontrast.evaluation.scores import OK
from recontrast.io.tables import write_table
from recontrast.metrics import METRICS

Array = NDArray[np.float64]

TABLE, MARKDOWN = "table.tsv", "table.md"

TABLE_COLUMNS = (
    "estimator", "region", "metric", "protocol", "subjects", "mean", "sd", "slices", "slices_mean", "slices_sd",
    "slices_undefined", "leak_check",
)  # fmt: skip
"""Columns of `table.tsv`: mean and SD over subjects; for metrics of slices also over all slices together."""


def paper_table(scores: pd.DataFrame, protocol: Protocol) -> pd.DataFrame:
    """One row for each estimator, region and metric, in the protocol's order.

    A metric that a protocol has in several planes gets a further row, "… of all planes": all slices of all planes
    together, as grantjacob2021 prints it.

    Args:
        scores: As `tables.scores_table` makes it.
        protocol: The protocol they were scored by.
    """
    rows = []
    planes = _planes(protocol)
    labels = [use.label for use in protocol.metrics] + list(planes)
    for (estimator, region), cell in scores.groupby(["estimator", "region"], sort=False):
        for label in labels:
            found = cell[cell["metric"].isin(planes.get(label, (label,)))]
            if len(found):
                shared = {"estimator": estimator, "region": region, "metric": label, "protocol": protocol.name}
                rows.append({**shared, **_summary(found), "leak_check": found["leak_check"].iloc[0]})
    return pd.DataFrame(rows, columns=list(TABLE_COLUMNS))


def write_paper_table(out: Path, table: pd.DataFrame, protocol: Protocol) -> None:
    """Write `table.tsv` and, to be read and pasted, `table.md`."""
    write_table(out / TABLE, table)
    write_text(out / MARKDOWN, in_markdown(table, protocol))


def in_markdown(table: pd.DataFrame, protocol: Protocol) -> str:
    """The table as Markdown, one for each region, with what must be known to read it."""
    leaks = [str(text) for text in dict.fromkeys(table["leak_check"]) if text != PASSED]
    lines = [
        f"Protocol {protocol.name}: {protocol.description}. {protocol.citation}.",
        f"How values became one number: {protocol.aggregation}.",
        *(f"Leak check: {text}." for text in leaks),
        "",
    ]
    for slices in (False, True):
        rows = table[table["slices"].notna()] if slices else table[table["mean"].notna() | table["slices"].isna()]
        over = "all slices of all subjects together (as papers print it)" if slices else "subjects"
        for region, cell in rows.groupby("region", sort=False):
            lines += [f"Region {region}: mean ± SD over {over}.", "", *_grid(cell, slices), ""]
    return "\n".join(lines)


def _grid(cell: pd.DataFrame, slices: bool) -> list[str]:
    mean, sd, count = ("slices_mean", "slices_sd", "slices") if slices else ("mean", "sd", "subjects")
    labels = list(dict.fromkeys(cell["metric"]))
    head = ["estimator", *labels, count]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for estimator, found in cell.groupby("estimator", sort=False):
        by_metric = found.set_index("metric")
        values = [_text(by_metric.loc[m], mean, sd) if m in by_metric.index else "" for m in labels]
        counts = [int(number) for number in dict.fromkeys(found[count]) if number == number]
        lines.append("| " + " | ".join([str(estimator), *values, " / ".join(map(str, counts))]) + " |")
    return lines


def _text(row: pd.Series[Any], mean: str, sd: str) -> str:
    if not math.isfinite(row[mean]):
        return "n/a"
    spread = f" ± {row[sd]:.3g}" if math.isfinite(row[sd]) else ""
    return f"{row[mean]:.4g}{spread}"


def _summary(found: pd.DataFrame) -> dict[str, Any]:
    """Mean and SD over subjects (slices and sessions averaged within them), and over all slices."""
    defined = found[found["status"] == OK]
    sliced = bool((found["unit"] == "slice").all())
    values = pd.to_numeric(defined["value"]).to_numpy(dtype=float)
    counts = (defined["units"] - defined["units_undefined"]).to_numpy(dtype=float)
    # Sessions count alike; so do slices, where a row pools several planes.
    weights = counts if found["metric"].nunique() > 1 else np.ones_like(values)
    sums = pd.DataFrame({"subject": defined["subject"], "value": values * weights, "weight": weights})
    subjects = sums.groupby("subject", sort=False)[["value", "weight"]].sum()
    sample = (subjects["value"] / subjects["weight"]).to_numpy()
    row: dict[str, Any] = {
        "subjects": sample.size,
        "mean": sample.mean() if sample.size else math.nan,
        "sd": sample.std(ddof=1) if sample.size > 1 else math.nan,
    }
    if sliced:
        spreads = pd.to_numeric(defined["units_sd"]).to_numpy(dtype=float)
        row |= {"slices": int(counts.sum()), "slices_undefined": int(found["units_undefined"].sum())}
        row |= dict(zip(("slices_mean", "slices_sd"), pooled(counts, values, spreads), strict=True))
    return row


def pooled(
    counts: Sequence[float] | Array, means: Sequence[float] | Array, deviations: Sequence[float] | Array
) -> tuple[float, float]:
    """Mean and SD (n - 1) of groups put together, from each group's size, mean and SD (n).

    Example:
        >>> pooled([2, 2], [1.0, 3.0], [0.0, 0.0])  # 1, 1, 3, 3
        (2.0, 1.1547005383792515)
    """
    n, m, s = (np.asarray(values, dtype=np.float64) for values in (counts, means, deviations))
    total = n.sum()
    if total == 0:
        return math.nan, math.nan
    mean = float((n * m).sum() / total)
    squares = float((n * (s**2 + (m - mean) ** 2)).sum())
    return mean, math.sqrt(squares / (total - 1)) if total > 1 else math.nan


def _planes(protocol: Protocol) -> Mapping[str, tuple[str, ...]]:
    """Metrics that a protocol has in several planes: a name for all of them to their labels."""
    kinds: dict[str, list[MetricUse]] = {}
    for use in protocol.metrics:
        if use.unit == "slice":
            options = {key: value for key, value in use.options.items() if key != "axis"}
            kinds.setdefault(f"{use.metric} {sorted(options.items())}", []).append(use)
    several = [uses for uses in kinds.values() if len({use.plane for use in uses}) > 1]
    return {f"{METRICS.get(uses[0].metric).name} of all planes": tuple(use.label for use in uses) for uses in several}
