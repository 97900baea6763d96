"""Quality ratings to tiers, in the table that `recontrast prepare --grades` reads; and the choice among candidates."""

from __future__ import annotations

from typing import Any

import pandas as pd

from recontrast.preparation.tiers import GRADES, grade_image
from recontrast.readers.decode import counting, of
from recontrast.readers.study import Study


def grade_table(answers: pd.DataFrame, study: Study) -> pd.DataFrame:
    """One row a scan and reader: grades, tier (worst grade), gadolinium, reject; empty where nothing was graded.

    Bottani 2024: any 2 makes a scan low, else any 1 medium, else it is good; a rejected scan has no tier.
    """
    names = [question.name for question in study.questions if question.kind == "grade"]
    if not set(GRADES) <= set(names):
        return pd.DataFrame()
    counted = pd.concat([counting(answers, name) for name in names])
    rows: list[dict[str, Any]] = []
    for (reader, case, arm), own in counted.groupby(["reader", "case", "arm"], sort=True):
        given = dict(zip(own["question"], own["value"], strict=True))
        human = {name: int(given[name]) for name in GRADES if name in given}
        human["gadolinium"] = "yes" if given.get("gadolinium") else "no"  # type: ignore[assignment]
        graded = grade_image({}, str(arm), declared=False, human=human)
        rejected = bool(given.get("reject", 0))
        rows.append(
            {
                "case": case, "contrast": arm, "reader": reader, **{name: graded[name] for name in GRADES},
                "tier": "reject" if rejected else graded["tier"], "gadolinium": graded["gadolinium"],
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def grades_for_prepare(grades: pd.DataFrame) -> pd.DataFrame:
    """One row a scan: the worst grade that any reader gave, gadolinium when any saw it; rejected scans are left out."""
    rows = []
    for (case, contrast), own in grades.groupby(["case", "contrast"]):
        if (own["tier"] == "reject").any():
            continue
        worst = {name: int(own[name].max()) for name in GRADES}
        seen = "yes" if (own["gadolinium"] == "yes").any() else "no"
        tier = grade_image({}, str(contrast), declared=False, human=worst)["tier"]
        rows.append({"case": case, "contrast": contrast, **worst, "tier": tier, "gadolinium": seen})
    return pd.DataFrame(rows, columns=["case", "contrast", *GRADES, "tier", "gadolinium"])


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
