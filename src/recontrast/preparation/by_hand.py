"""What people wrote down for `prepare`: slices and grades of single cases, and whether these cases exist."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from recontrast.errors import ConfigError, RecontrastWarning
from recontrast.preparation.slices import read_slice_table
from recontrast.preparation.tiers import read_grades

Spans = Mapping[str, tuple[int, int]]
Grades = Mapping[tuple[str, str], Mapping[str, Any]]


def read_by_hand(
    slices: Path | None, grades: Path | None, there: Mapping[str, Collection[str]]
) -> tuple[Spans, Grades]:
    """Slices of each case, and grades of each case and contrast, as people chose them.

    A table may be of a larger data set: rows that mean none of the images are told of. A table of which not one row
    means an image is a mistake.

    Args:
        slices: Table of `--slices`; see `read_slice_table`.
        grades: Table of `--grades`; see `read_grades`.
        there: Key of each case of the data set to the labels of its contrasts.

    Raises:
        FormatError: A table cannot be read.
        ConfigError: No row of a table means an image of these cases.

    Example:
        >>> read_by_hand(None, None, {"sub-01": ["T1w"]})
        ({}, {})
    """
    spans = {} if slices is None else read_slice_table(slices)
    graded = {} if grades is None else read_grades(grades)
    written = f"cases are written as {min(there, default='sub-01')}"
    _require_meant(f"--slices {slices}", [f"case '{case}'" for case in spans if case not in there], len(spans), written)
    strange = [f"case '{case}', contrast '{name}'" for case, name in graded if name not in there.get(case, ())]
    labels = ", ".join(sorted({label for labels in there.values() for label in labels}))
    _require_meant(f"--grades {grades}", strange, len(graded), f"{written}, contrasts as {labels}")
    return spans, graded


def _require_meant(table: str, strange: list[str], rows: int, written: str) -> None:
    if not strange:
        return
    said = f"{table}: {len(strange)} of {rows} rows mean no image of this data set, for example {strange[0]}; {written}"
    if len(strange) == rows:
        raise ConfigError(said)
    warnings.warn(said, RecontrastWarning, stacklevel=4)
