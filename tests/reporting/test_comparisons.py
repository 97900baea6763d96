"""The section on several translators."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.evaluation.test_comparison import BASE, subjects, write

from recontrast.evaluation.comparison_command import CompareSettings, compare
from recontrast.evaluation.volume_tables import TISSUES
from recontrast.io.tables import read_table, write_table
from recontrast.reporting.comparisons import comparison_section
from recontrast.reporting.evidence import find_evidence
from recontrast.reporting.page import Table, Text
from recontrast.reporting.report import ReportSettings, report


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    names = {"unet": 0.0, "gan": -1.0, "big": 0.02}
    for name, gain in names.items():
        write(tmp_path / "in" / name, subjects(BASE + gain + rng.normal(0, 0.1, 9)))
    compare(
        CompareSettings(out=tmp_path / "out", evaluations=tuple(str(tmp_path / "in" / n) for n in names))
    )  # fmt: skip
    return tmp_path / "out"


@pytest.fixture(autouse=True)
def _inner(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()


def test_means_pairs_and_words(folder: Path) -> None:
    means, pairs, said = comparison_section(find_evidence(folder)).blocks
    assert isinstance(means, Table)
    assert isinstance(pairs, Table)
    assert "PSNR (dB) ↑ in brain, protocol recontrast" in means.caption
    assert [row[0].text for row in means.rows] == ["unet", "gan", "big"]
    assert {row[4].text for row in means.rows} == {"9"}
    first = pairs.rows[0]
    assert first[0].text == "gan − unet"
    assert first[1].text.startswith("−")
    assert "by Holm over 3 pairs" in pairs.note
    assert "Friedman" in pairs.note
    assert isinstance(said, Text)
    assert "unet is better than gan" in said.text


def test_the_unit_is_that_of_the_protocol(tmp_path: Path) -> None:
    for name, gain in (("unet", 0.0), ("gan", -1.0)):
        write(tmp_path / "in" / name, subjects(BASE + gain), protocol="synthrad2023")
    evaluations = tuple(str(tmp_path / "in" / name) for name in ("unet", "gan"))
    compare(CompareSettings(out=tmp_path / "out", evaluations=evaluations, metrics=("mae",)))
    means = comparison_section(find_evidence(tmp_path / "out")).blocks[0]
    assert isinstance(means, Table)
    assert means.caption.startswith("MAE (native units) ↓ in brain, protocol synthrad2023")


def test_measures_of_volumes_have_unit_and_direction(tmp_path: Path) -> None:
    for name, gain in (("unet", 0.0), ("gan", 1.0)):
        folder = write(tmp_path / "in" / name, subjects(BASE))
        named = [{"subject": f"sub-{n:02d}", "structure": tissue} for n in range(1, 10) for tissue in TISSUES]
        shared = {"session": None, "segmenter": "tissue", "status": "ok", "dice": 0.9, "aspc": 3.0, "avd": 5.0 + gain}
        rows = pd.DataFrame(named).assign(**shared, volume_reference_ml=500.0, hd95_mm=1.0, asd_mm=0.5)
        write_table(folder / "volumes.tsv", rows)
    evaluations = tuple(str(tmp_path / "in" / name) for name in ("unet", "gan"))
    settings = CompareSettings(
        out=tmp_path / "out", evaluations=evaluations, metrics=("avd", "hd95_mm"), regions=("GM",)
    )
    compare(settings)
    blocks = comparison_section(find_evidence(tmp_path / "out")).blocks
    captions = [block.caption for block in blocks if isinstance(block, Table)]
    assert captions[0].startswith("AVD (cm³) ↓ in GM")
    assert captions[2].startswith("HD95 (mm) ↓ in GM")


def test_the_page_has_it_and_absence_is_said(folder: Path, tmp_path: Path) -> None:
    summary = report(ReportSettings(folder=folder))
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<h1>Translators compared</h1>" in page
    assert "No evaluation was found" not in page.partition('id="cases"')[0]
    assert not summary.failed
    assert comparison_section(find_evidence(tmp_path / "in")).blocks[0].kind == "absent"  # type: ignore[union-attr]


def test_damage_is_named(folder: Path) -> None:
    (folder / "comparison.json").write_text('{"comparisons": [{}]}', encoding="utf-8")
    block = comparison_section(find_evidence(folder)).blocks[0]
    assert isinstance(block, Text)
    assert "does not say what was compared" in block.text


def test_a_leak_check_that_did_not_pass_has_a_column(folder: Path, tmp_path: Path) -> None:
    assert "leak check" not in [cell.text for cell in comparison_section(find_evidence(folder)).blocks[0].header]  # type: ignore[union-attr]
    leaky = write(tmp_path / "in" / "leaky", subjects(BASE), leak_check={"status": "not possible"})
    compare(CompareSettings(out=tmp_path / "two", evaluations=(str(tmp_path / "in" / "unet"), str(leaky))))
    means, _, said = comparison_section(find_evidence(tmp_path / "two")).blocks
    assert isinstance(means, Table)
    assert [cell.text for cell in means.header][:2] == ["translator", "leak check"]
    assert [row[1].text for row in means.rows] == ["passed", "not possible"]
    assert isinstance(said, Text)
    assert "Leak check not passed (leaky: not possible)" in said.text


def test_a_comparison_of_an_older_version_is_shown(folder: Path) -> None:
    for name in ("comparison_means.tsv", "comparison_pairs.tsv"):
        write_table(folder / name, read_table(folder / name).drop(columns="leak_check"))
    assert isinstance(comparison_section(find_evidence(folder)).blocks[0], Table)
