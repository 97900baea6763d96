"""One self-contained HTML page from whatever evidence a folder holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recontrast.atomic import write_text
from recontrast.config import to_plain
from recontrast.errors import ConfigError
from recontrast.evaluation.scores import SYNTHETIC
from recontrast.execution.workers import Summary
from recontrast.provenance import version
from recontrast.reporting.comparisons import comparison_section, conclusions_of
from recontrast.reporting.evidence import Evaluation, Evidence, find_evidence, records
from recontrast.reporting.intervals import interval_section
from recontrast.reporting.numbers import ABSENT, count, decimals_for, interval, is_number, number
from recontrast.reporting.page import Headline, Tile, render
from recontrast.reporting.planes import check_convention
from recontrast.reporting.readings import reading_section
from recontrast.reporting.records import case_section, problem_section, provenance_section
from recontrast.reporting.sections import (
    NO_EVALUATION,
    Choice,
    Failures,
    learning_section,
    montage_section,
    score_section,
)
from recontrast.reporting.verdict import (
    Primary,
    doubts_of,
    judge,
    leak_warning,
    protocols_of,
    select,
    split_rows,
    subjects_in_words,
)
from recontrast.reporting.volumes import volume_section

FILE_NAME = "report.html"

STATEMENT = (
    "Synthetic images are computed, not acquired. They are marked as synthetic in file name, sidecar and in every "
    "picture of this page, they may show structures that do not exist or miss structures that do, and they are not for "
    "diagnosis."
)
"""The sentence that stands in every report."""


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """Settings of `recontrast report`."""

    folder: Path
    """Folder that holds the evidence (runs, evaluations, prepared data), at any depth; the page is written into it."""
    title: str = ""
    """Title of the page; left empty: sources and target."""
    cases: int = 6
    """Most montages for each evaluation: the worst cases, the median and the best one."""
    convention: str = "radiological"
    """radiological (the patient's left is on the right of the picture) or neurological."""
    metric: str = ""
    """Metric that decides verdict and order; left empty: the protocol's primary metric."""
    region: str = ""
    """Region that decides verdict and order; left empty: the protocol's primary region."""


def report(settings: ReportSettings) -> Summary:
    """Write `FOLDER/report.html`: headline, cases, learning curves, scores, lists, provenance.

    Files that are there and cannot be read, and cases that cannot be shown, are named on the page and in `failed`.

    Raises:
        LayoutError: The folder does not exist.
        ConfigError: A setting is wrong.
        OutputError: The page cannot be written.

    Example:
        >>> report(ReportSettings(folder=Path("out"))).done  # doctest: +SKIP
        ['out/report.html: 1 evaluation, 1 run, 1.8 MB']
    """
    check_convention(settings.convention)
    if settings.cases < 1:
        raise ConfigError(f"cases is {settings.cases}; show at least 1 montage")
    evidence = find_evidence(settings.folder)
    choice = Choice(settings.cases, settings.convention, settings.metric, settings.region)
    failures = Failures()
    sections = [
        montage_section(evidence, choice, failures),
        score_section(evidence, choice),
        *([interval_section(evidence)] if evidence.evaluations else []),
        volume_section(evidence),
        *([comparison_section(evidence)] if evidence.comparisons or len(evidence.evaluations) > 1 else []),
        *([reading_section(evidence)] if evidence.readings else []),
        learning_section(evidence),
        case_section(evidence),
        provenance_section(evidence, to_plain(settings)),
    ]
    problems = problem_section(evidence, failures.reasons)
    if problems is not None:
        sections.insert(0, problems)
    page = render(headline(evidence, choice, settings.title), sections, version())
    path = settings.folder / FILE_NAME
    write_text(path, page)
    found = ", ".join([count(len(evidence.evaluations), "evaluation"), count(len(evidence.runs), "run")])
    size = len(page.encode("utf-8")) / 1e6
    return Summary([f"{path}: {found}, {size:.1f} MB"], {**evidence.problems, **failures.reasons})


def headline(evidence: Evidence, choice: Choice, title: str = "") -> Headline:
    """The head of the page: what was translated, on whom, the verdict, the numbers."""
    verdicts: list[tuple[str, str]] = []
    tiles: list[Tile] = []
    subtitles: list[str] = []
    several = len(evidence.evaluations) > 1
    for evaluation in evidence.evaluations:
        place = f"{evidence.name_of(evaluation.folder)}: " if several else ""
        for protocol in protocols_of(evaluation):
            primary = choice.primary(evaluation, protocol)
            subtitles.append(place + _what(evaluation, primary, protocol))
            if primary is None:
                continue
            verdict = judge(evaluation, primary)
            verdicts.append((verdict.outcome, place + verdict.sentence))
            leak = leak_warning(evaluation)
            if leak is not None:
                verdicts.append((leak[0], place + leak[1]))
            if not tiles:
                tiles = _tiles(evaluation, primary, verdict.control)
    compared = [sentence for folder in evidence.comparisons for sentence in conclusions_of(folder)]
    if not evidence.evaluations:
        verdicts = [("unknown", sentence) for sentence in compared[:3]] or [("unknown", NO_EVALUATION)]
    elif not verdicts:
        verdicts = [("unknown", "The evaluation in this folder holds no score, so there is no verdict.")]
    verdicts += [("not", place) for evaluation in evidence.evaluations for place in doubts_of(evaluation)]
    subtitle = " ".join(subtitles) or _trained(evidence)
    return Headline(title or _title(evidence), subtitle, verdicts, tiles, STATEMENT)


def _what(evaluation: Evaluation, primary: Primary | None, protocol: str) -> str:
    facts = evaluation.facts
    sources, target = _direction(facts.get("sources"), facts.get("target"))
    on = subjects_in_words(evaluation, _subjects(evaluation, primary))
    held = f" (split {facts['split']})" if facts.get("split") else ""
    counts: Any = facts.get("cases")
    told = isinstance(counts, dict) and {"scored", "expected"} <= counts.keys()
    said = f" {counts['scored']} of {counts['expected']} expected cases were scored." if told else ""
    return f"{target} made from {sources}, on {on}{held}, scored by protocol {protocol}.{said}"


def _subjects(evaluation: Evaluation, primary: Primary | None) -> int:
    scores = evaluation.scores
    if "subject" not in scores or "estimator" not in scores:
        return 0
    rows = (select(scores, primary) if primary is not None else scores).query("estimator == @SYNTHETIC")
    return int(rows.loc[rows["value"].map(is_number), "subject"].nunique())


def _tiles(evaluation: Evaluation, primary: Primary, control: str) -> list[Tile]:
    if not len(evaluation.statistics):
        return []
    plain, compared = split_rows(select(evaluation.statistics, primary))
    short = primary.measure.unit == "dB"  # longer units stand in the label
    unit = f" {primary.measure.unit}" if short else ""
    bracketed = f" ({primary.measure.unit})" if primary.measure.unit and not short else ""
    name = f"{primary.measure.name}{bracketed}, {primary.region}"
    words = subjects_in_words(evaluation, 2).removeprefix("2 ")
    split = f"split {evaluation.facts.get('split') or 'not stated'}"
    tiles = [Tile(words, str(_subjects(evaluation, primary)), split)]
    decimals = decimals_for(plain["mean"], 3) if len(plain) else 2
    for estimator, label in ((SYNTHETIC, "synthetic"), (control, f"best control ({control})")):
        for row in records(plain[plain["estimator"] == estimator])[:1]:
            ends = interval(row["ci_low"], row["ci_high"], decimals)
            tiles.append(Tile(f"{name}, {label}", number(row["mean"], decimals) + unit, _interval(ends)))
    for row in records(compared[(compared["estimator"] == SYNTHETIC) & (compared["control"] == control)])[:1]:
        digits = decimals_for([row["difference"]], 3)
        ends = interval(row["difference_ci_low"], row["difference_ci_high"], digits, signed=True)
        value = number(row["difference"], digits, signed=True) + unit
        tiles.append(Tile(f"synthetic − best control{bracketed}", value, _interval(ends)))
    return tiles


def _interval(ends: str) -> str:
    return "no interval" if ends == ABSENT else f"95 % interval {ends}"


def _title(evidence: Evidence) -> str:
    for facts in [e.facts for e in evidence.evaluations] + [r.translator for r in evidence.runs]:
        sources, target = facts.get("sources"), _target_of(facts)
        if sources or target:
            words = _direction(sources, target)
            return f"{words[0]} to {words[1]}"
    if evidence.comparisons:
        return "Translators compared"
    return f"Evidence in {evidence.folder.resolve().name}"


def _trained(evidence: Evidence) -> str:
    for run in evidence.runs:
        if run.translator:
            sources, target = _direction(run.translator.get("sources"), _target_of(run.translator))
            return f"A translator that makes {target} from {sources} was trained; it was not evaluated here."
    if evidence.comparisons:
        return "Several translators on the same subjects; their own evaluations are not in this folder."
    return "Nothing in this folder says what was translated."


def _target_of(facts: Mapping[str, Any]) -> object:
    """What is made; of a translator that makes several contrasts (`bank`), all of them."""
    bank = facts.get("bank")
    targets = bank.get("targets") if isinstance(bank, Mapping) else None
    return facts.get("target") or (" or ".join(targets) if isinstance(targets, Mapping) else None)


def _direction(sources: object, target: object) -> tuple[str, str]:
    names: Sequence[str] = [str(s) for s in sources] if isinstance(sources, list) else [str(sources)] if sources else []
    return " and ".join(names) or "sources that are not recorded", str(target or "a target that is not recorded")
