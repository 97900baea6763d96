"""Where a reader stands: which item is on the table, which session is open. Follows from the records alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from recontrast.readers.answers import Record
from recontrast.readers.folder import Item
from recontrast.readers.study import Study

Phase = Literal["reading", "session-end", "waiting", "closed", "done"]


@dataclass(frozen=True)
class Standing:
    """Where a reader stands.

    Attributes:
        phase: reading: an item is on the table; session-end: all items of the session are answered and wait for the
            word finish; waiting: the next session is not open yet; closed: the study is not open, or no longer; done.
        place: Index of the item on the table, or the number of items answered.
        session: Session, from 0.
        parts: What is answered already of the item on the table.
        opens: When the next session opens (UTC), or the first day of the study.
        previous: Item that an undo would open again.
        spent: Milliseconds that the item on the table was on the screen before.
    """

    phase: Phase
    place: int
    session: int
    parts: Mapping[str, Any]
    opens: datetime | None = None
    previous: str = ""
    spent: int = 0


def standing(study: Study, items: Sequence[Item], records: Sequence[Record], now: datetime | None = None) -> Standing:
    """Where a reader stands after his records.

    A session opens `washout_days` after the last answer of the one before.

    Args:
        study: The design.
        items: The reader's items in order.
        records: His records, oldest first.
        now: Time, UTC; default the present.
    """
    now = now or datetime.now(UTC)
    current = current_records(records)
    place = next((i for i, item in enumerate(items) if item.id not in current), len(items))
    finished = {record.item for record in records if record.kind == "finish"}
    sessions = [item.session for item in items]
    session = sessions[place] if place < len(items) else sessions[-1]
    before = session - 1 if place < len(items) and place > 0 and sessions[place - 1] < session else None
    ended = place == len(items) or before is not None
    over = sessions[place - 1] if ended else session
    parts = _parts(records, items[place].id) if place < len(items) else {}
    if not _is_open(study, now):
        first = _day(study.opens) if study.opens and now < _day(study.opens) else None
        return Standing("closed", place, session, {}, first)
    if ended and str(over) not in finished:
        return Standing("session-end", place, over, {}, previous=items[place - 1].id)
    if place == len(items):
        return Standing("done", place, session, {})
    if before is not None:
        last = max(record.received for record in records if record.kind in ("answer", "skip"))
        opens = datetime.fromisoformat(last) + timedelta(days=study.washout_days)
        if now < opens:
            return Standing("waiting", place, session, {}, opens)
    previous = items[place - 1].id if place and sessions[place - 1] == session else ""
    return Standing("reading", place, session, parts, previous=previous, spent=_spent(records, items[place].id))


def current_records(records: Sequence[Record]) -> dict[str, Record]:
    """Item to the record that counts: its last answer or skip that was not undone."""
    current: dict[str, Record] = {}
    for record in records:
        if record.kind in ("answer", "skip"):
            current[record.item] = record
        elif record.kind == "undo":
            current.pop(record.item, None)
    return current


def _parts(records: Sequence[Record], item: str) -> dict[str, Any]:
    """Last value of each field of an open item; an undone answer comes back as it was."""
    parts: dict[str, Any] = {}
    for record in records:
        if record.item == item and record.kind in ("part", "answer"):
            parts.update(record.content)
    return parts


def _spent(records: Sequence[Record], item: str) -> int:
    """How long an item was on the screen up to its last record; the page goes on counting from there."""
    return max((r.milliseconds for r in records if r.item == item and r.kind in ("part", "answer")), default=0)


def _is_open(study: Study, now: datetime) -> bool:
    started = not study.opens or now >= _day(study.opens)
    return started and (not study.closes or now < _day(study.closes) + timedelta(days=1))


def _day(text: str) -> datetime:
    return datetime.combine(date.fromisoformat(text), datetime.min.time(), tzinfo=UTC)
