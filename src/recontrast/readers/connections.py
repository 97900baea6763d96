"""Connections that give nothing and take room: slow heads, bodies and listeners, and too many of them at once.

uvicorn waits for ever for the end of a request's head. Here each wait ends, and when all places are taken the one that
has waited longest is closed, so that a reader who comes finds room.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 200
"""Open at once; a browser keeps six. Must stay below uvicorn's `limit_concurrency`, at which it refuses everybody."""

LISTENING_S = 60.0
"""Longest pause in which a client takes nothing of what is sent to it."""


class Connection(H11Protocol):
    """One connection of the reading room."""

    patience_s = 10.0
    """Longest time for a whole request, from the opening of the connection or its first byte on."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place; the longest waiting one of who holds most goes when there is none left."""
        super().connection_made(transport)
        self._waits: asyncio.TimerHandle | None = None
        self._listens: asyncio.TimerHandle | None = None
        self._since = self.loop.time()
        self._heard = False
        self._make_room()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        for timer in (self._waits, self._listens):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """A piece of a request came."""
        self._heard = True
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """An answer was given; the next request may take its time to begin (uvicorn's keep-alive), but not to go on."""
        super().on_response_complete()
        self._since = self.loop.time()

    def pause_writing(self) -> None:
        """The client does not take what is sent."""
        super().pause_writing()
        if self._listens is None:
            self._listens = self.loop.call_later(LISTENING_S, self._give_up, "takes nothing of the answer")

    def resume_writing(self) -> None:
        """The client took it."""
        super().resume_writing()
        if self._listens is not None:
            self._listens.cancel()
            self._listens = None

    def _is_waiting(self) -> bool:
        """Whether the client has to send something: a request, or what is left of it."""
        return self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def _watch(self) -> None:
        """Start the clock of a wait, or stop it when the wait is over."""
        if not self._is_waiting() or self.transport.is_closing():
            if self._waits is not None:
                self._waits.cancel()
                self._waits = None
        elif self._waits is None:
            self._since = self.loop.time()
            self._waits = self.loop.call_later(self.patience_s, self._give_up, "sends no complete request")

    def _give_up(self, why: str) -> None:
        if not self.transport.is_closing():
            level = logging.WARNING if self._heard else logging.DEBUG  # browsers open connections beforehand
            log.log(level, "refused: a connection from %s: %s", self._client(), why)
            if self._heard:
                self.transport.abort()
            else:
                self.transport.close()

    def _client(self) -> str:
        return self.client[0] if self.client else "unknown"

    def _make_room(self) -> None:
        """Close the connection that waits longest, of the client with most of them."""
        open_ones = [c for c in self.connections if isinstance(c, Connection) and not c.transport.is_closing()]
        waiting = [c for c in open_ones if c is not self and c._is_waiting()]
        if len(open_ones) > MOST_CONNECTIONS and waiting:
            held = Counter(c._client() for c in waiting)
            most = max(held.values())
            longest = min((c for c in waiting if held[c._client()] == most), key=lambda c: c._since)
            longest._give_up("all places are taken and it waits longest")


def connection_class(patience_s: float) -> type[Connection]:
    """The protocol with a patience of its own; uvicorn wants a class."""
    return type("PatientConnection", (Connection,), {"patience_s": patience_s})
