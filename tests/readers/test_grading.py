"""Quality ratings to tiers and to the table that `prepare` reads; candidates."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from recontrast.errors import RecontrastWarning
from recontrast.io.tables import write_table
from recontrast.preparation.tiers import read_grades
from recontrast.readers.decode import COLUMNS
from recontrast.readers.grading import candidate_table, grade_table, grades_for_prepare
from recontrast.readers.study import designs, study_from


def answers(rows: list[tuple[str, str, str, dict[str, int]]]) -> pd.DataFrame:
    flat = [
        {"reader": r, "case": c, "arm": a, "question": q, "value": v, "training": False, "repeat": False}
        for r, c, a, given in rows
        for q, v in given.items()
    ]
    return pd.DataFrame(flat, columns=list(COLUMNS))


def test_tiers_are_the_worst_grade_and_a_rejected_scan_has_none(tmp_path: Path) -> None:
    study = study_from({**designs()["bottani2024"], "readers": ["A", "B"], "arms": [{"name": "T1w"}]}, "test")
    good = {"grade_contrast": 0, "grade_motion": 0, "grade_noise": 0, "gadolinium": 0, "reject": 0}
    table = grade_table(
        answers([
            ("A", "s1", "T1w", good), ("A", "s2", "T1w", {**good, "grade_motion": 1, "gadolinium": 1}),
            ("A", "s3", "T1w", {**good, "grade_noise": 2, "grade_motion": 1}),
            ("A", "s4", "T1w", {**good, "reject": 1}),
            ("B", "s1", "T1w", {**good, "grade_contrast": 2}),
        ]),
        study,
    )  # fmt: skip
    own = table[table["reader"] == "A"]
    assert list(own["tier"]) == ["good", "medium", "low", "reject"]
    assert list(own["gadolinium"]) == ["no", "yes", "no", "no"]
    write_table(tmp_path / "grades.tsv", grades_for_prepare(table))
    grades = read_grades(tmp_path / "grades.tsv")
    tiers = {case: row["tier"] for (case, _), row in grades.items()}
    assert tiers == {"s1": "low", "s2": "medium", "s3": "low", "s4": "reject"}  # without a row s4 would be used
    assert grades["s1", "T1w"]["tier"] == "low"  # the worse of both readers


def test_what_nobody_said_is_not_made_up(tmp_path: Path) -> None:
    questions = [
        {"name": name, "text": "?", "kind": kind, "choices": ["0", "1", "2"]}
        for name, kind in (("grade_contrast", "choice"), ("grade_motion", "choice"), ("grade_noise", "grade"))
    ]
    base = {"title": "t", "readers": ["A", "B"], "arms": [{"name": "T1w"}]}
    good = {"grade_contrast": 0, "grade_motion": 0, "grade_noise": 0}
    table = grade_table(
        answers([("A", "s1", "T1w", {**good, "grade_motion": 1})]), study_from({**base, "questions": questions}, "test")
    )
    assert list(table["tier"]) == ["medium"]  # grades of kind choice count
    assert table["gadolinium"].isna().all()
    write_table(tmp_path / "grades.tsv", grades_for_prepare(table))
    assert "gadolinium" not in read_grades(tmp_path / "grades.tsv")["s1", "T1w"]
    more = [{"name": name, "text": "?", "choices": ["no", "yes"]} for name in ("gadolinium", "reject")]
    given = answers([
        ("A", "s1", "T1w", {**good, "reject": 0}),
        ("A", "s2", "T1w", {"grade_contrast": 0, "grade_noise": 1, "reject": 0, "gadolinium": 0}),
        ("A", "s3", "T1w", good),
        ("A", "s4", "T1w", {"grade_noise": 1, "reject": 1}),
        ("B", "s4", "T1w", {**good, "reject": 0, "gadolinium": 0}),
    ])  # fmt: skip
    study = study_from({**base, "questions": [*questions, *more]}, "test")
    with pytest.warns(RecontrastWarning, match=r"2 ratings .*A s2 T1w \(grade_motion\); A s3 T1w \(reject\)"):
        table = grade_table(given, study)
    assert list(zip(table["case"], table["reader"], table["tier"], strict=True)) == [
        ("s1", "A", "good"), ("s4", "A", "reject"), ("s4", "B", "good"),
    ]  # fmt: skip
    write_table(tmp_path / "grades.tsv", grades_for_prepare(table))
    assert read_grades(tmp_path / "grades.tsv") == {
        ("s1", "T1w"): {**good, "tier": "good"},
        ("s4", "T1w"): {**good, "grade_noise": 1, "tier": "reject", "gadolinium": "no"},
    }


def test_grades_of_another_range_make_no_tiers() -> None:
    questions = [
        {"name": name, "text": "?", "choices": ["1", "2", "3", "4", "5"], "first": 1}
        for name in ("grade_contrast", "grade_motion", "grade_noise")
    ]
    study = study_from({"title": "t", "readers": ["A"], "arms": [{"name": "T1w"}], "questions": questions}, "test")
    five = {"grade_contrast": 5, "grade_motion": 5, "grade_noise": 5}
    assert grade_table(answers([("A", "s1", "T1w", five)]), study).empty


def test_candidates_are_struck_out_by_anybody_and_ranked() -> None:
    arms = [{"name": n} for n in ("a", "b", "c")]
    study = study_from({**designs()["candidates"], "readers": ["A"], "arms": arms}, "test")
    table = candidate_table(
        answers([
            ("A", "s1", "a", {"wrong": 0, "artefact": 0, "quality": 3}),
            ("A", "s1", "b", {"wrong": 0, "artefact": 1, "quality": 5}),
            ("A", "s1", "c", {"wrong": 0, "artefact": 0, "quality": 4}),
        ]),
        study,
    )  # fmt: skip
    assert list(table["candidate"]) == ["c", "a", "b"]
    assert list(table["kept"]) == ["yes", "yes", "no"]
