"""Tables of a study: equal to what R says of the same answers, and by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from recontrast.readers.decode import COLUMNS, read_answers
from recontrast.readers.study import Study, designs, study_from
from recontrast.readers.tables import (
    agreement_table,
    comparison_table,
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
