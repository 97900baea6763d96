"""`recontrast study`: train what a paper trained, choose as it chose, score as it scored, print both tables."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from recontrast.atomic import make_folder
from recontrast.config import to_plain, write_settings
from recontrast.errors import ConfigError, RecontrastError
from recontrast.execution.workers import Summary
from recontrast.io.tables import write_table
from recontrast.preparation.cohort import PreparedCohort
from recontrast.preparation.pipeline import FREE_TO_CHANGE
from recontrast.provenance import FILE_NAME, write_provenance
from recontrast.study import cohort as cohorts
from recontrast.study.as_is import as_is_origin, write_as_is
from recontrast.study.cohort import source_tiers
from recontrast.study.compare import TABLE as ORDERINGS
from recontrast.study.compare import Finding, check_orderings
from recontrast.study.layouts import LAYOUTS
from recontrast.study.pages import Findings, measure_in_words, numbers_in_words, write_page
from recontrast.study.plan import RUNS, Candidate, TrainingJob, candidates_of, groups_of, plan_jobs, weights_of
from recontrast.study.run import run_jobs
from recontrast.study.score import IMAGES, Scored, Scoring, score_images, score_translator
from recontrast.study.select import (
    TABLE,
    Choice,
    best_by,
    choose,
    ranks_in_words,
    read_picks,
    rule_of,
    score_candidates,
)
from recontrast.study.settings import DataSource, Direction, Study, read_study
from recontrast.study.sheet import codes_of, write_sheet

log = logging.getLogger(__name__)

TESTS = "test"
REFERENCE_LABELS = "reference-labels"
"""Folder of a study with the segmentations of its references, which all methods are held against."""


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """Settings of `recontrast study`."""

    study: Path
    """Study file (TOML), or the name of a study that comes with Recontrast (`recontrast list studies`)."""
    prepared: Path
    """Prepared folder; where it is absent it is made: simulated, or from --bids, as the study file says."""
    out: Path
    """Folder for everything the study makes; the page to read is `study.html` in it."""
    scale: Literal["paper", "cpu"] = "cpu"
    """paper: the published size; cpu: the same method made small enough for two cores."""
    data: str = ""
    """Which of the data named in the study file; left out: the first."""
    bids: Path | None = None
    """Folder of raw scans, for data of the study file that are not simulated."""
    picks: Path | None = None
    """Table (TSV) of readers' picks from the selection sheets: direction, method, code. They win over every metric."""
    lpips_weights: Path | None = None
    """Weights of LPIPS (.safetensors or .npz), which chooses among candidates of adversarial presets."""
    set: tuple[str, ...] = ()
    """Preset settings for every run, as `loop.steps=100`; they win over the study file."""
    workers: int = 1
    """Trainings at the same time; 1: in turn, each with all cores."""
    case_workers: int = 2
    """Cases simulated, prepared and evaluated at the same time."""
    scheduler: str = ""
    """Dask scheduler whose workers train (tcp://host:8786, or its .json file); empty: this machine."""


@dataclass(frozen=True)
class _Work:
    """What every step needs."""

    settings: StudySettings
    study: Study
    data: DataSource
    cohort: PreparedCohort
    jobs: list[TrainingJob]
    untrained: Collection[str]
    """Jobs that failed in this call: weights that lie there are not those of these settings."""


def study_paper(settings: StudySettings) -> Summary:
    """Run a study file from its data to its page. Started again, it goes on where it stopped.

    Raises:
        ConfigError: The study file is wrong, two candidates are the same, or the folder holds another study.
        LayoutError: The prepared folder is absent and cannot be made.

    Example:
        >>> study_paper(StudySettings(study=Path("osman2022"), prepared=Path("p"), out=Path("o")))  # doctest: +SKIP
    """
    begun = time.perf_counter()
    description = read_study(settings.study, settings.scale)
    data = description.source(settings.data)
    jobs = plan_jobs(description, data, settings.scale, settings.set)
    picks = read_picks(settings.picks) if settings.picks is not None else {}
    facts = {"study": to_plain(description), "data": settings.data, "scale": settings.scale, "set": list(settings.set)}
    _refuse_another(settings.out, settings.prepared, facts)
    make_folder(settings.out)
    write_settings(settings.out / "study.toml", description)
    write_provenance(settings.out, "study", settings, (), facts)
    cohort = cohorts.make_cohort(data, settings.prepared, settings.out, settings.bids, settings.case_workers)
    trained = run_jobs(jobs, settings.prepared, settings.out, settings.scale, settings.workers, settings.scheduler)
    work = _Work(settings, description, data, cohort, jobs, trained.failed)
    failed = {f"prepare {key}": reason for key, reason in cohort.failed.items()}
    failed |= {f"train {key}": reason for key, reason in trained.failed.items()}
    choices = _select(work, picks, failed)
    tested = _test(work, choices, failed)
    directions = list(dict.fromkeys(job.direction.label for job in jobs))
    orderings = check_orderings(description.orderings, tested, directions)
    write_table(settings.out / ORDERINGS, orderings)
    tables = [LAYOUTS.get(published.layout)(published, tested, directions) for published in description.published]
    for number, table in enumerate(tables, start=1):
        write_table(settings.out / f"published-{number}.tsv", table)
    minutes = (time.perf_counter() - begun) / 60
    findings = Findings(
        description, data, cohort, settings.out, settings.scale, jobs, trained.table, choices, tested, orderings,
        tables, failed, minutes,
    )  # fmt: skip
    page = write_page(findings)
    write_provenance(settings.out, "study", settings, (), facts | {"minutes": round(minutes, 2)})
    return Summary([*_lines(findings), f"study: {page} ({minutes:.1f} min)"], failed)


def _refuse_another(out: Path, prepared: Path, facts: Mapping[str, Any]) -> None:
    path = out / FILE_NAME
    if not path.is_file():
        return
    former = json.loads(path.read_text(encoding="utf-8"))
    if former.get("stage") != "study":
        raise ConfigError(f"{out} was made by `recontrast {former.get('stage')}`; choose another folder")
    # What is checked, shown and printed may change; what is trained may not.
    for name in ("directions", "methods", "seeds", "set", "budget"):
        old, new = former["study"].get(name), facts["study"].get(name)
        if old != new:
            raise ConfigError(f"{out} holds a study with another '{name}' (was {old}, is {new}); choose another folder")
    names = [_name_of_data(each) for each in (former, facts)]
    for name, old, new in (("data", *names), *((name, former.get(name), facts[name]) for name in ("scale", "set"))):
        if old != new:
            raise ConfigError(
                f"{out} holds a study with another '{name}' (was {old!r}, is {new!r}); choose another folder"
            )
    if not (out / RUNS).is_dir() and not (prepared / "cases.tsv").is_file():
        return  # no subject is there yet
    before, now = (_table_of_data(each) for each in (former, facts))
    for name, new in now.items():
        if before.get(name) != new:
            raise ConfigError(
                f"{out} holds a study of other data ('{name}' was {before.get(name)}, is {new}); choose another folder "
                "and another prepared folder"
            )


def _name_of_data(facts: Mapping[str, Any]) -> str:
    """Which of the data of a study are taken."""
    return str(facts.get("data") or next(iter(facts["study"].get("data", {})), ""))


def _table_of_data(facts: Mapping[str, Any]) -> dict[str, Any]:
    """How the data of a study are made; words and numbers of workers may change."""
    made = {**to_plain(DataSource()), **facts["study"].get("data", {}).get(_name_of_data(facts), {})}
    for name in ("simulate", "prepare"):
        made[name] = {key: value for key, value in made[name].items() if key not in FREE_TO_CHANGE}
    return {name: value for name, value in made.items() if name != "summary"}


def _select(work: _Work, picks: dict[tuple[str, str], str], failed: dict[str, str]) -> list[Choice]:
    """Choose one candidate of each direction and method."""
    settings, selection = work.settings, work.study.selection
    validation = work.cohort.split("validation")
    groups = groups_of(candidates_of(work.jobs))
    for picked in picks:
        if picked not in groups:
            raise ConfigError(f"{settings.picks}: the study has no candidates of {' '.join(picked)}")
    scoring = Scoring(settings.prepared, "validation", settings.lpips_weights, settings.case_workers)
    choices, rows, said = [], [], set()
    for name, group in groups.items():
        table = pd.DataFrame()
        direction = group[0].job.direction
        cases = cohorts.complete_cases(validation, direction)
        rule = rule_of(selection, group[0].job.adversarial, settings.lpips_weights is not None)
        if len(group) > 1 and cases:
            log.info("selecting %s …", "/".join(name))
            scoring = replace(scoring, incomplete=cohorts.incomplete_cases(validation, direction))
            table, absent = score_candidates(group, settings.out, scoring, selection, work.untrained)
            failed |= absent
            if table.empty:
                failed[f"selection {'/'.join(name)}"] = "no candidate could be scored on the validation subjects"
                continue
            try:
                write_sheet(group, cases, settings.out, selection.sheet_slices)
            except RecontrastError as error:
                failed[f"sheet {'/'.join(name)}"] = str(error)
            if rule.reason not in said:
                log.info("selection: %s", rule.reason)
                said.add(rule.reason)
        elif len(group) > 1:
            log.info("%s: no complete validation subject: the end of the first run is taken", "/".join(name))
        try:
            choice = choose(group, table, rule, selection.protocol, codes_of(group), picks.get(name, ""))
        except RecontrastError as error:
            failed[f"selection {'/'.join(name)}"] = str(error)
            continue
        choices.append(choice)
        if not choice.table.empty:
            rows.append(choice.table.assign(direction=name[0], method=name[1], rule=choice.rule.name, by=choice.by))
    if rows:
        write_table(settings.out / TABLE, pd.concat(rows))
    return choices


def _test(work: _Work, choices: Sequence[Choice], failed: dict[str, str]) -> list[Finding]:
    """Score what was chosen, and what each further metric alone would have chosen, on the test subjects."""
    settings = work.settings
    if not work.cohort.split("test"):
        failed["test"] = f"{settings.prepared}: no test subject, nothing was scored"
        return []
    scoring = Scoring(
        settings.prepared, "test", settings.lpips_weights, settings.case_workers,
        keep_labels=settings.out / REFERENCE_LABELS,
    )  # fmt: skip
    tested = []
    scored: dict[str, dict[str, Scored]] = {}
    for choice in choices:
        for rule, candidate in _chosen(choice, work.study):
            direction, method = candidate.group
            what = f"test {direction}/{candidate.name}"
            try:
                if what not in scored:  # several rules may choose the same one
                    log.info("testing %s/%s …", direction, candidate.name)
                    missing = cohorts.incomplete_cases(work.cohort.split("test"), candidate.job.direction)
                    scored[what] = _evaluate(work, candidate, replace(scoring, incomplete=missing))
            except RecontrastError as error:
                failed[what] = str(error)
                continue
            failed |= _failures(what, scored[what])
            tiers = source_tiers(settings.prepared, candidate.job.direction.source[0])
            tested.append(Finding(direction, method, rule, candidate.name, _folders(scored[what]), tiers))
    directions = {job.direction.label: job.direction for job in work.jobs}.values()
    given = [(d, name, label) for d in directions for name, label in work.study.images_as_they_are(d).items()]
    return [*tested, *(found for one in given if (found := _test_as_is(work, *one, scoring, failed)))]


def _test_as_is(
    work: _Work, direction: Direction, name: str, label: str, scoring: Scoring, failed: dict[str, str]
) -> Finding | None:
    """Score a contrast that the cases have already as if it were made by the method `name`."""
    what = f"test {direction.label}/{name}"
    folder = work.settings.out / TESTS / direction.label / name
    log.info("testing %s/%s …", direction.label, name)
    try:
        cases, scale = work.cohort.split("test"), work.cohort.scale_settings
        absent = write_as_is(cases, label, direction.target, name, folder / IMAGES, scale)
        origin = as_is_origin(name, label, work.cohort)
        missing = cohorts.incomplete_cases(work.cohort.split("test"), direction)
        scoring = replace(scoring, incomplete=missing.union(absent))
        options = {"sources": direction.source, "controls": ()}
        scored = {
            evaluation.protocol: score_images(
                folder, origin, scoring, evaluation.protocol, {**evaluation.options, **options}
            )
            for evaluation in work.study.evaluations
        }
    except RecontrastError as error:
        failed[what] = str(error)
        return None
    failed |= _failures(what, scored) | {f"{what} {case}": f"has no {label} or no target" for case in absent}
    tiers = source_tiers(work.settings.prepared, direction.source[0])
    return Finding(direction.label, name, "", name, _folders(scored), tiers, learned=False)


def _failures(what: str, scored: Mapping[str, Scored]) -> dict[str, str]:
    """Cases without scores in any evaluation: the tables are of the others."""
    return {f"{what} {case}": reason for one in scored.values() for case, reason in one.failed.items()}


def _folders(scored: Mapping[str, Scored]) -> dict[str, Path]:
    return {protocol: one.folder for protocol, one in scored.items()}


def _chosen(choice: Choice, study: Study) -> list[tuple[str, Candidate]]:
    chosen = [("", choice.candidate)]
    if choice.table.empty:
        return chosen
    group = {c.name: c for c in choice.group}
    for label in study.selection.also:
        if f"rank {label}" in choice.table:
            chosen.append((label, group[choice.table["candidate"].iloc[best_by(choice.table, [label])]]))
    return chosen


def _evaluate(work: _Work, candidate: Candidate, scoring: Scoring) -> dict[str, Scored]:
    translator = weights_of(candidate, work.settings.out, work.untrained)
    folder = work.settings.out / TESTS / candidate.job.direction.label / candidate.name
    return {
        evaluation.protocol: score_translator(translator, folder, scoring, evaluation.protocol, evaluation.options)
        for evaluation in work.study.evaluations
    }


def _lines(findings: Findings) -> list[str]:
    """What is printed at the end."""
    lines = [f"{len(findings.jobs)} runs, {findings.study.budget.in_words}"]
    for choice in findings.choices:
        words = ranks_in_words(choice)
        if words:
            lines.append(f"{'/'.join(choice.candidate.group)}: chosen by {choice.rule.name}. {words}")
    for published, table in zip(findings.study.published, findings.tables, strict=True):
        lines += [
            f"{published.title} ({published.where}), protocol {published.protocol}:",
            table.to_string(index=False),
        ]
    for row in findings.orderings.to_dict("records"):
        method = f" [{row['method']}]" if row["method"] else ""
        found = f"{measure_in_words(row)} {numbers_in_words(row)}"
        lines.append(f"{row['verdict']}: {row['claim']}{method}: {found} ({row['interval']})")
    return lines
