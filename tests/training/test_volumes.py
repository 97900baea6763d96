"""Volumes from one end to the other: trained, stopped, resumed, saved, used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.conftest import Stopped, stop_at

from recontrast.errors import ConfigError, TrainingError
from recontrast.io.nifti import read_volume
from recontrast.training.checkpoint import load_checkpoint
from recontrast.training.command import TrainSettings, train
from recontrast.translation.command import TranslateSettings, translate
from recontrast.translation.engines.choice import EngineSettings
from recontrast.translation.translator import load_translator

VOLUMES = (
    "model.name=res_unet",
    'model.options={ width = 2, depth = 2, norm = "none" }',
    "recipe.options.loss=l1",
    "data.plane=volume",
    "data.patch=[16, 16, 8]",
    "data.batch=2",
    "loop.steps=6",
    "loop.validate_every=3",
    "loop.minutes=0",
    "loop.checkpoint_minutes=0",
    "loop.warmup_steps=0",
    "loop.accelerator=cpu",
    "loop.precision=fp32",
)


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    path = tmp_path / "volumes.toml"
    path.write_text('[model]\nname = "res_unet"\n[recipe]\nname = "supervised"\n[loop]\nsteps = 6\n')
    return path


@pytest.fixture
def learn_from(make_prepared: Callable[..., Path], tmp_path: Path, preset: Path) -> Callable[..., Path]:
    prepared = make_prepared(shapes={"02": (22, 18, 14)})

    def learn(name: str, *overrides: str, resume: bool = False) -> Path:
        settings = TrainSettings(
            prepared=prepared, run=tmp_path / name, source=("T1w", "FLAIR"), target="T2w", preset=str(preset),
            set=(*VOLUMES, *overrides), resume=resume,
        )  # fmt: skip
        train(settings)
        return settings.run

    return learn


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_as_one_that_was_not_and_translates(
    learn_from: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = learn_from("whole")
    with monkeypatch.context() as patch:
        stop_at(patch, 4)
        with pytest.raises(Stopped):
            learn_from("parts")
    parts = learn_from("parts", resume=True)
    one, other = (load_checkpoint(run / "checkpoints/last").tensors for run in (whole, parts))
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())

    prepared = tmp_path / "prepared"
    for out in ("first", "second"):
        translate(TranslateSettings(run=whole, input=prepared, out=tmp_path / out, split="test", engine="torch"))
    made, again = (next((tmp_path / out).rglob("*desc-synthetic_T2w.nii.gz")) for out in ("first", "second"))
    source = next(prepared.rglob("sub-04_desc-prepared_T1w.nii.gz"))
    assert read_volume(made).data.shape == read_volume(source).data.shape
    np.testing.assert_array_equal(read_volume(made).affine, read_volume(source).affine)
    assert np.array_equal(read_volume(made).data, read_volume(again).data)


def test_windows_give_what_the_whole_volume_gives(learn_from: Callable[..., Path], tmp_path: Path) -> None:
    run = learn_from("run", "loop.steps=2", "loop.validate_every=2")
    rng = np.random.default_rng(0)
    sources = {label: rng.random((48, 20, 12), np.float32) for label in ("T1w", "FLAIR")}
    plain = {"engine": "torch", "precision": "fp32"}
    whole = load_translator(run, EngineSettings(**plain)).predict_scaled(sources, {})  # type: ignore[arg-type]
    settings = EngineSettings(**plain, window=32, overlap=0.5)  # type: ignore[arg-type]
    windows = load_translator(run, settings).predict_scaled(sources, {})
    assert not np.array_equal(windows, whole)
    assert float(np.abs(windows - whole)[:8].max()) < 1e-3
    assert float(np.abs(windows - whole)[-8:].max()) < 1e-3


@pytest.mark.slow
def test_added_up_gradients_learn_what_the_whole_batch_learns(learn_from: Callable[..., Path]) -> None:
    runs = [learn_from("once"), learn_from("twice", "loop.accumulate=2"), learn_from("again", "loop.recompute=true")]
    first, *others = (load_checkpoint(run / "checkpoints/last").part("recipe") for run in runs)
    for other in others:
        for name, value in first.items():
            torch.testing.assert_close(other[name], value, atol=1e-4, rtol=1e-3)
    with pytest.raises(ConfigError, match="accumulate"):
        learn_from("odd", "loop.accumulate=3")


@pytest.mark.slow
@pytest.mark.distributed
def test_two_processes_learn_what_one_learns_with_the_whole_batch(learn_from: Callable[..., Path]) -> None:
    runs = [learn_from(name, "loop.steps=3", *more) for name, more in (("one", ()), ("two", ("loop.devices=2",)))]
    one, two = (load_checkpoint(run / "checkpoints/last").part("recipe") for run in runs)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-4, rtol=1e-3)


def test_a_loss_that_is_not_finite_is_said(learn_from: Callable[..., Path]) -> None:
    with pytest.raises(TrainingError, match="loss"):
        learn_from("wild", "loop.learning_rate=1e30")
