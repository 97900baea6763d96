from __future__ import annotations

import json
from typing import Any

import pandas as pd

from recontrast.io.tables import write_table
from recontrast.reporting.evidence import find_evidence
from recontrast.reporting.page import MOST_ROWS, Code, Facts, Fold, Heading, Section, Table, Text
from recontrast.reporting.records import case_section, problem_section, provenance_section


def tables(section: Section) -> list[Table]:
    inside = [block for fold in section.blocks if isinstance(fold, Fold) for block in fold.blocks]
    return [block for block in [*section.blocks, *inside] if isinstance(block, Table)]


def table_with(section: Section, words: str) -> Table:
    return next(table for table in tables(section) if words in table.caption)


def test_failed_and_missing_cases_come_first_with_their_reasons(example: Any) -> None:
    section = case_section(find_evidence(example.root))
    table = table_with(section, "Cases of evaluation/")
    assert "1 failed, 1 missing, 3 ok" in table.caption
    assert [row[0].text for row in table.rows[:2]] == ["sub-99", "sub-98"]
    assert [row[1].look for row in table.rows[:3]] == ["bad", "bad", ""]
    assert table.rows[0][2].text == "the grids differ"


def test_quality_has_the_worst_image_first(example: Any) -> None:
    table = table_with(case_section(find_evidence(example.root)), "quality.tsv")
    assert table.rows[0][0].text == "sub-02"
    assert "worst first" in table.caption


def test_splits_name_every_subject(example: Any) -> None:
    table = table_with(case_section(find_evidence(example.root)), "Splits")
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["test", "3", "01, 02, 03"], ["train", "1", "04"], ["validation", "1", "05"]
    ]  # fmt: skip


def test_maps_and_images_of_equations_are_not_called_translated(tmp_path: Any) -> None:
    for stage in ("quantify", "synthesize", "translate"):
        folder = tmp_path / stage
        folder.mkdir()
        write_table(folder / "cases.tsv", pd.DataFrame({"case": ["sub-01"], "status": ["ok"], "message": [None]}))
        (folder / "provenance.json").write_text(json.dumps({"stage": stage}))
        (folder / "sub-01_desc-synthetic_FLAIR.nii.gz").write_bytes(b"")
    (tmp_path / "translate" / ".kept").mkdir()  # what waits for its source is no result
    (tmp_path / "translate" / ".kept" / "sub-02_desc-synthetic_FLAIR.nii.gz").write_bytes(b"")
    evidence = find_evidence(tmp_path)
    headings = [block.text for block in case_section(evidence).blocks if isinstance(block, Heading)]
    assert headings[:3] == [
        "Fitted cases: quantify/", "Synthesized cases: synthesize/", "Translated cases: translate/",
    ]  # fmt: skip
    assert "1 image not marked Synthetic" in str(provenance_section(evidence, {}).blocks)


def test_absent_lists_are_printed_as_absent(tmp_path: Any) -> None:
    evidence = find_evidence(tmp_path)
    blocks = [*case_section(evidence).blocks, *provenance_section(evidence, {}).blocks]
    absent = [block.text for block in blocks if isinstance(block, Text) and block.kind == "absent"]
    assert len(absent) == 3
    assert any("No synthetic image was found" in text for text in absent)


def test_provenance_tells_command_versions_seeds_and_hashes(example: Any) -> None:
    section = provenance_section(find_evidence(example.root), {"folder": "out"})
    pairs = {name: value for block in section.blocks if isinstance(block, Facts) for name, value in block.pairs}
    facts = [value for block in section.blocks if isinstance(block, Facts) for _, value in block.pairs]
    assert "recontrast train a b" in facts
    assert any("settings.loop.seed 3" in value for value in facts)
    assert "python 3.11" in pairs["versions"]
    assert table_with(section, "Input files").rows[0][1].text == "0" * 64
    codes = [b.text for fold in section.blocks if isinstance(fold, Fold) for b in fold.blocks if isinstance(b, Code)]
    assert 'preset = "osman2022"\n' in codes
    assert "# A translator\n" in codes


def test_the_engine_that_made_the_images_is_told(example: Any) -> None:
    table = table_with(provenance_section(find_evidence(example.root), {}), "sidecars")
    assert [cell.text for cell in table.rows[0]] == ["f" * 16 + "…", "osman2022", "bf16", "openvino", "3", "not stated"]


def test_unmarked_images_are_pointed_out(example: Any) -> None:
    sidecar = next((example.synthetic / "sub-01").rglob("*.json"))
    sidecar.write_text(json.dumps({"Precision": "fp32"}), encoding="utf-8")
    section = provenance_section(find_evidence(example.root), {})
    assert any(isinstance(b, Text) and b.text.startswith("1 image not marked Synthetic") for b in section.blocks)


def test_long_tables_say_what_they_leave_out(example: Any) -> None:
    keys = [f"sub-{n:04d}" for n in range(MOST_ROWS + 7)]
    write_table(example.synthetic / "cases.tsv", pd.DataFrame({"case": keys, "status": "ok"}))
    table = table_with(case_section(find_evidence(example.root)), "Cases of synthetic/")
    assert len(table.rows) == MOST_ROWS
    assert table.note.startswith("7 further rows")


def test_problems_are_listed_only_when_there_are_some(example: Any) -> None:
    evidence = find_evidence(example.root)
    assert problem_section(evidence, {}) is None
    section = problem_section(evidence, {"evaluation/: sub-01": "gone"})
    assert section is not None
    assert tables(section)[0].rows[0][1].text == "gone"
