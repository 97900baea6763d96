"""Bad people over a real socket: each is refused with a clear line, and nothing is lost."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from recontrast.readers.answers import read_records
from recontrast.readers.folder import read_plan

GOOD = {"mta.right": 1, "mta.left": 2}


@pytest.fixture(scope="module")
def room(make_study: Any, serving: Any) -> Iterator[Any]:
    pytest.importorskip("fastapi")
    with serving(make_study()) as server:
        yield server


@pytest.mark.slow
def test_wrong_or_no_secret(room: Any) -> None:
    for sent in ({}, {"Authorization": "Bearer " + "0" * 40}, {"Authorization": "Basic QTpi"}):
        status, _, body = room.ask("GET", "/api/state", headers=sent)
        assert status == 401
        assert "not known" in json.loads(body)["error"]


def test_a_reader_sees_only_his_own(room: Any) -> None:
    other = room.state("B")["item"]["id"]
    assert room.ask("GET", f"/api/items/{other}/images/0", "A")[0] == 404
    status, said = room.record("A", other, values=GOOD)
    assert (status, said["error"]) == (404, "there is no such item of yours")
    assert room.state("A")["reader"] == "A"
    assert room.state("B")["place"] == 0


def test_items_that_are_not_on_the_table_are_hidden(room: Any) -> None:
    items = read_plan(room.study.folder).items["C"]
    assert [room.ask("GET", f"/api/items/{item.id}/images/0", "C")[0] for item in items[:4]] == [200, 200, 404, 404]
    assert room.record("C", items[1].id, values=GOOD)[0] == 409
    assert room.ask("GET", f"/api/items/{items[0].id}/images/1", "C")[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        "/../plan.json", "/plan.json", "/..%2fplan.json", "/%2e%2e/%2e%2e/etc/passwd", "/images/", "//etc/passwd",
        "/api/items/../../plan.json/images/0", "/api/items/x/images/..%2f..%2fplan.json", "/docs", "/openapi.json",
        "/.serving", "/app.js/../../plan.json", "/app.js%00", "/links.tsv", "/answers.sqlite",
    ],
)  # fmt: skip
def test_paths_lead_nowhere(room: Any, path: str) -> None:
    status, _, body = room.ask("GET", path, "A")
    assert status in (400, 404)
    assert b"tokens" not in body
    assert b"root:" not in body


def test_script_in_an_answer_is_text_or_refused(room: Any) -> None:
    item = room.state("A")["item"]["id"]
    status, said = room.record("A", item, values={**GOOD, "<script>alert(1)</script>": 1})
    assert status == 422
    assert "no question" in said["error"]


def test_oversized_bodies_are_refused_whatever_they_promise(room: Any) -> None:
    status, _, _ = room.ask("POST", "/api/records", "A", b"x" * 70_000)
    assert status == 413
    with socket.create_connection(("127.0.0.1", room.port), timeout=60) as raw:  # chunked: no length is promised
        head = f"POST /api/records HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {room.study.secret('A')}\r\n"
        raw.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(20):
                raw.sendall(b"2000\r\n" + b"x" * 0x2000 + b"\r\n")
            raw.sendall(b"0\r\n\r\n")
        except OSError:
            pass  # closed before all was sent
        assert b" 413 " in raw.recv(4096)


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 5000, b'{"token": NaN}', b"\xff\xfe", b'"x"'])
def test_what_is_no_record_is_refused(room: Any, body: bytes) -> None:
    assert room.ask("POST", "/api/records", "A", body)[0] == 422


def test_foreign_pages_and_foreign_names_are_refused(room: Any) -> None:
    assert room.ask("GET", "/", headers={"Host": "evil.example"})[0] == 421
    own = f"127.0.0.1:{room.port}"
    assert room.ask("GET", "/api/state", "A", headers={"Host": own, "Origin": "http://evil.example"})[0] == 403
    assert room.ask("GET", "/api/state", "A", headers={"Host": own, "Origin": f"http://{own}"})[0] == 200
    assert room.ask("DELETE", "/api/records", "A")[0] == 405


def test_headers_are_the_same_for_every_image_and_tell_nothing(room: Any) -> None:
    items = read_plan(room.study.folder).items["A"]
    seen = {tuple(sorted(room.ask("GET", f"/api/items/{i.id}/images/0", "A")[1].items())) for i in items[:2]}
    (headers,) = seen
    names = dict(headers)
    assert {"content-type", "content-length", "content-security-policy", "cache-control"} <= set(names)
    assert not {"etag", "last-modified", "date", "server", "set-cookie"} & set(names)
    assert "default-src 'none'" in names["content-security-policy"]
    assert names["cache-control"] == "no-store"


def test_the_page_asks_nobody_else(room: Any) -> None:
    for path in ("/", "/app.js", "/viewer.js", "/planes.js", "/questions.js", "/api.js", "/style.css"):
        status, headers, body = room.ask("GET", path)
        assert status == 200
        assert b"http://" not in body
        assert b"https://" not in body
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.slow
def test_answers_after_the_lock_are_refused_and_nothing_was_lost(make_study: Any, serving: Any) -> None:
    pytest.importorskip("fastapi")
    study = make_study(cases=2, more='closes = "2020-01-01"')
    with serving(study) as closed:
        state = closed.state("A")
        assert state["phase"] == "closed"
        item = read_plan(study.folder).items["A"][0].id
        status, said = closed.record("A", item, values=GOOD)
        assert (status, said["error"]) == (423, "this session is closed; nothing can be stored now")
        assert closed.ask("GET", f"/api/items/{item}/images/0", "A")[0] == 404
        assert 429 in [closed.ask("GET", "/api/state", headers={"Authorization": "Bearer x"})[0] for _ in range(30)]
        assert closed.state("A")["phase"] == "closed"  # the right link still works
    assert read_records(study.folder / "answers.sqlite") == []
    refused = (study.folder.parent / "refused.log").read_text()
    assert "refused: POST /api/records: this session is closed" in refused
    assert study.secret("A") not in refused


@pytest.mark.slow
def test_a_replayed_answer_is_stored_once_and_never_changed(make_study: Any, serving: Any) -> None:
    pytest.importorskip("fastapi")
    study = make_study("tagawa2025", 'order = "mixed"\nwashout_days = 0', cases=2)
    words = {"mta.right": 1, "mta.left": 2, "lesions": [], "artefacts": "<script>alert(1)</script>\x00\u202e"}
    with serving(study) as server:
        item, token = server.state("A")["item"]["id"], "c" * 32
        assert [server.record("A", item, values=words, token=token)[0] for _ in range(3)] == [200, 200, 200]
        status, said = server.record("A", item, values={**words, "mta.left": 0}, token=token)
        assert (status, said["error"]) == (409, "this answer was already stored with another content")
        other = server.state("B")["item"]["id"]
        assert server.record("B", other, values=words, token=token)[0] == 409
        assert server.record("A", item, values=words)[0] == 409  # a new token for an answered item
        assert server.record("A", item, "undo")[0] == 200
        assert server.state("A")["item"]["parts"] == words  # as it was written, and never as HTML
    records = read_records(study.folder / "answers.sqlite")
    assert [(record.kind, record.reader) for record in records] == [("answer", "A"), ("undo", "A")]
    assert (
        "refused: POST /api/records: this answer was already stored"
        in (study.folder.parent / "refused.log").read_text()
    )


@pytest.mark.slow
def test_a_vanished_image_and_a_locked_study_are_said_and_keep_what_is_stored(make_study: Any, serving: Any) -> None:
    pytest.importorskip("fastapi")
    study = make_study(cases=2)
    items = read_plan(study.folder).items["A"]
    with serving(study) as server:
        assert server.record("A", items[0].id, values=GOOD)[0] == 200
        (study.folder / "images" / items[1].files[0]).unlink()
        status, _, body = server.ask("GET", f"/api/items/{items[1].id}/images/0", "A")
        assert status == 410
        assert "missing on the server" in json.loads(body)["error"]
        (study.folder / "locked").touch()
        status, said = server.record("A", items[1].id, values=GOOD)
        assert (status, said["error"]) == (423, "this session is closed; nothing can be stored now")
        (study.folder / "locked").unlink()
        assert server.state("A")["item"]["id"] == items[1].id
    assert [record.item for record in read_records(study.folder / "answers.sqlite")] == [items[0].id]
    log = (study.folder.parent / "refused.log").read_text()
    assert f"of case {items[1].case} is gone or damaged" in log
    assert "refused: POST /api/records: this session is closed" in log


@pytest.mark.slow
def test_a_killed_server_loses_and_doubles_nothing(make_study: Any, serving: Any) -> None:
    pytest.importorskip("fastapi")
    study = make_study(cases=3)
    token = "b" * 32
    with serving(study) as first:
        item = first.state("A")["item"]["id"]
        assert first.record("A", item, "part", {"mta.right": 4})[0] == 200
        assert first.record("A", item, values=GOOD, token=token)[0] == 200
        first.kill()
    with serving(study) as second:
        assert second.state("A")["place"] == 1
        status, state = second.record("A", item, values=GOOD, token=token)  # the page did not hear and sends again
        assert (status, state["place"]) == (200, 1)
    kinds = [record.kind for record in read_records(study.folder / "answers.sqlite")]
    assert kinds == ["part", "answer"]
