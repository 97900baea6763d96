"""`readers analyse`: from answers to tables and page; the published table of reader A gives the published kappa."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recontrast import cli
from recontrast.metrics.agreement import cohen_kappa
from recontrast.readers.answers import AnswerStore
from recontrast.readers.folder import read_plan

ORIGINAL, GENERATED = (116, 98, 96, 47, 29), (145, 98, 91, 28, 24)
"""Reader A's grades 0 to 4 in table 3 of Tagawa 2025: 386 hemispheres."""


def ratings_with_margins(original: tuple[int, ...], generated: tuple[int, ...], kappa: float) -> np.ndarray:
    """Two columns of ratings with these margins: most alike first, then partners exchanged until kappa is reached."""
    first = np.repeat(np.arange(5), original)
    second = np.repeat(np.arange(5), generated)
    rng = np.random.default_rng(1)
    while cohen_kappa(first, second).value > kappa:
        a, b = rng.choice(len(second), 2, replace=False)
        if abs(int(second[a]) - int(second[b])) == 1:
            second[[a, b]] = second[[b, a]]
    return np.column_stack([first, second])


def test_the_published_table_gives_the_published_kappa(tmp_path: Path) -> None:
    ratings = np.random.default_rng(0).permutation(ratings_with_margins(ORIGINAL, GENERATED, 0.84))
    rows = [
        ("A", f"case{place // 2:03d}", arm, "mta", ("right", "left")[place % 2], int(value))
        for place, pair in enumerate(ratings)
        for arm, value in zip(("mprage", "generated"), pair, strict=True)
    ]
    names = ["reader", "case", "arm", "question", "side", "value"]
    pd.DataFrame(rows, columns=names).to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    arms = '[[arms]]\nname = "mprage"\n[[arms]]\nname = "generated"\n'
    (tmp_path / "d.toml").write_text(f'design = "mta"\nreaders = ["A"]\n{arms}')
    out = tmp_path / "out"
    assert cli.run(["readers", "analyse", str(tmp_path / "a.tsv"), str(out), "--design", str(tmp_path / "d.toml")]) == 0
    counts = pd.read_csv(out / "counts-mta.tsv", sep="\t")
    assert tuple(counts["A mprage"]) == ORIGINAL
    assert tuple(counts["A generated"]) == GENERATED
    row = pd.read_csv(out / "agreement.tsv", sep="\t").iloc[0]
    assert (row["items"], round(row["value"], 2)) == (386, 0.84)
    assert (round(row["low"], 2), round(row["high"], 2)) == pytest.approx((0.81, 0.87), abs=0.011)  # published interval


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
    assert "first and second reading" in page


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
