"""The loop as a whole: resuming, ending, failing."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.training.conftest import Stopped, stop_at

from recontrast.errors import IntensityError, OutputError, RecontrastWarning, TrainingError
from recontrast.io.tables import read_table
from recontrast.training import loop as loop_module
from recontrast.training.automatic import PLAN_FILE
from recontrast.training.checkpoint import load_checkpoint
from recontrast.training.command import TrainSettings, train
from recontrast.training.learner import Learner
from recontrast.training.log import read_log
from recontrast.training.validation import Validator

MakePrepared = Callable[..., Path]


@pytest.fixture
def learn_from(make_prepared: MakePrepared, tmp_path: Path, tiny: tuple[str, ...]) -> Callable[..., Path]:
    """Train in a folder of that name; returns the run."""
    prepared = make_prepared()

    def learn(name: str, *overrides: str, resume: bool = False) -> Path:
        settings = TrainSettings(
            prepared=prepared,
            run=tmp_path / name,
            source=("T1w", "FLAIR"),
            target="T2w",
            preset="osman2022",
            set=(*tiny, "loop.steps=12", "loop.validate_every=4", "loop.checkpoint_minutes=0", *overrides),
            resume=resume,
        )
        train(settings)
        return settings.run

    return learn


def test_threads_that_cut_slices_ahead_change_no_weight(
    learn_from: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ("data.augment.shift_voxels=1", "data.augment.rotate_degrees=5")
    alone = learn_from("alone", *given)
    monkeypatch.setattr(loop_module, "threads_ahead", lambda *_: 3)
    ahead = learn_from("ahead", *given)
    weights = [load_file(run / "translator" / "weights.safetensors") for run in (alone, ahead)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [(), ("loop.ema=0.8", "loop.schedule=linear", "data.augment.shift_voxels=1")])
def test_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    learn_from: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...]
) -> None:
    whole = learn_from("whole", *overrides)
    with monkeypatch.context() as patch:
        stop_at(patch, 7)
        with pytest.raises(Stopped):
            learn_from("parts", *overrides)
    assert load_checkpoint(whole.parent / "parts/checkpoints/last").state["step"] == 7
    assert not (whole.parent / "parts/translator").exists()
    torch.manual_seed(999)
    np.random.seed(999)  # noqa: NPY002 - the state of generators must not matter
    parts = learn_from("parts", *overrides, resume=True)
    for place in ("checkpoints/last", "checkpoints/best"):
        one, other = (load_checkpoint(run / place) for run in (whole, parts))
        assert one.tensors.keys() == other.tensors.keys()
        assert all(torch.equal(value, other.tensors[name]) for name, value in one.tensors.items())
        assert {**one.state, "seconds": 0} == {**other.state, "seconds": 0}
    one, other = (load_file(run / "translator/weights.safetensors") for run in (whole, parts))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    losses = [[e["loss"] for e in read_log(run) if e["event"] == "step"] for run in (whole, parts)]
    assert losses[0] == losses[1]
    assert read_table(whole / "validation.tsv").equals(read_table(parts / "validation.tsv"))


GAMES = {
    "adversarial": ("model.name=pix2pix_unet", "model.options={width=4,downs=3}"),
    "cycle": ("model.name=strided_resnet", "model.options={width=4,downs=2,blocks=1}", "data.paired=false"),
    "unit": ("model.name=unit", "model.options={width=2,private=1,shared=1}", "data.paired=false"),
}
"""Overrides that turn the preset of these tests into each of the recipes with a discriminator."""


@pytest.fixture
def play(make_prepared: MakePrepared, tmp_path: Path) -> Callable[..., Path]:
    """Train a game of that recipe in a folder of that name; returns the run."""
    prepared, preset = make_prepared(), tmp_path / "game.toml"

    def play(recipe: str, name: str, *overrides: str, resume: bool = False) -> Path:
        preset.write_text(
            f'[model]\nname="unet"\n[recipe]\nname="{recipe}"\n[recipe.options.discriminator_options]\nwidth=2\n'
            '[data]\nbatch=2\n[loop]\nsteps=8\nvalidate_every=4\ncheckpoint_minutes=0\naccelerator="cpu"\n'
        )
        settings = TrainSettings(
            prepared=prepared, run=tmp_path / name, source=("T1w",), target="T2w", preset=str(preset),
            set=(*GAMES[recipe], "loop.precision=fp32", *overrides), resume=resume,
        )  # fmt: skip
        train(settings)
        return settings.run

    return play


@pytest.mark.slow
@pytest.mark.parametrize("recipe", GAMES)
def test_a_resumed_game_equals_an_uninterrupted_one_bit_for_bit(
    play: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, recipe: str
) -> None:
    overrides = ["loop.schedule=linear", "loop.hold=0.5", "loop.snapshots=2", "loop.keep=last", "loop.ema=0.9"]
    if recipe == "cycle":
        overrides.append("recipe.options.pool=3")
    whole = play(recipe, "whole", *overrides)
    with monkeypatch.context() as patch:
        stop_at(patch, 5)
        with pytest.raises(Stopped):
            play(recipe, "parts", *overrides)
    torch.manual_seed(999)
    parts = play(recipe, "parts", *overrides, resume=True)
    places = ["checkpoints/last", "checkpoints/best"]
    places += [f"checkpoints/snapshots/step-{step:08d}" for step in (4, 8)]
    for place in places:
        one, other = (load_checkpoint(run / place) for run in (whole, parts))
        assert one.tensors.keys() == other.tensors.keys()
        assert all(torch.equal(value, other.tensors[name]) for name, value in one.tensors.items())
    kept = load_checkpoint(whole / "checkpoints/last")
    assert {name.split(".")[1] for name in kept.tensors if name.startswith("optimizer.")} == (
        {"network", "discriminator"} if recipe == "adversarial" else {"network", "discriminators"}
    )
    if recipe == "cycle":
        assert kept.tensors["recipe.former_targets.images"].shape[0] == 3
    events = [[e for e in read_log(run) if e["event"] == "step"] for run in (whole, parts)]
    assert [e["loss"] for e in events[0]] == [e["loss"] for e in events[1]]
    translators = [
        load_file(whole / place / "weights.safetensors") for place in ("translator", "snapshots/step-00000008")
    ]
    assert all(torch.equal(value, translators[1][name]) for name, value in translators[0].items())


@pytest.mark.slow
def test_a_run_whose_best_weights_were_deleted_says_so_at_once_and_ends_with_others(
    learn_from: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_at(patch, 10)
        with pytest.raises(Stopped):
            learn_from("run")
    shutil.rmtree(run / "checkpoints" / "best")
    with pytest.warns(RecontrastWarning, match=r"best: the weights of the best .* are gone; .* after step 10 takes"):
        learn_from("run", resume=True)
    end = read_log(run)[-1]
    assert (end["best_step"], end["kept_step"]) == (12, 12)
    for folder in (run / "checkpoints" / "best", run / "translator"):
        shutil.rmtree(folder)
    with pytest.warns(RecontrastWarning, match=r"of step 12, are gone; .* or the last weights"):
        learn_from("run", resume=True)
    end = read_log(run)[-1]
    assert (end["best_step"], end["kept_step"]) == (None, 12)
    assert load_checkpoint(run / "checkpoints" / "best").state["step"] == 12


def test_snapshots_of_a_training_stopped_before_its_first_checkpoint_do_not_outlive_it(
    learn_from: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    late = ("loop.snapshots=2", "loop.validate_every=1000", "loop.checkpoint_minutes=1000")
    with monkeypatch.context() as patch:
        stop_at(patch, 5)
        with pytest.raises(Stopped):
            learn_from("run", "loop.steps=8", "loop.seed=1", *late)
    run = learn_from("run", "loop.steps=6", "loop.seed=2", *late)
    for folder in (run / "checkpoints" / "snapshots", run / "snapshots"):
        assert sorted(each.name for each in folder.iterdir()) == ["step-00000003", "step-00000006"]


@pytest.mark.slow
def test_a_game_whose_loss_is_not_finite_says_where_and_keeps_the_last_checkpoint(
    play: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    original = loop_module.SliceBatches.batch

    def poisoned(self: Any, step: int, *ranks: int) -> Any:
        batch = original(self, step, *ranks)
        if step == 3:
            batch.target[:] = float("nan")
        return batch

    with monkeypatch.context() as patch:
        patch.setattr(loop_module.SliceBatches, "batch", poisoned)
        with pytest.raises(
            TrainingError, match=r"after step 3: the loss of the discriminator of step 4 is nan; the last"
        ):
            play("adversarial", "run")
    assert load_checkpoint(tmp_path / "run/checkpoints/last").state["step"] == 3
    assert read_log(play("adversarial", "run", resume=True))[-1]["step"] == 8


@pytest.mark.slow
def test_log_and_table_hold_what_was_promised(learn_from: Callable[..., Path]) -> None:
    run = learn_from("run")
    events = read_log(run)
    assert [event["event"] for event in events] == [
        "start", "step", "validation", "validation", "step", "step", "validation", "end",
    ]  # fmt: skip
    start, step = events[0], events[1]
    assert start["parameters"] > 1000
    assert (start["train_subjects"], start["validation_subjects"]) == (["01", "02"], ["03"])
    assert (start["device"], start["precision"], start["seed"]) == ("cpu", "fp32", 0)
    assert step.keys() == {"event", "step", "epoch", "loss", "parts", "lr", "seconds"}
    validation = events[2]
    assert set(validation["metrics"]) >= {"psnr", "mae", "ssim"}
    assert (validation["protocol"], validation["region"], validation["subjects"]) == ("recontrast", "brain", 1)
    best = max((e for e in events if e["event"] == "validation"), key=lambda e: e["metrics"]["psnr"])
    assert events[-1]["best_step"] == best["step"]
    table = read_table(run / "validation.tsv")
    assert table.set_index("metric")["value"]["psnr"] == pytest.approx(best["metrics"]["psnr"])
    assert set(table["step"]) == {best["step"]}


@pytest.mark.slow
def test_seed_decides_the_first_weights(learn_from: Callable[..., Path]) -> None:
    losses = [
        read_log(learn_from(f"run{n}", f"loop.seed={seed}", "loop.steps=1"))[1]["loss"]
        for n, seed in enumerate((3, 3, 4))
    ]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.slow
def test_patience_ends_the_run_and_the_best_weights_are_kept(
    learn_from: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([20.0, 21.0, 19.0, 20.0, 25.0])
    original = Validator.summarise

    def scripted(self: Any, values: Any) -> Any:
        result = original(self, values)
        return type(result)(result.values, {**result.metrics, "psnr": (score := next(scores))}, score)

    monkeypatch.setattr(Validator, "summarise", scripted)
    run = learn_from("run", "loop.patience=2", "loop.steps=40")
    end = read_log(run)[-1]
    assert (end["step"], end["best_step"], end["kept_step"]) == (16, 8, 8)
    assert "no better validation in 2" in end["reason"]
    assert load_checkpoint(run / "checkpoints/best").state["step"] == 8
    best = load_checkpoint(run / "checkpoints/best").part("network")
    saved = load_file(run / "translator/weights.safetensors")
    assert all(torch.equal(saved[name], value) for name, value in best.items())


def test_undefined_validations_leave_the_last_weights(
    learn_from: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Validator, "score_cases", lambda self, *_: torch.full((1, len(self.labels)), float("nan")))
    run = learn_from("run", "loop.patience=2", "loop.ema=0")
    events = read_log(run)
    assert [e["metrics"]["psnr"] for e in events if e["event"] == "validation"] == [None, None]
    assert events[-1]["kept_step"] == events[-1]["step"] == 8
    assert events[-1]["best_step"] is None
    last = load_checkpoint(run / "checkpoints/last").part("recipe.network")
    saved = load_file(run / "translator/weights.safetensors")
    assert all(torch.equal(saved[name], value) for name, value in last.items())


def test_numbers_next_to_zero_live_on_after_a_training(
    learn_from: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    denormal = torch.tensor([1e-40])
    during: list[bool] = []
    step = Learner.step

    def watched(self: Learner, *arguments: Any) -> Any:
        during.append(bool(denormal * 1.0 == 0))
        return step(self, *arguments)

    monkeypatch.setattr(Learner, "step", watched)
    learn_from("run", "loop.steps=2")
    assert during == [True, True]
    assert bool(denormal * 1.0 > 0)
    assert np.float64(1e-310) * 1.0 > 0


def test_minutes_end_the_run(learn_from: Callable[..., Path]) -> None:
    end = read_log(learn_from("run", "loop.steps=0", "loop.schedule=constant", "loop.minutes=0.001"))[-1]
    assert end["step"] >= 1
    assert end["reason"] == "0.001 minutes used"


def test_a_rate_falls_over_the_minutes_where_they_alone_count(
    learn_from: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A clock that goes by a tenth of the time with every step, whatever the machine does.
    def read_clock(self: Any) -> None:
        self.state.seconds = self.state.step * 6.0

    monkeypatch.setattr(loop_module._Training, "_read_clock", read_clock)
    settings = ("loop.steps=0", "loop.schedule=linear", "loop.minutes=1", "loop.log_every=1", "loop.learning_rate=1e-3")
    events = read_log(learn_from("run", *settings, "loop.validate_every=1000"))
    rates = [event["lr"] for event in events if event["event"] == "step"]
    assert rates == pytest.approx([1e-3 * (1 - 0.1 * step) for step in range(10)])
    assert events[-1]["reason"] == "1 minutes used with the learning rate still at 10% in the last step"


def test_a_rate_that_did_not_fall_to_its_end_is_said(learn_from: Callable[..., Path]) -> None:
    end = read_log(learn_from("run", "loop.steps=90", "loop.schedule=linear", "loop.minutes=0.0001"))[-1]
    assert re.search(r"at step \d of 90, with the learning rate still at 9\d%; `train --minutes` plans", end["reason"])


def test_who_had_the_steps_planned_is_not_told_to_have_them_planned(
    learn_from: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / PLAN_FILE).write_text("")
    end = read_log(learn_from("run", "loop.steps=90", "loop.schedule=linear", "loop.minutes=0.0001"))[-1]
    assert end["reason"].endswith("it took longer than was planned: give it more minutes")


@pytest.mark.slow
def test_loss_that_is_not_finite_keeps_the_last_checkpoint(
    learn_from: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    original = loop_module.SliceBatches.batch

    def poisoned(self: Any, step: int, *ranks: int) -> Any:
        batch = original(self, step, *ranks)
        if step == 5:
            batch.source[:] = float("nan")
        return batch

    with monkeypatch.context() as patch:
        patch.setattr(loop_module.SliceBatches, "batch", poisoned)
        with pytest.raises(
            TrainingError, match=r"after step 5: the loss of step 6 is nan; the last good checkpoint, step 5, is kept"
        ) as error:
            learn_from("run")
    assert "\n" not in str(error.value)
    assert load_checkpoint(tmp_path / "run/checkpoints/last").state["step"] == 5
    assert read_log(learn_from("run", resume=True))[-1]["step"] == 12


@pytest.mark.slow
def test_full_disk_is_said_and_nothing_finished_is_lost(
    learn_from: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    original, calls = Path.write_bytes, []

    def full(self: Path, data: bytes) -> int:
        calls.append(self)
        if len(calls) > 5:
            raise OSError(28, "No space left on device")
        return original(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OutputError, match="the disk is full"):
            learn_from("run")
    assert load_checkpoint(tmp_path / "run/checkpoints/last").state["step"] >= 3
    assert read_log(learn_from("run", resume=True))[-1]["step"] == 12


@pytest.mark.slow
def test_whole_volumes_are_learned_from_several_sizes_and_planes(
    make_prepared: MakePrepared, tmp_path: Path, tiny: tuple[str, ...]
) -> None:
    prepared = make_prepared(shapes={"01": (22, 14, 10), "03": (16, 24, 11)})
    for plane in ("sagittal", "coronal"):
        settings = TrainSettings(
            prepared=prepared,
            run=tmp_path / plane,
            source=("T1w",),
            target="T2w",
            preset="osman2022",
            set=(*tiny, "loop.steps=2", f"data.plane={plane}", "data.neighbours=1", "data.cache_type=uint16"),
        )
        train(settings)
        description = json.loads((settings.run / "translator/translator.json").read_text())
        assert (description["plane"], description["neighbours"]) == (plane, 1)
        assert description["model"]["options"]["in_channels"] == 3
        assert description["spacing_mm"] == pytest.approx([1.0, 1.5, 3.0])


@pytest.mark.slow
@pytest.mark.distributed
def test_two_ranks_learn_together(learn_from: Callable[..., Path]) -> None:
    alone = learn_from("alone", "model.options.dropout=[]")
    together = learn_from("together", "model.options.dropout=[]", "loop.devices=2")
    one, other = (load_file(run / "translator/weights.safetensors") for run in (alone, together))
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, atol=2e-4, rtol=2e-2)
    assert [e["event"] for e in read_log(together)].count("start") == 1
    assert read_log(together)[-1]["step"] == 12


@pytest.mark.slow
@pytest.mark.distributed
def test_an_error_of_a_rank_is_one_line(learn_from: Callable[..., Path]) -> None:
    with pytest.raises(IntensityError, match="no slice of sub-01, sub-02 has head or brain in it") as error:
        learn_from("run", "loop.devices=2", "data.minimum_area=2.0")
    assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")  # raised inside torch.compile
def test_compiled_network_learns_the_same(learn_from: Callable[..., Path]) -> None:
    short = ("model.options.dropout=[]", "model.options.depth=1", "loop.steps=6", "loop.validate_every=6")
    eager = learn_from("eager", *short)
    compiled = learn_from("compiled", *short, "loop.compiled=true")
    losses = [[e["loss"] for e in read_log(run) if e["event"] == "step"] for run in (eager, compiled)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.parametrize(("steps", "said"), [(2, True), (3, False)])
def test_a_training_that_ends_before_the_last_stage_begins_says_so(
    play: Callable[..., Path], steps: int, said: bool
) -> None:
    stages = ("recipe.options.first_steps=1", "recipe.options.second_steps=1", f"loop.steps={steps}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RecontrastWarning)
        run = play("adversarial", "run", *stages)
    lines = [str(one.message) for one in caught if issubclass(one.category, RecontrastWarning)]
    assert (
        any("the last stage of the recipe begins after step 2, and the training ends after" in n for n in lines) is said
    )
    assert read_log(run)[-1]["reason"].endswith("which begins after step 2, was not reached") is said
