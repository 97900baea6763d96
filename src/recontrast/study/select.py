"""Choose one candidate of each direction and method on the validation subjects: by metric, rank blend or readers."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from recontrast.errors import ConfigError, FormatError, RecontrastError
from recontrast.evaluation.protocols import PROTOCOLS
from recontrast.io.tables import read_table, require_columns
from recontrast.study.plan import Candidate, weights_of
from recontrast.study.score import (
    Scoring,
    defined_cases,
    primary_region,
    read_scores,
    score_translator,
    subject_values,
)
from recontrast.study.settings import Selection

FOLDER = "selection"
TABLE = "candidates.tsv"
PICK_COLUMNS = ("direction", "method", "code")
LPIPS = "lpips_axial"


@dataclass(frozen=True)
class Rule:
    """How candidates are put in order.

    Attributes:
        metrics: Labels whose ranks are added; one: its order.
        reason: Why this rule.
    """

    metrics: tuple[str, ...]
    reason: str

    @property
    def name(self) -> str:
        """Name in tables."""
        return " + ".join(self.metrics) if self.metrics else "none"


@dataclass(frozen=True)
class Choice:
    """What was chosen in a group.

    Attributes:
        candidate: The chosen one.
        rule: Rule by which it was.
        by: "rule", "readers", "one" (there was nothing to choose) or "last" (nothing to choose by).
        table: One row a candidate: code, name, values and ranks of every metric, whether it was chosen.
        group: All candidates it was chosen from.
    """

    candidate: Candidate
    rule: Rule
    by: str
    table: pd.DataFrame
    group: tuple[Candidate, ...] = ()


def rule_of(selection: Selection, adversarial: bool, has_weights: bool) -> Rule:
    """The rule for a group of candidates.

    Example:
        >>> rule_of(Selection(), adversarial=True, has_weights=False).metrics
        ('ssim_axial', 'gradient_distance')
    """
    if selection.blend:
        return Rule(selection.blend, "rank blend named by the study")
    if selection.metric and not (selection.metric.startswith("lpips") and not has_weights):
        return Rule((selection.metric,), "metric named by the study")
    if not (adversarial or selection.metric):
        return Rule((PROTOCOLS.get(selection.protocol).primary_metric,), "default where nothing is adversarial")
    if has_weights:
        return Rule(
            (LPIPS,), "default for adversarial training: LPIPS ranked the readers' choice 12th of 120, PSNR 76th"
        )
    return Rule(
        selection.stand_in,
        "LPIPS would choose, but no weights were given (--lpips-weights); a rank blend of "
        f"{' and '.join(selection.stand_in)} stands in for it",
    )


def score_candidates(
    group: Sequence[Candidate], out: Path, scoring: Scoring, selection: Selection, untrained: Collection[str] = ()
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Validation scores of a group: one row a candidate, one column a metric (mean over subjects).

    Args:
        group: Candidates of one direction and method.
        out: Folder of the study.
        scoring: How.
        selection: Its protocol and region.
        untrained: Keys of the jobs that failed: their weights are not judged.

    Returns:
        The table, and what went wrong: candidates that could not be scored, and validation cases that some lack.
        A metric is undefined where a case has no value of it that another candidate's has: all are compared on the
        same cases.
    """
    direction, method = group[0].group
    found: dict[str, tuple[pd.DataFrame, str]] = {}
    failed: dict[str, str] = {}
    lacking: dict[str, list[str]] = {}
    for candidate in group:
        try:
            translator = weights_of(candidate, out, untrained)
            folder = out / FOLDER / direction / candidate.name
            scored = score_translator(translator, folder, scoring, selection.protocol, {"controls": ()})
            region = selection.region or primary_region(scored.folder)
            found[candidate.name] = read_scores(scored.folder), region
        except RecontrastError as error:
            failed[f"candidate {direction}/{candidate.name}"] = str(error)
            continue
        for case, reason in scored.failed.items():
            lacking.setdefault(case, []).append(reason)
    for case, reasons in lacking.items():
        failed[f"validation {direction}/{method} {case}"] = f"{reasons[0]} ({len(reasons)} of {len(group)} candidates)"
    labels = [use.label for use in PROTOCOLS.get(selection.protocol).metrics]
    cases = {name: {label: defined_cases(*scores, label) for label in labels} for name, scores in found.items()}
    expected = {label: set[str]().union(*(defined[label] for defined in cases.values())) for label in labels}
    rows: list[dict[str, object]] = []
    for candidate in group:
        if candidate.name not in found:
            continue
        scores, region = found[candidate.name]
        complete = [label for label in labels if cases[candidate.name][label] == expected[label]]
        values = {label: float(subject_values(scores, label, region).mean()) for label in complete}
        values = dict.fromkeys(labels, math.nan) | values
        rows.append({"candidate": candidate.name, "fraction": candidate.fraction, **values})
    return pd.DataFrame(rows), failed


def with_ranks(table: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Add `rank METRIC` columns, 1 for the best; an undefined value ranks last, equal values share the better rank.

    >>> with_ranks(pd.DataFrame({"candidate": ["a", "b"], "psnr": [20.0, 30.0]}), "recontrast")["rank psnr"].tolist()
    [2.0, 1.0]
    """
    ranked = table.copy()
    for use in PROTOCOLS.get(protocol).metrics:
        if use.label in table and table[use.label].notna().any():
            higher = PROTOCOLS.get(protocol).higher_is_better(use.label)
            ranked[f"rank {use.label}"] = table[use.label].rank(ascending=not higher, method="min", na_option="bottom")
    return ranked


def best_by(table: pd.DataFrame, metrics: Sequence[str]) -> int:
    """Row of the candidate with the smallest sum of ranks; of equal ones the first.

    Raises:
        ConfigError: None of the metrics has a value.
    """
    columns = [f"rank {label}" for label in metrics]
    absent = [label for label, column in zip(metrics, columns, strict=True) if column not in table]
    if absent:
        raise ConfigError(
            f"candidates cannot be chosen by {', '.join(absent)}: no candidate has a value of it for every case"
        )
    return int(table[columns].sum(axis=1).to_numpy().argmin())


def choose(
    group: Sequence[Candidate], table: pd.DataFrame, rule: Rule, protocol: str, codes: Mapping[str, str], pick: str = ""
) -> Choice:
    """Choose one of a group.

    Args:
        group: Its candidates.
        table: From `score_candidates`; without rows there is nothing to choose by.
        rule: The rule.
        protocol: Protocol of the scores.
        codes: Candidate to its code on the selection sheet.
        pick: Code that readers picked; empty: the rule chooses.

    Raises:
        ConfigError: There is no such code, or nothing was picked and no candidate has a value of the rule's metrics.
    """
    if table.empty:
        by = "one" if len(group) == 1 else "last"
        return Choice(group[-1] if by == "one" else _last_of_first(group), Rule((), ""), by, table, tuple(group))
    ranked = with_ranks(table, protocol)
    ranked.insert(0, "code", [codes[name] for name in ranked["candidate"]])
    if pick:  # it wins, also where the rule's metric has no value
        if pick not in set(ranked["code"]):
            raise ConfigError(
                f"picked code {pick} is not on the sheet of {group[0].group}: {', '.join(ranked['code'])}"
            )
        chosen, by = ranked["code"].tolist().index(pick), "readers"
    else:
        chosen, by = best_by(ranked, rule.metrics), "rule"
    ranked["chosen"] = [number == chosen for number in range(len(ranked))]
    name = ranked["candidate"].iloc[chosen]
    return Choice(next(c for c in group if c.name == name), rule, by, ranked, tuple(group))


def read_picks(path: Path) -> dict[tuple[str, str], str]:
    """Readers' picks: a TSV file with columns direction, method, code (and any others).

    Raises:
        FormatError: It cannot be read, or a group has two rows.
    """
    table = read_table(path, text_columns=PICK_COLUMNS)
    require_columns(path, table, PICK_COLUMNS)
    picks: dict[tuple[str, str], str] = {}
    for row in table.to_dict("records"):
        group = (str(row["direction"]), str(row["method"]))
        if group in picks:
            raise FormatError(f"{path}: {' '.join(group)} has two rows; readers agree on one candidate")
        picks[group] = str(row["code"])
    return picks


def ranks_in_words(choice: Choice) -> str:
    """Rank of the chosen candidate under every metric, as the paper reported it.

    Returns:
        One sentence; empty where there was nothing to rank.
    """
    if choice.table.empty:
        return ""
    row = choice.table.loc[choice.table["chosen"]].iloc[0]
    ranks = [
        f"{column.removeprefix('rank ')} {int(row[column])}"
        for column in choice.table.columns
        if column.startswith("rank ") and not math.isnan(row[column])
    ]
    who = "the readers' pick" if choice.by == "readers" else "the choice"
    return f"Of {len(choice.table)} candidates {who} ({row['candidate']}) ranks: {', '.join(ranks)}."


def _last_of_first(group: Sequence[Candidate]) -> Candidate:
    """The end of the first training of a group."""
    return [candidate for candidate in group if candidate.job.key == group[0].job.key][-1]
