"""Predicted memory follows what is known by hand, and every preset can be asked."""

from __future__ import annotations

import dataclasses
import random

import pytest
from torch import nn

from recontrast.training.memory import PROCESS_BYTES, TrainingMemory, memory_line, training_memory
from recontrast.training.plan import preset_paths, read_plan


def plan_of(*overrides: str) -> object:
    return read_plan("bottani2024-att-unet", "cpu", ["data.patch=[32, 32, 32]", *overrides])


@pytest.mark.slow
def test_weights_gradients_and_moments_are_in_it() -> None:
    found = training_memory(plan_of(), precision="fp32")  # type: ignore[arg-type]
    assert found.weights == 4 * 4 * found.parameters
    assert found.most > PROCESS_BYTES + found.weights
    assert (found.size, found.batch, found.precision) == ((32, 32, 32), 2, "fp32")


@pytest.mark.slow
def test_what_saves_memory_is_seen() -> None:
    plain = training_memory(plan_of(), precision="fp32").most  # type: ignore[arg-type]
    for override, precision in (
        ("loop.accumulate=2", "fp32"),
        ("loop.recompute=true", "fp32"),
        ("data.batch=2", "bf16"),
    ):
        less = training_memory(plan_of(override), precision=precision).most  # type: ignore[arg-type]
        assert less - PROCESS_BYTES < 0.8 * (plain - PROCESS_BYTES), override


@pytest.mark.slow
@pytest.mark.parametrize("preset", preset_paths())
def test_every_preset_at_cpu_scale_can_be_asked(preset: str) -> None:
    found = training_memory(read_plan(preset, "cpu"), precision="fp32")
    assert found.most > PROCESS_BYTES
    assert dataclasses.replace(found, most=1.0).parameters > 0


def test_where_objects_lie_does_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = read_plan("osman2022", "cpu", ["data.batch=2", "data.size=[64,64]", "loop.ema=0"])
    salts = random.Random(0)
    found = set()
    for _ in range(12):  # a set of parameters would have another order each time
        salt = salts.getrandbits(60)
        monkeypatch.setattr(nn.Parameter, "__hash__", lambda p, salt=salt: hash((id(p), salt)))
        found.add(training_memory(plan, precision="fp32").most)
    assert len(found) == 1


@pytest.mark.slow
def test_terms_and_tolerated_shifts_can_be_asked() -> None:
    overrides = ["recipe.options.misaligned_voxels=3", "recipe.options.terms={ssim = 0.1, edges = 1, lesions = 1}"]
    plain, more = (training_memory(read_plan("auto", "cpu", o), precision="fp32").most for o in ([], overrides))
    assert more == pytest.approx(plain, rel=0.2)  # activations are most of it


def test_a_line_says_it() -> None:
    memory = TrainingMemory(2.5e9, 10**8, 1_000_000, (224, 224), 32, "bf16")
    assert memory_line(memory) == "2.5 GB (1.0 M parameters, 32 of 224x224, bf16)"
