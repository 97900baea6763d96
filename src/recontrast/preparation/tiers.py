"""Good, medium or low: grades of single images as in Bottani 2024, computed, and overridden by people's grades."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recontrast.errors import FormatError
from recontrast.io.tables import read_table, require_columns

TIERS = ("good", "medium", "low")
REJECT = "reject"
"""Tier that only people give: the image is not to be used."""

GRADES = ("grade_contrast", "grade_motion", "grade_noise")
TIER_COLUMNS = (*GRADES, "tier", "graded_by", "gadolinium")
"""Columns of `quality.tsv` that `grade_image` fills."""


@dataclass(frozen=True, kw_only=True)
class TierSettings:
    """Limits between the grades 0, 1 and 2 of each figure."""

    snr: tuple[float, float] = (12.0, 6.0)
    """noise: below the first 1, below the second 2"""

    tissue_contrast: tuple[float, float] = (0.12, 0.06)
    """contrast: below the first 1, below the second 2"""

    ghosting: tuple[float, float] = (0.04, 0.10)
    """motion: above the first 1, above the second 2"""

    bright_share: float = 0.006
    """a larger share of the brain clearly brighter than white matter in a plain T1w: contrast agent is suspected"""


def grade_image(
    figures: Mapping[str, Any],
    contrast: str,
    declared: bool,
    human: Mapping[str, Any] | None = None,
    settings: TierSettings | None = None,
) -> dict[str, Any]:
    """Grades and tier of one image.

    Contrast, motion and noise are graded 0 (good), 1 or 2 each; any 2 makes the tier low, else any 1 medium, else it is
    good (Bottani et al 2024). The paper's grades are given by people and a network; these come from three figures
    and limits of ours. A figure that could not be told grades 0. What a person gave wins.

    Args:
        figures: `snr`, `tissue_contrast`, `ghosting`, `bright_share`; None where not known.
        contrast: Label of the contrast.
        declared: Whether the header says that a contrast agent was given.
        human: A person's row: grades, tier, gadolinium; only what is there counts.
        settings: Limits.

    Returns:
        The `TIER_COLUMNS`; gadolinium is yes (by name), suspected, no, or None where it cannot be told.

    Example:
        >>> row = {"snr": 30.0, "tissue_contrast": 0.2, "ghosting": 0.05, "bright_share": 0.0}
        >>> grade_image(row, "T1w", declared=False)["tier"]
        'medium'
    """
    settings = settings or TierSettings()
    human = dict(human or {})
    grades = {
        "grade_contrast": _below(figures.get("tissue_contrast"), settings.tissue_contrast),
        "grade_motion": _above(figures.get("ghosting"), settings.ghosting),
        "grade_noise": _below(figures.get("snr"), settings.snr),
    }
    grades.update({name: int(human[name]) for name in GRADES if _given(human.get(name))})
    tier = str(human["tier"]) if _given(human.get("tier")) else TIERS[max(grades.values())]
    named = "ce-" in contrast
    suspected = declared or (figures.get("bright_share") or 0.0) > settings.bright_share
    known = figures.get("bright_share") is not None or declared
    gadolinium: str | None = "yes" if named else ("suspected" if suspected else "no") if known else None
    if _given(human.get("gadolinium")):
        gadolinium = str(human["gadolinium"])
    return {**grades, "tier": tier, "graded_by": "person" if human else "computed", "gadolinium": gadolinium}


def read_grades(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Grades that people gave: (case, contrast) to what is in the row.

    The table (TSV) has the columns case and contrast and any of grade_contrast, grade_motion, grade_noise (0, 1, 2),
    tier (good, medium, low; reject: not to be used) and gadolinium (yes, no).

    Raises:
        FormatError: The table cannot be read, or a value is none of these.
    """
    table = read_table(path, text_columns=("case", "contrast", "tier", "gadolinium"))
    require_columns(path, table, ("case", "contrast"))
    allowed: dict[str, tuple[Any, ...]] = {
        **dict.fromkeys(GRADES, (0, 1, 2)),
        "tier": (*TIERS, REJECT),
        "gadolinium": ("yes", "no"),
    }
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for record in table.to_dict("records"):
        key = str(record["case"]), str(record["contrast"])
        row = {name: record[name] for name in allowed if name in record and _given(record[name])}
        for name, value in row.items():
            if value not in allowed[name]:
                choices = ", ".join(map(str, allowed[name]))
                raise FormatError(f"{path}: {key[0]} {key[1]}: {name} is '{value}', must be one of {choices}")
        if key in rows:
            raise FormatError(f"{path}: {key[0]} {key[1]} has two rows; keep one")
        if row:
            rows[key] = row
    return rows


def _given(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value)) and value == value


def _below(value: Any, limits: tuple[float, float]) -> int:
    return 0 if value is None else int(value < limits[0]) + int(value < limits[1])


def _above(value: Any, limits: tuple[float, float]) -> int:
    return 0 if value is None else int(value > limits[0]) + int(value > limits[1])
