"""What readers said, in the report of the folder above."""

from __future__ import annotations

from pathlib import Path

import pytest

from recontrast.readers.analyse import AnalyseSettings, analyse
from recontrast.reporting.evidence import find_evidence
from recontrast.reporting.page import Facts, Table, Text
from recontrast.reporting.readings import reading_section
from recontrast.reporting.report import ReportSettings, report

FIXTURES = Path(__file__).parents[1] / "readers" / "fixtures"
ARMS = '[[arms]]\nname = "acquired"\n[[arms]]\nname = "synthetic"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "design.toml").write_text(f'design = "mta"\nreaders = ["A", "B", "C"]\n{ARMS}')
    settings = AnalyseSettings(
        study=FIXTURES / "answers.tsv", out=tmp_path / "evidence" / "reading", design=tmp_path / "design.toml"
    )
    analyse(settings)
    return tmp_path / "evidence"


def test_tables_of_readers_stand_in_the_report_with_their_numbers(folder: Path) -> None:
    section = reading_section(find_evidence(folder))
    tables = [block for block in section.blocks if isinstance(block, Table)]
    assert any(isinstance(block, Facts) for block in section.blocks)
    captions = " ".join(table.caption for table in tables)
    for name in ("counts-mta", "confusion-mta", "agreement", "comparison", "multireader"):
        assert f"({name}.tsv)" in captions
    kappa = next(table for table in tables if "(agreement.tsv)" in table.caption).rows[0]
    assert kappa[4].text == "0.9339"  # R's psych: 0.933884297520661
    summary = report(ReportSettings(folder=folder))
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "What readers said" in page
    assert "0.9339" in page
    assert not summary.failed


def test_no_reading_leaves_no_section_and_a_damaged_one_is_named(folder: Path, tmp_path: Path) -> None:
    (folder / "reading" / "agreement.tsv").write_bytes(b"\x00\xff")
    blocks = reading_section(find_evidence(folder)).blocks
    assert any(isinstance(block, Text) and "agreement.tsv" in block.text for block in blocks)
    (folder / "reading" / "reading.json").write_text('{"tables": [{"name": "../../x"}]}')
    (block,) = reading_section(find_evidence(folder)).blocks
    assert isinstance(block, Text)
    assert "reading.json" in block.text
    (tmp_path / "empty").mkdir()
    report(ReportSettings(folder=tmp_path / "empty"))
    assert "What readers said" not in (tmp_path / "empty" / "report.html").read_text(encoding="utf-8")
