"""What people wrote down for `prepare`: slices and grades of single cases, and whether these cases exist."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from recontrast.errors import ConfigError, DataError, RecontrastWarning
from recontrast.io.bids import BidsImage, Case
from recontrast.preparation.slices import read_slice_table
from recontrast.preparation.tiers import REJECT, read_grades

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


def without_rejected(
    cases: Mapping[Case, list[BidsImage]], grades: Grades, contrasts: Collection[str]
) -> dict[Case, list[BidsImage]]:
    """The cases of which nobody rejected an image that is needed; the others are named in a warning.

    Args:
        cases: Cases with their images.
        grades: What people graded; see `read_by_hand`.
        contrasts: Labels of the contrasts that are needed.

    Raises:
        DataError: No case is left.

    Example:
        >>> without_rejected({}, {}, ["T1w"])
        {}
    """
    rejected = _rejected(grades, contrasts)
    keys = {key for key, _ in rejected}
    left = {case: images for case, images in cases.items() if case.key not in keys}
    if len(left) < len(cases):
        there = {case.key for case in cases}
        named = [f"{key} ({name})" for key, name in rejected if key in there]
        if not left:
            raise DataError(f"every case has an image that was rejected by hand: {', '.join(named[:5])}")
        warnings.warn(
            f"{len(cases) - len(left)} cases are left out, an image of theirs was rejected by hand: {', '.join(named)}",
            RecontrastWarning,
            stacklevel=3,
        )
    return left


def reasons_of_rejected(
    cases: Iterable[Case], grades: Grades, contrasts: Collection[str], table: Path | None
) -> dict[str, str]:
    """Key of each case that `without_rejected` leaves out, and why; arguments as there and for `require_not_rejected`.

    Example:
        >>> reasons_of_rejected([Case("01")], {("sub-01", "T1w"): {"tier": "reject"}}, ["T1w"], Path("grades.tsv"))
        {'sub-01': 'a person rejected T1w (tier reject in grades.tsv)'}
    """
    rejected = _rejected(grades, contrasts)
    images = {case.key: [name for key, name in rejected if key == case.key] for case in cases}
    return {
        key: f"a person rejected {', '.join(names)} (tier {REJECT} in {table})"
        for key, names in images.items()
        if names
    }


def require_not_rejected(
    asked: Mapping[str, Sequence[str]],
    cases: Mapping[str, Collection[str]],
    grades: Grades,
    contrasts: Collection[str],
    table: Path | None,
) -> None:
    """Refuse a subject that is named for a split and has no case left; without this it would be called unknown.

    Args:
        asked: Option (`--test`) to the subjects that it names, with or without `sub-`.
        cases: Subject to the keys of all its cases.
        grades: What people graded; see `read_by_hand`.
        contrasts: Labels of the contrasts that are needed.
        table: Where the grades were read.

    Raises:
        ConfigError: All cases of a named subject were rejected.

    Example:
        >>> require_not_rejected({"--test": ["01"]}, {"01": ["sub-01"]}, {}, ["T1w"], None)
    """
    rejected = dict(_rejected(grades, contrasts))
    for option, subjects in asked.items():
        for subject in (name.removeprefix("sub-") for name in subjects):
            keys = cases.get(subject, ())
            if keys and rejected.keys() >= set(keys):
                named = ", ".join(f"{key} ({rejected[key]})" for key in keys)
                raise ConfigError(
                    f"{option} sub-{subject}: left out, a person rejected {named} (tier {REJECT} in {table}); name "
                    "another subject, or change the tier there"
                )


def _rejected(grades: Grades, contrasts: Collection[str]) -> list[tuple[str, str]]:
    """Case and contrast of the images that are needed and that somebody rejected."""
    return [(key, name) for (key, name), row in grades.items() if row.get("tier") == REJECT and name in contrasts]


def _require_meant(table: str, strange: list[str], rows: int, written: str) -> None:
    if not strange:
        return
    said = f"{table}: {len(strange)} of {rows} rows mean no image of this data set, for example {strange[0]}; {written}"
    if len(strange) == rows:
        raise ConfigError(said)
    warnings.warn(said, RecontrastWarning, stacklevel=4)
