"""The report's section on what readers said: the tables of reader studies, from the folders `readers analyse` wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from recontrast.errors import FormatError
from recontrast.io.tables import read_table
from recontrast.reporting.evidence import READING, Evidence
from recontrast.reporting.page import KIND_ABSENT, KIND_WARNING, Block, Facts, Heading, Section, Text, frame_table

NOBODY = "Nobody has answered yet."

_WORDS = (
    "reader", "case", "arm", "question", "contrast", "candidate", "between", "who", "statistic", "method", "test",
    "tier", "gadolinium", "kept",
)  # fmt: skip
"""Columns that are words even where they look like numbers (case `007`)."""


@dataclass(frozen=True)
class Reading:
    """A reader study as it was analysed.

    Attributes:
        folder: Where the tables are.
        title: Title of the study.
        statement: What was compared, in one sentence.
        facts: Readers, seeds, how far each came.
        tables: Name of each table, without its suffix, and what it says.
    """

    folder: Path
    title: str
    statement: str
    facts: list[tuple[str, str]]
    tables: list[tuple[str, str]]


def read_reading(folder: Path) -> Reading:
    """What `readers analyse` wrote into a folder.

    Raises:
        FormatError: `reading.json` is damaged.
    """
    path = folder / READING
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        facts = [(str(name), str(value)) for name, value in content["facts"]]
        tables = [(Path(str(table["name"])).name, str(table["note"])) for table in content["tables"]]
        return Reading(folder, str(content["title"]), str(content["statement"]), facts, tables)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise FormatError(f"{path}: cannot be read as an analysed reading ({error!r})") from error


def table_blocks(reading: Reading) -> Iterator[tuple[str, list[Block]]]:
    """Title and content of each table; one that cannot be read is named."""
    for name, note in reading.tables:
        title = name.replace("-", ": ", 1).capitalize()
        try:
            table = read_table(reading.folder / f"{name}.tsv", _WORDS)
            yield title, [frame_table(table.map(_rounded), f"{note} ({name}.tsv)")]
        except FormatError as error:
            yield title, [Text(str(error), KIND_WARNING)]


def reading_section(evidence: Evidence) -> Section:
    """All reader studies below the folder, each with its readers and tables."""
    blocks: list[Block] = []
    for folder in evidence.readings:
        try:
            reading = read_reading(folder)
        except FormatError as error:
            blocks.append(Text(str(error), KIND_WARNING))
            continue
        blocks += [Heading(f"{reading.title} ({evidence.name_of(folder)})"), Text(reading.statement)]
        blocks.append(Facts(reading.facts))
        for _, found in table_blocks(reading):
            blocks += found
        if not reading.tables:
            blocks.append(Text(NOBODY, KIND_ABSENT))
    return Section("readers", "What readers said", blocks)


def _rounded(value: Any) -> Any:
    if isinstance(value, float) and not pd.isna(value):
        return float(f"{value:.4g}")
    return value.item() if hasattr(value, "item") else value
