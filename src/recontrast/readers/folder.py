"""The study folder: what `readers new` writes, the server reads, and `readers analyse` decodes.

STUDY/plan.json      items of each reader with cases and arms: the key; never served
STUDY/links.tsv      reader and secret link; hand each reader his own
STUDY/study.toml     the resolved design
STUDY/images/*.raw   pictures under random names
STUDY/answers.sqlite answers, append-only
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from recontrast.atomic import atomic_file
from recontrast.config import to_plain
from recontrast.errors import FormatError, LayoutError
from recontrast.readers.study import Study, study_from

PLAN, LINKS, DESIGN, IMAGES, ANSWERS = "plan.json", "links.tsv", "study.toml", "images", "answers.sqlite"

LOCKED = "locked"
"""A file of this name closes the study at once; without it the study is open again."""


@dataclass(frozen=True)
class Item:
    """One item of one reader, with what only the key knows.

    Attributes:
        id: Random name that the page sees; another one for each reader and showing.
        session: Session, from 0.
        case: Case.
        arms: Arm of each image shown.
        files: Random file name of each image.
        training: For practice.
        repeat: Second showing.
    """

    id: str
    session: int
    case: str
    arms: tuple[str, ...]
    files: tuple[str, ...]
    training: bool
    repeat: bool


@dataclass(frozen=True)
class Grid:
    """Grid of a case: number of voxels, mm, voxel to world."""

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    affine: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Plan:
    """Everything that was decided when the study was made.

    Attributes:
        study: The design.
        seeds: Seed of each reader's order.
        items: Reader to items in order.
        grids: Case to grid.
        tokens: SHA-256 of each secret to its reader.
    """

    study: Study
    seeds: Mapping[str, int]
    items: Mapping[str, tuple[Item, ...]]
    grids: Mapping[str, Grid]
    tokens: Mapping[str, str]


def new_token() -> str:
    """A secret of 160 random bits for a link."""
    return secrets.token_hex(20)


def hash_of(token: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    with atomic_file(path) as partial:
        os.close(os.open(partial, os.O_CREAT | os.O_WRONLY, 0o600))
        partial.write_text(text, encoding="utf-8")


def write_plan(folder: Path, plan: Plan) -> None:
    """Write `plan.json`, readable by its owner only."""
    content = {
        "format": 1,
        "study": to_plain(plan.study),
        "seeds": dict(plan.seeds),
        "grids": {case: asdict(grid) for case, grid in plan.grids.items()},
        "tokens": dict(plan.tokens),
        "items": {reader: [asdict(item) for item in items] for reader, items in plan.items.items()},
    }
    write_private(folder / PLAN, json.dumps(content, indent=1, allow_nan=False) + "\n")


def write_links(folder: Path, tokens: Mapping[str, str], address: str) -> None:
    """Write `links.tsv`: reader and link. The secret follows a #, which browsers never send and servers never log."""
    rows = "".join(f"{reader}\t{address}/#{token}\n" for reader, token in tokens.items())
    write_private(folder / LINKS, f"reader\tlink\n{rows}")


def read_plan(folder: Path) -> Plan:
    """Read `plan.json`.

    Raises:
        LayoutError: The folder is no study.
        FormatError: The file is damaged.
    """
    path = folder / PLAN
    if not path.is_file():
        raise LayoutError(f"{folder} is no study: it has no {PLAN}; make one with `recontrast readers new`")
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != 1:
            raise ValueError(f"format {content['format']} is not known")
        return Plan(
            study=study_from(content["study"], str(path)),
            seeds=content["seeds"],
            items=TypeAdapter(dict[str, tuple[Item, ...]]).validate_python(content["items"]),
            grids=TypeAdapter(dict[str, Grid]).validate_python(content["grids"]),
            tokens=content["tokens"],
        )
    except (KeyError, TypeError, ValueError, ValidationError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise FormatError(f"{path}: is damaged ({reason}); restore it, without it answers cannot be decoded") from error


def items_of(showings: Sequence[Any], files: Mapping[tuple[str, str], str]) -> tuple[Item, ...]:
    """Give each showing a random name; `files` is (case, arm) to file name."""
    return tuple(
        Item(
            id=secrets.token_hex(12),
            session=showing.session,
            case=showing.case,
            arms=tuple(showing.arms),
            files=tuple(files[showing.case, arm] for arm in showing.arms),
            training=showing.training,
            repeat=showing.repeat,
        )
        for showing in showings
    )
