"""The web server of the reading room: five addresses, no address outside, no page of documentation."""

from __future__ import annotations

import importlib.resources
import json
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from recontrast.errors import OutputError
from recontrast.readers.desk import Desk, Refusal
from recontrast.readers.limits import Allowance, Limits

log = logging.getLogger(__name__)

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}

REQUESTS_PER_SECOND, REQUESTS_AT_ONCE = 100.0, 1000.0
"""Of one address. A hospital's readers may share one; a reader needs about five a second at most."""

PIECE = 512 * 1024
"""Bytes of a picture that are handed on at once."""

WRONG_SECRETS_PER_SECOND, WRONG_SECRETS_AT_ONCE = 0.2, 10.0


def page_files() -> dict[str, tuple[bytes, str]]:
    """Address to content and type of everything that is not data."""
    folder = importlib.resources.files("recontrast.readers") / "page"
    found = {}
    for file in folder.iterdir():
        suffix = "." + file.name.rpartition(".")[2]
        if suffix in TYPES:
            found[f"/{file.name}"] = (file.read_bytes(), TYPES[suffix])
    found["/"] = found["/index.html"]
    found["/favicon.ico"] = (b"", "image/x-icon")
    return found


def build_application(desk: Desk, hosts: Sequence[str]) -> Limits:
    """The application with its limits before it.

    Args:
        desk: The study.
        hosts: Names under which it may be asked.
    """
    application = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    wrong = Allowance(WRONG_SECRETS_PER_SECOND, WRONG_SECRETS_AT_ONCE)

    def reader_of(request: Request) -> str:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        reader = desk.reader_of(token) if scheme == "Bearer" else None
        if reader is None:
            client = request.client.host if request.client else "unknown"
            log.warning("refused: a wrong secret from %s", client)
            if not wrong.take(client):
                raise Refusal(429, "too many wrong links; wait a minute")
            raise Refusal(401, "this link is not known; ask the coordinator for yours")
        return reader

    @application.exception_handler(Refusal)
    async def refused(request: Request, error: Refusal) -> Response:
        log.warning("refused: %s %s: %s", request.method, request.url.path[:80], error)
        return _json({"error": str(error)}, error.status)

    @application.exception_handler(OutputError)
    async def not_written(request: Request, error: OutputError) -> Response:
        log.error("%s", error)
        return _json({"error": "the answer could not be stored; tell the coordinator"}, 507)

    @application.get("/api/state")
    def state(request: Request) -> Response:
        return _json(desk.state(reader_of(request)))

    @application.get("/api/items/{item}/images/{number}")
    def image(request: Request, item: str, number: str) -> Response:
        reader = reader_of(request)
        place = int(number) if number in ("0", "1") else -1
        content = desk.image(reader, item, place)
        headers = {"content-length": str(len(content))}
        return StreamingResponse(_pieces(content), media_type="application/octet-stream", headers=headers)

    @application.post("/api/records")
    async def record(request: Request) -> Response:
        reader = reader_of(request)
        body = _parsed(await request.body())
        return _json(await run_in_threadpool(desk.record, reader, body))

    _add_page(application)
    return Limits(application, hosts, REQUESTS_PER_SECOND, REQUESTS_AT_ONCE)


def _add_page(application: FastAPI) -> None:
    files = page_files()

    @application.get("/{path:path}")
    def page(request: Request, path: str) -> Response:
        # Looked up in a table, never in the file system.
        found = files.get(f"/{path}")
        if found is None:
            log.warning("refused: GET /%s: no such page", path[:80].encode("ascii", "backslashreplace").decode())
            return _json({"error": "there is no such page"}, 404)
        return Response(found[0], headers={"content-type": found[1]})


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    """A picture in pieces, so that a client who takes them slowly is told from one who takes none."""
    for start in range(0, len(content), PIECE):
        yield content[start : start + PIECE]


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refusal(422, "a record is a JSON object") from None


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _json(content: Any, status: int = 200) -> Response:
    return Response(json.dumps(content), status_code=status, media_type="application/json")
