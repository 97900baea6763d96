"""Whether an answer is one that the page could have given. Everything else is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from recontrast.errors import DataError
from recontrast.readers.folder import Grid
from recontrast.readers.study import Question, Study

TOKEN = re.compile(r"[0-9a-f]{32}")
LONGEST_TEXT = 2000
MOST_MARKS = 100
LONGEST_READING_MS = 24 * 3600 * 1000


def check_values(study: Study, values: Any, grid: Grid, *, whole: bool) -> dict[str, Any]:
    """Return the answers of an item if they fit its questions.

    Args:
        study: The design.
        values: Field to value, from the page.
        grid: Of the case; marks lie inside.
        whole: Every required field must be there (an answer, not a part).

    Raises:
        DataError: The message names the field.

    Example:
        >>> check_values(study, {"mta.left": 2}, grid, whole=False)  # doctest: +SKIP
    """
    if not isinstance(values, Mapping) or len(values) > 200:
        raise DataError("answers must be an object of fields")
    known = {field: question for question in study.questions for field in question.fields}
    for field, value in values.items():
        if field not in known:
            raise DataError(f"there is no question '{str(field)[:60]}'")
        _check_value(known[field], field, value, grid)
    if whole:
        for field, question in known.items():
            if question.required and question.kind not in ("marks", "text") and field not in values:
                raise DataError(f"'{field}' is not answered")
    return dict(values)


def _check_value(question: Question, field: str, value: Any, grid: Grid) -> None:
    if question.kind == "text":
        good = isinstance(value, str) and len(value) <= LONGEST_TEXT
    elif question.kind == "marks":
        good = isinstance(value, list) and len(value) <= MOST_MARKS and all(_is_inside(mark, grid) for mark in value)
    elif question.kind == "origin":
        good = _is_integer(value) and value in (0, 1)
    else:
        good = _is_integer(value) and value in question.values
    if not good:
        raise DataError(f"'{field}' has a value that its question does not know")


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_inside(mark: Any, grid: Grid) -> bool:
    """Whether a mark is three voxel coordinates inside the grid."""
    return (
        isinstance(mark, list)
        and len(mark) == 3
        and all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in mark)
        and all(-0.5 <= v <= n - 0.5 for v, n in zip(mark, grid.shape, strict=True))
    )
