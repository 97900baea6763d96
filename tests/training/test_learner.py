"""One step: its learning rate, its randomness, its averaged weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning_fabric import Fabric

from recontrast.datasets.patches import Batch
from recontrast.errors import CheckpointError, DependencyError, TrainingError
from recontrast.training import learner as learner_module
from recontrast.training.checkpoint import Checkpoint
from recontrast.training.learner import Learner, learning_rate
from recontrast.training.plan import LoopSettings, MemberSettings, Plan

OPTIONS = {"in_channels": 1, "out_channels": 1, "spatial_dims": 2, "width": 4, "depth": 1, "dropout": [0.2]}


def make(precision: str = "fp32", width: int = 4, **loop: Any) -> Learner:
    plan = Plan(
        model=MemberSettings(name="unet"),
        recipe=MemberSettings(name="supervised"),
        loop=LoopSettings(**{"steps": 10, "seed": 1, **loop}),
    )
    return Learner(Fabric(accelerator="cpu"), plan, {**OPTIONS, "width": width}, 10, precision)


def batch(seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    source, target = torch.rand(2, 2, 1, 8, 8, generator=generator)
    return Batch(source, target, torch.ones(2, 1, 8, 8, dtype=torch.bool))


def same(first: Learner, second: Learner) -> bool:
    pairs = zip(first.network.parameters(), second.network.parameters(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_steps_are_reproducible(precision: str) -> None:
    first, second = make(precision), make(precision)
    assert same(first, second)
    for learner in (first, second):
        torch.manual_seed(torch.seed())  # what happened before must not matter
        for number in range(3):
            learner.step(batch(number), number)
    assert same(first, second)
    other = make(precision, seed=2)
    assert not same(first, other)


def test_state_goes_back_and_forth() -> None:
    first, second = make(ema=0.5), make(ema=0.5, seed=5)
    for number in range(3):
        first.step(batch(number), number)
    second.restore(Checkpoint({n: v.clone().contiguous() for n, v in first.tensors().items()}, {}))
    second.loop = first.loop
    for learner in (first, second):
        learner.step(batch(3), 3)
    assert same(first, second)
    for name, value in first.tensors().items():
        assert torch.equal(value, second.tensors()[name]), name


def test_checkpoint_of_another_network_is_refused() -> None:
    with pytest.raises(CheckpointError, match="does not fit"):
        make().restore(Checkpoint(make(width=8).tensors(), {}))


def test_average_follows_the_weights_slowly() -> None:
    learner = make(ema=0.9)
    start = learner.network.head.weight.detach().clone()
    for number in range(5):
        learner.step(batch(number), number)
    moved = (learner.recipe.network.head.weight - start).norm()
    followed = (learner.network.head.weight - start).norm()
    assert 0 < followed < moved


def test_loss_that_is_not_finite_stops_before_the_weights_change() -> None:
    learner, untouched = make(), make()
    broken = batch()
    broken.source[0, 0, 0, 0] = float("nan")
    with pytest.raises(TrainingError, match="loss of step 4 is nan"):
        learner.step(broken, 3)
    assert same(learner, untouched)
    with torch.no_grad():
        learner.recipe.network.head.weight.fill_(float("inf"))
    with pytest.raises(TrainingError, match="not finite"):
        learner.tensors()


def test_gradient_is_clipped() -> None:
    learner = make(gradient_clip=1e-6, learning_rate=1.0)
    sizes = []
    learner.optimizer.register_step_pre_hook(
        lambda optimizer, *_: sizes.append(
            torch.stack([p.grad.norm() for group in optimizer.param_groups for p in group["params"]]).norm().item()
        )
    )
    learner.step(batch(), 0)
    assert sizes == [pytest.approx(1e-6, rel=1e-2)]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("constant", [0.5, 1, 1, 1]), ("linear", [0.5, 1, 0.5, 0]), ("cosine", [0.5, 1, 0.5, 0])],
)
def test_learning_rate(schedule: str, expected: list[float]) -> None:
    loop = LoopSettings(steps=9, learning_rate=1.0, schedule=schedule, warmup_steps=1)
    assert [learning_rate(loop, step, 9) for step in (0, 1, 5, 9)] == pytest.approx(expected)


def test_compiling_without_a_compiler_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner_module.shutil, "which", lambda _: None)
    with pytest.raises(DependencyError, match=r"g\+\+"):
        make(compiled=True)
