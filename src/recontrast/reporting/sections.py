"""Sections of the report. Each takes the evidence and gives blocks; evidence that is absent is printed as absent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recontrast.errors import RecontrastError
from recontrast.reporting import figures
from recontrast.reporting.cases import (
    DIFFERENCE_PERCENTILE,
    WINDOW_PERCENTILES,
    CaseFiles,
    CasePictures,
    cut_case,
)
from recontrast.reporting.curves import RULE, read_curves
from recontrast.reporting.evidence import Evaluation, Evidence, Run, records
from recontrast.reporting.montage import nice_limit, plot_case
from recontrast.reporting.numbers import count, decimals_for, is_number
from recontrast.reporting.page import (
    KIND_ABSENT,
    KIND_WARNING,
    Block,
    Facts,
    Fold,
    Heading,
    Picture,
    Section,
    Text,
    frame_table,
)
from recontrast.reporting.scoretables import protocol_facts, score_tables, values_picture
from recontrast.reporting.similarity import map_settings
from recontrast.reporting.verdict import (
    Primary,
    case_values,
    choose_primary,
    protocol_fields,
    protocols_of,
)

NO_EVALUATION = (
    "No evaluation was found in this folder: run `recontrast evaluate SYNTHETIC REFERENCE OUT`, "
    "and make the report again."
)


@dataclass(frozen=True)
class Choice:
    """What the user chose for the report.

    Attributes:
        cases: Most montages to show for an evaluation.
        convention: Radiological or neurological.
        metric: Metric that decides; empty: the protocol's.
        region: Region that decides; empty: the protocol's.
    """

    cases: int = 6
    convention: str = "radiological"
    metric: str = ""
    region: str = ""

    def primary(self, evaluation: Evaluation, protocol: str) -> Primary | None:
        """The number that decides in an evaluation."""
        return choose_primary(evaluation, protocol, self.metric, self.region)


@dataclass
class Failures:
    """Cases that could not be shown, by name; they set the exit status."""

    reasons: dict[str, str] = field(default_factory=dict)


def montage_section(evidence: Evidence, choice: Choice, failures: Failures) -> Section:
    """Cases in three planes, worst first, then the median and the best."""
    blocks: list[Block] = []
    for evaluation in evidence.evaluations:
        if len(evidence.evaluations) > 1:
            blocks.append(Heading(f"Evaluation {evidence.name_of(evaluation.folder)}"))
        blocks.extend(_montages(evidence, evaluation, choice, failures))
    return Section("cases", "Cases", blocks or [Text(NO_EVALUATION, KIND_ABSENT)])


def learning_section(evidence: Evidence) -> Section:
    """Learning curves of each run, and how they read."""
    blocks: list[Block] = []
    for run in evidence.runs:
        blocks.append(Heading(f"Training run: {evidence.name_of(run.folder)}"))
        blocks.extend(_learning(run))
    absent = Text(
        "No training run was found in this folder: run `recontrast train PREPARED RUN`, or put the run's folder here.",
        KIND_ABSENT,
    )
    return Section("learning", "Learning curves", blocks or [absent])


def score_section(evidence: Evidence, choice: Choice) -> Section:
    """Score tables against every control, and the primary metric subject by subject."""
    blocks: list[Block] = []
    for evaluation in evidence.evaluations:
        if len(evidence.evaluations) > 1:
            blocks.append(Heading(f"Evaluation {evidence.name_of(evaluation.folder)}"))
        names = protocols_of(evaluation)
        if not names:
            blocks.append(Text("This evaluation holds no score: scores.tsv and statistics.tsv are empty.", KIND_ABSENT))
        for protocol in names:
            primary = choice.primary(evaluation, protocol)
            blocks.extend(score_tables(evaluation, protocol, primary))
            if primary is not None:
                blocks.extend(values_picture(evaluation, primary))
            blocks.append(protocol_facts(evaluation, protocol))
    return Section("scores", "Scores and controls", blocks or [Text(NO_EVALUATION, KIND_ABSENT)])


def _montages(evidence: Evidence, evaluation: Evaluation, choice: Choice, failures: Failures) -> list[Block]:
    names = protocols_of(evaluation)
    primary = choice.primary(evaluation, names[0]) if names else None
    rows = _rows_to_show(evaluation, primary, choice.cases)
    if not rows.chosen:
        return [
            Text("No case of this evaluation was scored, so there is none to show. See the list of cases.", KIND_ABSENT)
        ]
    fields = protocol_fields(evaluation, names[0]) if names else {}
    drawn: list[tuple[str, CasePictures]] = []
    blocks: list[Block] = []
    for title, row in rows.chosen:
        try:
            drawn.append((title, _cut(row, evaluation, choice, fields)))
        except (RecontrastError, OSError) as error:
            failures.reasons[f"{evidence.name_of(evaluation.folder)}: {row['case']}"] = str(error)
            blocks.append(Text(f"{row['case']} cannot be shown: {error}", KIND_WARNING))
    limit = nice_limit(max((pictures.difference_limit for _, pictures in drawn), default=1.0))
    blocks.insert(0, Text(_introduction(rows, primary, choice)))
    for number, (title, pictures) in enumerate(drawn):
        content = figures.png(plot_case(pictures, limit))
        alt = f"{pictures.key}: three planes of source, synthetic, reference, difference and SSIM map"
        uri = figures.data_uri(content, "image/png")
        blocks.append(Picture(uri, alt, montage_caption(pictures, limit, full=number == 0), title))
    return blocks


def _cut(row: Mapping[str, Any], evaluation: Evaluation, choice: Choice, fields: Mapping[str, Any]) -> CasePictures:
    files = CaseFiles.from_row(row, evaluation.folder)
    return cut_case(files, choice.convention, map_settings(fields))


@dataclass(frozen=True)
class _Rows:
    """Cases to draw with their titles, and how many there are."""

    chosen: list[tuple[str, dict[str, Any]]]
    scored: int


def _rows_to_show(evaluation: Evaluation, primary: Primary | None, most: int) -> _Rows:
    """The worst cases, and of more than `most` also the median and the best one."""
    if "case" not in evaluation.cases:
        return _Rows([], 0)
    rows = {str(row["case"]): row for row in records(evaluation.cases) if row.get("status", "ok") == "ok"}
    if primary is None:
        return _Rows([(key, rows[key]) for key in sorted(rows)[:most]], len(rows))
    values = case_values(evaluation, primary)
    values = values[values["case"].isin(list(rows))].reset_index(drop=True)
    defined = int(values["value"].map(is_number).sum())
    picked = list(range(min(most, len(values))))
    if len(values) > most and most >= 3:
        picked = [*range(most - 2), max(most - 2, (defined - 1) // 2), max(most - 1, defined - 1)]
    decimals = decimals_for(values["value"])
    chosen = []
    for place in picked:
        case, value = str(values["case"][place]), values["value"][place]
        score = primary.measure.amount(value, decimals) if is_number(value) else f"{primary.measure.name} undefined"
        chosen.append((f"{case}: {_rank(place, defined)}, {score} in {primary.place}", rows[case]))
    return _Rows(chosen, len(values))


def _rank(place: int, total: int) -> str:
    if place >= total:
        return "no value"
    if total == 1:
        return "the only case"
    if place == total - 1:
        return f"best of {total}"
    if place == 0:
        return f"worst of {total}"
    middle = ", the median" if place == (total - 1) // 2 and total > 2 else ""
    return f"rank {place + 1} of {total} from the worst{middle}"


def _introduction(rows: _Rows, primary: Primary | None, choice: Choice) -> str:
    order = (
        f"ordered by {primary.measure.name} in {primary.place}, the worst first"
        if primary is not None
        else "in the order of their names, because no score decides"
    )
    shown = len(rows.chosen)
    some = "" if shown == rows.scored else ", the median and the best among them" if choice.cases >= 3 else ""
    marked = "Synthetic panels carry the word synthetic."
    return f"{shown} of {count(rows.scored, 'scored case')} shown{some}, {order}. {marked}"


def montage_caption(pictures: CasePictures, limit: float, *, full: bool) -> str:
    """What must be known to read a montage; the conventions are told in full at the first one.

    Args:
        pictures: The case.
        limit: Limit of the difference scale.
        full: Whether to tell the conventions.
    """
    mm = " × ".join(f"{step:.3g}" for step in pictures.spacing_mm)
    low, high = pictures.window
    where = ", ".join(f"{p.where.plane.name} {p.where.label}" for p in pictures.planes)
    tilt = (
        f"; the grid is tilted by {pictures.tilt_degrees:.0f}° to the world axes, positions are those of slice centres"
        if pictures.tilt_degrees > 1
        else ""
    )
    own = (
        f"{pictures.key}. Slices through the largest section of the {pictures.region}: {where} (world coordinates)"
        f"{tilt}. "
        f"Voxels {mm} mm (left-right, front-back, up-down), drawn to scale. "
        f"Synthetic and reference share one window, {low:.3g} to {high:.3g} in scored units, "
        "taken from the reference; each source has its own."
    )
    outline = " The thin line outlines the lesion mask." if pictures.region.startswith("lesion") else ""
    notes = "".join(f" {note[0].upper()}{note[1:]}." for note in pictures.notes)
    if not full:
        return own + outline + notes
    left = (
        "Radiological convention: the patient's left (L) is on the right of axial and coronal panels"
        if pictures.convention == "radiological"
        else "Neurological convention: the patient's left (L) is on the left of axial and coronal panels"
    )
    more = (
        f" Before it measures, the protocol does more to them ({', '.join(pictures.steps)}); of the panels only local "
        "SSIM shows images after that."
        if pictures.steps
        else ""
    )
    return (
        f"{own}{outline}{notes} {left}; sagittal panels look from the patient's left, front (A) at the left. "
        f"Windows span percentiles {WINDOW_PERCENTILES[0]:g} to {WINDOW_PERCENTILES[1]:g} of the head. Scored units: "
        f"each image minus its offset, divided by its factor (both in cases.tsv).{more} Difference: red where the "
        f"synthetic image is too bright, blue where it is too dark, white at zero; ±{limit:g} in all cases (percentile "
        f"{DIFFERENCE_PERCENTILE:g} of |difference| in the head of the worst), beyond that the end colour. Local SSIM: "
        "bright yellow is identical structure, dark is not; grey outside the head; values below 0 have the colour of 0."
    )


def _learning(run: Run) -> list[Block]:
    curves = read_curves(run.events)
    if curves is None:
        return [Text("This run holds no learning curve: log.jsonl is absent or has no step yet.", KIND_ABSENT)]
    blocks: list[Block] = []
    if run.torn:
        blocks.append(
            Text("The last line of log.jsonl is cut off, as a killed run leaves it; the rest was read.", KIND_WARNING)
        )
    blocks.append(Text(curves.reading()))
    end = next((e for e in reversed(run.events) if e.get("event") == "end"), None)
    reason = (
        f"Training ended at step {end.get('step')} ({end.get('reason', 'no reason logged')})."
        if end
        else "The log has no end: the run was stopped, or is still going on."
    )
    known = curves.subjects is not None
    subjects = count(curves.subjects or 0, "validation subject") if known else "number of subjects not logged"
    validated = (
        f"Validation by protocol {curves.protocol or 'not named'}, region {curves.region or 'not named'}, {subjects}."
        if curves.metrics
        else "No validation was logged."
    )
    kept = f" The dashed line marks {curves.kept}." if curves.kept else ""
    uri = figures.data_uri(figures.svg(figures.plot_learning_curves(curves)), "image/svg+xml")
    blocks.append(
        Picture(
            uri, "learning curves", f"Training loss and validation against optimiser steps. {validated}{kept} {reason}"
        )
    )
    start = next((e for e in run.events if e.get("event") == "start"), None)
    if start:
        blocks.append(Facts([(key.replace("_", " "), _plain(key, start[key])) for key in start if key != "event"]))
    if len(run.validation):
        table = frame_table(run.validation, "Validation of each subject at the best step (validation.tsv).")
        blocks.append(Fold("Validation subject by subject", [table]))
    blocks.append(Fold("How the curves are read", [Text(RULE)]))
    return blocks


def _plain(key: str, value: Any) -> str:
    if not isinstance(value, list):
        return str(value)
    amount = f" ({len(value)})" if key.endswith("_subjects") else ""
    return ", ".join(map(str, value)) + amount
