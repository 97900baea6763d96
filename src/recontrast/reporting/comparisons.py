"""The report's section on several translators compared with each other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from recontrast.config import to_plain
from recontrast.errors import FormatError
from recontrast.evaluation.comparison_command import FACTS, MEANS, MEANS_COLUMNS, PAIRS, PAIRS_COLUMNS
from recontrast.evaluation.leaks import PASSED
from recontrast.evaluation.protocols import PROTOCOLS
from recontrast.io.tables import read_table, require_columns
from recontrast.reporting.evidence import Evidence, records
from recontrast.reporting.numbers import ABSENT, Measure, decimals_for, interval, number, p_value
from recontrast.reporting.page import KIND_ABSENT, KIND_WARNING, Block, Cell, Heading, Section, Table, Text
from recontrast.reporting.volumes import TITLES

NO_COMPARISON = (
    "No comparison of translators in this folder: run `recontrast compare OUT NAME=EVALUATION NAME=EVALUATION`, and "
    "make the report again."
)


def comparison_section(evidence: Evidence) -> Section:
    """Means of each translator, differences of pairs, and what may be said; absent evidence is printed as absent."""
    blocks: list[Block] = []
    for folder in evidence.comparisons:
        if len(evidence.comparisons) > 1:
            blocks.append(Heading(f"Comparison {evidence.name_of(folder)}"))
        try:
            blocks.extend(_comparison(folder))
        except FormatError as error:
            blocks.append(Text(str(error), KIND_WARNING))
    return Section("comparison", "Translators compared", blocks or [Text(NO_COMPARISON, KIND_ABSENT)])


def conclusions_of(folder: Path) -> list[str]:
    """The sentences of a comparison; none where it cannot be read."""
    try:
        found = _facts(folder / FACTS).get("conclusions")
    except FormatError:
        return []
    return [str(sentence) for sentence in found] if isinstance(found, list) else []


def _comparison(folder: Path) -> list[Block]:
    facts = _facts(folder / FACTS)
    text = ("region", "metric", "protocol", "translator", "first", "second", "interval", "test", "leak_check")
    tables = []
    for name, columns in ((MEANS, MEANS_COLUMNS), (PAIRS, PAIRS_COLUMNS)):
        table = read_table(folder / name, text)
        require_columns(folder / name, table, [column for column in columns if column != "leak_check"])  # older ones
        tables.append(table)
    means, pairs = tables
    blocks: list[Block] = []
    for one in facts["comparisons"]:
        here = [t[(t["metric"] == one["metric"]) & (t["region"] == one["region"])] for t in (means, pairs)]
        blocks += _tables(one, here[0], here[1], facts["protocol"])
    blocks.append(Text("What may be concluded: " + " ".join(map(str, facts.get("conclusions", [])))))
    return blocks


def _facts(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        complete = all({"metric", "region", "subjects"} <= set(one) for one in content["comparisons"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise FormatError(f"{path}: cannot be read as a comparison ({error!r})") from error
    if not complete or "protocol" not in content:
        raise FormatError(f"{path}: does not say what was compared by which protocol")
    return dict(content)


def _tables(one: Mapping[str, Any], means: pd.DataFrame, pairs: pd.DataFrame, protocol: str) -> list[Block]:
    known, metric = protocol in PROTOCOLS.names(), str(one["metric"])
    title = TITLES.get(metric) or Measure.of(metric, to_plain(PROTOCOLS.get(protocol)) if known else None).title
    place = f"{title} in {one['region']}, protocol {protocol}"
    decimals = decimals_for(means["mean"])
    leaky = "leak_check" in means and bool((means["leak_check"] != PASSED).any())
    rows = [
        [
            Cell(str(row["translator"])),
            *([Cell(str(row["leak_check"]))] if leaky else []),
            Cell(f"{number(row['mean'], decimals)} ± {number(row['sd'], decimals)}"),
            Cell(number(row["median"], decimals)),
            Cell(number(row["mean_rank"], 2)),
            Cell(number(row["subjects"], 0)),
        ]
        for row in records(means)
    ]
    header = [
        Cell(text)
        for text in ("translator", *(["leak check"] if leaky else []), "mean ± SD", "median", "mean rank", "subjects")
    ]
    note = "Only subjects with a value of every translator. Rank 1 is the smallest value."
    blocks: list[Block] = [Table(f"{place}: mean ± SD over subjects.", header, rows, 4, note + _left_out(one))]
    digits = decimals_for(pairs["difference"], 3)
    rows = [
        [
            Cell(f"{row['second']} − {row['first']}"),
            Cell(number(row["difference"], digits, signed=True), _remark(row, digits)),
            Cell(number(row["change_percent"], 1, signed=True)),
            Cell(number(row["hedges_g"], 2, signed=True)),
            Cell(p_value(row["p"]) or ABSENT),
        ]
        for row in records(pairs)
    ]
    header = [Cell(text) for text in ("pair", "difference", "change (%)", "Hedges' g", "p")]
    words = "; ".join(str(text) for text in dict.fromkeys(pairs["interval"].dropna()))
    tests = "; ".join(str(text) for text in dict.fromkeys(pairs["test"].dropna()))
    friedman = one.get("friedman")
    whole = (
        f" All together: {friedman['test']}, p {friedman['p']:.3g}, Kendall's W {friedman['concordance']:.2f}."
        if isinstance(friedman, Mapping)
        else ""
    )
    caption = f"{place}: differences within subjects [95 % interval]."
    note = (
        f"Intervals: {words or 'none'}. Test: {tests}.{whole} p is not adjusted for the number of metrics and regions."
    )
    blocks.append(Table(caption, header, rows, 4, note))
    return blocks


def _remark(row: Mapping[str, Any], digits: int) -> list[str]:
    ends = interval(row["ci_low"], row["ci_high"], digits, signed=True)
    return [ends] if ends != ABSENT else []


def _left_out(one: Mapping[str, Any]) -> str:
    left = one.get("left_out")
    return f" Left out: {', '.join(map(str, left))}." if isinstance(left, Mapping) and left else ""
