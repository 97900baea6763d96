"""Which number decides, what it says against the strongest control, and which case is the worst."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from recontrast.errors import UnknownNameError
from recontrast.evaluation.controls import is_oracle
from recontrast.evaluation.leaks import NOT_POSSIBLE, PASSED, VALIDATED
from recontrast.evaluation.scores import SYNTHETIC
from recontrast.evaluation.statistics import at_odds, needed_in_words, odds_in_words, sample_in_words
from recontrast.evaluation.statistics.intervals import WITHIN
from recontrast.reporting.evidence import Evaluation, records
from recontrast.reporting.numbers import Measure, count, decimals_for, interval, is_number, number

_METRIC_ORDER = ("psnr", "ssim", "mae", "nrmse", "rmse", "mse")
_REGION_ORDER = ("brain", "head", "image")


@dataclass(frozen=True)
class Primary:
    """The one number that the headline, the order of the cases and the plot use."""

    protocol: str
    region: str
    measure: Measure

    @property
    def metric(self) -> str:
        """Label of the metric in the tables."""
        return self.measure.label

    @property
    def place(self) -> str:
        """The region with its article."""
        return "the whole image" if self.region == "image" else f"the {self.region}"


@dataclass(frozen=True)
class Verdict:
    """What an evaluation says against its strongest control.

    Attributes:
        outcome: beats, hint (the interval says so, the adjusted test does not), not, worse, one (one subject only: no
            verdict on other people) or unknown.
        sentence: The verdict in words, with interval.
        control: Name of the strongest control; empty when there is none.
        comparison: The row of `statistics.tsv` that decides; empty when there is none.
    """

    outcome: str
    sentence: str
    control: str = ""
    comparison: Mapping[str, Any] | None = None


def protocols_of(evaluation: Evaluation) -> list[str]:
    """Names of the protocols in an evaluation's tables; numbers of two protocols never share a table."""
    tables = (evaluation.statistics, evaluation.scores)
    names = [str(name) for table in tables if "protocol" in table for name in table["protocol"].dropna().unique()]
    return list(dict.fromkeys(names))


def choose_primary(evaluation: Evaluation, protocol: str, metric: str = "", region: str = "") -> Primary | None:
    """The metric and region that decide; None when the evaluation has no score.

    Args:
        evaluation: The evaluation.
        protocol: One of its protocols.
        metric: Label of the metric wanted; default: the protocol's primary one, else PSNR, SSIM, MAE …
        region: The region wanted; default: the protocol's primary one, else brain, head, the first.

    Raises:
        UnknownNameError: The metric or region wanted is not in the evaluation.
    """
    table = evaluation.statistics if len(evaluation.statistics) else evaluation.scores
    if not {"metric", "region", "protocol"} <= set(table.columns):
        return None
    table = table[table["protocol"] == protocol]
    metrics, regions = list(table["metric"].dropna().unique()), list(table["region"].dropna().unique())
    if not metrics or not regions:
        return None
    fields = protocol_fields(evaluation, protocol)
    stated = fields.get("primary")
    first = (str(evaluation.facts.get("primary_region", "")), *(stated if isinstance(stated, list) else ()))
    label = _pick("metric", metric, metrics, (str(fields.get("primary_metric", "")), *_METRIC_ORDER))
    return Primary(protocol, _pick("region", region, regions, (*first, *_REGION_ORDER)), Measure.of(label, fields))


def protocol_fields(evaluation: Evaluation, protocol: str) -> dict[str, Any]:
    """The definition of a protocol as `evaluation.json` records it; empty when it does not."""
    fields = evaluation.facts.get("protocol")
    return fields if isinstance(fields, dict) and fields.get("name", protocol) == protocol else {}


def judge(evaluation: Evaluation, primary: Primary) -> Verdict:
    """Compare the synthetic images with the control that comes closest to them or exceeds them most.

    That is decided by the differences within subjects, among the controls that were compared in the most subjects: the
    mean of a control that exists only in easy ones says nothing. An oracle is no control to beat.
    """
    rows = select(evaluation.statistics, primary)
    plain, compared = split_rows(rows)
    controls = plain[(plain["estimator"] != SYNTHETIC) & plain["mean"].map(is_number)] if len(plain) else plain
    oracles = oracles_of(evaluation, controls["estimator"] if len(controls) else ())
    controls = controls[~controls["estimator"].isin(oracles)] if oracles else controls
    if not len(controls):
        but = f" but {', '.join(sorted(oracles))}, which has seen the answer," if oracles else ""
        words = f"No control{but} was scored in {primary.place}, so nothing can be said against one."
        return Verdict("unknown", words)
    control, partly = _strongest(controls, compared, primary.measure)
    match = compared[(compared["estimator"] == SYNTHETIC) & (compared["control"] == control)]
    if not len(match) or not is_number(match.iloc[0].get("difference")):
        return Verdict(
            "unknown",
            f"The synthetic images were not compared with the best control ({control}) in {primary.place}.",
            control,
        )
    row = records(match)[0]
    most = f"of {int(row['subjects'])} " if is_number(row.get("subjects")) else ""
    left_out = "; ".join(f"{name} (compared in {subjects} {most}subjects)" for name, subjects in partly.items())
    sign = 1.0 if primary.measure.higher_is_better else -1.0
    gain = sign * float(row["difference"])
    ends = [
        sign * float(row[k]) if is_number(row.get(k)) else None for k in ("difference_ci_low", "difference_ci_high")
    ]
    low, high = ends if sign > 0 else ends[::-1]
    outcome = _outcome(row, low, high)
    sentence = _sentence(evaluation, primary, control, row, outcome, (gain, low, high))
    sentence += f" No candidate for the best control: {left_out}." if left_out else ""
    return Verdict("one" if _is_one_subject(row) else outcome, sentence, control, row)


def _strongest(controls: pd.DataFrame, compared: pd.DataFrame, measure: Measure) -> tuple[str, dict[str, int]]:
    """The control that is hardest to beat; and those that were compared in fewer subjects, with their number.

    Where nothing was compared, the one with the best mean.
    """
    sign = 1.0 if measure.higher_is_better else -1.0
    there = compared[(compared["estimator"] == SYNTHETIC) & compared["control"].isin(controls["estimator"])]
    rows = {str(row["control"]): row for row in records(there) if is_number(row.get("difference"))}
    if set(rows) != set(controls["estimator"]):  # one that was not compared may be the best: its mean must do
        means = dict(zip(controls["estimator"], sign * controls["mean"].astype(float), strict=True))
        best = max(means, key=lambda name: means[name])
        if best not in rows:
            return str(best), {}
    counts = {name: int(row["subjects"]) if is_number(row.get("subjects")) else 0 for name, row in rows.items()}
    candidates = [name for name, amount in counts.items() if amount == max(counts.values())]
    control = min(candidates, key=lambda name: sign * float(rows[name]["difference"]))
    return control, {name: amount for name, amount in counts.items() if name not in candidates}


def oracles_of(evaluation: Evaluation, names: Iterable[Any]) -> frozenset[str]:
    """Those of the controls that were fitted on the very images they are judged on."""
    told = evaluation.facts.get("controls")
    known: Mapping[str, Any] = told if isinstance(told, Mapping) else {}
    facts = {str(name): known.get(str(name)) for name in names}
    return frozenset(
        name
        for name, how in facts.items()
        if is_oracle(name) or (isinstance(how, Mapping) and how.get("oracle") is True)
    )


def _sentence(
    evaluation: Evaluation,
    primary: Primary,
    control: str,
    row: Mapping[str, Any],
    outcome: str,
    gain: tuple[float, float | None, float | None],
) -> str:
    decimals = decimals_for(gain, 3)
    over = _over(row)
    ends = interval(gain[1], gain[2], decimals) if gain[1] is not None and gain[2] is not None else ""
    within = f"(95 % interval {ends}{', ' + over if over else ''})" if ends else f"(no interval: {over or 'not given'})"
    size = primary.measure.amount(abs(gain[0]), decimals)
    subjects = int(row["subjects"]) if is_number(row.get("subjects")) else 0
    where = f"in {primary.place}" + (f", {subjects_in_words(evaluation, subjects)}" if subjects else "")
    verb = {"beats": "beats", "hint": "is ahead of", "worse": "is WORSE than", "not": "does NOT beat"}[outcome]
    end = " This is one subject: it says nothing of other people." if _is_one_subject(row) else ""
    odds = odds_in_words(str(row.get("better", "")), float(row["p"])) if is_number(row.get("p")) else ""
    end += f" {odds}" if odds else ""
    if outcome == "not":
        signed = primary.measure.amount(gain[0], decimals, signed=True)
        return f"The translator {verb} the best control ({control}): its gain is {signed} {within} {where}.{end}"
    return f"The translator {verb} the best control ({control}) by {size} {within} {where}.{end}"


def what_may_be_said(evaluation: Evaluation, primary: Primary) -> list[str]:
    """Sentences on what the number of subjects can show, how large the effect is, and what is not shown.

    They are about the synthetic images and the strongest control, in the primary metric and region; empty when nothing
    was compared. What an older evaluation does not hold (effect size, margin, mixed model) is left out.
    """
    verdict = judge(evaluation, primary)
    row = verdict.comparison
    if row is None or not is_number(row.get("subjects")):
        return []
    sentences = [sample_in_words(int(row["subjects"]))]
    effect: Any = row.get("hedges_g")
    signed: Any = row.get("rank_biserial")
    if is_number(effect):
        ranks = f", rank-biserial {float(signed):+.2f}" if is_number(signed) else ""
        sentences.append(
            f"Synthetic minus {verdict.control}: {float(effect):+.2f} SD of the differences (Hedges' g{ranks})."
        )
    if verdict.outcome == "not":
        sentences.append("That no difference is shown does not show that there is none.")
    if verdict.outcome in ("not", "hint") and is_number(effect):
        sentences.append(needed_in_words(float(effect)))
    sentences += [str(row[name]) for name in ("non_inferior", "equivalent") if isinstance(row.get(name), str)]
    if is_number(row.get("mixed_mean")):
        decimals = decimals_for([row["mixed_mean"]], 3)
        ends = interval(row.get("mixed_ci_low"), row.get("mixed_ci_high"), decimals)
        sentences.append(
            f"With every session counted: mean difference {number(row['mixed_mean'], decimals, signed=True)} {ends} "
            f"({row.get('mixed')})."
        )
    return sentences


def leak_status(evaluation: Evaluation) -> str:
    """The evaluation's own words on subjects that the translator knows; empty when it says nothing."""
    check = evaluation.facts.get("leak_check")
    return str(check.get("status", "") if isinstance(check, Mapping) else check or "")


def leak_warning(evaluation: Evaluation) -> tuple[str, str] | None:
    """What the headline must say of subjects that the translator knows, as outcome and sentence; None: nothing."""
    status = leak_status(evaluation)
    if status in (PASSED, ""):
        return None
    check = evaluation.facts.get("leak_check")
    reasons = check.get("reasons") if isinstance(check, Mapping) else None
    why = f": {'; '.join(map(str, reasons))}" if isinstance(reasons, list) and reasons else ""
    if status.startswith(NOT_POSSIBLE):
        return "not", f"Whether the translator was trained on these subjects could not be checked ({status}{why})."
    if status.startswith(VALIDATED):
        return "not", f"{status}{why}. They chose which weights were kept: scores of new subjects may be lower."
    return "worse", f"{status}{why}. These scores are no evidence of how the translator does on new subjects."


def doubts_of(evaluation: Evaluation) -> list[str]:
    """What the evaluation itself warns of (a protocol made for other units)."""
    found = evaluation.facts.get("warnings")
    return [str(text) for text in found] if isinstance(found, list) else []


def leak_remark(evaluation: Evaluation) -> str:
    """The same for captions, with a space before it; empty when the check passed."""
    status = leak_status(evaluation)
    return "" if status in (PASSED, "") else f" Check for training and validation subjects: {status}."


def subjects_in_words(evaluation: Evaluation, amount: int) -> str:
    """Number of subjects; "held-out" only where the check of the evaluation passed.

    An evaluation that is silent on the check, and scored a test split, counts as held out. Validation subjects do not:
    translators of older versions do not say who they are.
    """
    held_out = leak_status(evaluation) in (PASSED, "") and evaluation.facts.get("split") not in (
        None, "", "train", "validation",
    )  # fmt: skip
    return count(amount, "held-out subject" if held_out else "subject")


def case_values(evaluation: Evaluation, primary: Primary) -> pd.DataFrame:
    """The primary value of each case's synthetic image, worst first.

    Returns:
        Columns case, subject, value; undefined values (NaN) stand last.
    """
    rows = select(evaluation.scores, primary)
    if not len(rows):
        return pd.DataFrame(columns=["case", "subject", "value"])
    rows = rows[rows["estimator"] == SYNTHETIC]
    rows = rows.assign(value=pd.to_numeric(rows["value"], errors="coerce"))
    values = rows.groupby("case", sort=True).agg(subject=("subject", "first"), value=("value", "mean")).reset_index()
    return values.sort_values(
        ["value", "case"], ascending=[primary.measure.higher_is_better, True], kind="stable", na_position="last"
    ).reset_index(drop=True)


def subject_values(evaluation: Evaluation, primary: Primary) -> pd.DataFrame:
    """The primary metric for each subject (rows) and estimator (columns); sessions of a subject are averaged."""
    rows = select(evaluation.scores, primary)
    if not len(rows):
        return pd.DataFrame()
    rows = rows.assign(value=pd.to_numeric(rows["value"], errors="coerce"))
    table = rows.pivot_table(index="subject", columns="estimator", values="value", aggfunc="mean", dropna=False)
    ascending = not primary.measure.higher_is_better
    controls = table.drop(columns=SYNTHETIC, errors="ignore").mean().sort_values(ascending=ascending, kind="stable")
    return table[[name for name in (SYNTHETIC, *controls.index) if name in table]]


def select(table: pd.DataFrame, primary: Primary) -> pd.DataFrame:
    """Rows of a table that belong to the primary protocol, region and metric."""
    if not {"protocol", "region", "metric"} <= set(table.columns):
        return table.iloc[:0]
    return table[
        (table["protocol"] == primary.protocol)
        & (table["region"] == primary.region)
        & (table["metric"] == primary.metric)
    ]


def split_rows(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of `statistics.tsv` that describe one estimator, and rows that compare it with a control."""
    if "control" not in rows:
        return rows, rows.iloc[:0]
    compares = rows["control"].fillna("").astype(str) != ""
    return rows[~compares], rows[compares]


def _over(row: Mapping[str, Any]) -> str:
    words = row.get("interval")
    return words.removeprefix("none: ") if isinstance(words, str) else ""


def _is_one_subject(row: Mapping[str, Any]) -> bool:
    return _over(row).startswith(WITHIN) or (is_number(row.get("subjects")) and int(row["subjects"]) == 1)


def _outcome(row: Mapping[str, Any], low: float | None, high: float | None) -> str:
    better = str(row.get("better", ""))
    stated = {"synthetic": "beats", "control": "worse", "undecided": "not"}.get(better)
    if stated == "beats" and is_number(row.get("p")) and at_odds(better, float(row["p"])):
        return "hint"
    if stated is not None:
        return stated
    if low is not None and low > 0:
        return "beats"
    return "worse" if high is not None and high < 0 else "not"


def _pick(kind: str, wanted: str, there: list[str], order: tuple[str, ...]) -> str:
    if wanted and wanted not in there:
        raise UnknownNameError.among(f"{kind} of this evaluation", wanted, there)
    return wanted or next((name for name in order if name in there), there[0])
