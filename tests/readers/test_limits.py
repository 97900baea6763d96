"""The bucket of requests, and names of hosts; the rest is asked over a socket in test_server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import pytest

from recontrast.readers.limits import Allowance, Limits, _name


def test_a_bucket_fills_again_with_time() -> None:
    bucket = Allowance(per_second=2.0, burst=3)
    assert [bucket.take("a", now=10.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.take("b", now=10.0)
    assert [bucket.take("a", now=11.0) for _ in range(3)] == [True, True, False]


def test_many_addresses_do_not_fill_the_memory() -> None:
    bucket = Allowance(per_second=1.0, burst=1, most=10)
    for number in range(100):
        bucket.take(str(number), now=0.0)
    assert len(bucket._left) == 10


def test_names_lose_their_port() -> None:
    assert [_name(h) for h in ("localhost:80", "127.0.0.1", "[::1]:8642", "")] == [
        "localhost",
        "127.0.0.1",
        "[::1]",
        "",
    ]


def test_an_answer_that_is_taken_slowly_is_not_cut_off() -> None:
    fastapi = pytest.importorskip("fastapi")
    responses = pytest.importorskip("starlette.responses")
    application = fastapi.FastAPI()

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(6):
            yield bytes([number]) * 10

    @application.get("/picture")
    def picture() -> Any:
        return responses.StreamingResponse(pieces())

    taken = []

    async def take(message: MutableMapping[str, Any]) -> None:
        await asyncio.sleep(0.01)  # the client is in no hurry
        taken.append(message.get("body", b""))

    asked = [{"type": "http.request", "body": b"", "more_body": False}]

    async def give() -> MutableMapping[str, Any]:
        while not asked:
            await asyncio.sleep(60)  # the client stays
        return asked.pop()

    scope = {
        "type": "http", "asgi": {"spec_version": "2.3"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": "/picture", "raw_path": b"/picture", "root_path": "", "query_string": b"",
        "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
    }  # fmt: skip
    limits = Limits(application, ["localhost"], per_second=10, burst=10)
    asyncio.run(asyncio.wait_for(limits(scope, give, take), 30))
    assert b"".join(taken) == b"".join(bytes([number]) * 10 for number in range(6))
