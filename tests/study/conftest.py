"""Prepared folders made by hand, as for training, and a study small enough for a test."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

_PATH = Path(__file__).parents[1] / "training" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("training_fixtures", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
_TRAINING = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_TRAINING)
make_prepared = _TRAINING.make_prepared

STUDY = """
summary = "A study for tests"
citation = "Nobody 2026"
notes = ["It says nothing of people."]
directions = [{ source = ["T1w"], target = "T2w" }]
set = [
  "model.options.width=4", "model.options.depth=2", "model.options.dropout=[0.1]", "data.batch=4",
  "loop.warmup_steps=0", "loop.accelerator=cpu", "loop.precision=fp32",
]
[[methods]]
preset = "osman2022"
grid = { "recipe.options.loss" = ["mse", "l1"] }
[budget]
steps = 8
validations = 4
snapshots = [0.5, 1.0]
[selection]
also = ["mae"]
sheet_slices = 4
[[evaluations]]
protocol = "recontrast"
options = { controls = ["identity", "affine"] }
[[orderings]]
claim = "better than the source"
better = { direction = "T1w-T2w" }
worse = { estimator = "identity" }
[[orderings]]
claim = "a method nobody trained is better"
better = { method = "unit" }
worse = { method = "osman2022" }
[[published]]
title = "A table"
where = "page 1"
metrics = ["psnr", "ssim"]
rows = [
  { label = "T1w to T2w", values = ["30.0 ± 1.0", "0.95"], ours = { method = "osman2022" } },
  { label = "source", values = ["20.0", "0.5"], ours = { estimator = "identity" } },
]
[paper.budget]
steps = 100
"""

MakeStudy = Callable[..., Path]


@pytest.fixture
def make_study(tmp_path: Path) -> MakeStudy:
    """Write a small study file; `changes` are pairs of text to be replaced in it."""

    def make(*changes: tuple[str, str], name: str = "small.toml") -> Path:
        text = STUDY
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return make
