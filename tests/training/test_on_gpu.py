"""Every preset on a graphics processor: learned, stopped, resumed, used there and on the processor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.conftest import Stopped, stop_at

from recontrast.io.nifti import read_volume
from recontrast.preparation.cohort import read_cohort
from recontrast.training.command import TrainSettings, train
from recontrast.training.plan import preset_paths
from recontrast.translation.engines.choice import EngineSettings
from recontrast.translation.translator import Translator, load_translator

pytestmark = [pytest.mark.gpu, pytest.mark.slow]

STEPS = 4
VOLUMES = ("data.patch=[16,16,16]", "loop.warmup_steps=1")
SETTINGS = {
    "bottani2024-cgan": (*VOLUMES, "recipe.options.first_steps=1", "recipe.options.second_steps=1"),
    "bottani2024": VOLUMES,
    "any-to-any": ("loop.error_bars=true",),
    "auto": ("loop.error_bars=true",),
}


@pytest.fixture
def device() -> str:
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    return "cuda"


def settings_of(preset: str, prepared: Path, run: Path, device: str, *more: str, resume: bool = False) -> TrainSettings:
    of_preset = next((given for name, given in SETTINGS.items() if preset.startswith(name)), ())
    loop = (f"loop.steps={STEPS}", "loop.minutes=0", f"loop.accelerator={device}", "loop.epochs=0")
    return TrainSettings(
        prepared=prepared, run=run, source=("T1w",), target="T2w", preset=preset, resume=resume,
        set=(*loop, *of_preset, *more),
    )  # fmt: skip


def translated(run: Path, prepared: Path, **engine: str) -> np.ndarray:
    (case,) = read_cohort(prepared).split("test")
    translator: Translator = load_translator(run, EngineSettings(engine="torch", **engine), "T2w")  # type: ignore[arg-type]
    made = translator.translate({"T1w": read_volume(case.images["T1w"])})
    return np.asarray(made.data)


@pytest.mark.parametrize("preset", sorted(preset_paths()))
def test_a_preset_learns_there_and_its_translator_works_everywhere(
    preset: str, device: str, make_prepared: Callable[..., Path], tmp_path: Path
) -> None:
    prepared, run = make_prepared(), tmp_path / "run"
    summary = train(settings_of(preset, prepared, run, device))
    assert not summary.failed
    here = translated(run, prepared, device="cpu", precision="fp32")
    there = translated(run, prepared, device=device, precision="fp32")
    assert np.isfinite(here).all()
    assert here.std() > 0
    assert np.abs(here - there).max() <= 1e-3 * np.abs(here).max()


def test_resumed_it_goes_on_as_it_would_have(
    device: str, make_prepared: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = make_prepared()
    often = ("loop.checkpoint_minutes=0", "loop.precision=fp32")
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    train(settings_of("osman2022", prepared, whole, device, *often))
    with monkeypatch.context() as stopping:
        stop_at(stopping, 2)
        with pytest.raises(Stopped):
            train(settings_of("osman2022", prepared, halves, device, *often))
    train(settings_of("osman2022", prepared, halves, device, *often, resume=True))
    expected, found = (translated(run, prepared, device=device, precision="fp32") for run in (whole, halves))
    assert np.abs(expected - found).max() <= 1e-3 * np.abs(expected).max()
