"""The page of an inspection: question, answer in one sentence, figure, numbers; then what was not asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recontrast.inspection import GOOD, Answer, Question, several
from recontrast.inspection.bench import Bench
from recontrast.provenance import version
from recontrast.reporting.figures import data_uri
from recontrast.reporting.page import Block, Cell, Fold, Headline, Picture, Section, Table, Text, Tile, render
from recontrast.reporting.report import STATEMENT

FILE_NAME = "inspection.html"

VOXELWISE = (
    "It works voxel by voxel: the image of shuffled voxels is the image shuffled. It can lose a structure, but not "
    "invent one."
)
"""Said of translators for which that was tried out (`Bench.voxelwise`)."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a question.

    Attributes:
        name: Its name.
        question: The question.
        status: answered, not asked or failed.
        reason: Why there is no answer; "" when there is one.
        answer: The answer.
        seconds: How long it took.
    """

    name: str
    question: Question
    status: str
    reason: str
    answer: Answer | None
    seconds: float


def inspection_page(bench: Bench, outcomes: Sequence[Outcome], figures: Mapping[str, bytes]) -> str:
    """The page as HTML, with everything in it.

    Args:
        bench: What was inspected.
        outcomes: In the order of the page.
        figures: PNG bytes by `question_plate`.
    """
    answered = [outcome for outcome in outcomes if outcome.answer is not None]
    others = [outcome for outcome in outcomes if outcome.answer is None]
    sections = [_section(outcome, outcome.answer, figures) for outcome in answered if outcome.answer is not None]
    sections.append(_not_asked(others))
    return render(_headline(bench, answered, others), sections, version())


def _headline(bench: Bench, answered: Sequence[Outcome], others: Sequence[Outcome]) -> Headline:
    sources = " and ".join(bench.source_labels) or "sources that are not recorded"
    about = bench.description
    maker = f"Translator of preset {about.preset}, {about.trained_steps} steps." if about else "Images only."
    maker += " In all figures the patient's left is on the right."
    count = len(bench.cases)
    verdicts = [("unknown", remark) for remark in bench.remarks]
    if bench.voxelwise:
        verdicts.append((GOOD, VOXELWISE))
    verdicts += [(o.answer.tone, o.answer.sentence) for o in answered if o.answer is not None]
    tiles = [
        Tile("cases", str(count), ", ".join(case.key for case in bench.cases[:3]) + (" …" if count > 3 else "")),
        Tile("questions answered", str(len(answered)), f"{len(others)} without an answer"),
        Tile("with acquired target", str(len(bench.references)), f"of {several(count, 'case')}"),
    ]
    return Headline(f"Inspection: {sources} to {bench.target}", maker, verdicts, tiles, STATEMENT)


def _section(outcome: Outcome, answer: Answer, figures: Mapping[str, bytes]) -> Section:
    blocks: list[Block] = [Text(answer.sentence)]
    for plate in answer.plates:
        uri = data_uri(figures[f"{outcome.name}_{plate.name}"], "image/png")
        blocks.append(Picture(uri, plate.caption, plate.caption))
    key = [finding for finding in answer.findings if finding.key]
    if key:
        rows = [[Cell(f.name), Cell(f.case or "all"), Cell(f.note), Cell(_number(f.value, f.unit))] for f in key]
        header = [Cell("number"), Cell("case"), Cell("note"), Cell("value")]
        more = len(answer.findings) - len(key)
        note = f"{several(more, 'further number')} in findings.tsv." if more else ""
        blocks.append(Table(outcome.question.title, header, rows, numeric=1, note=note))
    method = outcome.question.method + (f" Source: {outcome.question.source}." if outcome.question.source else "")
    blocks.append(Fold(f"How this was measured ({outcome.seconds:.0f} s)", [Text(method)]))
    return Section(outcome.name, outcome.question.title, blocks)


def _not_asked(others: Sequence[Outcome]) -> Section:
    if not others:
        return Section("not-asked", "Not asked", [Text("Every question was answered.")])
    rows = [[Cell(o.question.title), Cell(o.status, look="bad"), Cell(o.reason)] for o in others]
    table = Table("Questions without an answer", [Cell("question"), Cell("status"), Cell("reason")], rows)
    return Section("not-asked", "Not asked", [table])


def _number(value: float, unit: str) -> str:
    if value == float("inf"):
        return "not reached"
    text = "n/a" if value != value else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return f"{text.replace('-', '−')} {unit}".strip()
