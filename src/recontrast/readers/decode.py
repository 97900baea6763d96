"""Answers and the key together: one row an answer, with case and arm. Only the analysis does this."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recontrast.errors import FormatError
from recontrast.io.tables import ABSENT, read_table, require_columns
from recontrast.readers.answers import Record
from recontrast.readers.folder import Item, Plan
from recontrast.readers.progress import current_records
from recontrast.readers.study import ORIGINS, Question, Study

COLUMNS = (
    "reader", "session", "place", "item", "case", "arm", "training", "repeat", "question", "side", "value",
    "milliseconds", "received",
)  # fmt: skip
"""Columns of `answers.tsv`; marks are JSON lists of world coordinates (RAS+ mm), two arms are `first,second`."""

NEEDED = ("reader", "case", "arm", "question", "value")

_MARKED = ("training", "repeat")

_FLAGS = {
    **dict.fromkeys(("1", "1.0", "true", "yes"), True),
    **dict.fromkeys(("", "0", "0.0", "false", "no", "n/a"), False),
}

NEITHER = "neither"
"""Value of a question of kind `which` when its third choice was taken."""


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

    The columns training and repeat may mark answers that do not count and second readings: true, 1 or yes; false, 0,
    no, n/a or nothing.

    Raises:
        FormatError: It cannot be read, names a question that the design does not have, or holds a value that is no
            answer to its question, another side, or another mark.
    """
    table = read_table(path, text_columns=("reader", "case", "arm", "question", "side", "value", *_MARKED))
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
    for name in _MARKED:
        table[name] = _flags(path, table, name)
    keys = ["reader", "case", "arm", "question", "side", "training", "repeat"]
    twice = table[table.duplicated(keys)]
    if len(twice):
        row = twice.iloc[0]
        answer = " ".join(str(row[key]) for key in keys[:5]).rstrip()
        raise FormatError(f"{path}: two rows for {answer}; keep one, or mark the second reading in a column `repeat`")
    values = []
    for number, given in enumerate(table.to_dict("records"), start=1):
        try:
            value = ABSENT if pd.isna(given["value"]) else str(given["value"])
            question = study.question(given["question"])
            _check_side(question, str(given["side"]))
            values.append(_typed(question, value, str(given["arm"]).split(",")))
        except FormatError as error:
            raise FormatError(f"{_row(path, number, given)}: question '{given['question']}': {error}") from None
    table["value"] = values
    return table[list(COLUMNS)]


def _flags(path: Path, table: pd.DataFrame, column: str) -> list[bool]:
    """A column of marks as truth values."""
    flags = []
    for number, given in enumerate(table.to_dict("records"), start=1):
        word = "" if pd.isna(given[column]) else str(given[column]).strip().lower()
        if word not in _FLAGS:
            raise FormatError(
                f"{_row(path, number, given)}: {column} '{given[column]}' is not one of true, 1, yes, false, 0, no, n/a"
            )
        flags.append(_FLAGS[word])
    return flags


def _row(path: Path, number: int, given: Mapping[Any, Any]) -> str:
    return f"{path}: row {number} ({' '.join(str(given[key]) for key in ('reader', 'case', 'arm'))})"


def _check_side(question: Question, side: str) -> None:
    if side not in (question.sides or ("",)):
        wanted = f"is not one of {', '.join(question.sides)}" if question.sides else "is given, but it has no sides"
        raise FormatError(f"side '{side}' {wanted}")


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
            value = item.arms[place_of] if place_of < len(item.arms) else NEITHER
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


def _typed(question: Question, value: str, arms: Sequence[str]) -> Any:
    """A value made elsewhere as `decode` would give it.

    Args:
        question: What was asked.
        value: What the table holds.
        arms: Arms of the row.

    Raises:
        FormatError: No answer to this question is like that; the message says which are.
    """
    if question.kind in ("choice", "grade"):
        return _grade(question, value)
    if question.kind == "text":
        return "" if value == ABSENT else value
    if question.kind == "marks":
        return json.dumps(_marks(value))
    neither = [NEITHER] if len(question.choices) > 2 else []
    allowed = [*ORIGINS] if question.kind == "origin" else [*arms, *neither]
    if value not in allowed:
        raise FormatError(f"value '{value}' is not one of {', '.join(allowed)}")
    return value


def _grade(question: Question, value: str) -> int:
    try:
        number = float(value)
    except ValueError:
        raise FormatError(f"value '{value}' is not a number") from None
    if number not in question.values:
        grades = ", ".join(map(str, question.values))
        raise FormatError(f"value '{value}' is not one of its grades: {grades}")
    return int(number)


def _marks(value: str) -> list[list[float]]:
    """World coordinates from JSON."""
    try:
        marks = json.loads(value)
    except (ValueError, RecursionError):
        marks = None
    if not isinstance(marks, list) or not all(map(_is_point, marks)):
        raise FormatError(f"value '{value}' is not a list of marks: [[x, y, z], …] in mm of the world, [] for none")
    return marks


def _is_point(mark: Any) -> bool:
    return isinstance(mark, list) and len(mark) == 3 and all(type(v) in (int, float) and -1e9 < v < 1e9 for v in mark)
