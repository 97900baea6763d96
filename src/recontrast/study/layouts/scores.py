"""Scores of images: each published entry beside ours, mean ± SD over subjects with the interval of the mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from recontrast.config import to_plain
from recontrast.evaluation.protocols import PROTOCOLS
from recontrast.evaluation.statistics import bootstrap_interval
from recontrast.reporting.numbers import Measure, decimals_for, interval, number
from recontrast.study import volumes
from recontrast.study.compare import Finding, bounds_of, directions_of, mean_over, values_by_direction
from recontrast.study.layouts import LAYOUTS
from recontrast.study.settings import Published
from recontrast.study.volumes import is_volume


@LAYOUTS.register("scores")
def scores(published: Published, tested: Sequence[Finding], directions: Sequence[str]) -> pd.DataFrame:
    """One row a published row; for each metric the published entry and ours.

    Args:
        published: The paper's table.
        tested: What was scored on the test subjects.
        directions: All directions of the study, scored or not.
    """
    rows = []
    titles = [title(column, published.protocol, mixed=True) for column in published.metrics]
    mixed = any(row.metrics for row in published.rows) and len(set(titles)) == len(titles)
    for row in published.rows:
        metrics = row.metrics or published.metrics
        line = {"": row.label}
        for theirs, metric, column in zip(row.values, metrics, published.metrics, strict=False):
            name = title(column, published.protocol, mixed=mixed)
            line[f"{name}, paper"] = theirs
            parts = values_by_direction(tested, row.ours, published.protocol, metric, published.region)
            wanted = directions_of(directions, row.ours)
            line[f"{name}, ours"] = entry(mean_over(parts), bounds_of(metric, published.protocol)) + share(
                len(parts), len(wanted)
            )
        rows.append(line)
    return pd.DataFrame(rows).fillna("")


def title(label: str, protocol: str, *, mixed: bool = False) -> str:
    """Name, unit and direction of a column; of the metric where it has several labels (`mixed`, or a mean of them).

    >>> title("rmse", "hagiwara2019")
    'RMSE (native units) ↓'
    """
    if is_volume(label):
        return volumes.title(label)
    measure = Measure.of(label.partition("+")[0], to_plain(PROTOCOLS.get(protocol)))
    return (replace(measure, label=measure.metric) if mixed or "+" in label else measure).title


def share(scored: int, directions: int) -> str:
    """Over how many directions a row is the mean, where it lacks some: it is not comparable with rows of all.

    >>> share(2, 3), share(3, 3)
    (', 2 of 3 directions', '')
    """
    return f", {scored} of {directions} directions" if 0 < scored < directions else ""


def entry(values: pd.Series[float] | None, bounds: tuple[float, float]) -> str:
    """Mean ± SD over subjects and the interval of the mean, within bounds; a dash where nothing was scored.

    >>> entry(pd.Series([1.0, 2.0, 3.0, 4.0]), (0.5, 9.0))
    '2.500 ± 1.291 [0.500, 4.554] n=4'
    """
    if values is None or not len(values):
        return "—"
    digits = decimals_for([values.mean()], 4)
    mean = number(values.mean(), digits)
    if len(values) == 1:
        return f"{mean} n=1"
    found = bootstrap_interval(values.tolist()).within(bounds)
    ends = interval(found.low, found.high, digits) if found.exists else "no interval"
    return f"{mean} ± {number(values.std(ddof=1), digits)} {ends} n={len(values)}"
