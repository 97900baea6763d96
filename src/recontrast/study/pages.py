"""The page of a study: both tables side by side, orderings, selection, scores, curves, montage, runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from recontrast.atomic import write_text
from recontrast.evaluation.protocols import PROTOCOLS
from recontrast.evaluation.statistics.intervals import WITHIN
from recontrast.evaluation.volume_tables import TISSUES
from recontrast.io.nifti import read_volume
from recontrast.io.tables import read_table
from recontrast.preparation.cohort import PreparedCase, PreparedCohort
from recontrast.provenance import version
from recontrast.reporting.curves import RULE, read_curves
from recontrast.reporting.figures import data_uri, png
from recontrast.reporting.montage import nice_limit
from recontrast.reporting.page import Block, Facts, Heading, Headline, Picture, Section, Text, Tile, frame_table, render
from recontrast.reporting.planes import choose_slices, picture, sides
from recontrast.reporting.report import STATEMENT
from recontrast.reporting.studies import plot_all_curves, plot_networks, plot_volume_differences
from recontrast.study.cohort import complete_cases
from recontrast.study.compare import ABSENT, AGREES, DISAGREES, UNDECIDED, Finding
from recontrast.study.layouts.scores import title
from recontrast.study.plan import TrainingJob
from recontrast.study.score import IMAGES, read_scores, subject_values, synthetic_scale
from recontrast.study.select import Choice, ranks_in_words
from recontrast.study.settings import TIERS_OF_TESTS, DataSource, Side, Study
from recontrast.study.sheet import SHEETS
from recontrast.study.volumes import PREFIX, is_scaled_by_head
from recontrast.training.log import read_log

FILE_NAME = "study.html"

_REGIONS = ("image", "head", "brain", "lesion", "tumour")
"""Regions shown on the page, where they were scored; the tables of the evaluations have all."""


_SETS = {"": "", "good": "good or medium sources", "low": "low sources"}


@dataclass(frozen=True)
class Findings:
    """All that a study found.

    Attributes:
        study: The study file.
        data: Where the subjects come from.
        cohort: The prepared cohort.
        out: Folder of the study.
        scale: paper or cpu.
        jobs: The trainings.
        runs: One row a training.
        choices: What was chosen.
        tested: What was scored on the test subjects.
        orderings: The paper's claims, checked.
        tables: The paper's tables beside ours, in the order of `study.published`.
        failed: What failed, and why.
        minutes: Minutes of this call.
    """

    study: Study
    data: DataSource
    cohort: PreparedCohort
    out: Path
    scale: str
    jobs: Sequence[TrainingJob]
    runs: pd.DataFrame
    choices: Sequence[Choice]
    tested: Sequence[Finding]
    orderings: pd.DataFrame
    tables: Sequence[pd.DataFrame]
    failed: Mapping[str, str]
    minutes: float


def write_page(findings: Findings) -> Path:
    """Write `study.html`; return its path."""
    sections = [
        _published(findings),
        _orderings(findings),
        _networks(findings),
        _scores(findings),
        _volumes(findings),
        _planes(findings),
        _selection(findings),
        _curves(findings),
        _runs(findings),
    ]
    path = findings.out / FILE_NAME
    write_text(path, render(_headline(findings), sections, version()))
    return path


_MOST_CLAIMS = 8
"""More claims are not said one by one at the head of the page."""

_MOST_NAMED = 4
"""Of many claims, so many with one outcome are named there."""


def _headline(findings: Findings) -> Headline:
    study, cohort = findings.study, findings.cohort
    tiles = [Tile(f"{name} subjects", str(_subjects(cohort.split(name)))) for name in ("train", "validation", "test")]
    tiles.append(Tile("runs", str(len(findings.jobs)), study.budget.in_words))
    tiles.append(Tile("scale", findings.scale, f"{findings.minutes:.1f} min in this call"))
    about = f"{study.citation} {findings.data.summary}".strip()
    return Headline(study.summary, about, claims_in_words(findings.orderings), tiles, STATEMENT)


def claims_in_words(orderings: pd.DataFrame) -> list[tuple[str, str]]:
    """Each claim that was tested, with its outcome; where they are many, how many had it, and which where few had."""
    rows = [row for row in orderings.to_dict("records") if row["verdict"] != ABSENT]
    looks = {AGREES: "beats", DISAGREES: "worse", UNDECIDED: "unknown"}
    if len(rows) <= _MOST_CLAIMS:
        return [
            (
                looks[row["verdict"]],
                f"{row['claim']}{_of(row['method'])}: ours {row['verdict']}, {measure_in_words(row)} {_found(row)}.",
            )
            for row in rows
        ]
    said = []
    for outcome, look in looks.items():
        ours = [row for row in rows if row["verdict"] == outcome]
        named = [f"{row['claim']}{_of(row['method'])}, {measure_in_words(row)}" for row in ours]
        which = f": {'; '.join(named)}" if len(named) <= _MOST_NAMED else ", see the table of orderings"
        if named:
            said.append((look, f"{len(named)} of {len(rows)} claims, ours {outcome}{which}."))
    return said


def _subjects(cases: Sequence[PreparedCase]) -> int:
    return len({case.case.subject for case in cases})


def _published(findings: Findings) -> Section:
    blocks: list[Block] = [Text(note) for note in findings.study.notes]
    for published, table in zip(findings.study.published, findings.tables, strict=True):
        note = f"Protocol {published.protocol}: {PROTOCOLS.get(published.protocol).description}. {published.note}"
        blocks += [
            frame_table(table, f"{published.title} ({published.where}); the paper's entries beside ours."),
            Text(note),
        ]
    if not findings.study.published:
        blocks.append(Text("The study file holds no published table.", "absent"))
    return Section("published", "The paper's table beside ours", blocks)


def _orderings(findings: Findings) -> Section:
    if findings.orderings.empty:
        return Section("orderings", "Orderings", [Text("The study file claims no ordering.", "absent")])
    rows = [
        {
            "claim": row["claim"] + _of(row["method"]), "metric": f"{measure_in_words(row)}, {row['protocol']}",
            "difference": _found(row), "change": _or_dash(row["change_percent"], "{:+.1f} %"),
            "Wilcoxon p": _or_dash(row["wilcoxon_p"], "{:.2g}"), "Shapiro-Wilk p": _or_dash(row["shapiro_p"], "{:.2g}"),
            "subjects": row["subjects"], "ours": row["verdict"],
        }
        for row in findings.orderings.to_dict("records")
    ]  # fmt: skip
    how = "; ".join(dict.fromkeys(str(row) for row in findings.orderings["interval"]))
    text = (
        "A difference above zero is in the claim's favour, whatever the metric's direction. Agrees or disagrees: the "
        "95 % interval over test subjects does not hold zero (a claim of no difference: the loss that was allowed "
        "beforehand). Undecided: it does, or there is no interval. Change is "
        "that of the mean; Wilcoxon's test is two-sided, Shapiro-Wilk asks whether the differences are normal. Neither "
        "intervals nor p are corrected for the number of claims."
    )
    if any(is_scaled_by_head(str(metric)) for metric in findings.orderings["metric"]):
        text += (
            " Volumes of a claim are on the mean head of its subjects; tables and figures of volumes show them on the "
            "mean head of all cases that an evaluation has."
        )
    table = frame_table(pd.DataFrame(rows), "Orderings, of the paper and of others, in our results.", (DISAGREES,))
    return Section("orderings", "Orderings, with intervals", [Text(text), table, Text(f"Intervals: {how}.")])


def _networks(findings: Findings) -> Section:
    blocks: list[Block] = []
    for direction in dict.fromkeys(item.direction for item in findings.tested):
        tested = [item for item in findings.tested if item.direction == direction and not item.rule]
        job = next(job for job in findings.jobs if job.direction.label == direction and job.method.judged)
        cases = complete_cases(findings.cohort.split("test"), job.direction)
        if not cases or not tested:
            continue
        case = cases[len(cases) // 2]
        uri = data_uri(png(_draw_networks(case, job, tested, findings.out)), "image/png")
        caption = (
            f"{case.key}, the middle one of the test cases: {' + '.join(job.direction.source)}, the acquired "
            f"{job.direction.target} and every network's; below, synthetic − acquired. The source has a "
            "window of its own, the others share one."
        )
        blocks.append(Picture(uri, f"{direction}: all networks", caption, direction))
    return Section("networks", "All networks", blocks or [Text("Nothing was tested.", "absent")])


def _draw_networks(case: PreparedCase, job: TrainingJob, tested: Sequence[Finding], out: Path) -> Figure:
    target = job.direction.target
    reference = read_volume(case.images[target]).reoriented("RAS")
    region = read_volume(case.regions.get("brain", case.regions["head"]), np.uint8).reoriented("RAS").data > 0
    where = choose_slices(reference, region)[0]
    scale = case.scales[target]
    source = read_volume(case.images[job.direction.source[0]]).reoriented("RAS")
    columns = {
        job.direction.source[0]: picture(source.data, where, "radiological"),
        f"acquired {target}": scale.apply(picture(reference.data, where, "radiological")),
    }
    for item in tested:
        folder = out / "test" / item.direction / item.candidate / IMAGES
        found = sorted(folder.glob(f"{case.case.folder}/**/*_desc-synthetic_*.nii*"))
        if found:
            made = read_volume(found[0]).reoriented("RAS")
            columns[item.method] = synthetic_scale(found[0]).apply(picture(made.data, where, "radiological"))
    acquired = columns[f"acquired {target}"]
    errors = [np.abs(image - acquired) for name, image in list(columns.items())[2:]]
    limit = nice_limit(float(np.percentile(np.stack(errors), 99))) if errors else 1.0
    top, spacing = float(np.percentile(acquired, 99.8)) or 1.0, reference.spacing
    aspect = spacing[where.plane.up] / spacing[where.plane.across]
    return plot_networks(columns, f"acquired {target}", top, limit, sides(where.plane, "radiological"), aspect)


def _scores(findings: Findings) -> Section:
    blocks: list[Block] = []
    for evaluation in findings.study.evaluations:
        frames = []
        for item in findings.tested:
            folder = item.evaluations[evaluation.protocol]
            table = read_table(folder / "statistics.tsv", text_columns=("estimator", "region", "metric", "control"))
            table["control"] = table["control"].fillna("")
            frames.append(
                table.assign(direction=item.direction, method=item.method, chosen=item.rule or "study's choice")
            )
        if not frames:
            continue
        joined = pd.concat(frames)
        plain = joined[joined["control"] == ""].drop_duplicates(
            ["direction", "method", "chosen", "estimator", "region", "metric"]
        )
        shown = plain[plain["region"].isin(_REGIONS)]
        wide = _wide(shown if len(shown) else plain, evaluation.protocol)
        caption = "Mean over test subjects [interval]; every region stands in the folders `test`."
        blocks += [Heading(f"Protocol {evaluation.protocol}"), frame_table(wide, caption)]
        compared = joined[
            (joined["control"] != "") & (joined["metric"] == PROTOCOLS.get(evaluation.protocol).primary_metric)
        ]
        compared = compared[compared["region"].isin(_REGIONS)]
        if len(compared):
            blocks.append(
                frame_table(
                    _gains(compared, evaluation.protocol), "Gain of the network over each control.", ("control",)
                )
            )
    return Section(
        "scores", "Scores on the test subjects, with controls", blocks or [Text("Nothing was scored.", "absent")]
    )


def _or_dash(value: float, form: str) -> str:
    return "—" if pd.isna(value) else form.format(value)


def _wide(plain: pd.DataFrame, protocol: str) -> pd.DataFrame:
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for row in plain.to_dict("records"):
        name = row["method"] if row["estimator"] == "synthetic" else f"control: {row['estimator']}"
        chosen = row["chosen"] if row["estimator"] == "synthetic" else ""
        key = (row["direction"], name, chosen, row["region"])
        line = rows.setdefault(key, dict(zip(("direction", "estimator", "chosen by", "region"), key, strict=True)))
        ends = "" if pd.isna(row["ci_low"]) else f" [{row['ci_low']:.4g}, {row['ci_high']:.4g}]"
        line[title(row["metric"], protocol)] = "n/a" if pd.isna(row["mean"]) else f"{row['mean']:.4g}{ends}"
    return pd.DataFrame(list(rows.values())).fillna("")


def _gains(compared: pd.DataFrame, protocol: str) -> pd.DataFrame:
    rows = []
    for row in compared.to_dict("records"):
        ends = "no interval" if pd.isna(row["difference_ci_low"]) else (
            f"[{row['difference_ci_low']:+.3g}, {row['difference_ci_high']:+.3g}]"
        )  # fmt: skip
        rows.append(
            {
                "direction": row["direction"], "method": row["method"], "chosen by": row["chosen"],
                "region": row["region"], "metric": title(row["metric"], protocol), "control": row["control"],
                "network − control": f"{row['difference']:+.4g} {ends}", "better": row["better"],
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _volumes(findings: Findings) -> Section:
    """Differences of tissue volume, where an evaluation segmented the images."""
    blocks: list[Block] = []
    tiers = [name for name in TIERS_OF_TESTS if any(name in item.tiers.values() for item in findings.tested)]
    sets = tiers if len(tiers) > 1 else [""]
    for evaluation in findings.study.evaluations:
        for direction in dict.fromkeys(item.direction for item in findings.tested):
            tested = [item for item in findings.tested if item.direction == direction and not item.rule]
            values = {
                _SETS[name]: {
                    tissue: {
                        item.method: item.values(Side(tier=name), evaluation.protocol, f"{PREFIX}vd", tissue).tolist()
                        for item in tested
                    }
                    for tissue in TISSUES
                }
                for name in sets
            }
            if not any(len(v) for found in values.values() for by in found.values() for v in by.values()):
                continue
            uri = data_uri(png(plot_volume_differences(values, "VD, cm³ (acquired − synthetic)")), "image/png")
            caption = (
                "Volume in the acquired image less volume in the synthetic one, on the mean head of all cases of "
                "the method's evaluation; negative: the synthetic image has too much. One dot a subject, ◇ mean."
            )
            blocks.append(Picture(uri, f"{direction}: volume differences", caption, direction))
    nothing = Text("No evaluation of this study compared volumes of tissue.", "absent")
    return Section("volumes", "Volumes of tissue", blocks or [nothing])


def _planes(findings: Findings) -> Section:
    """Scores of each plane, where a protocol has them."""
    rows = []
    for item in findings.tested:
        for name, folder in item.evaluations.items():
            uses = [use for use in PROTOCOLS.get(name).metrics if use.label.endswith(f"_{use.plane}")]
            scores = read_scores(folder) if uses else pd.DataFrame()
            for use in uses:
                if use.unit != "slice":
                    continue
                for region in dict.fromkeys(scores["region"]):
                    values = subject_values(scores, use.label, region)
                    rows.append(
                        (
                            item.direction,
                            item.method,
                            item.rule,
                            name,
                            region,
                            use.plane,
                            title(use.label, name, mixed=True),
                            values.mean(),
                            len(values),
                        )
                    )
    if not rows:
        return Section("planes", "Each plane by itself", [Text("No protocol of this study scores planes.", "absent")])
    columns = ["direction", "method", "rule", "protocol", "region", "plane", "metric", "value", "subjects"]
    table = pd.DataFrame(rows, columns=columns)
    keys = ["direction", "method", "rule", "protocol", "region", "plane"]
    wide = table.pivot(index=keys, columns="metric", values="value").reset_index()
    return Section("planes", "Each plane by itself", [frame_table(wide, "Mean over slices, then over subjects.")])


def _selection(findings: Findings) -> Section:
    blocks: list[Block] = []
    for choice in findings.choices:
        name = ", ".join(choice.candidate.group)
        if choice.table.empty:
            continue
        blocks += [
            Heading(name),
            Text(f"Chosen by {'readers' if choice.by == 'readers' else choice.rule.name}: {choice.rule.reason}."),
            Text(ranks_in_words(choice)),
            frame_table(choice.table.drop(columns=["fraction"]), "Candidates on the validation subjects, with ranks."),
            Text(f"Selection sheet: `{SHEETS}/{choice.candidate.group[0]}_{choice.candidate.group[1]}.html`."),
        ]
    nothing = Text("Each method has one candidate, or there is no validation subject: nothing was chosen.", "absent")
    return Section("selection", "Selection", blocks or [nothing])


def _curves(findings: Findings) -> Section:
    runs = {job.key: read_curves(read_log(job.run(findings.out))) for job in findings.jobs}
    there = {name: curves for name, curves in runs.items() if curves is not None}
    if not there:
        return Section("curves", "Learning curves", [Text("No run has a log.", "absent")])
    uri = data_uri(png(plot_all_curves(there)), "image/png")
    caption = "Training loss in grey (left), validation in blue (right); dashed: the step whose weights were kept."
    readings = pd.DataFrame([(name, curves.reading()) for name, curves in there.items()], columns=["run", "reading"])
    blocks: list[Block] = [Picture(uri, "learning curves of all runs", caption)]
    return Section("curves", "Learning curves of all runs", [*blocks, frame_table(readings, "Readings."), Text(RULE)])


def _runs(findings: Findings) -> Section:
    study = findings.study
    runs = findings.runs.drop(columns=["reading", "message"], errors="ignore")
    failed = [Text(f"{name}: {reason}", "warning") for name, reason in findings.failed.items()]
    facts = [
        ("budget", study.budget.in_words),
        ("prepared", str(findings.cohort.folder)),
        *(
            (name, " ".join(case.key for case in findings.cohort.split(name)) or "none")
            for name in ("train", "validation", "test")
        ),
    ]
    return Section("runs", "Runs", [*failed, Facts(facts), frame_table(runs, "Every training.", ("failed",))])


def _of(method: str) -> str:
    return f" ({method})" if method else ""


def _found(row: Mapping[Any, Any]) -> str:
    """Difference and interval of a checked claim, and whether the interval is of one subject alone."""
    within = str(row.get("interval", "")).startswith(WITHIN)
    return numbers_in_words(row) + (" within one subject" if within else "")


def measure_in_words(row: Mapping[Any, Any]) -> str:
    """Name and unit of a claim's metric; no direction, for a difference above zero is in the claim's favour.

    >>> measure_in_words({"metric": "mae", "protocol": "recontrast"})
    'MAE (scaled intensity)'
    """
    return title(row["metric"], row["protocol"]).rstrip(" ↑↓")


def numbers_in_words(row: Mapping[Any, Any]) -> str:
    """Difference and interval of a checked claim; `no interval` where there is none.

    >>> numbers_in_words({"subjects": 1, "difference": -0.5, "ci_low": float("nan"), "without": "T1w-T2w"})
    '-0.5, no interval, without T1w-T2w'
    """
    if not row["subjects"] or pd.isna(row["difference"]):
        return "no value"
    without = f", without {row['without']}" if row.get("without") else ""
    if pd.isna(row["ci_low"]):
        return f"{row['difference']:+.4g}, no interval{without}"
    allowed = f", a loss of {row['margin']:g} allowed" if row["margin"] else ""
    return f"{row['difference']:+.4g} [{row['ci_low']:+.4g}, {row['ci_high']:+.4g}]{allowed}{without}"
