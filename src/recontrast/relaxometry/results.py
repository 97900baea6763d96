"""What `quantify` and `synthesize` leave in their folders: nothing outdated, and what became of each case."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from recontrast.io.bids import Case, sidecar_path
from recontrast.io.tables import read_table, require_columns, write_table

TABLE = "cases.tsv"
COLUMNS = ("case", "subject", "session", "status", "message")
"""Columns of the table; status is ok or failed."""


def forget(images: Iterable[Path]) -> None:
    """Remove outdated images, each after its sidecar, so that none of them stands for one that cannot be made."""
    for image in images:
        sidecar_path(image).unlink(missing_ok=True)
        image.unlink(missing_ok=True)


def write_cases(out: Path, cases: Iterable[Case], failed: Mapping[str, str]) -> None:
    """Write the table: these cases, and those of an earlier run that are not among them.

    Args:
        out: Folder of the data set.
        cases: Those of this run.
        failed: Key of a case to the reason why nothing was made for it.

    Raises:
        FormatError: A table of that name is there and is another one.
        OutputError: It cannot be written.
    """
    import pandas as pd

    now = {case.key: case for case in cases}
    rows = [
        {
            "case": key,
            "subject": case.subject,
            "session": case.session,
            "status": "failed" if key in failed else "ok",
            "message": failed.get(key),
        }
        for key, case in now.items()
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)
    if (out / TABLE).is_file():
        before = read_table(out / TABLE, text_columns=COLUMNS)
        require_columns(out / TABLE, before, COLUMNS)
        table = pd.concat([before.loc[~before["case"].isin(now), list(COLUMNS)].astype(object), table])
    write_table(out / TABLE, table.sort_values("case", kind="stable"))


def read_failed(folder: Path) -> dict[Case, str]:
    """Cases that failed by the table of a folder, with the reason; none where there is no such table.

    Raises:
        FormatError: The table is damaged.

    Example:
        >>> read_failed(Path("no-such-folder"))
        {}
    """
    path = folder / TABLE
    if not path.is_file():
        return {}
    table = read_table(path, text_columns=COLUMNS)
    if not set(COLUMNS) <= set(table.columns):
        return {}
    failed = table[table["status"] == "failed"]
    messages = failed["message"].fillna("it failed")
    return {Case.parse(key): str(message) for key, message in zip(failed["case"], messages, strict=True)}
