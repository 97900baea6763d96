"""Prepared folders made by hand: tiny heads whose contrasts are functions of each other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recontrast.io.bids import BidsName, Case, write_sidecar
from recontrast.io.nifti import write_volume
from recontrast.io.tables import write_table
from recontrast.preparation.normalize import fit_scale
from recontrast.training.command import TrainSettings
from recontrast.volume import Volume

TINY = (
    "model.options.width=4",
    "model.options.depth=2",
    "model.options.dropout=[0.1]",
    "data.batch=4",
    "loop.minutes=0",
    "loop.warmup_steps=0",
    "loop.accelerator=cpu",
    "loop.precision=fp32",
)

MakePrepared = Callable[..., Path]
MakeSettings = Callable[..., TrainSettings]


class Stopped(Exception):
    """Stands for a kill in the middle."""


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let trainings be killed in this step."""
    from recontrast.training.learner import Learner

    original = Learner.step

    def step_or_stop(self: Any, batch: Any, number: int, *rest: float) -> Any:
        if number == step:
            raise Stopped(f"stopped in step {number}")
        return original(self, batch, number, *rest)

    monkeypatch.setattr(Learner, "step", step_or_stop)


def contrasts(shape: tuple[int, int, int], seed: int) -> dict[str, np.ndarray]:
    """T1w, T2w and FLAIR of a little head with a bright core; the core's place depends on the seed."""
    rng = np.random.default_rng(seed)
    i, j, k = np.meshgrid(*[np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape], indexing="ij")
    inside = np.sqrt((i / 0.8) ** 2 + (j / 0.8) ** 2 + (k / 0.9) ** 2) < 1
    core = np.sqrt((i - 0.3 * rng.random()) ** 2 + j**2 + (k - 0.2 * rng.random()) ** 2) < 0.45
    t1w = np.where(inside, np.where(core, 700.0, 400.0), 0.0) + 5 * rng.random(shape)
    return {"T1w": t1w, "T2w": np.where(inside, 1000.0 - t1w, 0.0), "FLAIR": np.where(inside, 0.3 * t1w + 100, 0.0)}


@pytest.fixture
def tiny() -> tuple[str, ...]:
    """Overrides that make a preset small enough for a test."""
    return TINY


@pytest.fixture
def make_prepared(tmp_path: Path, oblique_affine: np.ndarray) -> MakePrepared:
    """Write a prepared folder; `splits` maps subject to split, `absent` lists (subject, contrast) left out."""
    affine = np.diag([*np.sqrt((oblique_affine[:3, :3] ** 2).sum(axis=0)), 1.0])

    def make(
        splits: dict[str, str] | None = None,
        absent: tuple[tuple[str, str], ...] = (),
        shapes: dict[str, tuple[int, int, int]] | None = None,
        brain: bool = True,
        name: str = "prepared",
    ) -> Path:
        folder = tmp_path / name
        splits = splits or {"01": "train", "02": "train", "03": "validation", "04": "test"}
        for subject in splits:
            case = Case(subject)
            shape = (shapes or {}).get(subject, (18, 20, 12))
            images = contrasts(shape, int(subject))
            anat = folder / case.folder / "anat"
            for label, data in images.items():
                if (subject, label) in absent:
                    continue
                volume = Volume(data.astype(np.float32), affine)
                path = anat / BidsName.of(case, label, desc="prepared").filename
                write_volume(path, volume)
                write_sidecar(path, {"Scale": fit_scale(volume).to_dict(), "Contrast": label})
            head = Volume(images["T2w"] > 0, affine)
            write_volume(anat / BidsName.of(case, "mask", desc="head").filename, head, np.uint8)
            if brain:
                write_volume(anat / BidsName.of(case, "mask", desc="brain").filename, head, np.uint8)
        write_table(folder / "splits.tsv", pd.DataFrame({"subject": list(splits), "split": list(splits.values())}))
        cases = pd.DataFrame({"case": [f"sub-{subject}" for subject in splits], "status": "ok", "message": ""})
        write_table(folder / "cases.tsv", cases)
        (folder / "provenance.json").write_text(json.dumps({"stage": "prepare", "settings": {"scale": {}}}))
        return folder

    return make


@pytest.fixture
def settings(tmp_path: Path, tiny: tuple[str, ...]) -> MakeSettings:
    def make(prepared: Path, *overrides: str, **others: object) -> TrainSettings:
        values = {"run": tmp_path / "run", "source": ("T1w",), "target": "T2w", "preset": "osman2022", **others}
        return TrainSettings(prepared=prepared, set=(*tiny, "loop.steps=3", *overrides), **values)  # type: ignore[arg-type]

    return make
