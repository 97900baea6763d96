"""What stands before the application: size, rate, host and headers. Nothing that breaks them gets through."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

LARGEST_BODY = 64 * 1024
"""Bytes of a request; an answer has a few hundred."""

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), usb=()",
    "cache-control": "no-store",
}
"""On every response, the same for all."""


@dataclass
class Allowance:
    """A bucket that fills with time: `burst` at once, `per_second` after.

    Example:
        >>> allowance = Allowance(per_second=1.0, burst=2)
        >>> [allowance.take("a", now=0.0) for _ in range(3)]
        [True, True, False]
    """

    per_second: float
    burst: float
    most: int = 10_000
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def take(self, who: str, now: float | None = None, cost: float = 1.0) -> bool:
        """Take `cost` for `who`; False when there is not enough left."""
        now = time.monotonic() if now is None else now
        left, since = self._left.pop(who, (self.burst, now))
        left = min(self.burst, left + (now - since) * self.per_second)
        allowed = left >= cost
        self._left[who] = (left - cost if allowed else left, now)
        while len(self._left) > self.most:
            self._left.popitem(last=False)
        return allowed


class Limits:
    """ASGI middleware: refuses foreign hosts and origins, too many requests and too large ones; adds the headers."""

    def __init__(self, application: Application, hosts: Sequence[str], per_second: float, burst: float) -> None:
        """Stand before `application`.

        Args:
            application: What is protected.
            hosts: Names under which the server is asked, as in the Host header, without port.
            per_second: Requests of one address in the long run.
            burst: Requests of one address at once.
        """
        self.application = application
        self.hosts = set(hosts)
        self.allowance = Allowance(per_second, burst)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.application(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refused(scope, headers)
        if refused:
            log.warning(
                "refused: %s %s: %s", scope["method"], scope["path"][:80].encode("ascii", "replace"), refused[1]
            )
            await _refuse(send, *refused)
            return
        body = await _read(receive)
        if body is None:
            log.warning("refused: a body of more than %d bytes", LARGEST_BODY)
            await _refuse(send, 413, "the request is too large")
            return
        given = False

        async def once() -> Message:
            nonlocal given
            if given:
                return await receive()  # comes when the client has gone; until then a long answer goes on
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.application(scope, once, _with_headers(send))

    def _refused(self, scope: MutableMapping[str, Any], headers: dict[str, str]) -> tuple[int, str] | None:
        # A foreign name in Host is a page elsewhere whose name was pointed here (DNS rebinding).
        if _name(headers.get("host", "")) not in self.hosts:
            return 421, "this server is not asked under that name"
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != headers.get("host"):
            return 403, "requests of other pages are refused"
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, "only GET and POST"
        size = headers.get("content-length", "0")
        if not size.isdigit() or int(size) > LARGEST_BODY:
            return 413, "the request is too large"
        client = (scope.get("client") or ("unknown", 0))[0]
        if not self.allowance.take(client):
            return 429, "too many requests; wait a little"
        return None


def _name(host: str) -> str:
    """Host without its port; IPv6 keeps its brackets."""
    return host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]


async def _read(receive: Receive) -> bytes | None:
    """The whole body, or None when it is too large, whatever its header promised."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return body
        body += message.get("body", b"")
        if len(body) > LARGEST_BODY:
            return None
        if not message.get("more_body", False):
            return body


async def _refuse(send: Send, status: int, reason: str) -> None:
    content = f'{{"error": "{reason}"}}'.encode()
    own = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    wrapped = _with_headers(send)
    await wrapped({"type": "http.response.start", "status": status, "headers": own})
    await wrapped({"type": "http.response.body", "body": content})


def _with_headers(send: Send) -> Send:
    added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *added]}
        await send(message)

    return wrapped
