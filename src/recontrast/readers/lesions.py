"""Marks of one reader in two arms: which lesions were found in both, which only in one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from recontrast.evaluation.statistics import mcnemar
from recontrast.readers.decode import counting
from recontrast.readers.study import Question, Study


def match_marks(
    first: Sequence[Sequence[float]], second: Sequence[Sequence[float]], within_mm: float
) -> list[tuple[int, int]]:
    """Pairs of marks that are one lesion: each mark in one pair at most, as many pairs as possible, the nearest ones.

    Args:
        first: World coordinates, mm.
        second: The same.
        within_mm: Farther marks are different lesions.

    Example:
        >>> match_marks([[0, 0, 0], [50, 0, 0]], [[48, 0, 0]], 10.0)
        [(1, 0)]
    """
    if not len(first) or not len(second):
        return []
    distance = np.linalg.norm(np.asarray(first, float)[:, None] - np.asarray(second, float)[None], axis=2)
    far = 1e6  # more than any sum of distances that count: number of pairs first, distance second
    rows, columns = linear_sum_assignment(np.where(distance <= within_mm, distance, far))
    return [(int(a), int(b)) for a, b in zip(rows, columns, strict=True) if distance[a, b] <= within_mm]


def lesion_table(answers: pd.DataFrame, study: Study, question: Question, other: str) -> pd.DataFrame:
    """For each reader the lesions of the acquired arm and of another: both, only one, and McNemar's test.

    As table 4 of Tagawa 2025; a lesion is a mark in one arm, or two marks within `within_mm` in both.
    """
    counted = counting(answers, question.name)
    rows: list[dict[str, Any]] = []
    for reader, own in counted.groupby("reader", sort=False):
        marks = {(row["case"], row["arm"]): json.loads(row["value"]) for row in own.to_dict("records")}
        cases = sorted({case for case, _ in marks if (case, study.acquired) in marks and (case, other) in marks})
        both = only_acquired = only_other = 0
        for case in cases:
            acquired, computed = marks[case, study.acquired], marks[case, other]
            pairs = len(match_marks(acquired, computed, question.within_mm))
            both, only_acquired = both + pairs, only_acquired + len(acquired) - pairs
            only_other += len(computed) - pairs
        found = [True] * (both + only_acquired) + [False] * only_other
        also = [True] * both + [False] * only_acquired + [True] * only_other
        rows.append(
            {
                "question": question.name, "reader": reader, "cases": len(cases),
                f"detected {study.acquired}": both + only_acquired, f"detected {other}": both + only_other,
                "both": both, f"only {study.acquired}": only_acquired, f"only {other}": only_other,
                "p": mcnemar(found, also).p,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)
