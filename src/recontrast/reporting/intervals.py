"""The report's section on error bars: coverage with the width it was bought with, region by region."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from recontrast.errors import FormatError
from recontrast.evaluation.intervals import COLUMNS, TABLE, interval_means, interval_words, verdict_of
from recontrast.io.tables import read_table, require_columns
from recontrast.reporting.evidence import TEXT_COLUMNS, Evaluation, Evidence, records
from recontrast.reporting.page import (
    KIND_ABSENT,
    KIND_PLAIN,
    KIND_WARNING,
    Block,
    Cell,
    Fold,
    Heading,
    Section,
    Table,
    Text,
)

NO_INTERVALS = (
    "No error bars were scored: the synthetic images have none beside them. `recontrast translate` says why a "
    "translator has none."
)

_KINDS = {
    "subjects": "on subjects the translator did not learn from",
    "slabs": "on slabs of the training subjects, which promises nothing for other subjects",
}


def interval_section(evidence: Evidence) -> Section:
    """Coverage and width of the error bars of each evaluation; absent ones are printed as absent."""
    blocks: list[Block] = []
    for evaluation in evidence.evaluations:
        if len(evidence.evaluations) > 1:
            blocks.append(Heading(f"Evaluation {evidence.name_of(evaluation.folder)}"))
        blocks += _of_evaluation(evaluation)
    return Section("error-bars", "Error bars", blocks or [Text(NO_INTERVALS, KIND_ABSENT)])


def _of_evaluation(evaluation: Evaluation) -> list[Block]:
    path = evaluation.folder / TABLE
    if not path.is_file():
        return [Text(NO_INTERVALS, KIND_ABSENT)]
    try:
        table = read_table(path, (*TEXT_COLUMNS, "kind", "leak_check"))
        require_columns(path, table, COLUMNS)
    except FormatError as error:
        return [Text(str(error), KIND_WARNING)]
    blocks: list[Block] = []
    for line in interval_words(table):
        fine = line.endswith("as promised")
        blocks.append(Text(f"{line[:1].upper()}{line[1:]}.", KIND_PLAIN if fine else KIND_WARNING))
    blocks.append(_means(table))
    return [*blocks, Fold("Case by case", [_cases(table)])]


def _means(table: pd.DataFrame) -> Table:
    rows = [_mean_row(row) for row in records(interval_means(table))]
    header = ["region", "covered", "over subjects", "mean width", "one width for all", "infinitely wide", "subjects"]
    how = "; ".join(_kind(kind, rows) for kind, rows in table.groupby("kind", dropna=False))
    level = f"{100 * float(table['level'].iloc[0]):g} %"
    caption = (
        f"Intervals meant to hold {level} of the voxels, calibrated {how}. Widths from lower to upper end, on the "
        f"scale of protocol {table['protocol'].iloc[0]}; one width for all: what a single interval for the region "
        "would need to cover as many. Means over subjects."
    )
    note = (
        "Coverage is meant for the head as a whole, on average over subjects, not for each region or subject. Covering "
        "more is no merit when the width pays for it."
    )
    return Table(caption, [Cell(name) for name in header], rows, 6, note)


def _mean_row(row: Mapping[str, Any]) -> list[Cell]:
    verdict = verdict_of(float(row["coverage"]), float(row["level"]), float(row["width"]))
    look = {"as promised": "good", "too narrow": "bad", "infinitely wide": "bad"}.get(verdict, "")
    return [
        Cell(str(row["region"])),
        Cell(_percent(row["coverage"]), [verdict], look),
        Cell(f"{_percent(row['lowest'])} to {_percent(row['highest'])}"),
        Cell(_width(row["width"])),
        Cell(_width(row["even_width"])),
        Cell(_percent(row["unbounded"])),
        Cell(str(int(row["subjects"]))),
    ]


def _cases(table: pd.DataFrame) -> Table:
    rows = [
        [Cell(str(row["case"])), Cell(str(row["region"])), Cell(_percent(row["coverage"])), Cell(_width(row["width"])),
         Cell(f"{int(row['voxels']):,}")]
        for row in records(table)
    ]  # fmt: skip
    header = [Cell(name) for name in ("case", "region", "covered", "mean width", "voxels")]
    return Table(f"Every case and region ({TABLE}).", header, rows, 3)


def _kind(kind: Any, rows: pd.DataFrame) -> str:
    number = int(rows["calibration_subjects"].max())
    return f"{_KINDS.get(str(kind), 'on data nobody names')} ({number})"


def _width(value: Any) -> str:
    return "∞" if float(value) == float("inf") else f"{float(value):.3g}"


def _percent(share: Any) -> str:
    return f"{100 * float(share):.1f} %"
