"""Answers and key together, and answers made elsewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from recontrast.errors import FormatError
from recontrast.readers.answers import Record
from recontrast.readers.decode import counting, decode, read_answers
from recontrast.readers.folder import Plan, read_plan
from recontrast.readers.study import read_study


def record(plan: Plan, place: int, content: dict[str, Any], kind: str = "answer") -> Record:
    item = plan.items["A"][place]
    return Record(place, str(place), "A", item.id, kind, content, 1500, "2026-11-21T10:00:00+00:00")


def test_grades_and_marks_get_case_arm_and_world(make_study: Any) -> None:
    plan = read_plan(make_study("tagawa2025", 'order = "mixed"\nwashout_days = 0').folder)
    content = {"mta.right": 3, "mta.left": 1, "lesions": [[9, 11, 8]], "artefacts": "none"}
    table = decode(plan, [record(plan, 0, content), record(plan, 1, {}, "skip")])
    item = plan.items["A"][0]
    assert set(table["case"]) == {item.case}
    assert set(table["arm"]) == set(item.arms)
    assert list(counting(table, "mta")["side"]) == ["right", "left"]
    assert json.loads(counting(table, "lesions")["value"].iloc[0]) == [[0.0, 0.0, 0.0]]  # origin of the affine


def test_the_chosen_image_becomes_its_arm(make_study: Any) -> None:
    plan = read_plan(make_study("hagiwara2019-swelling").folder)
    table = decode(plan, [record(plan, 0, {"swelling": 1}), record(plan, 1, {"swelling": 2})])
    assert list(table["value"]) == [plan.items["A"][0].arms[1], "neither"]


def test_tables_made_elsewhere_are_checked(tmp_path: Path, make_study: Any) -> None:
    study = read_plan(make_study().folder).study
    path = tmp_path / "a.tsv"
    path.write_text("reader\tcase\tarm\tquestion\tside\tvalue\nA\t01\tacquired\tmta\tleft\t2\n")
    assert read_answers(path, study)[["case", "value"]].to_numpy().tolist() == [["01", 2]]
    wrong = {
        "A\t1\tx\tmta\tleft\t2": "arm 'x'",
        "A\t1\tacquired\tq\tleft\t2": "question 'q'",
        "A\t1\tacquired\tmta\tleft\tmuch": "'much'",
        "A\t1\tacquired\tmta\tleft\t1.5": "'1.5' .* not one of its grades",
        "A\t1\tacquired\tmta\tleft\t7": "'7' .* not one of its grades",
        "Z\t1\tacquired\tmta\tleft\t2": "reader 'Z'",
        "A\t1\tacquired\tmta\tleft\t2\nA\t1\tacquired\tmta\tleft\t3": "two rows for A 1 acquired mta left;",
        "A\t1\tacquired\tmta\t\t2": r"row 1 \(A 1 acquired\): question 'mta': side '' is not one of right, left",
    }
    for row, said in wrong.items():
        path.write_text(f"reader\tcase\tarm\tquestion\tside\tvalue\n{row}\n")
        with pytest.raises(FormatError, match=said):
            read_answers(path, study)


def with_columns(path: Path, header: str, rows: list[str]) -> Path:
    path.write_text("\n".join([f"reader\tcase\tarm\tquestion\tside\tvalue\t{header}", *rows]) + "\n")
    return path


@pytest.mark.parametrize(
    ("word", "marked"),
    [(word, True) for word in ("1", "1.0", "true", "True", "yes")]
    + [(word, False) for word in ("0", "0.0", "false", "no", "n/a", "")],
)
@pytest.mark.parametrize("column", ["training", "repeat"])
def test_marks_are_read_as_they_are_meant(
    tmp_path: Path, make_study: Any, column: str, word: str, marked: bool
) -> None:
    """A column of numbers with gaps is one of decimals to pandas: 1.0 was no mark, and practice answers counted."""
    study = read_plan(make_study().folder).study
    rows = [f"A\t{n}\tacquired\tmta\tleft\t2\t{text}" for n, text in enumerate(("1", "n/a", word))]
    found = read_answers(with_columns(tmp_path / "a.tsv", column, rows), study)
    assert list(found[column]) == [True, False, marked]


@pytest.mark.parametrize("column", ["training", "repeat"])
def test_a_mark_that_is_none_is_refused_with_its_row(tmp_path: Path, make_study: Any, column: str) -> None:
    study = read_plan(make_study().folder).study
    rows = [f"A\t{n}\tacquired\tmta\tleft\t2\t{text}" for n, text in enumerate(("yes", "maybe"))]
    with pytest.raises(FormatError, match=rf"row 2 \(A 1 acquired\): {column} 'maybe' is not one of true, 1, yes"):
        read_answers(with_columns(tmp_path / "a.tsv", column, rows), study)


def test_a_side_that_the_question_does_not_have_is_refused(tmp_path: Path, make_study: Any) -> None:
    study = read_plan(make_study().folder).study
    rows = ["A\t1\tacquired\tmta\tleft\t2\tno", "A\t1\tacquired\tmta\tRight\t2\tno"]
    with pytest.raises(
        FormatError, match=r"row 2 \(A 1 acquired\): question 'mta': side 'Right' is not one of right, l"
    ):
        read_answers(with_columns(tmp_path / "a.tsv", "training", rows), study)
    (tmp_path / "study.toml").write_text(ASKED.format(mode="", question='kind = "origin"'))
    path = tmp_path / "b.tsv"
    path.write_text("reader\tcase\tarm\tquestion\tside\tvalue\nA\t1\tacquired\tq\tleft\tcomputed\n")
    with pytest.raises(FormatError, match="question 'q': side 'left' is given, but it has no sides"):
        read_answers(path, read_study(tmp_path / "study.toml"))


ASKED = """
title = "x"
readers = ["A"]
{mode}
[[arms]]
name = "acquired"
[[arms]]
name = "computed"
[[questions]]
name = "q"
text = "?"
{question}
"""


@pytest.mark.parametrize(
    ("question", "arm", "good", "bad", "said"),
    [
        ('kind = "origin"', "acquired", ["computed"], ["real", "n/a", "Acquired"], "is not one of acquired, computed"),
        ('kind = "which"\nchoices = ["1", "2"]', "computed,acquired", ["acquired"], ["neither", "first", "n/a"],
         "is not one of computed, acquired"),
        ('kind = "which"\nchoices = ["1", "2", "no"]', "computed,acquired", ["neither", "computed"], ["2"],
         "is not one of computed, acquired, neither"),
        ('kind = "marks"', "acquired", ["[]", "[[1, -2.5, 3]]"],
         ["n/a", "none", "NaN", "[1, 2, 3]", "[[1, 2]]",
          "[[NaN, 0, 0]]", '["123"]', '{"123": 1}', f"[[1{'0' * 400}, 0, 0]]"],
         "is not a list of marks"),
    ],
)  # fmt: skip
def test_values_made_elsewhere_are_those_that_the_question_knows(
    question: str, arm: str, good: list[str], bad: list[str], said: str, tmp_path: Path
) -> None:
    mode = 'mode = "side-by-side"' if "which" in question else ""
    (tmp_path / "study.toml").write_text(ASKED.format(mode=mode, question=question))
    study, path = read_study(tmp_path / "study.toml"), tmp_path / "a.tsv"
    for value in good:
        path.write_text(f"reader\tcase\tarm\tquestion\tvalue\nA\t1\t{arm}\tq\t{value}\n")
        assert read_answers(path, study)["value"].tolist() == [value]
    for value in bad:
        quoted = '"' + value.replace('"', '""') + '"' if '"' in value else value
        path.write_text(f"reader\tcase\tarm\tquestion\tvalue\nA\t0\t{arm}\tq\t{good[0]}\nA\t1\t{arm}\tq\t{quoted}\n")
        place = rf"a\.tsv: row 2 \(A 1 {arm}\): question 'q': value '{re.escape(value)}' {said}"
        with pytest.raises(FormatError, match=place):
            read_answers(path, study)
