"""Sections that list: cases and what became of them, quality, splits, and where everything comes from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from recontrast.errors import FormatError
from recontrast.io.bids import read_sidecar
from recontrast.io.nifti import is_nifti
from recontrast.preparation.quality import FEWEST_LEVELS, LEAST_COVERAGE, LEAST_OVERLAP
from recontrast.reporting.evidence import Evidence, Prepared, Translation
from recontrast.reporting.numbers import count, is_number
from recontrast.reporting.page import (
    KIND_ABSENT,
    KIND_WARNING,
    Block,
    Cell,
    Code,
    Facts,
    Fold,
    Heading,
    Section,
    Table,
    Text,
    frame_table,
    plain_rows,
)

OPEN_ROWS = 30
"""Longer tables stand behind a fold."""

QUALITY_LIMITS = {"coverage": LEAST_COVERAGE, "overlap": LEAST_OVERLAP, "levels": FEWEST_LEVELS}
"""Figures of `quality.tsv` below which preparation warns."""

_MADE = {"quantify": "Fitted", "synthesize": "Synthesized"}
"""What became of the cases of a folder that `translate` did not make, by its stage."""

_BAD_FIRST = {"failed": 0, "missing": 1}


def case_section(evidence: Evidence) -> Section:
    """Every case: ok, missing or failed with the reason; quality, worst first; splits; participants."""
    blocks: list[Block] = []
    for evaluation in evidence.evaluations:
        name = evidence.name_of(evaluation.folder)
        blocks.append(Heading(f"Evaluated cases: {name}"))
        columns = ("case", "status", "message", "synthetic", "reference", "source")
        blocks.extend(_case_table(evaluation.cases, f"Cases of {name}", columns))
    for translation in evidence.translations:
        name = evidence.name_of(translation.folder)
        blocks.append(Heading(f"{_MADE.get(_stage(evidence, translation), 'Translated')} cases: {name}"))
        blocks.extend(
            _case_table(translation.cases, f"Cases of {name}", ("case", "status", "message", "engine", "precision"))
        )
    for prepared in evidence.prepared:
        blocks.extend(_prepared(evidence, prepared))
    if not evidence.prepared:
        blocks.append(
            Text(
                "No prepared folder (splits, quality) was found in this folder: run `recontrast prepare BIDS OUT`.",
                KIND_ABSENT,
            )
        )
    for cohort in evidence.cohorts:
        name, table = evidence.name_of(cohort.folder), cohort.participants
        title = f"Participants of {name}: {len(table)}"
        blocks.append(Fold(title, [frame_table(table, f"Participants of {name} (participants.tsv).")]))
    return Section("listing", "Every case, quality and splits", blocks)


def provenance_section(evidence: Evidence, settings: Mapping[str, Any]) -> Section:
    """Settings, versions, seeds, hashes and command lines of every folder, and which engine made the images."""
    blocks: list[Block] = [Heading("Synthetic images"), *_engines(evidence)]
    for run in evidence.runs:
        if run.translator or run.config or run.card:
            blocks.append(Heading(f"Translator: {evidence.name_of(run.folder)}"))
            blocks.extend(_translator(run.translator, run.config, run.card))
    for evaluation in evidence.evaluations:
        facts = {key: value for key, value in evaluation.facts.items() if key not in ("protocol", "controls")}
        blocks.append(Heading(f"Evaluation: {evidence.name_of(evaluation.folder)}"))
        blocks.append(_json_fold("Everything evaluation.json says besides protocol and controls", facts))
    for folder, content in evidence.provenance.items():
        blocks.append(Heading(f"{evidence.name_of(folder)}, made by {content.get('stage', 'an unknown stage')}"))
        blocks.extend(_provenance(content))
    if not evidence.provenance:
        blocks.append(
            Text("No provenance.json was found in this folder, so nothing can be said of its making.", KIND_ABSENT)
        )
    blocks.append(Heading("This page"))
    blocks.append(Facts([(key, str(value)) for key, value in settings.items()]))
    return Section("provenance", "Provenance", blocks)


def problem_section(evidence: Evidence, failed: Mapping[str, str]) -> Section | None:
    """Files that are there and could not be used; None when there is none."""
    rows = [[Cell(path), Cell(reason)] for path, reason in {**evidence.problems, **failed}.items()]
    if not rows:
        return None
    table = Table("What could not be read or shown.", [Cell("file or case"), Cell("reason")], rows)
    return Section("problems", "Problems met while making this page", [table])


def _case_table(table: pd.DataFrame, caption: str, columns: Sequence[str]) -> list[Block]:
    if not len(table) or "status" not in table:
        return [Text("No list of cases (cases.tsv) was found, so missing cases cannot be told.", KIND_ABSENT)]
    counts = Counter(str(status) for status in table["status"])
    states = [*sorted(counts, key=lambda status: (_BAD_FIRST.get(status, 2), status))]
    words = ", ".join(f"{counts[status]} {status}" for status in states)
    bad = any(status in counts for status in _BAD_FIRST)
    rank = table["status"].map(lambda status: _BAD_FIRST.get(str(status), 2))
    ordered = table.assign(_rank=rank).sort_values(["_rank", "case"], kind="stable")[[c for c in columns if c in table]]
    shown = frame_table(ordered, f"{caption}: {words}.", bad_word=("failed", "missing"))
    remarks = int(((rank == 2) & table["message"].fillna("").ne("")).sum()) if "message" in table else 0
    noted = f" {count(remarks, 'case')} with a remark." if remarks else ""
    summary = Text(f"{count(len(table), 'case')}: {words}.{noted}", KIND_WARNING if bad or remarks else "")
    if len(table) <= OPEN_ROWS or bad:
        return [summary, shown]
    return [summary, Fold(f"All {len(table)} cases", [shown])]


def _prepared(evidence: Evidence, prepared: Prepared) -> list[Block]:
    name = evidence.name_of(prepared.folder)
    blocks: list[Block] = [
        Heading(f"Prepared data: {name}"),
        *_case_table(prepared.cases, f"Cases of {name}", tuple(map(str, prepared.cases))),
    ]
    if {"subject", "split"} <= set(prepared.splits.columns):
        groups = {str(split): list(part["subject"]) for split, part in prepared.splits.groupby("split", sort=False)}
        caption = f"Splits of {name}, by subject."
        rows = [[Cell(split), Cell(str(len(who))), Cell(", ".join(map(str, who)))] for split, who in groups.items()]
        blocks.append(Table(caption, [Cell("split"), Cell("subjects"), Cell("who")], rows))
    else:
        blocks.append(Text("No splits.tsv: which subjects were held out is not recorded here.", KIND_ABSENT))
    if len(prepared.quality):
        ordered, rule = _worst_first(prepared.quality)
        table = frame_table(ordered, f"Quality of {name} (quality.tsv), {rule}.")
        blocks.append(
            table if len(ordered) <= OPEN_ROWS else Fold(f"Quality of {len(ordered)} images, {rule}", [table])
        )
    else:
        blocks.append(Text("No quality.tsv: image quality was not measured here.", KIND_ABSENT))
    return blocks


def _worst_first(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Images with figures beyond the limits of preparation first, then those whose heads overlap least."""
    beyond = pd.Series(0, index=table.index)
    for column, limit in QUALITY_LIMITS.items():
        if column in table:
            beyond += (pd.to_numeric(table[column], errors="coerce") < limit).astype(int)
    by = ["_beyond", *(name for name in ("overlap", "coverage") if name in table)]
    ordered = table.assign(_beyond=-beyond).sort_values(by, kind="stable").drop(columns="_beyond")
    return ordered, "worst first: figures beyond the limits of preparation, then the least overlap with the head"


def _engines(evidence: Evidence) -> list[Block]:
    sidecars: dict[Path, dict[str, Any]] = {}
    unreadable = 0
    for path in _synthetic_images(evidence):
        try:
            sidecars[path] = read_sidecar(path)
        except FormatError:
            unreadable += 1
    if not sidecars and not unreadable:
        return [
            Text("No synthetic image was found in this folder: run `recontrast translate RUN INPUT OUT`.", KIND_ABSENT)
        ]
    groups: dict[tuple[str, ...], list[float]] = {}
    for content in sidecars.values():
        groups.setdefault(_making(content), []).append(_difference_from_fp32(content))
    rows = [[*making, str(len(apart)), _largest(apart)] for making, apart in sorted(groups.items())]
    names = ("translator (weights, SHA-256)", "preset", "precision", "engine", "images", "difference from fp32")
    note = (
        "Difference from fp32: root mean square on the network's scale, measured on a few slices of each image when "
        "it was made; the largest is given."
    )
    header = [Cell(name) for name in names]
    caption = "What made the synthetic images, from their sidecars."
    blocks: list[Block] = [Table(caption, header, plain_rows(rows), 2, note)]
    unmarked = sum(content.get("Synthetic") is not True for content in sidecars.values())
    if unmarked or unreadable:
        text = f"{count(unmarked, 'image')} not marked Synthetic in the sidecar; {unreadable} damaged sidecars."
        blocks.append(Text(text, KIND_WARNING))
    return blocks


def _synthetic_images(evidence: Evidence) -> list[Path]:
    found: dict[Path, None] = {}
    for evaluation in evidence.evaluations:
        if "synthetic" in evaluation.cases:
            for entry in evaluation.cases["synthetic"].dropna():
                path = (evaluation.folder / str(entry)).resolve()
                if path.is_file():
                    found[path] = None
    for translation in evidence.translations:
        if _stage(evidence, translation) in _MADE:
            continue  # by an equation, not by an engine
        for path in sorted(translation.folder.rglob("*desc-synthetic*")):
            hidden = any(part.startswith(".") for part in path.relative_to(translation.folder).parts)  # set aside
            if is_nifti(path) and not hidden:
                found[path.resolve()] = None
    return list(found)


def _stage(evidence: Evidence, translation: Translation) -> str:
    return str(evidence.provenance.get(translation.folder, {}).get("stage"))


def _making(sidecar: Mapping[str, Any]) -> tuple[str, ...]:
    translator = sidecar.get("Translator")
    known = translator if isinstance(translator, Mapping) else {}
    weights = str(known.get("weights_sha256", "not stated"))
    engine = f"{sidecar.get('Engine', 'not stated')} {sidecar.get('EngineVersion', '')}".strip()
    return (
        weights[:16] + ("…" if len(weights) > 16 else ""),
        str(known.get("preset", "not stated")),
        str(sidecar.get("Precision", "not stated")),
        engine,
    )


def _difference_from_fp32(sidecar: Mapping[str, Any]) -> float:
    told = sidecar.get("DifferenceFromFp32")
    value: Any = told.get("rms") if isinstance(told, Mapping) else None
    return float(value) if is_number(value) else float("nan")


def _largest(values: Sequence[float]) -> str:
    known = [value for value in values if is_number(value)]
    return f"{max(known):.2g}" if len(known) == len(values) else "not stated for all" if known else "not stated"


def _translator(description: Mapping[str, Any], config: str, card: str) -> list[Block]:
    blocks: list[Block] = []
    if description:
        keys = (
            "preset",
            "sources",
            "target",
            "plane",
            "trained_steps",
            "precision_trained",
            "spacing_mm",
            "weights_sha256",
        )
        pairs = [(key.replace("_", " "), _inline(description[key])) for key in keys if key in description]
        subjects = description.get("training_subjects")
        if isinstance(subjects, list):
            pairs.append(("training subjects", f"{len(subjects)} (hashed in translator.json)"))
        blocks.append(Facts(pairs))
        blocks.append(_json_fold("translator.json", description))
    else:
        blocks.append(
            Text("No translator was found in this run: it has not finished a validation, or was moved.", KIND_ABSENT)
        )
    if config:
        blocks.append(Fold("Resolved settings (config.toml)", [Code(config)]))
    if card:
        blocks.append(Fold("Model card", [Code(card)]))
    return blocks


def _provenance(content: Mapping[str, Any]) -> list[Block]:
    versions, machine, settings = (content.get(key) for key in ("versions", "machine", "settings"))
    pairs = [
        ("command line", str(content.get("command", "not recorded"))),
        ("made", str(content.get("created", "not recorded"))),
        ("versions", _inline(versions) if versions else "not recorded"),
        ("machine", _inline(machine) if machine else "not recorded"),
        ("seeds", _inline(dict(_seeds(content))) or "none recorded"),
    ]
    blocks: list[Block] = [Facts(pairs), _json_fold("Settings", settings or {})]
    inputs = content.get("inputs")
    if isinstance(inputs, Mapping) and inputs:
        table = pd.DataFrame({"file": list(inputs), "SHA-256": [str(value) for value in inputs.values()]})
        blocks.append(Fold(f"{count(len(inputs), 'input file')} with hashes", [frame_table(table, "Input files.")]))
    known = ("stage", "created", "command", "settings", "inputs", "versions", "machine")
    rest = {key: value for key, value in content.items() if key not in known}
    if rest:
        blocks.append(_json_fold("More facts", rest))
    return blocks


def _seeds(content: Any, prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    if isinstance(content, Mapping):
        for key, value in content.items():
            if "seed" in str(key) and not isinstance(value, Mapping):
                found.append((prefix + str(key), value))
            found.extend(_seeds(value, f"{prefix}{key}."))
    return found


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_inline(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_inline, value))
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _json_fold(title: str, content: Any) -> Fold:
    return Fold(title, [Code(json.dumps(content, indent=2, ensure_ascii=False, default=str))])
