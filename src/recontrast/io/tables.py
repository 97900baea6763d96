"""Tab-separated tables as BIDS has them: a header line, `n/a` for what is absent."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from recontrast.atomic import atomic_file
from recontrast.errors import FormatError

if TYPE_CHECKING:  # a third of a second at the start of every worker that writes no table
    import pandas as pd

ABSENT = "n/a"

_LARGEST = 2**30
_BYTE = re.compile(r"\\u(dc[89a-f][0-9a-f])")


def read_table(path: Path, text_columns: tuple[str, ...] = ()) -> pd.DataFrame:
    """Read a TSV file; `n/a` becomes missing.

    Args:
        path: The file.
        text_columns: Columns kept as text even when they look like numbers (subject labels such as `01`); file names
            that are not UTF-8 are in them as they were.

    Raises:
        FormatError: The file is absent or is not a table.
    """
    import pandas as pd

    if not path.is_file():
        raise FormatError(f"{path}: no such table")
    if path.stat().st_size > _LARGEST:
        raise FormatError(f"{path}: has {path.stat().st_size} bytes, more than any table of ours ({_LARGEST} at most)")
    try:
        table = pd.read_csv(
            path, sep="\t", na_values=[ABSENT], keep_default_na=False, dtype=dict.fromkeys(text_columns, str)
        )
    except (ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise FormatError(f"{path}: cannot be read as a tab-separated table ({reason})") from error
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror or error})") from error
    for column in text_columns:
        if column in table and any(_BYTE.search(text) for text in table[column].dropna()):
            table[column] = table[column].astype(object).map(_with_bytes, na_action="ignore")
    return table


def require_columns(path: Path, table: pd.DataFrame, columns: Iterable[str]) -> None:
    """Raise `FormatError` when a table read from `path` lacks one of `columns`."""
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise FormatError(f"{path}: has no column {', '.join(missing)}; it has {', '.join(map(str, table.columns))}")


def write_table(path: Path, table: pd.DataFrame) -> None:
    r"""Write a TSV file, atomically; missing values become `n/a`, numbers keep 10 significant digits.

    Bytes of file names that are not UTF-8 are written as `\udce9`.
    """
    with atomic_file(path) as partial:
        table.to_csv(
            partial, sep="\t", index=False, na_rep=ABSENT, float_format="%.10g", lineterminator="\n",
            errors="backslashreplace",
        )  # fmt: skip


def _with_bytes(text: str) -> str:
    r"""The text with bytes of file names as Python has them, where `write_table` wrote them as `\udce9`."""
    return _BYTE.sub(lambda found: chr(int(found[1], 16)), text)
