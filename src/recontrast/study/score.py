"""Translate and evaluate a candidate, once: what nothing failed in is kept, for the same weights and settings."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from recontrast.atomic import make_folder, write_json
from recontrast.config import build_settings
from recontrast.errors import DataError
from recontrast.evaluation.command import EvaluateSettings, evaluate
from recontrast.evaluation.scores import SYNTHETIC
from recontrast.io.bids import read_sidecar
from recontrast.io.tables import read_table
from recontrast.preparation.normalize import Scale
from recontrast.provenance import version
from recontrast.study.cohort import prepared_id
from recontrast.translation.command import TranslateSettings, translate

IMAGES = "synthetic"
_DONE = "done.json"
"""File of a finished result, which is kept as it is."""

_BEGUN = ".begun.json"
"""File of a result that was begun; hidden, for `translate` writes to no folder that holds other files."""


@dataclass(frozen=True)
class Scoring:
    """How translators are scored.

    Attributes:
        prepared: Prepared folder.
        split: validation or test.
        lpips_weights: Weights of LPIPS; None: it stays undefined.
        workers: Cases at a time.
        seed: Seed of controls and statistics.
        keep_labels: Folder that keeps segmentations of the references, which all candidates share; None keeps none.
        incomplete: Cases that lack a source or the target of what is scored: they fail each time.
    """

    prepared: Path
    split: str
    lpips_weights: Path | None
    workers: int
    seed: int = 0
    keep_labels: Path | None = None
    incomplete: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Scored:
    """An evaluation, and what is missing in it.

    Attributes:
        folder: Evaluation folder.
        failed: Case to reason, for cases that could not be translated, scored or segmented.
    """

    folder: Path
    failed: Mapping[str, str]


def score_translator(
    translator: Path, folder: Path, scoring: Scoring, protocol: str, options: Mapping[str, Any]
) -> Scored:
    """Translate a split and evaluate it. What failed before is tried again; what was made is kept.

    Args:
        translator: Translator folder.
        folder: Where `synthetic` and `evaluation-PROTOCOL` are written.
        scoring: How.
        protocol: Name of the protocol.
        options: Further settings of `recontrast evaluate`.

    Raises:
        DataError: Not one case could be translated.
        RecontrastError: Whatever else stops `translate` or `evaluate`.
    """
    weights = json.loads((translator / "translator.json").read_text(encoding="utf-8"))["weights_sha256"]
    untranslated = _translate_once(translator, folder, scoring, weights)
    if untranslated and not any((folder / IMAGES).rglob("*.nii*")):
        case, reason = next(iter(untranslated.items()))
        raise DataError(f"not one of {len(untranslated)} cases could be translated: {case}: {reason}")
    scored = score_images(folder, weights, scoring, protocol, options)
    return Scored(scored.folder, {**scored.failed, **untranslated})


def score_images(folder: Path, origin: str, scoring: Scoring, protocol: str, options: Mapping[str, Any]) -> Scored:
    """Evaluate the images of a folder.

    Args:
        folder: Where `synthetic` is and `evaluation-PROTOCOL` is written.
        origin: What made the images: an evaluation of the same origin and settings is kept.
        scoring: How.
        protocol: Name of the protocol.
        options: Further settings of `recontrast evaluate`.
    """
    out = folder / f"evaluation-{protocol}"
    values = {
        "workers": scoring.workers,
        "seed": scoring.seed,
        "lpips_weights": scoring.lpips_weights,
        **options,
        "synthetic": folder / IMAGES,
        "reference": scoring.prepared,
        "out": out,
        "protocol": protocol,
        "split": scoring.split,
    }
    facts = _facts(origin, {name: str(value) for name, value in values.items() if name != "workers"}, scoring)
    before = _finished(out, facts, scoring)
    if before is not None:
        return Scored(out, before)
    _open(out, facts)
    kept = {"keep_labels": scoring.keep_labels, **values}
    summary = evaluate(build_settings(EvaluateSettings, kept, "the study's evaluation"))
    _finish(out, facts, summary.failed, scoring)
    return Scored(out, summary.failed)


def read_scores(evaluation: Path) -> pd.DataFrame:
    """The scores of an evaluation folder; labels as text."""
    return read_table(evaluation / "scores.tsv", text_columns=("case", "subject", "session", "region", "status"))


def unscored(folder: Path) -> dict[str, str]:
    """Case to reason, for cases that an evaluation could not score, or a preparation not prepare."""
    table = read_table(folder / "cases.tsv", text_columns=("case", "status", "message"))
    missing = table[table["status"] != "ok"]
    return {row["case"]: f"{row['status']}: {row['message']}" for row in missing.to_dict("records")}


def subject_values(scores: pd.DataFrame, metric: str, region: str, estimator: str = SYNTHETIC) -> pd.Series[float]:
    """One value a subject, sessions averaged; `a+b` is the mean of the metrics a and b. Undefined ones are left out."""
    parts = []
    for label in metric.split("+"):
        wanted = (scores["metric"] == label) & (scores["region"] == region) & (scores["estimator"] == estimator)
        parts.append(pd.to_numeric(scores.loc[wanted, "value"], errors="coerce").groupby(scores["subject"]).mean())
    values: pd.Series[float] = pd.concat(parts, axis=1).mean(axis=1, skipna=False).dropna()
    return values


def defined_cases(scores: pd.DataFrame, region: str, metric: str) -> set[str]:
    """Cases whose synthetic image has a value of a metric."""
    wanted = (scores["metric"] == metric) & (scores["region"] == region) & (scores["estimator"] == SYNTHETIC)
    values = pd.to_numeric(scores.loc[wanted, "value"], errors="coerce")
    return set(scores.loc[values.index[values.notna()], "case"])


def synthetic_scale(path: Path) -> Scale:
    """The intensity scale a synthetic image declares in its sidecar: the one it is judged on."""
    return Scale.from_dict(read_sidecar(path)["Scale"])


def primary_region(evaluation: Path) -> str:
    """The region that decides in an evaluation."""
    return str(json.loads((evaluation / "evaluation.json").read_text(encoding="utf-8"))["primary_region"])


def _translate_once(translator: Path, folder: Path, scoring: Scoring, weights: str) -> Mapping[str, str]:
    """Case to reason, for those that could not be translated."""
    images = folder / IMAGES
    facts = _facts(weights, {"prepared": str(scoring.prepared), "split": scoring.split}, scoring)
    before = _finished(images, facts, scoring)
    if before is not None:
        return before
    _open(images, facts)
    summary = translate(TranslateSettings(run=translator, input=scoring.prepared, out=images, split=scoring.split))
    _finish(images, facts, summary.failed, scoring)
    return summary.failed


def _open(folder: Path, facts: Mapping[str, str]) -> None:
    """Make a folder for a result, or take it over where the same result was begun there; another one is removed."""
    begun = {**facts, "version": version()}
    if _content(folder / _BEGUN) != begun:
        shutil.rmtree(folder, ignore_errors=True)
        make_folder(folder)
        write_json(folder / _BEGUN, begun)


def _facts(origin: str, values: Mapping[str, str], scoring: Scoring) -> dict[str, str]:
    """What decides a result: what made it, its settings, and the prepared images."""
    key = hashlib.sha256(json.dumps([origin, values], sort_keys=True).encode()).hexdigest()
    return {"key": key, "prepared": prepared_id(scoring.prepared)}


def _finish(folder: Path, facts: Mapping[str, str], failed: Mapping[str, str], scoring: Scoring) -> None:
    """Say that a result is finished, unless something failed in it that may go well the next time."""
    if failed.keys() <= _hopeless(scoring):
        write_json(folder / _DONE, {**facts, "failed": dict(failed)})


def _finished(folder: Path, facts: Mapping[str, str], scoring: Scoring) -> dict[str, str] | None:
    """What failed in a finished result with these facts; None where there is no such result.

    Older versions said neither which prepared images it is of nor what failed in it, which its table tells, and took
    it for finished, too, when something failed that may go well the next time: this is no finished result.
    """
    found = _content(folder / _DONE)
    if found.get("key") != facts["key"] or found.get("prepared") not in (None, facts["prepared"]):
        return None
    table = unscored(folder) if (folder / "cases.tsv").is_file() else {}
    failed: dict[str, str] = dict(found.get("failed", table))
    return failed if failed.keys() <= _hopeless(scoring) else None


def _hopeless(scoring: Scoring) -> frozenset[str]:
    """Cases that fail each time: they were not prepared, or lack a contrast."""
    cases = scoring.prepared / "cases.tsv"
    return scoring.incomplete | (unscored(scoring.prepared).keys() if cases.is_file() else set())


def _content(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
