"""Tables of a study: equal to what R says of the same answers, and by hand."""

from __future__ import annotations

import math
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recontrast.evaluation.statistics import paired_test
from recontrast.readers.decode import COLUMNS, read_answers
from recontrast.readers.study import Study, designs, study_from
from recontrast.readers.tables import (
    agreement_table,
    comparison_table,
    confusion_table,
    count_table,
    multireader_table,
    origin_table,
    time_table,
    which_table,
)

FIXTURES = Path(__file__).parent / "fixtures"
ARMS = [{"name": "acquired"}, {"name": "synthetic"}]


def study(design: str, **more: Any) -> Study:
    return study_from({**designs()[design], "readers": ["A", "B", "C"], "arms": ARMS, **more}, "test")


def rows(*given: tuple[str, str, str, str, Any], **more: Any) -> pd.DataFrame:
    filled = [
        {
            "reader": r,
            "case": c,
            "arm": a,
            "question": q,
            "value": v,
            "side": "",
            "training": False,
            "repeat": False,
            **more,
        }
        for r, c, a, q, v in given
    ]
    return pd.DataFrame(filled, columns=list(COLUMNS))


def test_agreement_and_comparison_equal_r() -> None:
    from_r = pd.read_csv(FIXTURES / "study_r.tsv", sep="\t").set_index("name")["value"]
    mta = study("mta")
    answers = read_answers(FIXTURES / "answers.tsv", mta)
    agreement = agreement_table(answers, mta)
    for reader in "ABC":
        row = agreement[(agreement["who"] == reader) & (agreement["statistic"] == "weighted kappa, analytic")].iloc[0]
        assert row["value"] == pytest.approx(from_r[f"kappa.{reader}"], abs=1e-8)
        assert row["items"] == 48
    for arm in ("acquired", "synthetic"):
        row = agreement[(agreement["who"] == arm) & (agreement["statistic"] == "ICC(2,1)")].iloc[0]
        expected = [from_r[f"{name}.{arm}"] for name in ("icc", "icc.low", "icc.high")]
        assert [row["value"], row["low"], row["high"]] == pytest.approx(expected, abs=1e-8)
    row = multireader_table(answers, mta).iloc[0]
    for name in ("difference", "freedom", "p"):
        assert row[name] == pytest.approx(from_r[f"multireader.{name}"], rel=1e-8)
    own = comparison_table(answers, mta).query("reader == 'A'").iloc[0]
    assert own["SD"] == pytest.approx(from_r["comparison.sd.A"], abs=1e-8)


def test_intervals_end_where_the_grades_do_and_say_so() -> None:
    """Two readers who agree on nothing: Student's t with hardly a degree of freedom would reach beyond 4 grades."""
    given = [
        (reader, str(case), arm, "conspicuity", 1 if arm == "acquired" else 5 - low)
        for reader, low in (("A", 0), ("B", 3))
        for case in range(3)
        for arm in ("acquired", "synthetic")
    ]
    row = multireader_table(rows(*given), study("hagiwara2019")).set_index("question").loc["conspicuity"]
    assert [row["difference"], row["low"], row["high"]] == [2.5, -4.0, 4.0]
    assert row["method"].endswith(", cut at -4 and 4")
    alike = [("A", str(c), arm, "mta", c // 6 * 4 if c else 4 * (arm == "synthetic"))
             for c in range(12) for arm in ("acquired", "synthetic")]  # fmt: skip
    kappa = agreement_table(rows(*alike), study("mta")).set_index("statistic").loc["weighted kappa, analytic"]
    assert kappa["high"] == 1.0
    assert kappa["method"].endswith(", cut at 1")


def test_counts_by_reader_and_arm() -> None:
    answers = rows(
        ("A", "1", "acquired", "mta", 2), ("A", "2", "acquired", "mta", 2), ("B", "1", "synthetic", "mta", 0)
    )
    table = count_table(answers, study("mta"), study("mta").questions[0])
    assert list(table["A acquired"]) == [0, 0, 2, 0, 0]
    assert list(table["B synthetic"]) == [1, 0, 0, 0, 0]


def test_repeats_give_agreement_with_oneself_and_nothing_else() -> None:
    first = rows(*[("A", str(c), "acquired", "mta", c % 3) for c in range(9)])
    second = rows(*[("A", str(c), "acquired", "mta", c % 3) for c in range(9)], repeat=True)
    table = agreement_table(pd.concat([first, second]), study("mta"))
    assert set(table["between"]) == {"first and second reading"}
    assert list(table["value"]) == [1.0, 1.0]


def test_who_cannot_tell_is_at_one_half() -> None:
    turing = study("visual-turing")
    given = [("A", str(c), arm, "origin", "acquired") for c in range(8) for arm in ("acquired", "synthetic")]
    knows = [
        ("B", str(c), arm, "origin", "acquired" if arm == "acquired" else "computed")
        for c in range(8)
        for arm in ("acquired", "synthetic")
    ]
    table = origin_table(rows(*given, *knows), turing, turing.questions[0]).set_index("reader")
    assert table.loc["A", "right"] == 0.5
    assert table.loc["A", "paired p, synthetic"] == 1.0
    assert table.loc["A", "synthetic called acquired"] == 8
    assert table.loc["B", "right"] == 1.0
    assert table.loc["B", "p"] == pytest.approx(2 / 2**16)
    assert table.loc["B", "paired p, synthetic"] == pytest.approx(2 / 2**8)


def test_choices_between_two_images() -> None:
    pairs = study("preference")
    given = [("A", str(c), "synthetic,acquired", "preferred", "synthetic") for c in range(5)]
    given.append(("A", "5", "acquired,synthetic", "preferred", "acquired"))
    row = which_table(rows(*given), pairs, pairs.questions[0]).iloc[0]
    assert [row["synthetic"], row["acquired"], row["p"]] == [5, 1, pytest.approx(14 / 64)]


def test_reading_time_counts_an_item_once() -> None:
    answers = rows(*[("A", str(c), "acquired", q, 1) for c in range(3) for q in ("mta", "x")])
    answers["place"], answers["milliseconds"] = [0, 0, 1, 1, 2, 2], [1000, 1000, 3000, 3000, 5000, 5000]
    row = time_table(answers, study("mta")).iloc[0]
    assert [row["items"], row["median"], row["q1"]] == [3, 3.0, 2.0]


@pytest.fixture(scope="module", params=["stored", "live"])
def from_r(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """What R says of likert.tsv and turing.tsv: as stored, and made now where R with psych is installed."""
    path = FIXTURES / "tables_r.tsv"
    if request.param == "live":
        program = shutil.which("Rscript")
        if program is None:
            pytest.skip("Rscript is not installed (apt-get install r-base-core r-cran-psych r-cran-exactranktests)")
        made = subprocess.run(
            [program, str(FIXTURES / "tables.R"), str(FIXTURES)], capture_output=True, text=True, check=False
        )
        if "psych" in made.stderr:
            pytest.skip("R's package psych is not installed (apt-get install r-cran-psych)")
        assert made.returncode == 0, made.stderr
        path = tmp_path_factory.mktemp("r") / "tables_r.tsv"
        path.write_text(made.stdout, encoding="utf-8")
    table = pd.read_csv(path, sep="\t")
    return dict(zip(table["name"], table["value"], strict=True))


def expected(from_r: dict[str, float], stem: str) -> dict[str, float]:
    """R's numbers whose name begins with `stem`, by the rest of the name."""
    return {name[len(stem) + 1 :]: value for name, value in from_r.items() if name.startswith(f"{stem}.")}


@pytest.mark.slow
def test_grades_of_several_readers_equal_r(from_r: dict[str, float]) -> None:
    likert = study("hagiwara2019")
    answers = read_answers(FIXTURES / "likert.tsv", likert)
    agreement = agreement_table(answers, likert).set_index(["question", "who", "statistic"])
    for question in ("conspicuity", "surface", "granular", "other"):
        for arm in ("acquired", "synthetic"):
            fleiss, single = (agreement.loc[(question, arm, name)] for name in ("Fleiss' kappa", "ICC(2,1)"))
            assert fleiss["value"] == pytest.approx(from_r[f"fleiss.{question}.{arm}"], abs=1e-8)
            wanted = [from_r[f"{name}.{question}.{arm}"] for name in ("icc", "icc.low", "icc.high")]
            assert [single["value"], single["low"], single["high"]] == pytest.approx(wanted, abs=1e-8)
        for reader in "ABC":
            kappa = agreement.loc[(question, reader, "weighted kappa, analytic")]
            assert kappa["value"] == pytest.approx(from_r[f"kappa.{question}.{reader}"], abs=1e-8)
    means = comparison_table(answers, likert).set_index(["question", "reader"])
    ranks = expected(from_r, "wilcoxon")
    for question, reader in means.index:
        row = means.loc[(question, reader)]
        wanted = [from_r[f"{name}.{question}.{reader}"] for name in ("mean", "sd", "difference")]
        assert [row["mean"], row["SD"], row["difference"]] == pytest.approx(wanted, abs=1e-8)
        if ranks:  # R without exactRankTests has no exact p with ties
            assert row["p"] == pytest.approx(ranks[f"{question}.{reader}"], abs=1e-8)


def test_confusion_of_grades_equals_r(from_r: dict[str, float]) -> None:
    likert = study("hagiwara2019")
    answers = read_answers(FIXTURES / "likert.tsv", likert)
    for question in likert.questions:
        table = confusion_table(answers, likert, question)
        for reader in "ABC":
            counts = table[table["reader"] == reader].drop(columns=["reader", "acquired"]).to_numpy()
            assert counts.shape == (5, 5)
            assert counts.sum() == 14
            for name, value in expected(from_r, f"confusion.{question.name}.{reader}").items():
                a, b = (int(part) - 1 for part in name.split("."))
                assert counts[a, b] == value


def test_origins_and_mcnemar_equal_r(from_r: dict[str, float]) -> None:
    turing = study("visual-turing")
    answers = read_answers(FIXTURES / "turing.tsv", turing)
    table = origin_table(answers, turing, turing.question("origin")).set_index("reader")
    for reader in "ABC":
        row = table.loc[reader]
        wanted = [from_r[f"right{name}.{reader}"] for name in ("", ".low", ".high", ".p")]
        assert list(row[["right", "low", "high", "p"]]) == pytest.approx(wanted, abs=1e-8)
        assert row["paired p, synthetic"] == pytest.approx(from_r[f"mcnemar.{reader}"], abs=1e-8)


def test_wilcoxon_without_ties_equals_base_r(from_r: dict[str, float]) -> None:
    for n in (6, 15, 40):
        places = np.arange(1, n + 1)
        values = np.sin(places * 1.7) + places / n * 0.6
        for ours, theirs in (("two-sided", "two.sided"), ("greater", "greater"), ("less", "less")):
            p = paired_test(values, alternative=ours).p  # type: ignore[arg-type]
            assert p == pytest.approx(from_r[f"plain.{n}.{theirs}"], abs=1e-8)


def test_the_stored_numbers_of_r_are_complete() -> None:
    stored = pd.read_csv(FIXTURES / "tables_r.tsv", sep="\t")["name"].str.partition(".")[0].value_counts()
    assert stored["wilcoxon"] == 12
    assert stored["fleiss"] == 8
    assert stored["confusion"] == 300


def test_one_reader_who_has_not_begun_takes_nothing_from_the_others() -> None:
    given = [(r, str(c), "acquired", "mta", (c + (r == "B")) % 3) for r in "AB" for c in range(9)]
    given += [("C", "0", "acquired", "mta", 1)]
    table = agreement_table(rows(*given), study("mta"))
    pair = table[(table["who"] == "A and B") & (table["statistic"] == "weighted kappa, analytic")]
    assert list(pair["items"]) == [9]


def test_who_always_says_computed_is_not_better_than_guessing() -> None:
    """With two computed arms that is right in two of three readings."""
    design = {**designs()["visual-turing"], "readers": ["A", "B"]}
    turing = study_from({**design, "arms": [{"name": n} for n in ("acquired", "unet", "gan")]}, "test")
    question = turing.question("origin")
    given = [("A", str(c), arm, "origin", "computed") for c in range(8) for arm in ("acquired", "unet", "gan")]
    given += [("B", str(c), arm, "origin", "computed" if arm == "gan" else "acquired") for _, c, arm, *_ in given]
    table = origin_table(rows(*given), turing, question).set_index("reader")
    assert table.loc["A", "right"] == pytest.approx(2 / 3)
    assert table["p"].isna().all()
    assert list(table.loc["A", ["p, unet", "p, gan"]]) == [1.0, 1.0]
    assert table.loc["B", "p, unet"] == 1.0
    assert table.loc["B", "p, gan"] == pytest.approx(2 / math.comb(16, 8))  # R: fisher.test(matrix(c(8, 0, 0, 8), 2))


def test_the_share_right_of_uneven_arms_is_not_tested() -> None:
    turing = study("visual-turing")
    given = [("A", str(c), arm, "origin", "computed") for c in range(8) for arm in ("acquired", "synthetic")]
    assert origin_table(rows(*given[:-1]), turing, turing.question("origin"))["p"].isna().all()
    even = origin_table(rows(*given), turing, turing.question("origin"))
    assert list(even["p"]) == [1.0]
