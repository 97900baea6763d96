"""The section on error bars."""

from __future__ import annotations

import math
from typing import Any

import pytest

from recontrast.evaluation.intervals import TABLE, Intervals, IntervalScore, write_intervals
from recontrast.io.bids import Case
from recontrast.reporting.evidence import Evidence, find_evidence
from recontrast.reporting.intervals import NO_INTERVALS, interval_section
from recontrast.reporting.page import Fold, Table, Text
from recontrast.reporting.report import ReportSettings, report


def found(case: str, coverage: float, lesion_width: float) -> Intervals:
    scores = (
        IntervalScore("head", coverage, 0.12, 0.3, 0.0, 1000),
        IntervalScore("lesion", 1.0, lesion_width, 0.8, float(math.isinf(lesion_width)), 20),
    )
    return Intervals(0.9, "subjects", ("a", "b", "c"), scores)


@pytest.fixture
def evidence(example: Any) -> Evidence:
    there = find_evidence(example.root)
    cases = {Case("01"): found("01", 0.89, 1.0), Case("02"): found("02", 0.92, math.inf)}
    write_intervals(there.evaluations[0].folder, cases, "recontrast", "passed")
    return there


def test_width_stands_beside_coverage_and_infinite_width_is_bad(evidence: Evidence) -> None:
    blocks = interval_section(evidence).blocks
    (table,) = (block for block in blocks if isinstance(block, Table))
    assert "on subjects the translator did not learn from (3)" in table.caption
    head, lesion = ([cell.text for cell in row] for row in table.rows)
    assert head == ["head", "90.5 %", "89.0 % to 92.0 %", "0.12", "0.3", "0.0 %", "2"]
    assert lesion == ["lesion", "100.0 %", "100.0 % to 100.0 %", "∞", "0.8", "50.0 %", "2"]
    looks = [row[1].look for row in table.rows]
    assert looks == ["good", "bad"]
    first, second = (block for block in blocks if isinstance(block, Text))
    assert first.text.endswith("as promised.")
    assert first.kind == ""
    assert second.text == "Error bars are infinitely wide in lesion 100.0 %."
    assert second.kind == "warning"
    (fold,) = (block for block in blocks if isinstance(block, Fold))
    assert len(fold.blocks[0].rows) == 4  # type: ignore[union-attr]


@pytest.mark.slow
def test_the_page_holds_the_section_and_says_when_there_is_nothing(evidence: Evidence) -> None:
    report(ReportSettings(folder=evidence.folder))
    page = (evidence.folder / "report.html").read_text(encoding="utf-8")
    assert 'id="error-bars"' in page
    assert "90.5 %" in page
    (evidence.evaluations[0].folder / TABLE).unlink()
    (block,) = interval_section(evidence).blocks
    assert isinstance(block, Text)
    assert (block.text, block.kind) == (NO_INTERVALS, "absent")


def test_a_damaged_table_is_named(evidence: Evidence) -> None:
    (evidence.evaluations[0].folder / TABLE).write_text("case\tregion\nsub-01\thead\n")
    (block,) = interval_section(evidence).blocks
    assert isinstance(block, Text)
    assert block.kind == "warning"
    assert TABLE in block.text
