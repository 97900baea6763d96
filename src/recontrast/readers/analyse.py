"""`recontrast readers analyse`: answers to tables and one page, at any time, also while people read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from recontrast.atomic import make_folder, write_text
from recontrast.errors import ConfigError, LayoutError
from recontrast.execution.workers import Summary
from recontrast.io.tables import write_table
from recontrast.preparation.tiers import REJECT
from recontrast.provenance import version, write_provenance
from recontrast.readers.answers import Record, read_records
from recontrast.readers.decode import decode, read_answers
from recontrast.readers.folder import ANSWERS, Plan, read_plan
from recontrast.readers.grading import candidate_table, grade_table, grades_for_prepare
from recontrast.readers.lesions import lesion_table
from recontrast.readers.progress import current_records
from recontrast.readers.study import Study, read_study
from recontrast.readers.tables import (
    agreement_table,
    comparison_table,
    confusion_table,
    count_table,
    graded,
    multireader_table,
    origin_table,
    others,
    subject_of,
    time_table,
    which_table,
)
from recontrast.reporting.evidence import READING
from recontrast.reporting.page import KIND_ABSENT, Facts, Headline, Section, Text, render
from recontrast.reporting.readings import NOBODY, Reading, read_reading, table_blocks

REPORT = "report.html"

NOTES = {
    "counts": "How often each grade was given (layout of table 3 of Tagawa 2025).",
    "confusion": "The same cases in both arms: rows are the grades of the acquired image, columns those of the other.",
    "agreement": "Weighted kappa, ICC(2,1) and Fleiss' kappa with 95 % intervals. Where a case has two sides, the "
    "bootstrap over subjects is the interval to use. An interval of kappa that reached beyond -1 or 1 was cut "
    "there, as the method says; where readers agree on every case it has no width, which is not certainty.",
    "comparison": "Mean, SD and Wilcoxon's signed-rank test over subjects, each reader (as Hagiwara 2019); p is not "
    "adjusted for the number of questions.",
    "multireader": "Difference from the acquired images over all readers and cases; both are random, so the result "
    "speaks of readers and cases like these. An interval that reached beyond the differences that the grades allow "
    "was cut there, as the method says.",
    "lesions": "Lesions found in both images, or in one only (layout of table 4 of Tagawa 2025).",
    "origin": "Was the image acquired or computed: what readers said, share right with exact interval. Its p is there "
    "only where as many acquired as computed images were read: otherwise always saying the same is right more often "
    "than not. p of an arm: whether its images and the acquired ones are called acquired equally often (Fisher; "
    "paired: McNemar), not adjusted for the number of arms.",
    "which": "Which of two images was chosen.",
    "quality": "Grades and tier of each scan (Bottani 2024).",
    "grades": "One row a scan, the worst grade of any reader: a table for `recontrast prepare --grades`. A scan that "
    "anybody rejected has the tier reject; `prepare` leaves its case out.",
    "candidates": "Candidates: struck out, or in the order of quality (Tagawa 2025).",
    "time": "Reading time of an item, seconds, pauses left out.",
}


@dataclass(frozen=True, kw_only=True)
class AnalyseSettings:
    """Settings of `recontrast readers analyse`."""

    study: Path
    """Study folder, or a table of answers made elsewhere (reader, case, arm, question, value, side)."""
    out: Path
    """Folder for tables and report."""
    design: Path | None = None
    """Design file; needed with a table of answers."""


def analyse(settings: AnalyseSettings) -> Summary:
    """Write answers.tsv, records.tsv, a table for each kind of question, report.html, and reading.json.

    `recontrast report` puts the tables into the page of the folder above, beside scores and montages.
    Items that nobody answered, and answers that were undone, are counted on the page; nothing is filled in.

    Raises:
        LayoutError: There is no such study.
        FormatError: Answers or key are damaged.

    Example:
        >>> analyse(AnalyseSettings(study=Path("study"), out=Path("analysis"))).done  # doctest: +SKIP
    """
    plan, records, study, answers = _read(settings)
    out = make_folder(settings.out)
    write_table(out / "answers.tsv", answers)
    if plan is not None:
        write_table(out / "records.tsv", pd.DataFrame([vars(record) for record in records], columns=_RECORD_COLUMNS))
    tables = dict(study_tables(answers, study))
    for name, table in tables.items():
        write_table(out / f"{name}.tsv", table)
    write_provenance(out, "readers analyse", settings)
    arms = ", ".join(arm.name for arm in study.arms)
    blinded = "answers of readers who were not told the arm" if plan else "a table of answers that were given elsewhere"
    content = {
        "format": 1,
        "title": study.title,
        "statement": f"{len(study.readers)} readers, arms {arms}; {blinded}.",
        "facts": _facts(plan, records, study, answers),
        "tables": [{"name": name, "note": NOTES[name.partition("-")[0]]} for name in tables],
    }
    write_text(out / READING, json.dumps(content, indent=1) + "\n")
    write_text(out / REPORT, _page(read_reading(out)))
    counted, heads = int((~answers["training"]).sum()), answers["reader"].nunique()
    lines = [f"{out / REPORT}: {counted} answers of {heads} readers, {len(tables)} tables"]
    return Summary([*lines, *_rejected_in_words(tables.get("grades"))])


_RECORD_COLUMNS = ["number", "token", "reader", "item", "kind", "content", "milliseconds", "received"]


def study_tables(answers: pd.DataFrame, study: Study) -> Iterator[tuple[str, pd.DataFrame]]:
    """Names and tables that the questions of a study ask for; empty ones are left out."""
    found: list[tuple[str, pd.DataFrame]] = []
    for question in graded(study):
        found.append((f"counts-{question.name}", count_table(answers, study, question)))
        found.append((f"confusion-{question.name}", confusion_table(answers, study, question)))
    found += [("agreement", agreement_table(answers, study)), ("comparison", comparison_table(answers, study))]
    found += [("multireader", multireader_table(answers, study))]
    for question in study.questions:
        if question.kind == "marks":
            found += [
                (f"lesions-{question.name}-{arm}", lesion_table(answers, study, question, arm)) for arm in others(study)
            ]
        elif question.kind == "origin":
            found.append((f"origin-{question.name}", origin_table(answers, study, question)))
        elif question.kind == "which":
            found.append((f"which-{question.name}", which_table(answers, study, question)))
    grades = grade_table(answers, study)
    found += [("quality", grades), ("candidates", candidate_table(answers, study))]
    if len(grades):
        found.append(("grades", grades_for_prepare(grades)))
    found.append(("time", time_table(answers, study)))
    return ((name, table) for name, table in found if len(table))


def _rejected_in_words(grades: pd.DataFrame | None) -> list[str]:
    if grades is None or not (grades["tier"] == REJECT).any():
        return []
    rows = grades[grades["tier"] == REJECT]
    names = ", ".join(f"{case} ({contrast})" for case, contrast in zip(rows["case"], rows["contrast"], strict=True))
    return [f"rejected by a reader, and left out by `recontrast prepare --grades`: {names}"]


def _read(settings: AnalyseSettings) -> tuple[Plan | None, list[Record], Study, pd.DataFrame]:
    if settings.study.is_file():
        if settings.design is None:
            raise ConfigError(f"{settings.study} is a table; name its design with --design STUDY.toml")
        study = read_study(settings.design)
        return None, [], study, read_answers(settings.study, study)
    if not settings.study.is_dir():
        raise LayoutError(f"{settings.study}: no such study")
    plan = read_plan(settings.study)
    records = read_records(settings.study / ANSWERS)
    return plan, records, plan.study, decode(plan, records)


def _facts(plan: Plan | None, records: list[Record], study: Study, answers: pd.DataFrame) -> list[tuple[str, str]]:
    facts = [("arms", ", ".join(arm.name for arm in study.arms)), ("acquired arm", study.acquired)]
    cases = set(answers["case"])
    people = {subject_of(case) for case in cases}
    if len(people) < len(cases):
        said = (
            f"{len(cases)} cases of {len(people)} subjects: bootstrap intervals, means, Wilcoxon's and the multireader "
            "test are over subjects; ICC, the analytic interval of kappa, binomial and McNemar's tests take each case "
            "for a subject, and are too sure"
        )
        facts.append(("several cases of one subject", said))
    for reader in study.readers:
        own = [record for record in records if record.reader == reader]
        done = len(set(answers.loc[answers["reader"] == reader, "place"]))
        if plan is not None:
            skipped = sum(record.kind == "skip" for record in current_records(own).values())
            undone = sum(record.kind == "undo" for record in own)
            planned, seed = len(plan.items[reader]), f"seed {plan.seeds[reader]}"
            facts.append(
                (f"reader {reader}", f"{done} of {planned} items answered, {skipped} skipped, {undone} undone; {seed}")
            )
        else:
            facts.append((f"reader {reader}", f"{done} answers"))
    return facts


def _page(reading: Reading) -> str:
    sections = [Section("readers", "Readers", [Facts(reading.facts)])]
    for number, (title, blocks) in enumerate(table_blocks(reading)):
        sections.append(Section(f"table-{number}", title, blocks))
    if not reading.tables:
        sections.append(Section("none", "Answers", [Text(NOBODY, KIND_ABSENT)]))
    statement = "Computed images are not acquired images. What was said of them here is no proof beyond these cases."
    return render(Headline(reading.title, reading.statement, [], [], statement), sections, version())
