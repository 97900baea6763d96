"""The blocks a report page is made of, and how they become one HTML file.

Sections build blocks of plain text and tables; only the template writes HTML, and it escapes everything.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

KIND_PLAIN = ""
KIND_ABSENT = "absent"
KIND_WARNING = "warning"


MOST_ROWS = 400
"""No table on the page is longer; the number left out and the file that holds them are named."""

LONG_ENTRY = 48
"""Entries of more characters may be broken into lines, in the first column too."""


@dataclass(frozen=True)
class Text:
    """A paragraph; `kind` is '', 'absent' (evidence that is not there) or 'warning'."""

    text: str
    kind: str = KIND_PLAIN
    block: str = "text"


@dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    text: str
    block: str = "heading"


@dataclass(frozen=True)
class Cell:
    """An entry of a table: its text, further lines in small type, and its look ('', 'best', 'good', 'bad', 'head')."""

    text: str
    small: Sequence[str] = ()
    look: str = ""


@dataclass(frozen=True)
class Table:
    """A table with its caption; `numeric` counts the columns at the right that are aligned as numbers."""

    caption: str
    header: Sequence[Cell]
    rows: Sequence[Sequence[Cell]]
    numeric: int = 0
    note: str = ""
    block: str = "table"


@dataclass(frozen=True)
class Picture:
    """An image inside the page."""

    uri: str
    alt: str
    caption: str
    title: str = ""
    block: str = "picture"


@dataclass(frozen=True)
class Facts:
    """Pairs of a name and a value."""

    pairs: Sequence[tuple[str, str]]
    block: str = "facts"


@dataclass(frozen=True)
class Code:
    """Text shown as it stands in a file."""

    text: str
    block: str = "code"


@dataclass(frozen=True)
class Fold:
    """Blocks behind a line that opens when clicked."""

    title: str
    blocks: Sequence[Block]
    block: str = "fold"


Block = Text | Heading | Table | Picture | Facts | Code | Fold


@dataclass(frozen=True)
class Section:
    """A part of the page with its own anchor."""

    anchor: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Tile:
    """A number in the head of the page: what it is, the number, and what belongs to it."""

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class Headline:
    """The head of the page.

    Attributes:
        title: Title of the page.
        subtitle: What was translated, on whom, by which protocol.
        verdicts: One sentence each, with its outcome: beats, hint, not, worse, one or unknown.
        tiles: Numbers.
        statement: The sentence that synthetic images are marked and are not for diagnosis.
    """

    title: str
    subtitle: str
    verdicts: Sequence[tuple[str, str]]
    tiles: Sequence[Tile]
    statement: str


def plain_rows(rows: Iterable[Iterable[object]]) -> list[list[Cell]]:
    """Rows of text or numbers as cells."""
    return [[Cell(str(value)) for value in row] for row in rows]


def frame_table(table: pd.DataFrame, caption: str, bad_word: tuple[str, ...] = ()) -> Table:
    """A data frame as a table; columns without a message are left out, rows beyond `MOST_ROWS` are counted.

    Args:
        table: The frame.
        caption: Its caption.
        bad_word: Entries shown as bad news.
    """
    table = table.drop(columns=[name for name in table if name == "message" and table[name].isna().all()])
    rows = []
    for record in table.head(MOST_ROWS).itertuples(index=False):
        texts = [_entry(value) for value in record]
        rows.append([Cell(text, look=_look(text, bad_word)) for text in texts])
    left_out = len(table) - len(rows)
    note = f"{left_out} further rows are not shown on this page; the file holds them." if left_out else ""
    return Table(caption, [Cell(str(column)) for column in table.columns], rows, note=note)


def _look(text: str, bad_word: tuple[str, ...]) -> str:
    if text in bad_word:
        return "bad"
    return "long" if len(text) > LONG_ENTRY else ""


def render(headline: Headline, sections: Sequence[Section], version: str) -> str:
    """The page as HTML: no script, no address outside the page, everything escaped.

    Args:
        headline: Its head.
        sections: Its parts, in order.
        version: Version of Recontrast, named at the foot.
    """
    with importlib.resources.as_file(importlib.resources.files("recontrast.reporting") / "template") as folder:
        environment = Environment(
            loader=FileSystemLoader(folder),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        css = (folder / "report.css").read_text(encoding="utf-8")
        template = environment.get_template("report.html")
        return template.render(headline=headline, sections=sections, version=version, css=css)


def _entry(value: Any) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return "n/a"
    return f"{value:.5g}".replace("-", "−") if isinstance(value, float) else str(value)
