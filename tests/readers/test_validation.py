"""Only answers that the page could give."""

from __future__ import annotations

import importlib.resources
from typing import Any

import pytest

from recontrast.errors import DataError
from recontrast.readers.folder import Grid
from recontrast.readers.study import study_from
from recontrast.readers.validation import LONGEST_READING_MS, check_values

GRID = Grid((4, 5, 6), (1, 1, 1), ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)))
STUDY = study_from(
    {
        "title": "t", "readers": ["A"], "arms": [{"name": "a"}],
        "questions": [
            {"name": "mta", "text": "?", "sides": ["right", "left"], "choices": ["a", "b", "c"], "first": 1},
            {"name": "marks", "text": "?", "kind": "marks"},
            {"name": "words", "text": "?", "kind": "text"},
            {"name": "origin", "text": "?", "kind": "origin"},
        ],
    },
    "test",
)  # fmt: skip
WHOLE = {"mta.right": 1, "mta.left": 3, "origin": 0}


def test_whole_answers_pass_and_free_ones_may_be_empty() -> None:
    assert check_values(STUDY, WHOLE, GRID, whole=True) == WHOLE
    full = {**WHOLE, "marks": [[0, 4.5, 5]], "words": "<script>alert(1)</script>"}
    assert check_values(STUDY, full, GRID, whole=True) == full  # kept as text; the page and the report escape it


@pytest.mark.parametrize(
    "values",
    [
        {"mta.right": 0}, {"mta.right": 4}, {"mta.right": "1"}, {"mta.right": True}, {"mta.right": 1.0},
        {"mta": 1}, {"mta.middle": 1}, {"__proto__": 1}, {"origin": 2}, {"origin": True}, {"words": 5},
        {"words": "x" * 2001},
        {"marks": [[9, 0, 0]]}, {"marks": [[0, 0]]}, {"marks": [["0", 0, 0]]}, {"marks": [[1e999, 0, 0]]},
        {"marks": [[0, 0, 0]] * 101}, {"marks": {}}, [], "x", None,
    ],
)  # fmt: skip
def test_everything_else_is_refused(values: Any) -> None:
    with pytest.raises(DataError):
        check_values(STUDY, values, GRID, whole=False)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(DataError, match=r"'mta\.left' is not answered"):
        check_values(STUDY, {"mta.right": 1, "origin": 0}, GRID, whole=True)


def test_the_page_tells_no_longer_reading_than_is_taken() -> None:
    page = (importlib.resources.files("recontrast.readers") / "page" / "api.js").read_text(encoding="utf-8")
    assert f"LONGEST_READING = {LONGEST_READING_MS};" in page
    assert "milliseconds: Math.min(LONGEST_READING," in page
