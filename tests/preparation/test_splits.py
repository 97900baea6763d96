"""Subjects are split, never images."""

from __future__ import annotations

import pytest

from recontrast.errors import ConfigError, FormatError, LayoutError, RecontrastWarning, UnknownNameError
from recontrast.preparation.splits import choose_splits, read_splits, write_splits

MANY = [f"{n:02d}" for n in range(1, 26)]


def count(splits):
    return {name: list(splits.values()).count(name) for name in ("train", "validation", "test")}


def test_shares_of_a_random_split():
    assert count(choose_splits(MANY)) == {"train": 16, "validation": 4, "test": 5}
    assert count(choose_splits(MANY[:12])) == {"train": 8, "validation": 2, "test": 2}
    assert count(choose_splits(MANY[:3])) == {"train": 1, "validation": 1, "test": 1}


def test_the_seed_decides_and_nothing_else():
    assert choose_splits(MANY, seed=1) == choose_splits([f"sub-{s}" for s in reversed(MANY)], seed=1)
    assert choose_splits(MANY, seed=1) != choose_splits(MANY, seed=2)


def test_named_subjects_with_or_without_prefix():
    splits = choose_splits(MANY, test=["sub-03"], validation=["04", "05"])
    assert splits["03"] == "test"
    assert count(splits) == {"train": 22, "validation": 2, "test": 1}


def test_with_named_test_subjects_validation_is_still_drawn_when_enough_are_left():
    assert count(choose_splits(MANY, test=MANY[:5])) == {"train": 16, "validation": 4, "test": 5}
    assert count(choose_splits(MANY[:4], test=["01"])) == {"train": 3, "validation": 0, "test": 1}
    assert choose_splits(["C07", "C26"], test=["C26"]) == {"C07": "train", "C26": "test"}


def test_all_may_be_for_testing():
    assert count(choose_splits(["01"], test=["01"])) == {"train": 0, "validation": 0, "test": 1}


def test_too_few_subjects_say_what_to_type():
    with pytest.raises(ConfigError, match=r"2 subjects \(01, 02\).*--test 02"):
        choose_splits(["01", "02"])
    with pytest.raises(ConfigError, match=r"1 subject \(01\).*--test 01"):
        choose_splits(["01"])


def test_unknown_and_doubled_subjects():
    with pytest.raises(UnknownNameError, match="--test"):
        choose_splits(MANY, test=["99"])
    with pytest.raises(UnknownNameError, match="--validation"):
        choose_splits(MANY, validation=["O1"])
    with pytest.raises(LayoutError, match="sub-01 is in two splits"):
        choose_splits(MANY, test=["01"], validation=["sub-01"])


def test_new_subjects_do_not_move_the_old_ones():
    before = choose_splits(MANY[:12])
    after = choose_splits(MANY, previous=before)
    assert {s: after[s] for s in before} == before
    assert count(after) == {"train": 16, "validation": 4, "test": 5}


def test_a_table_decides_alone(tmp_path):
    table = tmp_path / "mine.tsv"
    write_splits(table, {"01": "test", "02": "train"})
    assert choose_splits(["01", "02"], table=table) == {"01": "test", "02": "train"}
    with pytest.raises(ConfigError, match="one of the two"):
        choose_splits(["01", "02"], table=table, test=["01"])
    with pytest.raises(LayoutError, match="no row for sub-03"):
        choose_splits(["01", "02", "03"], table=table)
    with pytest.warns(RecontrastWarning, match="sub-02 not among the subjects that are prepared"):
        assert choose_splits(["01"], table=table) == {"01": "test"}


@pytest.mark.parametrize(
    ("rows", "error", "words"),
    [
        ("subject\tsplit\n01\ttrain\nsub-01\ttest\n", LayoutError, "sub-01 is in two splits"),
        ("subject\tsplit\n01\ttraining\n", LayoutError, "split 'training'"),
        ("participant\tsplit\n01\ttrain\n", FormatError, "no column subject"),
    ],
)
def test_bad_tables(tmp_path, rows, error, words):
    (tmp_path / "mine.tsv").write_text(rows)
    with pytest.raises(error, match=words):
        read_splits(tmp_path / "mine.tsv")


def test_the_same_row_twice_is_harmless(tmp_path):
    (tmp_path / "mine.tsv").write_text("subject\tsplit\nsub-01\ttrain\n01\ttrain\n")
    assert read_splits(tmp_path / "mine.tsv") == {"01": "train"}
