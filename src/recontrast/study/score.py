"""Translate and evaluate a candidate, once: a finished evaluation of the same weights and settings is kept."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from recontrast.atomic import write_json
from recontrast.config import build_settings
from recontrast.evaluation.command import EvaluateSettings, evaluate
from recontrast.evaluation.scores import SYNTHETIC
from recontrast.io.bids import read_sidecar
from recontrast.io.tables import read_table
from recontrast.preparation.normalize import Scale
from recontrast.translation.command import TranslateSettings, translate

IMAGES = "synthetic"
_DONE = "done.json"


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
    """

    prepared: Path
    split: str
    lpips_weights: Path | None
    workers: int
    seed: int = 0
    keep_labels: Path | None = None


def score_translator(
    translator: Path, folder: Path, scoring: Scoring, protocol: str, options: Mapping[str, Any]
) -> Path:
    """Translate a split and evaluate it; return the evaluation folder.

    Args:
        translator: Translator folder.
        folder: Where `synthetic` and `evaluation-PROTOCOL` are written.
        scoring: How.
        protocol: Name of the protocol.
        options: Further settings of `recontrast evaluate`.
    """
    weights = json.loads((translator / "translator.json").read_text(encoding="utf-8"))["weights_sha256"]
    _translate_once(translator, folder, scoring, weights)
    return score_images(folder, weights, scoring, protocol, options)


def score_images(folder: Path, origin: str, scoring: Scoring, protocol: str, options: Mapping[str, Any]) -> Path:
    """Evaluate the images of a folder; return the evaluation folder.

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
    key = _key(origin, {name: str(value) for name, value in values.items() if name != "workers"})
    if not _is_done(out, key):
        shutil.rmtree(out, ignore_errors=True)
        kept = {"keep_labels": scoring.keep_labels, **values}
        evaluate(build_settings(EvaluateSettings, kept, "the study's evaluation"))
        write_json(out / _DONE, {"key": key})
    return out


def read_scores(evaluation: Path) -> pd.DataFrame:
    """The scores of an evaluation folder; labels as text."""
    return read_table(evaluation / "scores.tsv", text_columns=("case", "subject", "session", "region", "status"))


def unscored(evaluation: Path) -> dict[str, str]:
    """Case to reason, for cases that were expected and have no scores."""
    table = read_table(evaluation / "cases.tsv", text_columns=("case", "status", "message"))
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


def synthetic_scale(path: Path) -> Scale:
    """The intensity scale a synthetic image declares in its sidecar: the one it is judged on."""
    return Scale.from_dict(read_sidecar(path)["Scale"])


def primary_region(evaluation: Path) -> str:
    """The region that decides in an evaluation."""
    return str(json.loads((evaluation / "evaluation.json").read_text(encoding="utf-8"))["primary_region"])


def _translate_once(translator: Path, folder: Path, scoring: Scoring, weights: str) -> None:
    images = folder / IMAGES
    key = _key(weights, {"prepared": str(scoring.prepared), "split": scoring.split})
    if _is_done(images, key):
        return
    shutil.rmtree(images, ignore_errors=True)
    translate(TranslateSettings(run=translator, input=scoring.prepared, out=images, split=scoring.split))
    write_json(images / _DONE, {"key": key})


def _key(weights: str, values: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps([weights, values], sort_keys=True).encode()).hexdigest()


def _is_done(folder: Path, key: str) -> bool:
    path = folder / _DONE
    return path.is_file() and json.loads(path.read_text(encoding="utf-8")).get("key") == key
