"""The rules of the reading room, without the web."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from recontrast.readers.desk import Desk, Refusal, read_request


def send(
    desk: Desk, reader: str, item: str, kind: str = "answer", values: Any = None, token: str = ""
) -> dict[str, Any]:
    body = {
        "token": token or secrets.token_hex(16),
        "item": item,
        "kind": kind,
        "values": values or {},
        "milliseconds": 5,
    }
    return desk.record(reader, body)


GOOD = {"mta.right": 1, "mta.left": 2}


def test_a_reading_from_begin_to_end(make_study: Any) -> None:
    desk = Desk(make_study().folder)
    state = desk.state("A")
    shown = []
    while state["phase"] == "reading":
        item = state["item"]["id"]
        shown.append(item)
        assert len(desk.image("A", item, 0)) == 2 * 18 * 22 * 16
        state = send(desk, "A", item, values=GOOD)
    assert len(set(shown)) == state["total"] == 10
    state = send(desk, "A", state["previous"], "undo")
    assert (state["phase"], state["item"]["id"], state["item"]["parts"]) == ("reading", shown[-1], GOOD)
    state = send(desk, "A", shown[-1], values=GOOD)
    assert send(desk, "A", "0", "finish")["phase"] == "done"
    with pytest.raises(Refusal, match="closed") as refused:
        send(desk, "A", shown[-1], values=GOOD)
    assert refused.value.status == 423
    assert desk.state("B")["place"] == 0
    desk.store.close()


def test_a_file_called_locked_closes_the_study_at_once(make_study: Any) -> None:
    desk = Desk(make_study().folder)
    item = desk.state("A")["item"]["id"]
    (desk.folder / "locked").touch()
    assert desk.state("A")["phase"] == "closed"
    for act in (lambda: send(desk, "A", item, values=GOOD), lambda: desk.image("A", item, 0)):
        with pytest.raises(Refusal):
            act()
    (desk.folder / "locked").unlink()
    assert desk.state("A")["item"]["id"] == item
    desk.store.close()


def test_the_state_names_no_case_arm_file_or_seed(make_study: Any) -> None:
    desk = Desk(make_study(more="duplicates = 1").folder)
    text = str(desk.state("A"))
    for word in ("acquired", "synthetic", "computed", "sub-0", ".raw", "seed", "repeat", str(desk.plan.seeds["A"])):
        assert word not in text
    desk.store.close()


def test_parts_survive_and_the_clock_goes_on(make_study: Any) -> None:
    folder = make_study().folder
    desk = Desk(folder)
    item = desk.state("A")["item"]["id"]
    send(desk, "A", item, "part", {"mta.right": 3})
    desk.store.close()
    again = Desk(folder)
    assert again.state("A")["item"]["parts"] == {"mta.right": 3}
    again.store.close()


def test_replay_is_stored_once_and_another_content_is_refused(make_study: Any) -> None:
    desk = Desk(make_study().folder)
    item, token = desk.state("A")["item"]["id"], "a" * 32
    assert send(desk, "A", item, values=GOOD, token=token)["place"] == 1
    assert send(desk, "A", item, values=GOOD, token=token)["place"] == 1
    with pytest.raises(Refusal, match="another content"):
        send(desk, "A", item, values={"mta.right": 0, "mta.left": 0}, token=token)
    with pytest.raises(Refusal, match="another content"):  # a token heard of another reader
        send(desk, "B", desk.state("B")["item"]["id"], values=GOOD, token=token)
    with pytest.raises(Refusal, match="not on the table"):
        send(desk, "A", item, values=GOOD)
    assert len(desk.store.of_reader("A")) == 1
    desk.store.close()


def test_a_vanished_or_damaged_image_can_be_skipped_and_only_then(make_study: Any) -> None:
    desk = Desk(make_study().folder)
    item = desk.state("A")["item"]["id"]
    with pytest.raises(Refusal, match="its image is there"):
        send(desk, "A", item, "skip")
    file = desk.folder / "images" / desk.plan.items["A"][0].files[0]
    file.write_bytes(file.read_bytes()[:-2])
    with pytest.raises(Refusal, match="missing on the server") as refused:
        desk.image("A", item, 0)
    assert refused.value.status == 410
    assert send(desk, "A", item, "skip")["place"] == 1
    desk.store.close()


@pytest.mark.parametrize(
    "body",
    [
        None, [], {}, {"token": "x"}, {"token": "a" * 32, "item": 5, "kind": "answer", "values": {}, "milliseconds": 1},
        {"token": "a" * 32, "item": "i", "kind": "drop", "values": {}, "milliseconds": 1},
        {"token": "A" * 32, "item": "i", "kind": "answer", "values": {}, "milliseconds": 1},
        {"token": "a" * 32, "item": "i", "kind": "answer", "values": {}, "milliseconds": -1},
        {"token": "a" * 32, "item": "i", "kind": [], "values": {}, "milliseconds": 1},
        {"token": "a" * 32, "item": "i", "kind": "answer", "values": {}, "milliseconds": 1, "reader": "B"},
    ],
)  # fmt: skip
def test_other_forms_are_refused(body: Any) -> None:
    with pytest.raises(Refusal) as refused:
        read_request(body)
    assert refused.value.status == 422
