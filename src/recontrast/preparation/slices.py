"""Which axial slices show brain: a rule, and a table by hand that overrides it (Tagawa 2025 chose by hand)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recontrast.errors import FormatError, GeometryError
from recontrast.io.tables import read_table, require_columns
from recontrast.volume import Volume


@dataclass(frozen=True, kw_only=True)
class SliceSettings:
    """When a slice counts as a brain slice."""

    least_mm2: float = 500.0
    """area of brain it must show at least, mm²"""


def brain_slices(brain: Volume, settings: SliceSettings | None = None, what: str = "image") -> tuple[int, int]:
    """First and last axial slice that show enough brain.

    Args:
        brain: Brain mask; its third axis runs from inferior to superior (RAS).
        settings: See `SliceSettings`.
        what: Names the case in messages.

    Returns:
        Indices along the third axis, both included.

    Raises:
        GeometryError: No slice shows enough brain.

    Example:
        >>> mask = np.zeros((30, 30, 5), bool)
        >>> mask[:, :, 2:4] = True
        >>> brain_slices(Volume(mask, np.eye(4)))
        (2, 3)
    """
    settings = settings or SliceSettings()
    area = brain.data.astype(bool).sum(axis=(0, 1)) * brain.spacing[0] * brain.spacing[1]
    found = np.flatnonzero(area >= settings.least_mm2)
    if not found.size:
        raise GeometryError(
            f"{what}: no axial slice shows {settings.least_mm2:g} mm² of brain or more; "
            "name its slices by hand (--slices), or leave the case out"
        )
    return int(found[0]), int(found[-1])


def read_slice_table(path: Path) -> dict[str, tuple[int, int]]:
    """Slices chosen by hand: case to first and last axial slice, both included, counted from 0 at the lowest.

    The table (TSV) has the columns case, first, last. Cases that are not in it keep the rule.

    Raises:
        FormatError: The table cannot be read, or a row makes no sense.
    """
    table = read_table(path, text_columns=("case",))
    require_columns(path, table, ("case", "first", "last"))
    chosen: dict[str, tuple[int, int]] = {}
    for case, first, last in zip(table["case"], table["first"], table["last"], strict=True):
        try:
            span = int(first), int(last)
        except (TypeError, ValueError):
            raise FormatError(f"{path}: {case}: first '{first}' and last '{last}' must be whole numbers") from None
        if not 0 <= span[0] <= span[1] or case in chosen:
            raise FormatError(f"{path}: {case}: first {first}, last {last}; each case once, 0 <= first <= last")
        chosen[str(case)] = span
    return chosen


def slices_of(brain: Volume, span: tuple[int, int] | None, what: str = "image") -> tuple[int, int]:
    """Slices of a case: those chosen by hand where there are any, else by `brain_slices`.

    Args:
        brain: Brain mask on the grid that is cut; its third axis runs from inferior to superior (RAS).
        span: First and last axial slice, both included, chosen by hand; None: the rule.
        what: Names the case in messages.

    Raises:
        GeometryError: The grid has no such slice, or none shows enough brain.

    Example:
        >>> slices_of(Volume(np.ones((30, 30, 5), bool), np.eye(4)), (1, 3))
        (1, 3)
    """
    if span is None:
        return brain_slices(brain, what=what)
    first, last = span
    if not 0 <= first <= last < brain.shape[2]:
        raise GeometryError(
            f"{what}: slices {first} to {last} are asked for (--slices), the grid has 0 to {brain.shape[2] - 1}"
        )
    return span
