"""Answers on disk: only added, once a token, readable by others at any time."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
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


CHILD = """
import os, sys
from pathlib import Path
from recontrast.readers.answers import AnswerStore
store = AnswerStore(Path(sys.argv[1]))
for number in range(6):
    store.add(f"{number:032x}", "A", f"i{number}", "answer", {"q": number}, 1)
    os.write(1, b"told\\n")
os._exit(0)
"""
WRITTEN = re.compile(r'pwrite64\(\d+<([^>]*)>, "((?:\\x[0-9a-f]{2})*)", \d+, (\d+)\)')
HIDDEN = re.compile(r"<((?:\\x[0-9a-f]{2})+)>")  # names of files are escaped as well
FLUSHED = re.compile(r"f(?:data)?sync\(\d+<([^>]*)>\)\s+= 0")


def test_a_power_cut_after_an_answer_was_told_takes_nothing_of_it(tmp_path: Path) -> None:
    """The calls to the system are recorded; after each told answer only what was flushed is kept, and opened again."""
    program = shutil.which("strace")
    if program is None:
        pytest.skip("strace is not installed (apt-get install strace)")
    path, trace = (tmp_path / "a.sqlite").resolve(), tmp_path / "trace"
    calls = "trace=pwrite64,fsync,fdatasync,write"
    command = [program, "-f", "-y", "-xx", "-s", "200000", "-e", calls, "-o", str(trace)]
    done = subprocess.run([*command, sys.executable, "-c", CHILD, str(path)], capture_output=True, check=False)
    if b"ptrace" in done.stderr or not trace.is_file():
        pytest.skip("strace is not allowed here")
    told = 0
    cache: dict[str, bytes] = {}
    disk: dict[str, bytes] = {}
    for call in trace.read_text().splitlines():
        line = HIDDEN.sub(lambda found: f"<{_bytes(found[1]).decode()}>", call)
        written, flushed = WRITTEN.search(line), FLUSHED.search(line)
        if written and written[1] in (str(path), f"{path}-wal"):
            content, start = _bytes(written[2]), int(written[3])
            old = cache.get(written[1], b"").ljust(start, b"\0")
            cache[written[1]] = old[:start] + content + old[start + len(content) :]
        elif flushed and flushed[1] in cache:
            disk[flushed[1]] = cache[flushed[1]]
        elif '"\\x74\\x6f\\x6c\\x64\\x0a"' in line:
            told += 1
            after = tmp_path / f"after-{told}"
            after.mkdir()
            for name, content in disk.items():
                (after / Path(name).name).write_bytes(content)
            assert [record.content["q"] for record in read_records(after / "a.sqlite")] == list(range(told))
    assert told == 6


def _bytes(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))
