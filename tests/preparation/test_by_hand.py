"""Slices and grades that people wrote down, held against the cases that are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from recontrast.errors import ConfigError, DataError, RecontrastWarning
from recontrast.io.bids import Case
from recontrast.preparation.by_hand import (
    read_by_hand,
    reasons_of_rejected,
    require_not_rejected,
    without_rejected,
)

THERE = {"sub-01_ses-1": ["T1w", "T2w"], "sub-02_ses-1": ["T1w"]}


def table(path: Path, *lines: str) -> Path:
    path.write_text("".join("\t".join(line.split()) + "\n" for line in lines))
    return path


def test_rows_that_mean_an_image_are_taken_without_a_word(tmp_path: Path) -> None:
    slices = table(tmp_path / "slices.tsv", "case first last", "sub-01_ses-1 3 9")
    grades = table(tmp_path / "grades.tsv", "case contrast tier", "sub-02_ses-1 T1w low")
    spans, graded = read_by_hand(slices, grades, THERE)
    assert spans == {"sub-01_ses-1": (3, 9)}
    assert graded == {("sub-02_ses-1", "T1w"): {"tier": "low"}}


def test_rows_of_other_cases_and_contrasts_are_told_of(tmp_path: Path) -> None:
    grades = table(
        tmp_path / "grades.tsv", "case contrast tier", "sub-02_ses-1 T1w low", "sub-02_ses-1 T2w low", "sub-09 T1w low"
    )
    with pytest.warns(RecontrastWarning, match=r"2 of 3 rows mean no image .* case 'sub-02_ses-1', contrast 'T2w'"):
        read_by_hand(None, grades, THERE)


@pytest.mark.parametrize("row", ["01 T1w low", "sub-01 T1w low", "sub-01_ses-1 T1 low"])
def test_a_table_that_means_nothing_is_a_mistake(tmp_path: Path, row: str) -> None:
    grades = table(tmp_path / "grades.tsv", "case contrast tier", row)
    with pytest.raises(ConfigError, match=r"1 of 1 rows .* cases are written as sub-01_ses-1, contrasts as T1w, T2w"):
        read_by_hand(None, grades, THERE)
    with pytest.raises(ConfigError, match=r"--slices .* case '1'.*; cases are written as sub-01_ses-1"):
        read_by_hand(table(tmp_path / "slices.tsv", "case first last", "1 3 9"), None, THERE)


def test_a_case_with_a_rejected_image_is_left_out_and_named() -> None:
    cases = {Case("01"): [], Case("02"): [], Case("03"): []}
    tiers = {"sub-01 T1w": "reject", "sub-02 FLAIR": "reject", "sub-03 T1w": "low", "sub-99 T1w": "reject"}
    grades = {(key.split()[0], key.split()[1]): {"tier": tier} for key, tier in tiers.items()}
    with pytest.warns(RecontrastWarning, match=r"1 cases are left out, .* rejected by hand: sub-01 \(T1w\)$"):
        assert list(without_rejected(cases, grades, ["T1w", "T2w"])) == [Case("02"), Case("03")]
    assert reasons_of_rejected(cases, grades, ["T1w", "FLAIR"], Path("mine.tsv")) == {
        "sub-01": "a person rejected T1w (tier reject in mine.tsv)",
        "sub-02": "a person rejected FLAIR (tier reject in mine.tsv)",
    }
    assert without_rejected(cases, grades, ["T2w"]) == cases
    with pytest.raises(DataError, match=r"every case .* rejected by hand: sub-01 \(T1w\)"):
        without_rejected({Case("01"): []}, grades, ["T1w"])


def test_a_named_subject_is_refused_when_all_its_cases_were_rejected() -> None:
    keys = {"01": ["sub-01_ses-1", "sub-01_ses-2"], "02": ["sub-02"]}
    grades: dict[tuple[str, str], dict[str, str]] = {("sub-01_ses-1", "T1w"): {"tier": "reject"}}
    table = Path("grades.tsv")
    require_not_rejected({"--test": ["sub-01", "02", "03"]}, keys, grades, ["T1w"], table)
    grades["sub-01_ses-2", "T2w"] = {"tier": "reject"}
    require_not_rejected({"--test": ["01"]}, keys, grades, ["T1w"], table)
    said = r"--validation sub-01: left out, a person rejected sub-01_ses-1 \(T1w\), sub-01_ses-2 \(T2w\) \(tier reject"
    with pytest.raises(ConfigError, match=said):
        require_not_rejected({"--test": ["02"], "--validation": ["01"]}, keys, grades, ["T1w", "T2w"], table)
