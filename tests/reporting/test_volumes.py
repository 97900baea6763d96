"""The section on volumes."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from recontrast.evaluation.volume_tables import FidelityResult, summary_table, volumes_table
from recontrast.evaluation.volumetry import Lesion, StructureComparison
from recontrast.io.bids import Case
from recontrast.io.tables import write_table
from recontrast.reporting.evidence import Evidence, find_evidence
from recontrast.reporting.page import Table, Text
from recontrast.reporting.report import ReportSettings, report
from recontrast.reporting.volumes import volume_section


def results() -> list[FidelityResult]:
    lesions = [Lesion("both", 0.5, "medium", 0.4), Lesion("only reference", 0.01, "small", 0.0)]
    made = []
    for number, subject in enumerate(("01", "02", "03")):
        parts = [StructureComparison(n, 600.0, 606.0 + number, 0.91, 1.5, 0.3) for n in ("GM", "WM", "CSF")]
        made.append(FidelityResult(Case(subject), "tissue", "1", parts))
        lesion = StructureComparison("lesion", 0.51, 0.5, 0.7, 2.0, 0.5)
        made.append(FidelityResult(Case(subject), "lesion", "1", [lesion], lesions))
    return made


@pytest.fixture
def evidence(example: Any) -> Evidence:
    found = find_evidence(example.root)
    volumes = volumes_table(results(), "passed", {"sub-04, tissue": "no brain mask"})
    write_table(found.evaluations[0].folder / "volumes.tsv", volumes)
    write_table(found.evaluations[0].folder / "volume_summary.tsv", summary_table(volumes, results()))
    return found


def texts(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def test_structures_and_lesions(evidence: Evidence) -> None:
    tissue, lesion, lesions = (b for b in volume_section(evidence).blocks if isinstance(b, Table))
    assert "tissue, version 1" in tissue.caption
    grey = texts(tissue)[0]
    assert grey[:4] == ["GM", "600.0 ± 0.0", "607.0 ± 1.0", "0.910 ± 0.000"]
    assert grey[6].startswith("−7.00")  # VD: reference - synthetic
    assert grey[-1] == "+7.00"  # bias: synthetic - reference
    assert texts(lesion)[0][0] == "lesion"
    assert texts(lesion)[0][5] == "— ± —"  # no intracranial volume, so no AVD
    assert texts(lesions)[0] == ["all", "3", "3", "0", "0.50", "1.00", "0.67"]
    assert texts(lesions)[1][0] == "small"


def test_sizes_of_lesions_are_those_that_were_counted_by(evidence: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    def note() -> str:
        return [block for block in volume_section(evidence).blocks if isinstance(block, Table)][-1].note

    assert note() == "small: below 0.1 ml, medium: below 1 ml, large: above. Lesions of all cases together."
    monkeypatch.setattr("recontrast.reporting.volumes.SIZES_ML", (("tiny", 0.05), ("other", math.inf)))
    assert note() == "tiny: below 0.05 ml, other: above. Lesions of all cases together."


def test_each_measure_has_its_own_number_of_subjects(example: Any) -> None:
    """A lesion that was missed altogether has a Dice of 0 and no distance; where there is none in either, no Dice."""
    nan = float("nan")
    parts = (("01", 0.7, 2.0), ("02", 0.0, nan), ("03", nan, nan))
    made = [
        FidelityResult(Case(who), "lesion", "1", [StructureComparison("lesion", 0.5, 0.5, dice, hd95, hd95)])
        for who, dice, hd95 in parts
    ]
    folder = find_evidence(example.root).evaluations[0].folder
    volumes = volumes_table(made, "passed")
    write_table(folder / "volumes.tsv", volumes)
    write_table(folder / "volume_summary.tsv", summary_table(volumes, made))
    (table,) = (b for b in volume_section(find_evidence(example.root)).blocks if isinstance(b, Table))
    (row,) = table.rows
    small = dict(zip((cell.text for cell in table.header), (list(cell.small) for cell in row), strict=True))
    assert small["Structure"] == ["3 subjects"]
    assert small["Reference (ml)"][1:] == []
    assert small["Dice ↑"][1:] == ["2 subjects", "1 undefined"]
    assert small["HD95 (mm) ↓"][1:] == ["1 subject", "2 undefined"]
    assert "missed altogether is in no distance" in table.note


def test_cases_not_segmented_are_named(evidence: Evidence) -> None:
    warnings = [b.text for b in volume_section(evidence).blocks if isinstance(b, Text) and b.kind == "warning"]
    assert warnings == ["Not segmented: 1 case. sub-04 (tissue): failed: no brain mask"]


def test_absent_and_damaged_tables_are_said(example: Any) -> None:
    found = find_evidence(example.root)
    assert volume_section(found).blocks[0].kind == "absent"  # type: ignore[union-attr]
    write_table(found.evaluations[0].folder / "volumes.tsv", pd.DataFrame({"case": ["sub-01"]}))
    block = volume_section(found).blocks[0]
    assert isinstance(block, Text)
    assert "has no column" in block.text


@pytest.mark.slow
def test_the_page_has_the_section(evidence: Evidence) -> None:
    report(ReportSettings(folder=evidence.folder))
    page = (evidence.folder / "report.html").read_text(encoding="utf-8")
    assert 'id="volumes"' in page
    assert "AVD (cm³)" in page
