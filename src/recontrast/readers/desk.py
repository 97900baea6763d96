"""What a reader may see and do, without the web: the rules of the reading room in one place."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from recontrast.config import to_plain
from recontrast.errors import DataError, RecontrastError
from recontrast.readers.answers import AnswerStore, Record, RecordKind
from recontrast.readers.blinding import LEVELS, WHITE
from recontrast.readers.folder import ANSWERS, IMAGES, LOCKED, Item, hash_of, read_plan
from recontrast.readers.progress import Standing, standing
from recontrast.readers.study import ORIGINS, Question
from recontrast.readers.validation import LONGEST_READING_MS, TOKEN, check_values

log = logging.getLogger(__name__)

_KEYS = {"token", "item", "kind", "values", "milliseconds"}


class Refusal(RecontrastError):
    """A request that is refused; `status` is that of HTTP."""

    def __init__(self, status: int, reason: str) -> None:
        """Give the status and one line for the reader."""
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Request:
    """One record as the page sends it, checked for form."""

    token: str
    item: str
    kind: RecordKind
    values: Any
    milliseconds: int


class Desk:
    """One study being read."""

    def __init__(self, folder: Path) -> None:
        """Open the study in `folder`."""
        self.folder = folder
        self.plan = read_plan(folder)
        self.store = AnswerStore(folder / ANSWERS)
        self._locks = {reader: threading.Lock() for reader in self.plan.items}

    def reader_of(self, token: str) -> str | None:
        """Reader whose secret this is; the hash is looked up, so that time tells nothing of the secret."""
        return self.plan.tokens.get(hash_of(token))

    def state(self, reader: str) -> dict[str, Any]:
        """All that the page is told."""
        where = self._standing(reader)
        items, study = self.plan.items[reader], self.plan.study
        in_session = [item for item in items if item.session == where.session]
        start = items.index(in_session[0])
        state: dict[str, Any] = {
            "reader": reader,
            "title": study.title,
            "instructions": study.instructions,
            "mode": study.mode,
            "plane": study.plane,
            "convention": study.convention,
            "white": WHITE,
            "levels": LEVELS,
            "questions": [_question(question) for question in study.questions],
            "phase": where.phase,
            "session": where.session,
            "sessions": items[-1].session + 1,
            "place": where.place - start,
            "total": len(in_session),
            "previous": where.previous,
            "opens": where.opens.isoformat() if where.opens else "",
        }
        if where.phase == "reading":
            state["item"] = {**self._item(items[where.place]), "parts": where.parts, "spent": where.spent}
            following = items[where.place + 1 : where.place + 2]
            state["next"] = self._item(following[0]) if following and following[0].session == where.session else None
        return state

    def image(self, reader: str, item: str, number: int) -> bytes:
        """Picture of an item that is on the table or comes next.

        Raises:
            Refusal: It is not; or the file is gone or damaged.
        """
        where = self._standing(reader)
        items = self.plan.items[reader]
        near = items[where.place : where.place + 2] if where.phase == "reading" else ()
        found = next((candidate for candidate in near if candidate.id == item), None)
        if found is None or found.session != where.session or not 0 <= number < len(found.files):
            raise Refusal(404, "there is no such image on your table")
        content = self._content(found, number)
        if content is None:
            log.error("%s: image %s of case %s is gone or damaged", self.folder, found.files[number], found.case)
            raise Refusal(410, "this image is missing on the server; tell the coordinator, you may skip it")
        return content

    def record(self, reader: str, body: Any) -> dict[str, Any]:
        """Store what the page sends and return the new state.

        Sent again with the same token it is stored once. What is not on the table is refused.

        Raises:
            Refusal: Form, item, order or time do not fit; nothing is stored.
        """
        request = read_request(body)
        with self._locks[reader]:
            known = self.store.of_token(request.token)
            if known is None:
                self._store(reader, request)
            elif not _is_same(known, reader, request):
                raise Refusal(409, "this answer was already stored with another content")
        return self.state(reader)

    def _store(self, reader: str, request: Request) -> None:
        items = {item.id: item for item in self.plan.items[reader]}
        where = self._standing(reader)
        if where.phase in ("closed", "done", "waiting"):
            raise Refusal(423, "this session is closed; nothing can be stored now")
        if request.kind == "finish":
            if where.phase != "session-end" or request.item != str(where.session):
                raise Refusal(409, "there are items left in this session")
            content: Mapping[str, Any] = {}
        elif request.item not in items:
            raise Refusal(404, "there is no such item of yours")
        elif request.kind == "undo":
            if request.item != where.previous:
                raise Refusal(409, "only the item before can be opened again")
            content = {}
        else:
            content = self._content_of(where, items[request.item], request, list(items))
        self.store.add(request.token, reader, request.item, request.kind, content, request.milliseconds)

    def _content_of(self, where: Standing, item: Item, request: Request, order: list[str]) -> Mapping[str, Any]:
        if where.phase != "reading" or order[where.place] != item.id:
            raise Refusal(409, "this item is not on the table")
        if request.kind == "skip":
            if all(self._content(item, number) is not None for number in range(len(item.files))):
                raise Refusal(409, "its image is there; it cannot be skipped")
            return {}
        try:
            grid = self.plan.grids[item.case]
            return check_values(self.plan.study, request.values, grid, whole=request.kind == "answer")
        except DataError as error:
            raise Refusal(422, str(error)) from error

    def _content(self, item: Item, number: int) -> bytes | None:
        """Bytes of a picture, or None when the file is gone, or is not of the size of its grid."""
        i, j, k = self.plan.grids[item.case].shape
        try:
            content = (self.folder / IMAGES / item.files[number]).read_bytes()
        except OSError:
            return None
        return content if len(content) == 2 * i * j * k else None

    def _standing(self, reader: str) -> Standing:
        if (self.folder / LOCKED).exists():
            return Standing("closed", 0, 0, {})
        return standing(self.plan.study, self.plan.items[reader], self.store.of_reader(reader))

    def _item(self, item: Item) -> dict[str, Any]:
        grid = self.plan.grids[item.case]
        return {
            "id": item.id,
            "images": len(item.files),
            "training": item.training,
            "shape": list(grid.shape),
            "spacing": [round(step, 4) for step in grid.spacing],
        }


def read_request(body: Any) -> Request:
    """Check the form of a record.

    Raises:
        Refusal: It is not one.
    """
    if not isinstance(body, dict) or set(body) != _KEYS:
        raise Refusal(422, f"a record has the fields {', '.join(sorted(_KEYS))}")
    if not isinstance(body["token"], str) or not TOKEN.fullmatch(body["token"]):
        raise Refusal(422, "token must be 32 hexadecimal digits")
    if not isinstance(body["item"], str) or body["kind"] not in get_args(RecordKind):
        raise Refusal(422, "item or kind is not known")
    time = body["milliseconds"]
    if not isinstance(time, int) or isinstance(time, bool) or not 0 <= time <= LONGEST_READING_MS:
        raise Refusal(422, "milliseconds must be a whole number of at most a day")
    return Request(body["token"], body["item"], body["kind"], body["values"], time)


def _is_same(known: Record, reader: str, request: Request) -> bool:
    values = request.values if request.kind in ("part", "answer") else {}
    return (known.reader, known.item, known.kind, dict(known.content)) == (reader, request.item, request.kind, values)


def _question(question: Question) -> dict[str, Any]:
    shown: dict[str, Any] = to_plain(question)
    shown["fields"] = list(question.fields)
    shown["values"] = list(question.values)
    if question.kind == "origin":
        shown["choices"], shown["values"] = list(ORIGINS), [0, 1]
    return shown
