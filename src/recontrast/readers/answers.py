"""Answers on disk: an SQLite file to which rows are only added. Undo is a new row; nothing is changed or removed."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from recontrast.errors import FormatError, OutputError

RecordKind = Literal["part", "answer", "undo", "skip", "finish"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  token TEXT NOT NULL UNIQUE,
  reader TEXT NOT NULL,
  item TEXT NOT NULL,
  kind TEXT NOT NULL,
  content TEXT NOT NULL,
  milliseconds INTEGER NOT NULL,
  received TEXT NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS no_change BEFORE UPDATE ON records
  BEGIN SELECT RAISE(ABORT, 'answers are never changed'); END;
CREATE TRIGGER IF NOT EXISTS no_removal BEFORE DELETE ON records
  BEGIN SELECT RAISE(ABORT, 'answers are never removed'); END;
"""


@dataclass(frozen=True)
class Record:
    """One row.

    Attributes:
        number: Place in the file, from 1.
        token: Random name that the page gave the row; a second row of that name is not stored.
        reader: Who.
        item: Item, or the number of the session for `finish`.
        kind: part: one question of an item not yet stored; answer: the whole item; undo: the item is open again; skip:
            its image was missing; finish: the session is closed.
        content: Field to value.
        milliseconds: Time the image was on the screen without pause.
        received: UTC, ISO 8601.
    """

    number: int
    token: str
    reader: str
    item: str
    kind: str
    content: Mapping[str, Any]
    milliseconds: int
    received: str


class AnswerStore:
    """The file of answers; one writer at a time, safe for threads.

    Every row is on the disk (write-ahead log, synchronous FULL) before `add` returns.

    Example:
        >>> store = AnswerStore(Path("answers.sqlite"))
        >>> store.add("0" * 32, "A", "item", "answer", {"mta.left": 2}, 4200).number
        1
        >>> store.close()
    """

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            FormatError: It is no SQLite file, or damaged.
        """
        self.path = path
        self._lock = threading.Lock()
        self._kept: dict[str, list[Record]] = {}  # rows read already: a rating of thousands of scans has many
        self._version = -1
        try:
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
            path.chmod(0o600)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            raise FormatError(f"{path}: cannot be opened as a file of answers ({error})") from error

    def add(
        self, token: str, reader: str, item: str, kind: RecordKind, content: Mapping[str, Any], milliseconds: int
    ) -> Record:
        """Add a row, or return the one that has this token already.

        Raises:
            OutputError: The disk is full or the like; nothing was stored.
        """
        row = (token, reader, item, kind, json.dumps(content, sort_keys=True), milliseconds, _now())
        try:
            with self._lock:
                self._connection.execute(
                    "INSERT INTO records (token, reader, item, kind, content, milliseconds, received) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (token) DO NOTHING",
                    row,
                )
                found = _record(self._connection.execute("SELECT * FROM records WHERE token = ?", (token,)).fetchone())
                kept = self._kept.get(found.reader)
                if kept is not None and (not kept or kept[-1].number < found.number):
                    kept.append(found)
        except sqlite3.Error as error:
            raise OutputError(f"cannot write {self.path}: {error}; nothing of this answer was stored") from error
        return found

    def of_token(self, token: str) -> Record | None:
        """The row of this token."""
        with self._lock:
            found = self._connection.execute("SELECT * FROM records WHERE token = ?", (token,)).fetchone()
        return _record(found) if found else None

    def of_reader(self, reader: str) -> list[Record]:
        """All rows of a reader, oldest first."""
        with self._lock:
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
            if version != self._version:  # another connection has written
                self._kept.clear()
                self._version = version
            if reader not in self._kept:
                rows = self._connection.execute("SELECT * FROM records WHERE reader = ? ORDER BY number", (reader,))
                self._kept[reader] = [_record(row) for row in rows.fetchall()]
            return list(self._kept[reader])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


def read_records(path: Path) -> list[Record]:
    """All rows, oldest first; also while the server runs. A file that is not there has none.

    Raises:
        FormatError: The file is damaged.
    """
    if not path.is_file():
        return []
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)
        try:
            return [_record(row) for row in connection.execute("SELECT * FROM records ORDER BY number")]
        finally:
            connection.close()
    except (sqlite3.DatabaseError, ValueError) as error:
        raise FormatError(f"{path}: cannot be read as a file of answers ({error})") from error


def _record(row: Any) -> Record:
    number, token, reader, item, kind, content, milliseconds, received = row
    return Record(number, token, reader, item, kind, json.loads(content), milliseconds, received)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
