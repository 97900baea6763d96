"""Answers on disk: only added, once a token, readable by others at any time."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from recontrast.errors import FormatError
from recontrast.readers.answers import AnswerStore, read_records


def test_rows_come_back_and_a_token_is_stored_once(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path / "a.sqlite")
    first = store.add("t1", "A", "i1", "answer", {"q": 1, "text": "<b>ü"}, 10)
    again = store.add("t1", "A", "i1", "answer", {"q": 2}, 99)
    store.add("t2", "B", "i2", "undo", {}, 0)
    assert again == first
    assert [record.token for record in read_records(tmp_path / "a.sqlite")] == ["t1", "t2"]  # while it is open
    assert [record.content for record in store.of_reader("A")] == [{"q": 1, "text": "<b>ü"}]
    store.close()


def test_rows_of_another_connection_are_seen_and_none_twice(tmp_path: Path) -> None:
    first, second = AnswerStore(tmp_path / "a.sqlite"), AnswerStore(tmp_path / "a.sqlite")
    assert first.of_reader("A") == []
    for number, store in enumerate((first, second, second, first)):
        store.add(f"t{number}", "A", "i", "part", {}, 1)
        store.add(f"t{number}", "A", "i", "part", {}, 1)
        expected = [f"t{n}" for n in range(number + 1)]
        assert [record.token for record in first.of_reader("A")] == expected
        assert [record.token for record in second.of_reader("A")] == expected
    first.close()
    second.close()


def test_nothing_can_be_changed_or_removed(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path / "a.sqlite")
    store.add("t1", "A", "i1", "answer", {}, 10)
    store.close()
    connection = sqlite3.connect(tmp_path / "a.sqlite")
    for act in ("UPDATE records SET reader = 'B'", "DELETE FROM records"):
        with pytest.raises(sqlite3.IntegrityError, match="never"):
            connection.execute(act)
    connection.close()


def test_each_row_is_flushed_to_the_disk(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path / "a.sqlite")
    assert store._connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert store._connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
    store.close()


def test_no_file_has_no_rows_and_a_damaged_one_is_said(tmp_path: Path) -> None:
    assert read_records(tmp_path / "none.sqlite") == []
    (tmp_path / "bad.sqlite").write_bytes(b"not a data base" * 100)
    with pytest.raises(FormatError, match=r"bad\.sqlite"):
        read_records(tmp_path / "bad.sqlite")
    with pytest.raises(FormatError, match=r"bad\.sqlite"):
        AnswerStore(tmp_path / "bad.sqlite")
