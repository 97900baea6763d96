"""The pace of a step."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from recontrast.datasets.patches import Batch
from recontrast.training.fingerprint import Fingerprint
from recontrast.training.learner import Learner
from recontrast.training.pace import (
    seconds_between_steps,
    seconds_of_beginning,
    seconds_of_slices,
    seconds_of_step,
)
from recontrast.training.plan import read_plan
from recontrast.training.planning import model_options


def test_a_step_of_any_recipe_can_be_timed() -> None:
    small = ("model.options.width=4", "loop.accelerator=cpu", "loop.precision=fp32", "data.batch=1")
    for preset, options in (("auto", ("model.options.blocks=[1,1]",)), ("osman2022", ("model.options.depth=2",))):
        overrides = (*small, *options, *(("model.options.dropout=[0.1]",) if preset == "osman2022" else ()))
        plan = read_plan(preset, "cpu", overrides)
        assert 0 < seconds_of_step(plan, model_options(plan, 1), (32, 32)) < 600


@pytest.mark.parametrize(("seconds", "steps"), [(0.01, 12), (0.21, 6), (4.0, 5)])
def test_quick_steps_are_timed_more_often_and_the_first_two_do_not_count(
    monkeypatch: pytest.MonkeyPatch, seconds: float, steps: int
) -> None:
    clock, taken = [0.0], []

    def step(self: Learner, batch: object, number: int) -> tuple[float, dict[str, float]]:
        clock[0] += seconds if number > 1 else 3 * seconds
        taken.append(number)
        return 0.0, {}

    monkeypatch.setattr(Learner, "step", step)
    monkeypatch.setattr("recontrast.training.pace.time.perf_counter", lambda: clock[0])
    plan = read_plan("auto", "cpu", ("loop.accelerator=cpu", "model.options.width=4", "model.options.blocks=[1,1]",
                                     "loop.precision=fp32"))  # fmt: skip
    assert seconds_of_step(plan, model_options(plan, 1), (16, 16)) == pytest.approx(seconds)
    assert taken == list(range(steps))


def test_slices_that_are_bent_take_time_and_others_none() -> None:
    small = ("loop.accelerator=cpu", "data.batch=4")
    plain, bent = (read_plan("auto", "cpu", (*small, f"data.augment.bend_mm={mm}", "data.augment.stretch=0",
                                             "data.augment.rotate_degrees=0")) for mm in (0, 4))  # fmt: skip
    assert seconds_of_slices(plain, {"in_channels": 2}, (64, 64)) == 0
    assert 0 < seconds_of_slices(bent, {"in_channels": 2}, (64, 64)) < 10


@pytest.mark.parametrize(("threads", "seconds"), [(0, 5.0), (2, 3.0), (1, 3.0)])
def test_threads_make_slices_beside_the_step(monkeypatch: pytest.MonkeyPatch, threads: int, seconds: float) -> None:
    monkeypatch.setattr("recontrast.training.pace.seconds_of_step", lambda *_: 3.0)
    monkeypatch.setattr("recontrast.training.pace.seconds_of_slices", lambda *_: 2.0)
    monkeypatch.setattr("recontrast.training.pace.threads_ahead", lambda *_: threads)
    assert seconds_between_steps(read_plan("auto", "cpu"), {}, (8, 8)) == seconds


def test_a_step_is_timed_with_the_threads_of_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    plan = read_plan("auto", "cpu", ("loop.threads=3", "loop.accelerator=cpu", "model.options.width=4",
                                     "model.options.blocks=[1,1]", "loop.precision=fp32"))  # fmt: skip
    seconds_of_step(plan, model_options(plan, 1), (16, 16))
    assert used == [3]


def test_of_a_recipe_in_stages_the_last_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, step = [], Learner.step

    def watched(self: Learner, batch: Batch, number: int) -> tuple[float, dict[str, float]]:
        taken.append(set((result := step(self, batch, number))[1]))
        return result

    monkeypatch.setattr(Learner, "step", watched)
    plan = read_plan("hagiwara2019", "paper", ("loop.accelerator=cpu", "data.batch=1", "model.options.width=4",
                                               "recipe.options.discriminator_options={width=4,downs=2}",
                                               "recipe.options.warm_steps=50"))  # fmt: skip
    seconds_of_step(plan, model_options(plan, 1), (16, 16))
    assert len(taken) >= 5
    assert all(named == {"l1", "discriminator", "adversarial"} for named in taken)


def test_what_comes_before_the_first_step_is_timed_on_few_voxels(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, fitted = [0.0], []

    def begin(self: Learner, batch: Batch) -> None:
        clock[0] += 2.0
        fitted.append((int(batch.mask.sum()), tuple(batch.source.shape)))

    monkeypatch.setattr(Learner, "begin", begin)
    monkeypatch.setattr("recontrast.training.pace.time.perf_counter", lambda: clock[0])
    about = Fingerprint(
        subjects=2, cases=2, validation_subjects=0, sources=1, spacing_mm=(1.0, 1.0, 1.0), head=(100, 100, 100),
        voxels=500_000, cores=2, memory_gb=16.0, accelerator="cpu", minutes=3.0,
    )  # fmt: skip
    small = ("loop.accelerator=cpu", "model.options.width=4", "loop.precision=fp32")

    def seconds(preset: str, about: Fingerprint, *overrides: str, ways: int = 1) -> float:
        plan = read_plan(preset, "cpu", (*small, *overrides))
        return seconds_of_beginning(plan, model_options(plan, 1), about, ways)

    auto = ("model.options.blocks=[1,1]",)
    assert seconds("auto", about, *auto) == pytest.approx(2.0 * 10)  # two heads of 100 slices each
    ((voxels, shape),) = fitted
    assert (voxels, shape[2:]) == (100_000, (112, 112))
    assert shape[0] * 112 * 112 >= 100_000
    assert seconds("auto", replace(about, voxels=10**6), *auto) == pytest.approx(2.0 * 12)  # of at most so many
    assert seconds("auto", replace(about, voxels=1000), *auto, ways=9) == pytest.approx(2.0 * 9)
    assert fitted[-1][0] == 2000
    assert seconds("auto", about, *auto, "model.options.start=none") == pytest.approx(20.0)
    assert seconds("osman2022", about, "model.options.depth=2", "model.options.dropout=[]") == 0.0
