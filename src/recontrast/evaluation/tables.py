"""From scores of cases to the tables of an evaluation: `scores.tsv` and `statistics.tsv`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from recontrast.errors import ConfigError, DependencyError
from recontrast.evaluation.controls import in_words, is_oracle
from recontrast.evaluation.protocols import Protocol, require_one_protocol
from recontrast.evaluation.scores import BLOCK_MM, BLOCKS, OK, SYNTHETIC, Blocks, Record
from recontrast.evaluation.settings import PairedTest
from recontrast.evaluation.statistics import (
    FEWEST_FOR_BOOTSTRAP,
    RESAMPLES,
    Adjustment,
    Interval,
    Margin,
    adjust,
    bootstrap_interval,
    equivalence,
    hedges_g,
    margin_in_words,
    mixed_model,
    no_interval,
    non_inferiority,
    of_differences,
    paired_test,
    rank_biserial,
    sample_in_words,
    shapiro_wilk,
    verdict,
    verdict_in_words,
    within_subject_interval,
)
from recontrast.io.bids import Case
from recontrast.metrics import METRICS, Metric

STATISTICS_COLUMNS = (
    "estimator", "region", "metric", "protocol", "subjects", "sessions", "undefined", "missing", "mean", "sd", "median",
    "ci_low", "ci_high", "control", "difference", "difference_median", "difference_ci_low", "difference_ci_high",
    "hedges_g", "rank_biserial", "p", "p_unadjusted", "p_bonferroni", "p_benjamini_hochberg", "p_normality", "test",
    "better", "mixed_mean", "mixed_ci_low", "mixed_ci_high", "mixed_p", "mixed", "margin", "margin_name",
    "p_non_inferior", "non_inferior", "p_equivalent", "equivalent", "interval", "leak_check",
)  # fmt: skip
"""Columns of `statistics.tsv`. `difference` and what follows belong to rows that compare with a control. The `mixed`
columns are filled where a subject has several sessions, those of the margin where one was given."""


@dataclass(frozen=True)
class ScoredCase:
    """All values of one case.

    Attributes:
        case: Subject and session.
        records: Estimator to its values.
    """

    case: Case
    records: Mapping[str, Sequence[Record]]


@dataclass(frozen=True)
class _Cell:
    """One estimator, region and metric: for each subject its defined sessions."""

    region: str
    sessions: Mapping[str, Mapping[str, float]]
    blocks: Mapping[str, tuple[Blocks, ...]]
    undefined: int

    def values(self, other: _Cell | None = None) -> dict[str, tuple[float, ...]]:
        """Values of each subject's sessions; of differences in the sessions both have, where `other` is given."""
        if other is None:
            return {subject: tuple(found.values()) for subject, found in self.sessions.items()}
        both = {
            subject: tuple(
                value - other.sessions[subject][s] for s, value in found.items() if s in other.sessions[subject]
            )
            for subject, found in self.sessions.items()
            if subject in other.sessions
        }
        return {subject: values for subject, values in both.items() if values}


def scores_table(cases: Sequence[ScoredCase], protocol: Protocol, leak_check: str) -> pd.DataFrame:
    """One row for each value of each case, undefined ones included."""
    rows = [
        {
            "case": scored.case.key,
            "subject": f"sub-{scored.case.subject}",
            "session": scored.case.session,
            "estimator": estimator,
            "region": record.region,
            "metric": record.metric,
            "unit": record.unit,
            "value": record.value,
            "protocol": protocol.name,
            "status": record.status,
            "units": record.units,
            "units_undefined": record.units_undefined,
            "units_sd": record.units_sd,
            "leak_check": leak_check,
        }
        for scored in cases
        for estimator, records in scored.records.items()
        for record in records
    ]
    columns = (
        "case", "subject", "session", "estimator", "region", "metric", "unit", "value", "protocol", "status",
        "units", "units_undefined", "units_sd", "leak_check",
    )  # fmt: skip
    return pd.DataFrame(rows, columns=list(columns))


def combine_scores(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Several score tables as one.

    Raises:
        ConfigError: They are of different protocols.
    """
    combined = pd.concat(tables, ignore_index=True)
    require_one_protocol(combined["protocol"].astype(str), "scores")
    return combined


def statistics_table(
    cases: Sequence[ScoredCase],
    protocol: Protocol,
    *,
    missing: int,
    leak_check: str,
    seed: int,
    test: PairedTest = "wilcoxon",
    margins: Mapping[str, Margin] | None = None,
) -> pd.DataFrame:
    """Mean, SD, median and interval of each estimator, and the synthetic image against each control.

    The subject is the unit: sessions are averaged within it. Where a subject has several sessions, a mixed-effects
    model of all sessions is given beside that.

    Args:
        cases: Scored cases.
        protocol: The protocol they were scored by.
        missing: Expected cases without scores; stands in every row.
        leak_check: What the leak check found; stands in every row.
        seed: Seed of the bootstrap.
        test: Paired test; also of the margins.
        margins: Metric label to the largest difference that does not matter; the synthetic image is then tested for
            non-inferiority to, and equivalence with, each control.

    Raises:
        UnknownNameError: A margin is of a metric the protocol does not have.
    """
    for metric in margins or {}:
        protocol.use(metric)
    cells = _cells(cases)
    shared = {"protocol": protocol.name, "missing": missing, "leak_check": leak_check}
    rows = [
        {**shared, "estimator": estimator, "region": region, "metric": metric, "control": "",
         **_summary(cell, METRICS.get(protocol.use(metric).metric), seed)}
        for (estimator, region, metric), cell in cells.items()
    ]  # fmt: skip
    controls = sorted({key[0] for key in cells} - {SYNTHETIC}, key=[key[0] for key in cells].index)
    for (estimator, region, metric), cell in cells.items():
        if estimator == SYNTHETIC:
            pairs = {c: cells[c, region, metric] for c in controls if (c, region, metric) in cells}
            margin = (margins or {}).get(metric)
            for row in _comparisons(cell, pairs, _Plan(protocol, metric, seed, test, margin)):
                rows.append({**shared, "estimator": SYNTHETIC, "region": region, "metric": metric, **row})
    return pd.DataFrame(rows, columns=list(STATISTICS_COLUMNS))


def read_margins(texts: Sequence[str]) -> dict[str, Margin]:
    """Margins written as `metric=value:where it comes from`.

    Raises:
        ConfigError: A text has another form, or the value is not above zero.

    Example:
        >>> read_margins(["psnr=0.5:seed noise of the baseline, dB"])["psnr"].value
        0.5
    """
    margins: dict[str, Margin] = {}
    for text in texts:
        metric, is_there, rest = text.partition("=")
        value, _, name = rest.partition(":")
        try:
            number = float(value)
        except ValueError:
            is_there = ""
        if not is_there:
            raise ConfigError(f"margin '{text}': write metric=value:reason, for example psnr=0.5:seed noise in dB")
        if not name.strip():
            raise ConfigError(f"margin '{text}': say where it comes from, for example psnr=0.5:seed noise in dB")
        margins[metric.strip()] = Margin(number, name.strip())
    return margins


def conclusions(statistics: pd.DataFrame, protocol: Protocol, region: str) -> list[str]:
    """Sentences about the primary metric in the primary region, one for each control, more where a margin was given.

    The last one ends with what this number of subjects can show at all.
    """
    chosen = statistics[
        (statistics["control"] != "")
        & (statistics["metric"] == protocol.primary_metric)
        & (statistics["region"] == region)
    ].to_dict("records")
    sentences = [
        verdict_in_words(
            row["better"],
            control=in_words(row["control"]),
            metric=row["metric"],
            region=region,
            difference=row["difference"],
            interval=Interval(row["difference_ci_low"], row["difference_ci_high"], row["interval"]),
            # An oracle is not among what is tested, so its p is not adjusted; but the hint holds for it, too.
            p=row["p_unadjusted"] if is_oracle(row["control"]) else row["p"],
            adjusted=not is_oracle(row["control"]),
        )
        for row in chosen
    ]
    for row in chosen:
        sentences += [row[name] for name in ("non_inferior", "equivalent") if isinstance(row[name], str) and row[name]]
    if sentences:
        sentences[-1] += f" {sample_in_words(int(max(row['subjects'] for row in chosen)))}"
    return sentences


def describe_interval(statistics: pd.DataFrame) -> dict[str, Any]:
    """How the intervals of a table of statistics were made, and which of the ways were used."""
    return {
        "confidence": 0.95,
        "method": (
            f"from {FEWEST_FOR_BOOTSTRAP} subjects the outer ends of Student t and of the studentised bootstrap "
            f"({RESAMPLES} samples) of the mean over subjects, from 3 Student t, for 1 subject a bootstrap over up to "
            f"{BLOCKS} slabs of axial slices of at least {BLOCK_MM:g} mm within that subject, which says nothing of "
            "other subjects; what lies beyond the values a metric can have, or their differences, is cut off"
        ),
        "difference": "synthetic - control of the same subject",
        "used": sorted(set(statistics["interval"].dropna())) if len(statistics) else [],
    }


def _cells(cases: Sequence[ScoredCase]) -> dict[tuple[str, str, str], _Cell]:
    values: dict[tuple[str, str, str], dict[str, dict[str, float]]] = {}
    blocks: dict[tuple[str, str, str], dict[str, list[Blocks | None]]] = {}
    undefined: dict[tuple[str, str, str], int] = {}
    for scored in cases:
        subject = f"sub-{scored.case.subject}"
        for estimator, records in scored.records.items():
            for record in records:
                key = (estimator, record.region, record.metric)
                values.setdefault(key, {})
                blocks.setdefault(key, {})
                undefined.setdefault(key, 0)
                if record.status != OK:
                    undefined[key] += 1
                    continue
                values[key].setdefault(subject, {})[scored.case.session or ""] = record.value
                blocks[key].setdefault(subject, []).append(record.blocks)
    return {
        key: _Cell(
            key[1],
            values[key],
            {s: tuple(b for b in found if b is not None) for s, found in blocks[key].items()},
            undefined[key],
        )
        for key in values
    }


def _summary(cell: _Cell, metric: Metric[Any], seed: int) -> dict[str, Any]:
    values = cell.values()
    sample = np.array([float(np.mean(sessions)) for sessions in values.values()])
    interval = _interval(cell, None, sample, metric, seed).within(metric.bounds)
    return {
        "subjects": sample.size,
        "sessions": sum(map(len, values.values())),
        "undefined": cell.undefined,
        "mean": sample.mean() if sample.size else math.nan,
        "sd": sample.std(ddof=1) if sample.size > 1 else math.nan,
        "median": float(np.median(sample)) if sample.size else math.nan,
        "ci_low": interval.low,
        "ci_high": interval.high,
        "interval": interval.over,
        **_mixed(list(values.values()), tested=False, bounds=metric.bounds),
    }


@dataclass(frozen=True)
class _Plan:
    """How differences of one metric are judged."""

    protocol: Protocol
    metric: str
    seed: int
    test: PairedTest
    margin: Margin | None


def _comparisons(cell: _Cell, controls: Mapping[str, _Cell], plan: _Plan) -> list[dict[str, Any]]:
    rows = [_comparison(cell, name, control, plan) for name, control in controls.items()]
    oracles = [is_oracle(row["control"]) for row in rows]  # no methods: they are not among what is tested
    raw = [math.nan if oracle else row["p_unadjusted"] for row, oracle in zip(rows, oracles, strict=True)]
    tested = sum(map(math.isfinite, raw))
    adjusted = {column: adjust(raw, method) for column, method in _ADJUSTED.items()}
    for number, row in enumerate(rows):
        row.update({column: p[number] for column, p in adjusted.items()})
        if math.isfinite(raw[number]):
            row["test"] += f"; p by Holm over {tested} control{'s' if tested != 1 else ''}"
        elif oracles[number]:
            row["test"] += "; an oracle, p is not adjusted"
    return rows


_ADJUSTED: dict[str, Adjustment] = {
    "p": "holm",
    "p_bonferroni": "bonferroni",
    "p_benjamini_hochberg": "benjamini-hochberg",
}


def _comparison(cell: _Cell, name: str, control: _Cell, plan: _Plan) -> dict[str, Any]:
    values = cell.values(control)
    differences = np.array([float(np.mean(sessions)) for sessions in values.values()])
    metric = METRICS.get(plan.protocol.use(plan.metric).metric)
    bounds = of_differences(metric.bounds)
    interval = _interval(cell, control, differences, metric, plan.seed).within(bounds)
    result = paired_test(differences, plan.test)
    return {
        "control": name,
        "subjects": differences.size,
        "sessions": sum(map(len, values.values())),
        "undefined": max(cell.undefined, control.undefined),
        "difference": differences.mean() if differences.size else math.nan,
        "difference_median": float(np.median(differences)) if differences.size else math.nan,
        "difference_ci_low": interval.low,
        "difference_ci_high": interval.high,
        "hedges_g": hedges_g(differences),
        "rank_biserial": rank_biserial(differences),
        "p_unadjusted": result.p,
        "p_normality": shapiro_wilk(differences).p,
        "test": result.test,
        "better": verdict(interval, higher_is_better=plan.protocol.higher_is_better(plan.metric)),
        "interval": interval.over,
        **_mixed(list(values.values()), tested=True, bounds=bounds),
        **_within_margin(differences, name, cell, plan),
    }


def _mixed(sessions: Sequence[Sequence[float]], *, tested: bool, bounds: tuple[float, float]) -> dict[str, Any]:
    """Columns of the mixed-effects model; empty where no subject has several sessions."""
    if max(map(len, sessions), default=0) < 2:
        return {}
    try:
        found = mixed_model(sessions)
    except DependencyError as error:
        return {"mixed": f"none: {error}"}
    interval = found.interval.within(bounds)
    return {
        "mixed_mean": found.mean,
        "mixed_ci_low": interval.low,
        "mixed_ci_high": interval.high,
        "mixed_p": found.p if tested else math.nan,
        "mixed": interval.over if interval.exists else found.words,
    }


def _within_margin(differences: Any, control: str, cell: _Cell, plan: _Plan) -> dict[str, Any]:
    """Columns of non-inferiority and equivalence: p, and the sentence that may be said."""
    if plan.margin is None:
        return {}
    higher = plan.protocol.higher_is_better(plan.metric)
    inferior = non_inferiority(differences, plan.margin, higher_is_better=higher, test=plan.test)
    equal = equivalence(differences, plan.margin, test=plan.test)
    place = {"control": in_words(control), "metric": plan.metric, "region": cell.region}
    return {
        "margin": plan.margin.value,
        "margin_name": plan.margin.name,
        "p_non_inferior": inferior.p,
        "non_inferior": margin_in_words(inferior, **place),
        "p_equivalent": equal.p,
        "equivalent": margin_in_words(equal, **place),
    }


def _interval(cell: _Cell, control: _Cell | None, sample: Any, metric: Metric[Any], seed: int) -> Interval:
    """Over subjects; for one subject, over slabs within it."""
    if len(sample) != 1:
        return bootstrap_interval(sample, seed=seed)
    if metric.form is None:
        return no_interval("1 subject, and the metric is not a mean over voxels")
    subject = next(iter(cell.values(control)))
    others = control.blocks[subject] if control else None
    if others is not None and len(others) != len(cell.blocks[subject]):
        return no_interval("estimate and control are defined in different sessions")
    return within_subject_interval(cell.blocks[subject], metric.form.finish, others, subject=subject, seed=seed)
