"""Answers and the key together: one row an answer, with case and arm. Only the analysis does this."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recontrast.errors import FormatError
from recontrast.io.tables import read_table, require_columns
from recontrast.readers.answers import Record
from recontrast.readers.folder import Item, Plan
from recontrast.readers.progress import current_records
from recontrast.readers.study import ORIGINS, Study

COLUMNS = (
    "reader", "session", "place", "item", "case", "arm", "training", "repeat", "question", "side", "value",
    "milliseconds", "received",
)  # fmt: skip
"""Columns of `answers.tsv`; marks are JSON lists of world coordinates (RAS+ mm), two arms are `first,second`."""

NEEDED = ("reader", "case", "arm", "question", "value")


def decode(plan: Plan, records: Sequence[Record]) -> pd.DataFrame:
    """The answers that count, in the order of the items; undone ones are left out.

    Args:
        plan: The study with its key.
        records: All records, oldest first.
    """
    rows: list[dict[str, Any]] = []
    for reader, items in plan.items.items():
        current = current_records([record for record in records if record.reader == reader])
        for place, item in enumerate(items):
            record = current.get(item.id)
            if record is not None and record.kind == "answer":
                rows += _rows(plan, reader, place, item, record)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def read_answers(path: Path, study: Study) -> pd.DataFrame:
    """A table of answers made elsewhere: reader, case, arm, question, value, and side where the question has sides.

    Raises:
        FormatError: It cannot be read, or names a question that the design does not have.
    """
    table = read_table(path, text_columns=("reader", "case", "arm", "question", "side", "value"))
    require_columns(path, table, NEEDED)
    known = [question.name for question in study.questions]
    strange = sorted(set(table["question"]) - set(known))
    if strange:
        raise FormatError(f"{path}: question '{strange[0]}' is not in the design; it has {', '.join(known)}")
    arms = {arm.name for arm in study.arms}
    unknown = sorted({name for arm in table["arm"] for name in str(arm).split(",")} - arms)
    if unknown:
        raise FormatError(f"{path}: arm '{unknown[0]}' is not in the design; it has {', '.join(sorted(arms))}")
    nobody = sorted(set(table["reader"].astype(str)) - set(study.readers))
    if nobody:
        raise FormatError(f"{path}: reader '{nobody[0]}' is not in the design; it has {', '.join(study.readers)}")
    defaults = {"session": 0, "place": np.arange(len(table)), "item": "", "training": False, "repeat": False}
    fill: dict[str, Any] = {**defaults, "side": "", "milliseconds": np.nan, "received": ""}
    for name, value in fill.items():
        if name not in table:
            table[name] = value
    table["side"] = table["side"].fillna("")
    for name in ("training", "repeat"):
        table[name] = table[name].astype(str).str.lower().isin(("true", "1"))
    keys = ["reader", "case", "arm", "question", "side", "training", "repeat"]
    twice = table[table.duplicated(keys)]
    if len(twice):
        row = twice.iloc[0]
        answer = " ".join(str(row[key]) for key in keys[:5]).rstrip()
        raise FormatError(f"{path}: two rows for {answer}; keep one, or mark the second reading in a column `repeat`")
    table["value"] = [_typed(study, row) for row in table[["question", "value"]].to_dict("records")]
    return table[list(COLUMNS)]


def counting(answers: pd.DataFrame, question: str, *, repeats: bool = False) -> pd.DataFrame:
    """Answers to a question that count: no practice, and each item once (or only the second showings)."""
    return answers[(answers["question"] == question) & ~answers["training"] & (answers["repeat"] == repeats)]


def of(rows: pd.DataFrame, **wanted: str) -> pd.DataFrame:
    """Rows whose columns have these values (`reader="A"`, `arm="acquired"`)."""
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    return rows


def _rows(plan: Plan, reader: str, place: int, item: Item, record: Record) -> list[dict[str, Any]]:
    questions = {field: question for question in plan.study.questions for field in question.fields}
    rows = []
    for field, question in questions.items():
        if field not in record.content:
            continue
        value = record.content[field]
        if question.kind == "marks":
            value = json.dumps(_world(value, plan.grids[item.case].affine))
        elif question.kind == "origin":
            value = ORIGINS[value]
        elif question.kind == "which":
            place_of = question.values.index(value)
            value = item.arms[place_of] if place_of < len(item.arms) else "neither"
        rows.append(
            {
                "reader": reader, "session": item.session, "place": place, "item": item.id, "case": item.case,
                "arm": ",".join(item.arms), "training": item.training, "repeat": item.repeat,
                "question": question.name, "side": field.partition(".")[2] if question.sides else "", "value": value,
                "milliseconds": record.milliseconds, "received": record.received,
            }
        )  # fmt: skip
    return rows


def _world(marks: Sequence[Sequence[float]], affine: Any) -> list[list[float]]:
    if not marks:
        return []
    matrix = np.asarray(affine)
    points = np.asarray(marks, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
    return [[round(float(value), 2) for value in point] for point in points]


def _typed(study: Study, row: Mapping[Any, Any]) -> Any:
    question = study.question(row["question"])
    if question.kind not in ("choice", "grade"):
        return str(row["value"])
    try:
        value = float(row["value"])
    except (TypeError, ValueError):
        raise FormatError(f"value '{row['value']}' of question '{row['question']}' is not a number") from None
    if value not in question.values:
        grades = ", ".join(map(str, question.values))
        raise FormatError(f"value '{row['value']}' of question '{row['question']}' is not one of its grades: {grades}")
    return int(value)
