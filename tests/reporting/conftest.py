"""Folders as the other commands write them, with small oblique heads, so that the report is tested without them."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recontrast.atomic import write_json, write_text
from recontrast.config import to_plain
from recontrast.evaluation.protocols import PROTOCOLS
from recontrast.io.bids import write_sidecar
from recontrast.io.nifti import write_volume
from recontrast.io.tables import write_table
from recontrast.volume import Volume

CONTROLS = ("identity", "boosting")


@dataclasses.dataclass
class Folders:
    """Where the parts of an example lie."""

    root: Path
    cohort: Path
    prepared: Path
    run: Path
    synthetic: Path
    evaluation: Path


def write_run(folder: Path, *, steps: int = 60, best: int = 50) -> None:
    events: list[dict[str, Any]] = [
        {"event": "start", "preset": "osman2022", "scale": "cpu", "parameters": 1962337, "train_subjects": ["04"],
         "validation_subjects": ["05"], "device": "cpu", "precision": "bf16", "seed": 0}
    ]  # fmt: skip
    for step in range(1, steps + 1):
        events.append(
            {"event": "step", "step": step, "epoch": 0, "loss": 0.5 / step, "parts": {}, "lr": 1e-3, "seconds": 1}
        )
        if step % 10 == 0:
            quality = 20 + 5 * (1 - np.exp(-step / 15)) - 0.02 * max(0, step - best)
            metrics = {"mae": 1 / quality, "psnr": quality, "ssim": 0.8 + quality / 200}
            events.append({"event": "validation", "step": step, "protocol": "recontrast", "region": "brain",
                           "metrics": metrics, "subjects": 2, "best": step == best})  # fmt: skip
    events.append({"event": "end", "step": steps, "reason": "steps done", "seconds": 60.0, "best_step": best})
    write_text(folder / "log.jsonl", "".join(json.dumps(event) + "\n" for event in events))
    write_text(folder / "config.toml", 'preset = "osman2022"\n')
    description = {
        "format": 1, "version": "0.1.0", "preset": "osman2022", "sources": ["T1w"], "target": "T2w", "plane": "axial",
        "training_subjects": ["ab", "cd"], "trained_steps": best, "precision_trained": "bf16",
        "weights_sha256": "f" * 64,
    }  # fmt: skip
    write_json(folder / "translator" / "translator.json", description)
    write_text(folder / "translator" / "README.md", "# A translator\n")
    write_provenance(folder, "train", {"loop": {"seed": 3, "steps": steps}})


def write_provenance(folder: Path, stage: str, settings: Mapping[str, Any]) -> None:
    content = {
        "stage": stage, "created": "2026-11-20T10:00:00+00:00", "command": f"recontrast {stage} a b",
        "settings": settings, "inputs": {"sub-01_T1w.nii.gz": "0" * 64},
        "versions": {"python": "3.11", "recontrast": "0.1.0"},
        "machine": {"system": "Linux", "processor": "x86_64"},
    }  # fmt: skip
    write_json(folder / "provenance.json", content)


def write_scores(folder: Path, values: Mapping[str, float], *, regions: tuple[str, ...] = ("brain",)) -> None:
    """Tables of an evaluation in which the synthetic image of each case has the given PSNR."""
    lower = {"identity": 4.0, "boosting": 2.0, "synthetic": 0.0}
    scores, statistics = [], []
    over = f"BCa bootstrap over {len(values)} subjects"
    for region in regions:
        for metric, form in (("psnr", lambda p: p), ("mae", lambda p: 10 ** (-p / 20) / 1.4)):
            table = {n: [form(v - d - 0.1 * i) for i, v in enumerate(values.values())] for n, d in lower.items()}
            for name, row in table.items():
                for case, value in zip(values, row, strict=True):
                    subject = case.split("_")[0]
                    scores.append((case, subject, "n/a", name, region, metric, "volume", value, "recontrast", "ok"))
                mean, sd = float(np.mean(row)), float(np.std(row, ddof=1)) if len(row) > 1 else float("nan")
                plain = (name, region, metric, "recontrast", len(row), 0, mean, sd, mean - sd, mean + sd)
                statistics.append((*plain, "", *[float("nan")] * 4, "", "", over))
                if name != "synthetic":
                    difference = float(np.mean(np.array(table["synthetic"]) - row))
                    ends = (difference * 0.7, difference * 1.3)
                    statistics.append((
                        "synthetic", region, metric, "recontrast", len(row), 0, *[float("nan")] * 4, name,
                        difference, min(ends), max(ends), 0.03, "wilcoxon", "synthetic", over,
                    ))  # fmt: skip
    columns = ["case", "subject", "session", "estimator", "region", "metric", "unit", "value", "protocol", "status"]
    write_table(folder / "scores.tsv", pd.DataFrame(scores, columns=columns))
    columns = [
        "estimator", "region", "metric", "protocol", "subjects", "undefined", "mean", "sd", "ci_low", "ci_high",
        "control", "difference", "difference_ci_low", "difference_ci_high", "p", "test", "better", "interval",
    ]  # fmt: skip
    write_table(folder / "statistics.tsv", pd.DataFrame(statistics, columns=columns))


def write_evaluation(
    folder: Path, cases: Mapping[str, Mapping[str, Path]], values: Mapping[str, float], **scores: Any
) -> None:
    """An evaluation folder of cases with files `source`, `synthetic`, `reference` and the given PSNR values."""
    write_scores(folder, values, **scores)
    rows = []
    for case, files in cases.items():
        paths = {name: os.path.relpath(path, folder) for name, path in files.items()}
        subject = case.split("_")[0]
        rows.append({"case": case, "subject": subject, "session": "n/a", "status": "ok", "message": "", **paths,
                     **{f"{which}_offset": 0.0 for which in ("reference", "synthetic")},
                     **{f"{which}_factor": 1000.0 for which in ("reference", "synthetic")}})  # fmt: skip
    rows.append({"case": "sub-98", "subject": "sub-98", "status": "missing", "message": "no synthetic image"})
    rows.append({"case": "sub-99", "subject": "sub-99", "status": "failed", "message": "the grids differ"})
    write_table(folder / "cases.tsv", pd.DataFrame(rows))
    facts = {
        "protocol": to_plain(PROTOCOLS.get("recontrast")), "target": "T2w", "sources": ["T1w"], "split": "test",
        "controls": {"identity": "the source itself", "boosting": "fitted on 2 training subjects"},
        "interval": {"method": "bootstrap over subjects"}, "primary_region": "brain",
        "leak_check": {"status": "passed"}, "cases": {"expected": len(rows), "scored": len(values), "not_scored": 2},
    }  # fmt: skip
    write_json(folder / "evaluation.json", facts)
    write_provenance(folder, "evaluate", {"protocol": "recontrast", "seed": 0})


@pytest.fixture
def make_case(make_volume: Callable[..., Volume]) -> Callable[..., dict[str, Path]]:
    """Write source, synthetic, reference and masks of one case; returns the three files."""

    def make(
        root: Path, case: str, seed: int = 0, error: float = 0.0, shape: tuple[int, int, int] = (20, 24, 18)
    ) -> Any:
        reference = make_volume(shape, seed=seed)
        rng = np.random.default_rng(seed + 100)
        wrong = reference.data + error * rng.standard_normal(shape).astype(np.float32)
        prepared, synthetic = root / "prepared" / case / "anat", root / "synthetic" / case / "anat"
        paths = {
            "source": prepared / f"{case}_desc-prepared_T1w.nii.gz",
            "reference": prepared / f"{case}_desc-prepared_T2w.nii.gz",
            "synthetic": synthetic / f"{case}_desc-synthetic_T2w.nii.gz",
        }
        write_volume(paths["source"], reference.with_data(1000 - reference.data))
        write_volume(paths["reference"], reference)
        write_volume(paths["synthetic"], reference.with_data(wrong))
        write_sidecar(paths["synthetic"], {
            "Synthetic": True, "Precision": "bf16", "Engine": "openvino",
            "Translator": {"folder": "run/translator", "weights_sha256": "f" * 64, "preset": "osman2022"},
        })  # fmt: skip
        write_volume(prepared / f"{case}_desc-head_mask.nii.gz", reference.with_data(reference.data > 100), np.uint8)
        write_volume(prepared / f"{case}_desc-brain_mask.nii.gz", reference.with_data(reference.data > 500), np.uint8)
        return paths

    return make


@pytest.fixture
def example(tmp_path: Path, make_case: Callable[..., dict[str, Path]]) -> Folders:
    """Everything a demonstration leaves: cohort, prepared data, run, synthetic images, evaluation of three cases."""
    root = tmp_path / "out"
    folders = Folders(root, *(root / name for name in ("cohort", "prepared", "run", "synthetic", "evaluation")))
    values = {"sub-01": 24.0, "sub-02": 21.0, "sub-03": 27.0}
    cases = {case: make_case(root, case, seed, error=10.0 * seed) for seed, case in enumerate(values, 1)}
    write_evaluation(folders.evaluation, cases, values)
    write_run(folders.run)
    subjects = ["01", "02", "03", "04", "05"]
    write_table(folders.cohort / "participants.tsv", pd.DataFrame({"participant_id": [f"sub-{s}" for s in subjects]}))
    splits = ["test", "test", "test", "train", "validation"]
    write_table(folders.prepared / "splits.tsv", pd.DataFrame({"subject": subjects, "split": splits}))
    states = pd.DataFrame({"case": [f"sub-{s}" for s in subjects], "status": "ok", "message": ""})
    write_table(folders.prepared / "cases.tsv", states)
    write_table(
        folders.prepared / "quality.tsv",
        pd.DataFrame({"case": ["sub-01", "sub-02"], "contrast": "T1w", "overlap": [0.97, 0.5]}),
    )
    write_provenance(folders.prepared, "prepare", {"seed": 0})
    write_table(folders.synthetic / "cases.tsv", states[:3])
    write_provenance(folders.synthetic, "translate", {"precision": "auto"})
    return folders
