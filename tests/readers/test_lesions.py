"""Marks become lesions: nearest pairs, each once."""

from __future__ import annotations

import json

import pandas as pd

from recontrast.readers.decode import COLUMNS
from recontrast.readers.lesions import lesion_table, match_marks
from recontrast.readers.study import study_from

STUDY = study_from(
    {
        "title": "t", "readers": ["A"], "arms": [{"name": "acquired"}, {"name": "synthetic"}],
        "questions": [{"name": "lesions", "text": "?", "kind": "marks", "within_mm": 10.0}],
    },
    "test",
)  # fmt: skip


def test_as_many_pairs_as_possible_then_the_nearest() -> None:
    # The middle mark could take either; only one choice leaves a partner for both.
    assert match_marks([[0, 0, 0], [9, 0, 0]], [[8, 0, 0], [17, 0, 0]], 10) == [(0, 0), (1, 1)]
    assert match_marks([[0, 0, 0]], [[11, 0, 0]], 10) == []
    assert match_marks([], [[0, 0, 0]], 10) == []


def test_counts_as_table_4_of_tagawa() -> None:
    marks = {
        ("c1", "acquired"): [[0, 0, 0], [40, 0, 0]], ("c1", "synthetic"): [[3, 0, 0]],
        ("c2", "acquired"): [], ("c2", "synthetic"): [[5, 5, 5]],
        ("c3", "acquired"): [[1, 1, 1]],  # its other arm was never read: not counted
    }  # fmt: skip
    rows = [
        {"reader": "A", "case": case, "arm": arm, "question": "lesions", "value": json.dumps(value), "training": False,
         "repeat": False}
        for (case, arm), value in marks.items()
    ]  # fmt: skip
    table = lesion_table(pd.DataFrame(rows, columns=list(COLUMNS)), STUDY, STUDY.questions[0], "synthetic")
    row = table.iloc[0]
    assert row["cases"] == 2
    assert [row["detected acquired"], row["detected synthetic"], row["both"]] == [2, 2, 1]
    assert [row["only acquired"], row["only synthetic"], row["p"]] == [1, 1, 1.0]
