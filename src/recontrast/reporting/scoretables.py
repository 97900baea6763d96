"""Score tables: every estimator, region and metric of one protocol, and the synthetic against each control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from recontrast.errors import FormatError
from recontrast.evaluation.paper_table import TABLE, TABLE_COLUMNS
from recontrast.evaluation.scores import SYNTHETIC
from recontrast.evaluation.statistics import at_odds
from recontrast.io.tables import read_table, require_columns
from recontrast.reporting import figures
from recontrast.reporting.evidence import Evaluation, records
from recontrast.reporting.numbers import ABSENT, Measure, count, decimals_for, interval, is_number, number, p_value
from recontrast.reporting.page import KIND_ABSENT, KIND_WARNING, Block, Cell, Facts, Fold, Picture, Table, Text
from recontrast.reporting.verdict import (
    Primary,
    leak_remark,
    oracles_of,
    protocol_fields,
    split_rows,
    subject_values,
    what_may_be_said,
)

_MARKS = {"synthetic": "▲", "control": "▼", "undecided": "○"}
_HOLLOW = {"▲": "△", "▼": "▽"}  # the interval decides, the adjusted p does not
_LOOKS = {"synthetic": "good", "control": "bad"}

_MOST_MEANS, _MOST_DIFFERENCES = 6, 7
"""Metrics beside each other in one table; more would not fit a printed page."""


@dataclass(frozen=True)
class _Frame:
    """What the tables of one region share: protocol, region, columns, a remark on training subjects, and oracles."""

    protocol: str
    region: str
    measures: Sequence[Measure]
    leak: str
    oracles: frozenset[str]


def score_tables(evaluation: Evaluation, protocol: str, primary: Primary | None) -> list[Block]:
    """For each region a table of all estimators and one of the differences to each control.

    Tables of the primary region, of lesions and of regions the protocol names stand open; the others are behind a fold.
    """
    table = evaluation.statistics
    if not {"protocol", "region", "metric", "estimator"} <= set(table.columns):
        return [Text("statistics.tsv is absent or empty: no mean, interval or test was computed.", KIND_ABSENT)]
    table = table[table["protocol"] == protocol]
    regions = list(dict.fromkeys(table["region"].dropna()))
    first = primary.region if primary else ""
    regions.sort(key=lambda region: (region != first, not str(region).startswith("lesion")))
    fields = protocol_fields(evaluation, protocol)
    labels = list(dict.fromkeys(table["metric"].dropna()))
    labels.sort(key=lambda label: primary is None or label != primary.metric)
    measures = [Measure.of(label, fields) for label in labels]
    named = {part for text in fields.get("regions") or () for part in str(text).split("|")}
    shown = [r for r in regions if r == first or str(r).startswith("lesion") or not first or r in named]
    open_blocks: list[Block] = []
    folded: list[Block] = []
    for region in regions:
        plain, compared = split_rows(table[table["region"] == region])
        place = open_blocks if region in shown else folded
        names = [str(name) for name in dict.fromkeys(plain["estimator"])]
        oracles = oracles_of(evaluation, names)
        frame = _Frame(protocol, str(region), measures, leak_remark(evaluation), oracles)
        controls = _titles_of_controls(evaluation, names) if not place else ""
        place += _means(plain, frame, f"Intervals: {interval_words(evaluation, plain)}.{controls}")
        if len(compared):
            place += _differences(compared, plain, frame, f"Intervals: {interval_words(evaluation, compared)}.")
    open_blocks.extend(_over_slices(evaluation, protocol))
    open_blocks.extend(_controls_not_scored(evaluation))
    open_blocks.extend(_undefined(evaluation))
    said = what_may_be_said(evaluation, primary) if primary else []
    if said:
        open_blocks.append(Text("What may be concluded: " + " ".join(said)))
    if folded:
        others = ", ".join(str(r) for r in regions if r not in shown)
        open_blocks.append(Fold(f"Other regions: {others}", folded))
    return open_blocks


def _over_slices(evaluation: Evaluation, protocol: str) -> list[Block]:
    """Mean and SD over all slices of all subjects, as papers that score slices print them."""
    path = evaluation.folder / TABLE
    if not path.is_file():
        return []
    try:
        table = read_table(path, ("estimator", "region", "metric", "protocol", "leak_check"))
        require_columns(path, table, TABLE_COLUMNS)
    except FormatError as error:
        return [Text(str(error), KIND_WARNING)]
    table = table[(table["protocol"] == protocol) & (pd.to_numeric(table["slices"]) > 0)]
    fields = protocol_fields(evaluation, protocol)
    blocks: list[Block] = []
    for region, cell in table.groupby("region", sort=False):
        labels, names = (list(dict.fromkeys(cell[column])) for column in ("metric", "estimator"))
        found = {(row["estimator"], row["metric"]): row for row in records(cell)}
        rows = []
        for label in labels:
            decimals = decimals_for(cell.loc[cell["metric"] == label, "slices_mean"])
            cells = [_slice_cell(found.get((name, label)), decimals) for name in names]
            rows.append([Cell(_slice_title(label, fields)), *cells])
        header = [Cell("metric"), *(Cell(str(name), look="head" if name == SYNTHETIC else "") for name in names)]
        caption = (
            f"Protocol {protocol}, region {region}: mean ± SD over all slices of all subjects together, the SD that "
            f"papers print.{leak_remark(evaluation)}"
        )
        note = "Slices of one subject resemble each other: this SD is no measure of how subjects differ."
        blocks.append(Table(caption, header, rows, len(names), note))
    return blocks


def _slice_title(label: str, fields: Mapping[str, Any]) -> str:
    metric, together, _ = label.partition(" of all planes")
    title = Measure.of(metric, fields).title
    return f"{title}, all planes" if together else title


def _slice_cell(row: Mapping[str, Any] | None, decimals: int) -> Cell:
    if row is None:
        return Cell(ABSENT, ("not scored",))
    remarks = [count(int(row["slices"]), "slice")]
    if _whole(row.get("slices_undefined")):
        remarks.append(f"{_whole(row['slices_undefined'])} undefined")
    return Cell(f"{number(row['slices_mean'], decimals)} ± {number(row['slices_sd'], decimals)}", remarks)


def values_picture(evaluation: Evaluation, primary: Primary) -> list[Block]:
    """The primary metric subject by subject, synthetic and controls."""
    table = subject_values(evaluation, primary)
    if not len(table) or not table.notna().to_numpy().any():
        return [
            Text(
                "scores.tsv is absent or holds no value of the primary metric, so subjects cannot be drawn.",
                KIND_ABSENT,
            )
        ]
    values = {str(name): [float(v) for v in table[name]] for name in table}
    direction = "higher is better" if primary.measure.higher_is_better else "lower is better"
    unit = f" ({primary.measure.unit})" if primary.measure.unit else ""
    label = f"{primary.measure.name}{unit} in {primary.place}, {direction}"
    figure = figures.plot_values(values, label, [str(subject) for subject in table.index])
    undefined = int(table.isna().to_numpy().sum())
    caption = (
        f"{primary.measure.name} of each subject in {primary.place}, protocol {primary.protocol}: synthetic images "
        f"above, then the controls from best to worst mean. {count(len(table), 'subject')}; a grey line joins the "
        "values of one subject; sessions of a subject are averaged. "
        + ("Boxes: quartiles; whiskers: to 1.5 times their distance. " if len(table) >= 5 else "")
        + f"{count(undefined, 'value')} undefined."
    )
    return [Picture(figures.data_uri(figures.svg(figure), "image/svg+xml"), "values of each subject", caption)]


def protocol_facts(evaluation: Evaluation, protocol: str) -> Block:
    """The full definition of a protocol, and how the controls were fitted, behind a fold."""
    fields = protocol_fields(evaluation, protocol)
    blocks: list[Block] = [
        Facts([(name.replace("_", " "), _words(value)) for name, value in fields.items()])
        if fields
        else Text(f"evaluation.json does not define protocol {protocol}.", KIND_ABSENT)
    ]
    controls = evaluation.facts.get("controls")
    if isinstance(controls, Mapping) and controls:
        blocks.append(Facts([(f"control {name}", _words(how)) for name, how in controls.items()]))
    return Fold(f"Protocol {protocol}: full definition, and how the controls were fitted", blocks)


def _controls_not_scored(evaluation: Evaluation) -> list[Block]:
    """A line for each control that was asked for and has no score."""
    controls = evaluation.facts.get("controls")
    told = controls.items() if isinstance(controls, Mapping) else ()
    return [
        Text(f"Control {name} was not scored: {how.get('reason', 'no reason given')}.", KIND_WARNING)
        for name, how in told
        if isinstance(how, Mapping) and how.get("scored") is False
    ]


def _undefined(evaluation: Evaluation) -> list[Block]:
    """Why some values do not exist, region by region."""
    found = evaluation.facts.get("undefined")
    return [Text(f"{str(line)[:1].upper()}{str(line)[1:]}.", KIND_WARNING) for line in found or () if line]


def _titles_of_controls(evaluation: Evaluation, names: Sequence[str]) -> str:
    """What each control is, in a few words, where the evaluation says so."""
    controls = evaluation.facts.get("controls")
    told = controls if isinstance(controls, Mapping) else {}
    titles = {name: told[name].get("title") for name in names if isinstance(told.get(name), Mapping)}
    words = "; ".join(f"{name}: {title}" for name, title in titles.items() if title)
    return f" Controls: {words}." if words else ""


def interval_words(evaluation: Evaluation, rows: pd.DataFrame) -> str:
    """What the intervals of some rows are, and over what: as the rows say, else as the evaluation says."""
    if "interval" in rows:
        used = [str(words) for words in dict.fromkeys(rows["interval"].dropna())]
        if used:
            return "; ".join(used)
    stated = evaluation.facts.get("interval")
    if isinstance(stated, Mapping):
        stated = stated.get("method")
    return str(stated).rstrip(".") if stated else "the evaluation does not say what they are over"


def _parts(frame: _Frame, most: int) -> list[_Frame]:
    """The columns of a table in as many tables as fit the width of a page, of about the same size."""
    amount = max(1, -(-len(frame.measures) // most))
    size = max(1, -(-len(frame.measures) // amount))
    return [replace(frame, measures=frame.measures[k : k + size]) for k in range(0, len(frame.measures), size)] or [
        frame
    ]


def _means(plain: pd.DataFrame, whole: _Frame, note: str) -> list[Block]:
    tables = [_means_of(plain, frame, whole.measures) for frame in _parts(whole, _MOST_MEANS)]
    return [*tables[:-1], replace(tables[-1], note=note)]


def _means_of(plain: pd.DataFrame, frame: _Frame, all_measures: Sequence[Measure]) -> Table:
    measures = frame.measures
    cells = {(row["estimator"], row["metric"]): row for row in records(plain)}
    names = _ordered(plain, all_measures)
    best = {m.label: _best(plain[~plain["estimator"].isin(frame.oracles)], m) for m in measures}
    subjects = {
        name: max((_whole(cells[k].get("subjects")) for k in cells if k[0] == name), default=0) for name in names
    }
    decimals = {m.label: decimals_for(plain.loc[plain["metric"] == m.label, "mean"]) for m in measures}
    rows = [
        [
            _name_cell(name, frame),
            *(
                _mean_cell(cells.get((name, m.label)), decimals[m.label], name in best[m.label], subjects[name])
                for m in measures
            ),
            Cell(str(subjects[name])),
        ]
        for name in names
    ]
    what = "mean ± SD over subjects [95 % interval]"
    if max(subjects.values(), default=0) == 1:
        what = "values of one subject [95 % interval within it, see below]"
    fewer = plain.groupby("metric")["subjects"].nunique().gt(1).any() if "subjects" in plain else False
    never = ", ".join([*(["no oracle"] if frame.oracles else []), *(["none of fewer subjects"] if fewer else [])])
    caption = (
        f"Protocol {frame.protocol}, region {frame.region}: {what}. ↑ higher is "
        f"better, ↓ lower is better; the best mean is bold{f' ({never})' if never else ''}.{frame.leak}"
    )
    header = [Cell("estimator"), *_header(measures), Cell("subjects")]
    return Table(caption, header, rows, len(measures) + 1)


def _name_cell(name: str, frame: _Frame) -> Cell:
    small = ("oracle: it has seen the answer",) if name in frame.oracles else ()
    return Cell(name, small, "head" if name == SYNTHETIC else "")


def _header(measures: Sequence[Measure]) -> list[Cell]:
    return [Cell(f"{m.name} {m.arrow}".strip(), [m.unit] if m.unit else []) for m in measures]


def _mean_cell(row: Mapping[str, Any] | None, decimals: int, best: bool, subjects: int) -> Cell:
    if row is None:
        return Cell(ABSENT, ("not scored",))
    undefined, there = _whole(row.get("undefined")), _whole(row.get("subjects"))
    ends = interval(row.get("ci_low"), row.get("ci_high"), decimals)
    remarks = [ends] if ends != ABSENT else []
    if there != subjects:
        remarks.append(count(there, "subject"))
    if undefined:
        remarks.append(f"{undefined} undefined")
    spread = f" ± {number(row.get('sd'), decimals)}" if is_number(row.get("sd")) else ""
    return Cell(number(row.get("mean"), decimals) + spread, remarks, "best" if best else "")


def _differences(compared: pd.DataFrame, plain: pd.DataFrame, whole: _Frame, note: str) -> list[Block]:
    adjusted = (
        "p values are adjusted for the number of controls, not for the number of metrics and regions; the intervals "
        "are not adjusted."
        if "p_unadjusted" in compared
        else "p values are not adjusted for the number of comparisons."
    )
    tests = ", ".join(str(test) for test in dict.fromkeys(compared["test"].dropna())) if "test" in compared else ""
    tested = f"{note} Test: {tests or 'not stated'}." + (f" {adjusted}" if compared["p"].notna().any() else "")
    tables = [_differences_of(compared, plain, frame, whole.measures) for frame in _parts(whole, _MOST_DIFFERENCES)]
    return [*tables[:-1], replace(tables[-1], note=tested)]


def _differences_of(
    compared: pd.DataFrame, plain: pd.DataFrame, frame: _Frame, all_measures: Sequence[Measure]
) -> Table:
    measures = frame.measures
    cells = {(row["control"], row["metric"]): row for row in records(compared)}
    names = [name for name in _ordered(plain, all_measures) if name in set(compared["control"])]
    names += [name for name in dict.fromkeys(compared["control"]) if name not in names]
    decimals = {m.label: decimals_for(compared.loc[compared["metric"] == m.label, "difference"], 3) for m in measures}
    rows = [
        [
            _name_cell(name, frame),
            *(_difference_cell(cells.get((name, m.label)), decimals[m.label], name in frame.oracles) for m in measures),
        ]
        for name in names
    ]
    caption = (
        f"Protocol {frame.protocol}, region {frame.region}: synthetic minus each control, mean of differences within "
        "subjects [95 % interval], p value, g: difference in SD of the differences (Hedges). By the interval: ▲ "
        "synthetic better, ▼ control better, ○ undecided; hollow (△ ▽) where p is not below 0.05, a hint only."
        f"{frame.leak}"
    )
    return Table(caption, [Cell("synthetic −"), *_header(measures)], rows, len(measures))


def _difference_cell(row: Mapping[str, Any] | None, decimals: int, oracle: bool) -> Cell:
    if row is None or not is_number(row.get("difference")):
        return Cell(ABSENT, ("not compared",))
    better = str(row.get("better", ""))
    ends = interval(row.get("difference_ci_low"), row.get("difference_ci_high"), decimals)
    effect = f"g {number(row['hedges_g'], 2, signed=True)}" if is_number(row.get("hedges_g")) else ""
    p: Any = row.get("p_unadjusted" if oracle else "p")
    tested = f"{p_value(p)}, not adjusted" if oracle and p_value(p) else p_value(p)
    remarks = [ends if ends != ABSENT else "", tested, effect]
    mark = _MARKS.get(better, "")
    hint = is_number(p) and at_odds(better, float(p))
    text = f"{_HOLLOW.get(mark, mark) if hint else mark} {number(row['difference'], decimals, signed=True)}".strip()
    return Cell(text, [remark for remark in remarks if remark], "" if hint else _LOOKS.get(better, ""))


def _ordered(plain: pd.DataFrame, measures: Sequence[Measure]) -> list[str]:
    """Synthetic first, then controls from best to worst by the first measure, then those without a value."""
    names = [str(name) for name in dict.fromkeys(plain["estimator"])]
    if not measures:
        return names
    rows = plain[plain["metric"] == measures[0].label]
    means = {row["estimator"]: float(row["mean"]) for row in records(rows) if is_number(row.get("mean"))}
    sign = -1.0 if measures[0].higher_is_better else 1.0
    return sorted(names, key=lambda name: (name != SYNTHETIC, sign * means.get(name, sign * float("inf"))))


def _best(plain: pd.DataFrame, measure: Measure) -> set[str]:
    rows = plain[(plain["metric"] == measure.label) & plain["mean"].map(is_number)]
    if not len(rows) or not measure.known:
        return set()
    if "subjects" in rows:  # one that was scored in fewer subjects may have had the easy ones
        rows = rows[rows["subjects"] == rows["subjects"].max()]
    means = rows["mean"].astype(float)
    return set(rows.loc[means == (means.max() if measure.higher_is_better else means.min()), "estimator"])


def _whole(value: Any) -> int:
    return int(value) if is_number(value) else 0


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {_words(item)}" for key, item in value.items() if item not in (None, "", {}, []))
    if isinstance(value, list):
        joint = " | " if any(isinstance(item, Mapping) for item in value) else ", "
        return joint.join(_words(item) for item in value) or "none"
    return "none" if value is None or value == "" else str(value)
