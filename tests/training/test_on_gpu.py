"""Every preset on a graphics processor: learned, stopped, resumed, used there and on the processor."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.conftest import Stopped, stop_at

from recontrast.io.nifti import read_volume
from recontrast.preparation.cohort import read_cohort
from recontrast.training import learner
from recontrast.training.command import TrainSettings, train
from recontrast.training.plan import preset_paths
from recontrast.translation.engines.choice import EngineSettings
from recontrast.translation.translator import Translator, load_translator

pytestmark = [pytest.mark.gpu, pytest.mark.slow]

STEPS = 4
VOLUMES = ("data.patch=[16,16,16]", "loop.warmup_steps=1")
HIDES = "masked-reconstruction"
"""The preset that has no target and whose network is no translator."""

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
        prepared=prepared, run=run, source=("T1w",), target="" if preset == HIDES else "T2w", preset=preset,
        set=(*loop, *of_preset, *more), resume=resume,
    )  # fmt: skip


def translated(run: Path, prepared: Path, **engine: str) -> np.ndarray:
    (case,) = read_cohort(prepared).split("test")
    translator: Translator = load_translator(run, EngineSettings(engine="torch", **engine), "T2w")  # type: ignore[arg-type]
    made = translator.translate({"T1w": read_volume(case.images["T1w"])})
    return np.asarray(made.data)


@pytest.mark.parametrize("preset", sorted(preset_paths().keys() - {HIDES}))
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


def test_what_was_hidden_is_begun_with(device: str, make_prepared: Callable[..., Path], tmp_path: Path) -> None:
    prepared = make_prepared()
    assert not train(settings_of(HIDES, prepared, tmp_path / "hidden", device)).failed
    begun = dataclasses.replace(settings_of("auto", prepared, tmp_path / "run", device), start_from=tmp_path / "hidden")
    assert not train(begun).failed
    assert np.isfinite(translated(tmp_path / "run", prepared, device=device)).all()


@pytest.mark.parametrize(("preset", "more"), [("osman2022", ("model.options.dropout=[]",)), ("auto", ())])
def test_a_recording_gives_what_the_network_gives(
    preset: str, more: tuple[str, ...], device: str, make_prepared: Callable[..., Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    prepared, exact = make_prepared(), ("loop.precision=fp32", *more)
    with caplog.at_level(logging.WARNING):
        train(settings_of(preset, prepared, tmp_path / "recorded", device, *exact))
    assert not [said for said in caplog.messages if "cannot be recorded" in said]
    with monkeypatch.context() as plain:
        plain.setattr(learner, "recorded", lambda *_: pytest.fail("nothing is recorded then"))
        train(settings_of(preset, prepared, tmp_path / "plain", device, *exact, "loop.recorded=false"))
    made = [translated(tmp_path / way, prepared, device=device, precision="fp32") for way in ("recorded", "plain")]
    # Convolutions are trained in TF32 there, ten bits of mantissa, by whatever algorithm is chosen at the moment.
    assert np.abs(made[0] - made[1]).max() <= 5e-3 * np.abs(made[1]).max()


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
