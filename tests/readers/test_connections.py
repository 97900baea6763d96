"""Slow and many connections over a real socket: each is closed, and a reader who comes is served meanwhile."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

pytest.importorskip("uvicorn")

from recontrast.readers.connections import MOST_CONNECTIONS, Connection, connection_class

HEAD = b"GET /api/state HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def room(make_study: Any, serving: Any) -> Iterator[Any]:
    with serving(make_study(), "--patience-s", "3") as server:
        yield server


def is_closed(raw: socket.socket) -> bool:
    """Whether the server closed the connection (waits up to 30 s)."""
    raw.settimeout(30)
    try:
        return raw.recv(1) == b""
    except ConnectionError:
        return True


@pytest.mark.slow
def test_a_head_that_never_ends_is_cut_off(room: Any) -> None:
    with socket.create_connection(("127.0.0.1", room.port), timeout=30) as raw:
        raw.sendall(HEAD)
        cut_off = False
        for number in range(600):  # a line now and then, as slow clients do, for half a minute
            try:
                raw.sendall(f"X-{number}: y\r\n".encode())
            except OSError:
                cut_off = True
                break
            time.sleep(0.05)
    assert cut_off
    assert room.state("A")["phase"] == "reading"


@pytest.mark.slow
@pytest.mark.parametrize("begun", [b"", HEAD, HEAD.replace(b"GET", b"POST") + b"Content-Length: 500\r\n\r\n{"])
def test_nothing_a_piece_of_a_head_and_a_piece_of_a_body_are_cut_off(room: Any, begun: bytes) -> None:
    with socket.create_connection(("127.0.0.1", room.port), timeout=30) as raw:
        raw.sendall(begun)
        received = is_closed(raw)
    assert received or begun.startswith(b"POST")  # a body may be answered before it is cut off


@pytest.mark.slow
def test_a_connection_may_rest_between_whole_requests(room: Any) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", room.port, timeout=30)
    connection.connect()
    first = connection.sock
    for _ in range(2):
        connection.request("GET", "/api/state", headers={"Authorization": f"Bearer {room.study.secret('A')}"})
        assert connection.getresponse().read().startswith(b"{")
        time.sleep(3.3)  # longer than the patience with requests that have begun
    assert connection.sock is first
    connection.close()


@pytest.mark.slow
def test_more_connections_than_places_keep_no_reader_out(make_study: Any, serving: Any) -> None:
    study = make_study(cases=2)
    with serving(study, "--patience-s", "60") as server, ExitStack() as many:
        opened = []
        for number in range(MOST_CONNECTIONS + 80):
            raw = many.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            raw.sendall(HEAD if number % 2 else HEAD.replace(b"GET", b"POST") + b"Content-Length: 9\r\n\r\n")
            opened.append(raw)
        assert server.state("A")["phase"] == "reading"
        assert is_closed(opened[0])  # who waited longest had to go
    assert "all places are taken" in (study.folder.parent / "refused.log").read_text()


def test_the_patience_is_that_of_the_settings() -> None:
    assert connection_class(3.0).patience_s == 3.0
    assert Connection.patience_s == 10.0
