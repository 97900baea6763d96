"""`readers analyse`: from answers to tables and page; the published table of reader A gives the published kappa."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recontrast import cli
from recontrast.metrics.agreement import cohen_kappa
from recontrast.preparation.tiers import read_grades
from recontrast.readers.analyse import AnalyseSettings, analyse
from recontrast.readers.answers import AnswerStore
from recontrast.readers.folder import read_plan

PUBLISHED = {
    "A": ((116, 98, 96, 47, 29), (145, 98, 91, 28, 24), 0.84, (0.81, 0.87), "neighbours"),
    "B": ((180, 99, 72, 22, 13), (203, 98, 56, 18, 11), 0.88, (0.84, 0.91), "neighbours"),
    "C": ((202, 99, 51, 13, 21), (176, 123, 47, 12, 28), 0.80, (0.72, 0.88), "any"),
}
"""Tagawa 2025, table 3: grades 0 to 4 of 386 hemispheres in the MPRAGE and in the generated image; kappa and interval;
which grades are mixed up here: the joint table was not published."""

LESIONS = {"A": (16, 11, 6), "B": (15, 17, 0), "C": (21, 9, 7)}
"""Table 4: lesions found in both, only in the MPRAGE, only in the generated image."""


def ratings_with_margins(
    original: tuple[int, ...], generated: tuple[int, ...], kappa: float, mixed_up: str
) -> np.ndarray:
    """Two columns of ratings with these margins: most alike first, then partners exchanged until kappa is reached."""
    first = np.repeat(np.arange(5), original)
    second = np.repeat(np.arange(5), generated)
    assert cohen_kappa(first, second).value > kappa  # the margins allow it
    rng = np.random.default_rng(1)
    while cohen_kappa(first, second).value > kappa:
        a, b = rng.choice(len(second), 2, replace=False)
        if mixed_up == "any" or abs(int(second[a]) - int(second[b])) == 1:
            second[[a, b]] = second[[b, a]]
    return np.column_stack([first, second])


@pytest.mark.slow
def test_the_published_tables_give_the_published_kappas_and_intervals(tmp_path: Path) -> None:
    """Margins and kappa go in; that the counts come back, and an interval of the published width, is what is tested."""
    rows = []
    for reader, (original, generated, kappa, _, mixed_up) in PUBLISHED.items():
        ratings = np.random.default_rng(0).permutation(ratings_with_margins(original, generated, kappa, mixed_up))
        for place, pair in enumerate(ratings):
            for arm, value in zip(("mprage", "generated"), pair, strict=True):
                side = ("right", "left")[place % 2]
                rows.append((reader, f"case{place // 2:03d}", arm, "mta", side, str(value)))
        both, only_original, only_generated = LESIONS[reader]
        marks: dict[str, list[list[list[float]]]] = {"mprage": [], "generated": []}
        for number in range(both + only_original + only_generated):  # one lesion a case; the second click is 4 mm off
            marks["mprage"].append([[10.0, number, 0]] if number < both + only_original else [])
            seen = number < both or number >= both + only_original
            marks["generated"].append([[10.0, number, 4.0]] if seen else [])
        for arm, found in marks.items():
            rows += [
                (reader, f"case{place:03d}", arm, "lesions", "", json.dumps(mark)) for place, mark in enumerate(found)
            ]
    names = ["reader", "case", "arm", "question", "side", "value"]
    pd.DataFrame(rows, columns=names).to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    arms = '[[arms]]\nname = "mprage"\n[[arms]]\nname = "generated"\n'
    (tmp_path / "d.toml").write_text(f'design = "tagawa2025"\nreaders = ["A", "B", "C"]\n{arms}')
    out = tmp_path / "out"
    assert cli.run(["readers", "analyse", str(tmp_path / "a.tsv"), str(out), "--design", str(tmp_path / "d.toml")]) == 0
    assert "answers that were given elsewhere" in (out / "report.html").read_text()  # whether blinded is not known
    counts = pd.read_csv(out / "counts-mta.tsv", sep="\t")
    agreement = pd.read_csv(out / "agreement.tsv", sep="\t").set_index(["between", "who", "statistic"])
    lesions = pd.read_csv(out / "lesions-lesions-generated.tsv", sep="\t").set_index("reader")
    for reader, (original, generated, kappa, interval, _) in PUBLISHED.items():
        assert tuple(counts[f"{reader} mprage"]) == original
        assert tuple(counts[f"{reader} generated"]) == generated
        row = agreement.loc[("mprage and generated", reader, "weighted kappa, analytic")]
        assert row["items"] == 386
        assert row["value"] == pytest.approx(kappa, abs=0.01)
        assert (row["low"], row["high"]) == pytest.approx(interval, abs=0.015)
        both, only_original, only_generated = LESIONS[reader]
        found = lesions.loc[reader, ["detected mprage", "detected generated", "both", "only mprage", "only generated"]]
        assert list(found) == [both + only_original, both + only_generated, both, only_original, only_generated]


@pytest.mark.slow
def test_a_study_half_read_is_analysed_and_says_so(make_study: Any, tmp_path: Path) -> None:
    made = make_study("hagiwara2019", "duplicates = 2")
    plan = read_plan(made.folder)
    store = AnswerStore(made.folder / "answers.sqlite")
    rng = np.random.default_rng(0)
    for reader, share in (("A", 1.0), ("B", 1.0), ("C", 0.3)):
        for item in plan.items[reader][: int(len(plan.items[reader]) * share)]:
            worse = 2 if item.arms[0] == "synthetic" else 0
            values = {
                q.name: int(rng.integers(1, 3)) + (worse if q.name == "granular" else 0) for q in plan.study.questions
            }
            store.add(secrets.token_hex(16), reader, item.id, "answer", values, 4000)
    store.close()
    assert cli.run(["readers", "analyse", str(made.folder), str(tmp_path / "out")]) == 0
    comparison = pd.read_csv(tmp_path / "out" / "comparison.tsv", sep="\t")
    granular = comparison[(comparison["question"] == "granular") & (comparison["reader"] == "A")].iloc[0]
    assert granular["p"] == 0.0625  # five cases, all in one direction
    page = (tmp_path / "out" / "report.html").read_text()
    assert "3 of 12 items answered" in page
    assert "readers who were not told the arm" in page
    assert "first and second reading" in page


@pytest.mark.slow
def test_sessions_of_a_subject_are_no_further_subjects(tmp_path: Path) -> None:
    """Every session read a second time, with the same grades, makes no interval narrower and no p smaller."""
    rng = np.random.default_rng(1)
    rows = [
        (reader, f"sub-{number:02d}_ses-1", arm, "granular", int(rng.integers(1, 4)) + (arm == "synthetic"))
        for number in range(8)
        for reader in ("A", "B")
        for arm in ("acquired", "synthetic")
    ]
    arms = '[[arms]]\nname = "acquired"\n[[arms]]\nname = "synthetic"\n'
    (tmp_path / "d.toml").write_text(f'design = "hagiwara2019"\nreaders = ["A", "B"]\n{arms}')
    twice = rows + [(reader, case[:-1] + "2", arm, question, value) for reader, case, arm, question, value in rows]
    pages, tables = [], []
    for name, content in (("once", rows), ("twice", twice)):
        table = pd.DataFrame(content, columns=["reader", "case", "arm", "question", "value"])
        table.to_csv(tmp_path / f"{name}.tsv", sep="\t", index=False)
        out = tmp_path / name
        line = ["readers", "analyse", str(tmp_path / f"{name}.tsv"), str(out), "--design", str(tmp_path / "d.toml")]
        assert cli.run(line) == 0
        pages.append((out / "report.html").read_text())
        agreement = pd.read_csv(out / "agreement.tsv", sep="\t")
        drawn = agreement[agreement["method"].str.contains("bootstrap over 8 subjects")].drop(columns="items")
        others = [pd.read_csv(out / f"{part}.tsv", sep="\t") for part in ("comparison", "multireader")]
        tables.append([drawn, *others])
    for one, two in zip(*tables, strict=True):
        assert len(one)
        pd.testing.assert_frame_equal(one, two)
    assert "16 cases of 8 subjects" in pages[1]
    assert "several cases of one subject" not in pages[0]


def test_words_of_readers_are_escaped_on_the_page(make_study: Any, tmp_path: Path) -> None:
    made = make_study("tagawa2025", 'order = "mixed"\nwashout_days = 0')
    plan = read_plan(made.folder)
    store = AnswerStore(made.folder / "answers.sqlite")
    values = {"mta.right": 1, "mta.left": 1, "lesions": [], "artefacts": "<script>alert(1)</script>"}
    store.add("a" * 32, "A", plan.items["A"][0].id, "answer", values, 4000)
    store.close()
    assert cli.run(["readers", "analyse", str(made.folder), str(tmp_path / "out")]) == 0
    assert "<script>" not in (tmp_path / "out" / "report.html").read_text()
    assert "<script>alert(1)</script>" in (tmp_path / "out" / "answers.tsv").read_text()


def test_nothing_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["readers", "analyse", str(tmp_path / "no"), str(tmp_path / "out")]) == cli.MENDABLE
    (tmp_path / "a.tsv").write_text("reader\n")
    assert cli.run(["readers", "analyse", str(tmp_path / "a.tsv"), str(tmp_path / "out")]) == cli.MENDABLE
    assert "--design" in capsys.readouterr().err


def test_rejected_scans_are_named(tmp_path: Path) -> None:
    """They keep their row for `prepare`, which leaves them out."""
    (tmp_path / "study.toml").write_text('design = "bottani2024"\nreaders = ["A"]\n[[arms]]\nname = "T1w"\n')
    names = ("grade_contrast", "grade_motion", "grade_noise", "gadolinium")
    rows = [f"A\tsub-0{n}\tT1w\t{name}\t0" for n in (1, 2) for name in names]
    rows += ["A\tsub-01\tT1w\treject\t0", "A\tsub-02\tT1w\treject\t1"]
    (tmp_path / "a.tsv").write_text("\n".join(["reader\tcase\tarm\tquestion\tvalue", *rows]) + "\n")
    settings = AnalyseSettings(study=tmp_path / "a.tsv", out=tmp_path / "out", design=tmp_path / "study.toml")
    assert analyse(settings).done[1:] == [
        "rejected by a reader, and left out by `recontrast prepare --grades`: sub-02 (T1w)"
    ]
    tiers = {key: row["tier"] for key, row in read_grades(tmp_path / "out" / "grades.tsv").items()}
    assert tiers == {("sub-01", "T1w"): "good", ("sub-02", "T1w"): "reject"}
