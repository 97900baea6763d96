"""Check the orderings a paper claims: paired differences over test subjects, with their interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from recontrast.errors import RecontrastError
from recontrast.evaluation.protocols import PROTOCOLS
from recontrast.evaluation.scores import SYNTHETIC
from recontrast.evaluation.statistics import Interval, bootstrap_interval, of_differences, paired_test, shapiro_wilk
from recontrast.io.tables import read_table
from recontrast.metrics import METRICS
from recontrast.study import volumes
from recontrast.study.score import primary_region, read_scores, subject_values
from recontrast.study.settings import Ordering, Side
from recontrast.study.volumes import heads_of_subjects, higher_is_better, is_scaled_by_head, is_volume, volume_values

TABLE = "orderings.tsv"
AGREES, DISAGREES, UNDECIDED, ABSENT = "agrees", "disagrees", "undecided", "not tested"


@dataclass(frozen=True)
class Finding:
    """A translator that was scored on the test subjects.

    Attributes:
        direction: Name of its direction.
        method: Name of its method.
        rule: Metric that chose it; empty: the study's own choice.
        candidate: Its name.
        evaluations: Protocol to evaluation folder.
        tiers: Subject (`sub-01`) to the quality of its source: good (or medium) or low.
        learned: Whether anything was; not where the images are the cases' own.
    """

    direction: str
    method: str
    rule: str
    candidate: str
    evaluations: Mapping[str, Path]
    tiers: Mapping[str, str] = field(default_factory=dict)
    learned: bool = True

    def values(self, side: Side, protocol: str, metric: str, region: str) -> pd.Series[float]:
        """One value a subject of the side's estimator and tier; `volumes.avd` and the like come from its volumes."""
        evaluation = self.evaluations[protocol]
        region = region or primary_region(evaluation)
        if is_volume(metric):
            values = volume_values(evaluation, metric, region)
        else:
            values = subject_values(read_scores(evaluation), metric, region, side.estimator)
        if side.tier:
            values = values[[self.tiers.get(str(subject)) == side.tier for subject in values.index]]
        return values


def values_by_direction(
    tested: Sequence[Finding], side: Side, protocol: str, metric: str, region: str = ""
) -> dict[str, pd.Series[float]]:
    """Values of one side, subject by subject, in each direction that it was scored for.

    One of several methods takes the first (a control is the same for every method).
    """
    scored = _scored(tested, side, protocol)
    parts = {direction: item.values(side, protocol, metric, region) for direction, item in scored.items()}
    return {direction: values for direction, values in parts.items() if len(values)}


def _scored(tested: Sequence[Finding], side: Side, protocol: str) -> dict[str, Finding]:
    """What stands for a side in each direction that it was scored for."""
    found = {}
    for direction in directions_of(list(dict.fromkeys(item.direction for item in tested)), side):
        fits = [t for t in tested if t.direction == direction and side.method in ("", t.method) and t.rule == side.rule]
        if fits and protocol in fits[0].evaluations:
            found[direction] = fits[0]
    return found


def directions_of(directions: Sequence[str], side: Side) -> list[str]:
    """Those of some directions that a side stands for: its own, or all."""
    return [name for name in directions if side.direction in ("", name)]


def mean_over(parts: Mapping[str, pd.Series[float]]) -> pd.Series[float] | None:
    """Mean over directions, of the subjects that all of them have; None where there is no direction."""
    if not parts:
        return None
    return pd.concat(list(parts.values()), axis=1).mean(axis=1, skipna=False).dropna()


def bounds_of(label: str, protocol: str) -> tuple[float, float]:
    """Lowest and highest value of a metric, or of the mean of several.

    >>> bounds_of("ssim_axial+ssim_coronal", "grantjacob2021"), bounds_of("volumes.dice", "recontrast")
    ((-1.0, 1.0), (0.0, 1.0))
    """
    if is_volume(label):
        return volumes.bounds(label)
    each = [METRICS.get(PROTOCOLS.get(protocol).use(one).metric).bounds for one in label.split("+")]
    return sum(low for low, _ in each) / len(each), sum(high for _, high in each) / len(each)


def check_orderings(
    orderings: Sequence[Ordering], tested: Sequence[Finding], directions: Sequence[str]
) -> pd.DataFrame:
    """One row a claim: difference of better - worse in the paper's favour, its interval, and what that says.

    Beside it, as papers print it: change of the mean in per cent, Wilcoxon's signed-rank p (two-sided, not corrected
    for the number of claims) and Shapiro-Wilk's p of the differences.

    AVD and VD are brought to the mean head of the compared subjects, whatever failed in each evaluation.

    A claim whose better side names no method is checked for each method by itself. One over all directions is checked
    over those that both sides were scored for; `without` names the others.

    Args:
        orderings: The claims.
        tested: What was scored on the test subjects.
        directions: All directions of the study, scored or not.
    """
    rows = []
    for ordering in orderings:
        methods = dict.fromkeys(t.method for t in tested if t.learned)
        each = [ordering.better.method] if ordering.better.method else list(methods) or [""]
        for method in each:
            rows.append(_check(ordering, method, tested, directions))
    columns = ["claim", "where", "method", "protocol", "region", "metric", "better", "worse", "subjects", "difference",
               "ci_low", "ci_high", "verdict", "interval", "change_percent", "wilcoxon_p", "shapiro_p",
               "margin", "without"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _check(ordering: Ordering, method: str, tested: Sequence[Finding], directions: Sequence[str]) -> dict[str, object]:
    direction = ordering.better.direction or (directions[0] if len(directions) == 1 else "")
    better = Side(**{**vars(ordering.better), "method": method, "direction": direction})
    other = ordering.worse
    filled = {"method": other.method or method, "direction": other.direction or better.direction}
    worse = Side(**{**vars(other), **filled, "tier": other.tier or better.tier})
    protocol = PROTOCOLS.get(ordering.protocol)
    metric = ordering.metric or protocol.primary_metric
    row: dict[str, object] = {
        "claim": ordering.claim, "where": ordering.where, "method": "" if ordering.better.method else method,
        "protocol": ordering.protocol,
        "metric": metric, "region": ordering.region or "primary", "verdict": ABSENT,
        "margin": ordering.margin, "without": "",
    }  # fmt: skip
    try:
        parts, others = (
            values_by_direction(tested, side, ordering.protocol, metric, ordering.region) for side in (better, worse)
        )
        bounds = of_differences(bounds_of(metric, ordering.protocol))
        if is_volume(metric):
            higher = higher_is_better(metric)
        else:
            higher = all(protocol.higher_is_better(label) for label in metric.split("+"))
    except RecontrastError as error:
        return row | {"interval": str(error), "subjects": 0}
    sides = ((better, parts), (worse, others))
    lacking = {name for side, scored in sides for name in directions_of(directions, side) if name not in scored}
    row["without"] = ", ".join(name for name in directions if name in lacking)
    if parts and others and not better.direction and not worse.direction:
        both = [name for name in parts if name in others]
        if not both:
            return row | {"interval": "no direction was scored for both sides", "subjects": 0}
        parts, others = ({name: side[name] for name in both} for side in (parts, others))
        if len(both) == 1:
            better, worse = (Side(**{**vars(side), "direction": both[0]}) for side in (better, worse))
    first, second = mean_over(parts), mean_over(others)
    shared = first.index.intersection(second.index) if first is not None and second is not None else pd.Index([])
    if is_scaled_by_head(metric) and len(shared):
        first, second = (
            mean_over(_on_one_head(values, shared, _scored(tested, side, ordering.protocol), ordering))
            for side, values in ((better, parts), (worse, others))
        )
        shared = first.index.intersection(second.index) if first is not None and second is not None else shared[:0]
    if first is None or second is None or not len(shared):
        side = better if first is None else worse
        return row | {"interval": f"nothing was scored for {in_words(side)} by {ordering.protocol}", "subjects": 0}
    difference = (first[shared] - second[shared]) * (1 if higher else -1)
    interval = bootstrap_interval(difference.tolist()).within(bounds)
    if not interval.exists:
        interval = _within_subject(tested, better, worse, ordering, metric, higher) or interval
    if not interval.exists:
        verdict = UNDECIDED
    else:
        limit = -ordering.margin
        verdict = AGREES if interval.low > limit else DISAGREES if interval.high < limit else UNDECIDED
    before = float(second[shared].mean())
    return row | {
        "change_percent": 100 * (float(first[shared].mean()) - before) / abs(before) if before else float("nan"),
        "wilcoxon_p": paired_test(difference.tolist()).p, "shapiro_p": shapiro_wilk(difference.tolist()).p,
        "better": float(first[shared].mean()), "worse": before, "subjects": len(shared),
        "difference": float(difference.mean()), "ci_low": interval.low, "ci_high": interval.high,
        "verdict": verdict, "interval": interval.over,
    }  # fmt: skip


def _on_one_head(
    parts: Mapping[str, pd.Series[float]], subjects: pd.Index[Any], scored: Mapping[str, Finding], ordering: Ordering
) -> dict[str, pd.Series[float]]:
    """Volumes on the mean head of the compared subjects: each evaluation scaled them by that of its own cases."""
    scaled = {}
    for direction, values in parts.items():
        evaluation = scored[direction].evaluations[ordering.protocol]
        heads = heads_of_subjects(evaluation, ordering.region or primary_region(evaluation))
        scaled[direction] = values * float(heads[heads.index.isin(subjects)].mean())
    return scaled


def _within_subject(
    tested: Sequence[Finding], better: Side, worse: Side, ordering: Ordering, metric: str, higher: bool
) -> Interval | None:
    """With one test subject, and a control on the other side: the evaluation's interval over slabs of that subject."""
    if better.tier or is_volume(metric):
        return None  # the evaluation's interval is over all its subjects, and over scores
    same = better.direction and (worse.direction, worse.method, worse.rule) == (
        better.direction, better.method, better.rule,
    )  # fmt: skip
    fits = [t for t in tested if (t.direction, t.method, t.rule) == (better.direction, better.method, better.rule)]
    if not same or not fits or better.estimator != SYNTHETIC:
        return None
    folder = fits[0].evaluations[ordering.protocol]
    table = read_table(folder / "statistics.tsv", text_columns=("estimator", "region", "metric", "control", "interval"))
    region = ordering.region or primary_region(folder)
    wanted = {"estimator": SYNTHETIC, "control": worse.estimator, "metric": metric, "region": region}
    rows = table.loc[(table[list(wanted)] == pd.Series(wanted)).all(axis=1)].to_dict("records")
    if not rows or pd.isna(rows[0]["difference_ci_low"]):
        return None
    ends = sorted((1 if higher else -1) * float(rows[0][f"difference_ci_{end}"]) for end in ("low", "high"))
    return Interval(ends[0], ends[1], str(rows[0]["interval"]))


def in_words(side: Side) -> str:
    """A side in words.

    >>> in_words(Side(method="unit", direction="T1w-T2w"))
    'unit T1w-T2w'
    """
    chosen = f"chosen by {side.rule}" if side.rule else ""
    tier = f"{side.tier} sources" if side.tier else ""
    words = [side.method, side.direction, "" if side.estimator == SYNTHETIC else side.estimator, chosen, tier]
    return " ".join(word for word in words if word) or "all"
