"""Grades and tiers."""

from __future__ import annotations

import pytest

from recontrast.errors import FormatError
from recontrast.preparation.tiers import TIER_COLUMNS, grade_image, read_grades

GOOD = {"snr": 30.0, "tissue_contrast": 0.3, "ghosting": 0.0, "bright_share": 0.0}


@pytest.mark.parametrize(
    ("change", "tier"),
    [
        ({}, "good"),
        ({"snr": 10.0}, "medium"),
        ({"snr": 10.0, "tissue_contrast": 0.1, "ghosting": 0.05}, "medium"),
        ({"snr": 5.0}, "low"),
        ({"tissue_contrast": 0.05}, "low"),
        ({"ghosting": 0.2}, "low"),
        ({"ghosting": None, "snr": None}, "good"),
    ],
)
def test_any_two_is_low_else_any_one_is_medium(change, tier):
    row = grade_image({**GOOD, **change}, "T1w", declared=False)
    assert tuple(row) == TIER_COLUMNS
    assert row["tier"] == tier
    assert row["graded_by"] == "computed"


def test_contrast_agent():
    bright = {**GOOD, "bright_share": 0.015}
    assert grade_image(bright, "T1w", False)["gadolinium"] == "suspected"
    assert grade_image(GOOD, "T1w", True)["gadolinium"] == "suspected"
    assert grade_image(GOOD, "T1w", False)["gadolinium"] == "no"
    assert grade_image(GOOD, "ce-gadolinium_T1w", False)["gadolinium"] == "yes"
    assert grade_image({**GOOD, "bright_share": None}, "T2w", False)["gadolinium"] is None


def test_people_win():
    row = grade_image(GOOD, "T1w", False, {"grade_motion": 2})
    assert (row["grade_motion"], row["tier"], row["graded_by"]) == (2, "low", "person")
    row = grade_image({**GOOD, "snr": 1.0}, "T1w", False, {"tier": "good", "gadolinium": "yes"})
    assert (row["grade_noise"], row["tier"], row["gadolinium"]) == (2, "good", "yes")


def test_a_table_of_grades(tmp_path):
    table = tmp_path / "grades.tsv"
    table.write_text(
        "case\tcontrast\tgrade_motion\ttier\nsub-01\tT1w\t1\tn/a\nsub-02\tT1w\tn/a\tlow\nsub-03\tT1w\tn/a\tn/a\n"
    )
    assert read_grades(table) == {("sub-01", "T1w"): {"grade_motion": 1}, ("sub-02", "T1w"): {"tier": "low"}}


@pytest.mark.parametrize(
    "row", ["sub-01\tT1w\t3\tgood", "sub-01\tT1w\t1\tbad", "sub-01\tT1w\t1\tlow\nsub-01\tT1w\t1\tlow"]
)
def test_wrong_grades_are_refused(tmp_path, row):
    table = tmp_path / "grades.tsv"
    table.write_text(f"case\tcontrast\tgrade_motion\ttier\n{row}\n")
    with pytest.raises(FormatError, match="sub-01 T1w"):
        read_grades(table)
