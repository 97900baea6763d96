"""Quality ratings to tiers, in the table that `recontrast prepare --grades` reads; and the choice among candidates."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import pandas as pd

from recontrast.errors import RecontrastWarning
from recontrast.preparation.tiers import GRADES, REJECT, grade_image
from recontrast.readers.decode import counting, of
from recontrast.readers.study import Study

_VALUES = (0, 1, 2)
"""What a grade of quality can be."""


def grade_table(answers: pd.DataFrame, study: Study) -> pd.DataFrame:
    """One row a scan and reader: grades, tier (worst grade), gadolinium, reject; empty where nothing was graded.

    Bottani 2024: any 2 makes a scan low, else any 1 medium, else it is good; a rejected scan has no tier. What was not
    asked or not answered stays open: gadolinium is missing then, and a scan that lacks a grade, or the word whether it
    is rejected, has no row, which is said.
    """
    asked = [q for q in study.questions if q.kind in ("choice", "grade") and not q.sides]
    names = [question.name for question in asked]
    if not set(GRADES) <= {q.name for q in asked if set(q.values) <= set(_VALUES)}:
        return pd.DataFrame()
    counted = pd.concat([counting(answers, name) for name in names])
    needed = [*GRADES, *(["reject"] if "reject" in names else [])]
    rows: list[dict[str, Any]] = []
    lacking: list[str] = []
    for (reader, case, arm), own in counted.groupby(["reader", "case", "arm"], sort=True):
        given = {str(name): int(value) for name, value in zip(own["question"], own["value"], strict=True)}
        rejected = bool(given.get("reject"))
        missing = [name for name in needed if name not in given]
        if missing and not rejected:
            lacking.append(f"{reader} {case} {arm} ({', '.join(missing)})")
            continue
        grades = {name: given.get(name) for name in GRADES}
        gadolinium = None if "gadolinium" not in given else "yes" if given["gadolinium"] else "no"
        tier = REJECT if rejected else _tier(grades, str(arm))
        rows.append({"case": case, "contrast": arm, "reader": reader, **grades, "tier": tier, "gadolinium": gadolinium})
    if lacking:
        warnings.warn(
            f"{len(lacking)} ratings are left out of the table of quality, for a grade is missing: "
            + "; ".join(lacking[:5]) + ("; …" if len(lacking) > 5 else ""),
            RecontrastWarning,
            stacklevel=2,
        )  # fmt: skip
    return pd.DataFrame(rows).astype(dict.fromkeys(GRADES, "Int64")) if rows else pd.DataFrame()


def grades_for_prepare(grades: pd.DataFrame) -> pd.DataFrame:
    """One row a scan: the worst grade that any reader gave, gadolinium when any saw it.

    A scan that anybody rejected has the tier reject: without a row it would be graded by computer, and used.
    """
    rows = []
    for (case, contrast), own in grades.groupby(["case", "contrast"]):
        rejected = (own["tier"] == REJECT).any()
        worst = {name: None if own[name].isna().all() else int(own[name].max()) for name in GRADES}
        seen = next((word for word in ("yes", "no") if (own["gadolinium"] == word).any()), None)
        tier = REJECT if rejected else _tier(worst, str(contrast))
        rows.append({"case": case, "contrast": contrast, **worst, "tier": tier, "gadolinium": seen})
    table = pd.DataFrame(rows, columns=["case", "contrast", *GRADES, "tier", "gadolinium"])
    return table.astype(dict.fromkeys(GRADES, "Int64"))


def _tier(grades: Mapping[str, Any], contrast: str) -> str:
    return str(grade_image({}, contrast, declared=False, human=grades)["tier"])


def candidate_table(answers: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Candidates of Tagawa 2025: struck out when anybody saw a fault; the rest by quality."""
    if not {"wrong", "artefact", "quality"} <= {question.name for question in study.questions}:
        return pd.DataFrame()
    rows = []
    for arm in (arm.name for arm in study.arms):
        values = {
            name: of(counting(answers, name), arm=arm)["value"].astype(float)
            for name in ("wrong", "artefact", "quality")
        }
        struck = int(values["wrong"].sum() + values["artefact"].sum())
        rows.append(
            {
                "candidate": arm, "kept": "no" if struck else "yes", "wrong": int(values["wrong"].sum()),
                "artefact": int(values["artefact"].sum()), "quality": values["quality"].mean(),
                "sheets": len(values["quality"]),
            }
        )  # fmt: skip
    return pd.DataFrame(rows).sort_values(["kept", "quality"], ascending=[False, False], ignore_index=True)
