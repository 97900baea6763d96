"""`recontrast compare`: folders in, tables and sentences out."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.evaluation.test_comparison import BASE, subjects, write

from recontrast.cli import run
from recontrast.errors import ConfigError, LayoutError, UnknownNameError
from recontrast.evaluation.comparison_command import CompareSettings, compare, read_names
from recontrast.evaluation.statistics import holm, paired_test
from recontrast.io.tables import read_table, write_table
from recontrast.provenance import write_provenance


@pytest.fixture
def folders(tmp_path: Path, rng: np.random.Generator) -> tuple[str, ...]:
    gains = {"unet": 0.0, "gan": -1.0, "big": 0.02}
    for name, gain in gains.items():
        write(tmp_path / name, subjects(BASE + gain + rng.normal(0, 0.1, 9)))
    return tuple(f"{name}={tmp_path / name}" for name in gains)


def test_from_the_command_line_to_the_tables(folders: tuple[str, ...], tmp_path: Path, capsys) -> None:
    out = tmp_path / "compared"
    assert run(["compare", str(out), *folders, "--metrics", "psnr", "mae"]) == 0
    said = capsys.readouterr().out
    assert "3 translators compared by protocol recontrast" in said
    assert "unet is better than gan" in said
    assert {path.name for path in out.iterdir()} == {
        "comparison.json", "comparison_means.tsv", "comparison_pairs.tsv", "comparison_values.tsv", "provenance.json",
    }  # fmt: skip
    facts = json.loads((out / "comparison.json").read_text())
    assert [(one["metric"], one["subjects"]) for one in facts["comparisons"]] == [("psnr", 9), ("mae", 9)]
    values = read_table(out / "comparison_values.tsv", ("subject",))
    psnr = values[values["metric"] == "psnr"]
    pairs = read_table(out / "comparison_pairs.tsv")
    first = pairs.iloc[0]
    assert (first["first"], first["second"]) == ("unet", "gan")
    assert first["difference"] == pytest.approx((psnr["gan"] - psnr["unet"]).mean())
    assert first["change_percent"] == pytest.approx(100 * first["difference"] / psnr["unet"].mean())
    assert list(pairs["p_over_all"]) == pytest.approx(holm(list(pairs["p"])))
    means = read_table(out / "comparison_means.tsv").set_index(["metric", "translator"])
    assert means.loc[("psnr", "gan"), "mean_rank"] == 1
    assert means.loc[("psnr", "big"), "sd"] == pytest.approx(psnr["big"].std(ddof=1))


def test_two_translators_by_the_test_that_is_asked_for(folders: tuple[str, ...], tmp_path: Path) -> None:
    compare(CompareSettings(out=tmp_path / "c", evaluations=folders[:2], test="t"))
    pair = read_table(tmp_path / "c" / "comparison_pairs.tsv").iloc[0]
    values = read_table(tmp_path / "c" / "comparison_values.tsv", ("subject",))
    assert pair["p"] == pytest.approx(paired_test(values["gan"] - values["unet"], "t").p)
    assert pair["test"].startswith("paired t")


def test_volumes_are_compared_with_the_structure_as_region(folders: tuple[str, ...], tmp_path: Path) -> None:
    for number, name in enumerate(("unet", "gan")):
        rows = [
            {"case": f"sub-{n:02d}", "subject": f"sub-{n:02d}", "session": None, "segmenter": "tissue",
             "segmenter_version": "1", "structure": structure, "dice": 0.9 - 0.1 * number - 0.001 * n, "aspc": 3.0,
             "avd": 5.0, "hd95_mm": 1.0, "asd_mm": 0.5, "status": "ok"}
            for n in range(1, 10) for structure in ("GM", "WM")
        ]  # fmt: skip
        write_table(tmp_path / name / "volumes.tsv", pd.DataFrame(rows))
    settings = CompareSettings(out=tmp_path / "c", evaluations=folders[:2], metrics=("dice",), regions=("GM",))
    summary = compare(settings)
    assert "dice in GM: unet is better than gan" in " ".join(summary.done)
    # Of several metrics and regions those pairs count that were measured.
    several = {"metrics": ("psnr", "dice"), "regions": ("brain", "GM")}
    compare(CompareSettings(out=tmp_path / "several", evaluations=folders[:2], **several))
    pairs = read_table(tmp_path / "several" / "comparison_pairs.tsv")
    assert list(zip(pairs["metric"], pairs["region"], strict=True)) == [("psnr", "brain"), ("dice", "GM")]
    for metrics, regions in ((("dice",), ("brain",)), (("psnr", "dice"), ("brain", "head"))):
        with pytest.raises(UnknownNameError, match=r"region of dice in the evaluation of unet 'brain': there is: GM"):
            compare(CompareSettings(out=tmp_path / "c2", evaluations=folders[:2], metrics=metrics, regions=regions))


def test_what_cannot_be_compared_is_refused(folders: tuple[str, ...], tmp_path: Path) -> None:
    other = write(tmp_path / "other", subjects(BASE), protocol="osman2022")
    with pytest.raises(ConfigError, match="2 protocols"):
        compare(CompareSettings(out=tmp_path / "c", evaluations=(folders[0], f"other={other}")))
    with pytest.raises(ConfigError, match="two or more"):
        compare(CompareSettings(out=tmp_path / "c", evaluations=folders[:1]))
    with pytest.raises(ConfigError, match="two evaluations are called"):
        read_names(["a/same", "b/same"])
    with pytest.raises(LayoutError, match=r"no evaluation\.json"):
        compare(CompareSettings(out=tmp_path / "c", evaluations=(folders[0], str(tmp_path))))
    assert not (tmp_path / "c").exists()


def test_the_folder_of_an_evaluation_is_not_written_over(folders: tuple[str, ...], tmp_path: Path) -> None:
    """`compare ev1 ev2 ev3`: the output folder comes first and was forgotten."""
    first = tmp_path / "unet"
    write_provenance(first, "evaluate", None)
    before = (first / "provenance.json").read_bytes()
    with pytest.raises(ConfigError, match="made by `recontrast evaluate`"):
        compare(CompareSettings(out=first, evaluations=folders[1:]))
    assert (first / "provenance.json").read_bytes() == before
    assert not (first / "comparison.json").exists()
    again = CompareSettings(out=tmp_path / "c", evaluations=folders)
    assert compare(again).done == compare(again).done


def test_a_comparison_is_not_written_over_by_another(folders: tuple[str, ...], tmp_path: Path) -> None:
    first = CompareSettings(out=tmp_path / "c", evaluations=folders)
    compare(first)
    before = (tmp_path / "c" / "comparison.json").read_bytes()
    with pytest.raises(ConfigError, match=r"holds other results \(settings differ: metrics\); choose another folder"):
        compare(dataclasses.replace(first, metrics=("mae",)))
    assert (tmp_path / "c" / "comparison.json").read_bytes() == before


def test_what_the_leak_checks_found_stands_in_the_tables(folders: tuple[str, ...], tmp_path: Path) -> None:
    status = {"leak_check": {"status": "not possible", "reasons": []}}
    leaky = write(tmp_path / "leaky", subjects(BASE - 3), **status)
    summary = compare(CompareSettings(out=tmp_path / "c", evaluations=(*folders[:2], f"leaky={leaky}")))
    assert "Leak check not passed (leaky: not possible)" in summary.done[-1]
    means = read_table(tmp_path / "c" / "comparison_means.tsv").set_index("translator")
    assert dict(means["leak_check"]) == {"unet": "passed", "gan": "passed", "leaky": "not possible"}
    pairs = read_table(tmp_path / "c" / "comparison_pairs.tsv")
    assert list(pairs["leak_check"]) == ["passed", "leaky: not possible", "leaky: not possible"]
    facts = json.loads((tmp_path / "c" / "comparison.json").read_text())
    assert facts["leak_check"]["leaky"] == "not possible"
