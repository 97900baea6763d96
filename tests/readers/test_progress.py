"""Where a reader stands follows from the records: order, undo, washout, lock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from recontrast.readers.answers import Record
from recontrast.readers.folder import Item
from recontrast.readers.progress import standing
from recontrast.readers.study import Study, study_from

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ITEMS = tuple(Item(f"i{n}", n // 2, f"c{n % 2}", ("a",), ("f",), False, False) for n in range(4))


def study(**more: Any) -> Study:
    question = {"name": "q", "text": "?", "choices": ["no", "yes"]}
    values = {"title": "t", "readers": ["A"], "arms": [{"name": "a"}], "questions": [question], "washout_days": 28.0}
    return study_from({**values, **more}, "test")


def records(*acts: tuple[str, str], content: Any = None) -> list[Record]:
    return [
        Record(n, str(n), "A", item, kind, content or {"q": 1}, 5, NOW.isoformat())
        for n, (kind, item) in enumerate(acts)
    ]


def test_the_first_item_without_an_answer_is_on_the_table() -> None:
    where = standing(study(), ITEMS, records(("answer", "i0")), NOW)
    assert (where.phase, where.place, where.previous) == ("reading", 1, "i0")


def test_undo_opens_the_item_with_what_was_answered() -> None:
    where = standing(study(), ITEMS, records(("answer", "i0"), ("undo", "i0")), NOW)
    assert (where.place, where.parts, where.previous) == (0, {"q": 1}, "")


def test_a_session_ends_with_the_word_finish_and_the_next_waits_for_the_washout() -> None:
    both = [("answer", "i0"), ("answer", "i1")]
    assert standing(study(), ITEMS, records(*both), NOW).phase == "session-end"
    finished = records(*both, ("finish", "0"))
    waiting = standing(study(), ITEMS, finished, NOW + timedelta(days=27, hours=23))
    assert (waiting.phase, waiting.opens) == ("waiting", NOW + timedelta(days=28))
    reading = standing(study(), ITEMS, finished, NOW + timedelta(days=28))
    assert (reading.phase, reading.place, reading.previous) == ("reading", 2, "")  # the first session stays closed


def test_all_done_and_days_of_opening() -> None:
    acts = [("answer", "i0"), ("answer", "i1"), ("finish", "0"), ("answer", "i2"), ("answer", "i3"), ("finish", "1")]
    assert standing(study(), ITEMS, records(*acts), NOW).phase == "done"
    assert standing(study(opens="2026-11-22"), ITEMS, [], NOW).phase == "closed"
    assert standing(study(closes="2026-11-21"), ITEMS, [], NOW).phase == "reading"
    assert standing(study(closes="2026-11-20"), ITEMS, [], NOW).phase == "closed"


def test_the_clock_of_an_open_item_goes_on_from_its_last_record() -> None:
    assert standing(study(), ITEMS, []).spent == 0
    told = records(("part", "i0"), ("answer", "i0"), ("undo", "i0"))
    assert standing(study(), ITEMS, told).spent == 5
    assert standing(study(), ITEMS, told[:2]).spent == 0  # the next item
