"""One step: its learning rate, its randomness, its averaged weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch.nn import functional

from recontrast.datasets.patches import Batch
from recontrast.errors import CheckpointError, DependencyError, TrainingError
from recontrast.losses.shifts import moved
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


def make_on_a_control(**recipe: Any) -> Learner:
    """One whose network adds to a control, with averaged weights."""
    plan = Plan(
        model=MemberSettings(name="residual_encoder"),
        recipe=MemberSettings(name="supervised", options=recipe),
        loop=LoopSettings(steps=10, ema=0.9),
    )
    options = {"in_channels": 1, "out_channels": 1, "spatial_dims": 2, "width": 4, "blocks": [1, 1]}
    return Learner(Fabric(accelerator="cpu"), plan, options, 10, "fp32")


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


def test_a_network_that_starts_from_a_control_fits_it_and_so_does_its_average() -> None:
    learner = make_on_a_control()
    source = torch.rand(4, 1, 64, 64)
    learner.begin(Batch(source, 1 - source, torch.ones(4, 1, 64, 64, dtype=torch.bool)))
    for network in (learner.network, learner.recipe.network):
        assert (network(source) - (1 - source)).abs().mean() < 0.01  # type: ignore[operator]
    assert learner.starts_from_control
    assert not make().starts_from_control


def test_a_control_is_fitted_to_pairs_that_were_put_together() -> None:
    generator = torch.Generator().manual_seed(0)
    source = functional.interpolate(torch.rand(8, 1, 12, 12, generator=generator), (64, 64), mode="bilinear")
    apart = moved(1 - source, 6 * torch.rand(8, 2, generator=generator) - 3)
    mask = torch.zeros(8, 1, 64, 64, dtype=torch.bool)
    mask[..., 4:-4, 4:-4] = True
    wrong = {}
    for voxels in (0, 3):
        learner = make_on_a_control(misaligned_voxels=voxels, masked=True)
        learner.begin(Batch(source, apart, mask))
        wrong[voxels] = (learner.network(source) - (1 - source)).abs()[mask].mean().item()  # type: ignore[operator]
    assert wrong[3] < 0.2 * wrong[0]


def test_the_share_of_what_is_added_is_decided_on_pairs_that_were_put_together() -> None:
    source = functional.interpolate(torch.rand(2, 1, 12, 12), (64, 64), mode="bilinear")
    mask = torch.ones(2, 1, 64, 64, dtype=torch.bool)
    shares = {}
    for voxels in (0, 3):
        learner = make_on_a_control(misaligned_voxels=voxels)
        learner.begin(Batch(source, 0.5 * source, mask))
        torch.nn.init.normal_(learner.network.head.weight, generator=torch.Generator().manual_seed(0))  # type: ignore[arg-type]
        made = learner.network(source).detach()
        shares[voxels] = learner.share_to_keep([Batch(source, moved(made, torch.full((2, 2), 2.0)), mask)])
    assert shares[3] == pytest.approx(1, abs=0.03)
    assert shares[0] < 0.8


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


def test_gradient_is_clipped(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = make(gradient_clip=1e-6, learning_rate=1.0)
    sizes = []
    optimizer = learner.optimizers["network"]
    monkeypatch.setattr(
        optimizer,
        "step",
        lambda *_: sizes.append(torch.stack([p.grad.norm() for p in optimizer.parameters]).norm().item()),
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


@pytest.mark.parametrize(("schedule", "expected"), [("constant", [0.5, 1, 1, 1]), ("linear", [0.5, 1, 0.5, 0.25])])
def test_where_only_the_clock_ends_the_training_the_rate_falls_by_the_time_used(
    schedule: str, expected: list[float]
) -> None:
    loop = LoopSettings(minutes=2, learning_rate=1.0, schedule=schedule, hold=0.2, warmup_steps=1)
    rates = [learning_rate(loop, step, 0, used) for step, used in ((0, 0.0), (50, 0.2), (60, 0.6), (99, 0.8))]
    assert rates == pytest.approx(expected)


def test_with_a_number_of_steps_the_time_does_not_count() -> None:
    loop = LoopSettings(steps=100, minutes=2, learning_rate=1.0, schedule="linear")
    assert learning_rate(loop, 60, 100, used=0.9) == pytest.approx(0.4)


def test_a_rate_is_held_before_it_falls_and_no_step_has_none() -> None:
    loop = LoopSettings(steps=40, learning_rate=1.0, schedule="linear", hold=0.5)
    rates = [learning_rate(loop, step, 40) for step in range(40)]
    assert rates[:21] == [1.0] * 21
    assert rates[39] == pytest.approx(1 / 20)
    # The released code lowers the rate before an epoch, 1 - (e + 1 - N) / (D + 1): its last epoch learns nothing.
    assert 1 - (40 + 1 - 20) / (20 + 1) == 0 < min(rates)


GAN = {"discriminator": "patchgan", "discriminator_options": {"width": 4, "strided": 1}}


def make_recipe(recipe: str, model: str, options: dict[str, Any], precision: str = "fp32", **loop: Any) -> Learner:
    plan = Plan(
        model=MemberSettings(name=model),
        recipe=MemberSettings(name=recipe, options=GAN),
        loop=LoopSettings(**{"steps": 10, "seed": 1, **loop}),
    )
    options = {"in_channels": 1, "out_channels": 1, "spatial_dims": 2, "width": 4, **options}
    return Learner(Fabric(accelerator="cpu"), plan, options, 10, precision)


def of_kind(recipe: str, **others: Any) -> Learner:
    model, options = {
        "adversarial": ("pix2pix_unet", {"downs": 3}),
        "cycle": ("strided_resnet", {"downs": 2, "blocks": 1}),
        "unit": ("unit", {"private": 1, "shared": 1}),
    }[recipe]
    return make_recipe(recipe, model, options, **others)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["adversarial", "cycle", "unit"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_games_are_reproducible_and_go_on_from_their_state(recipe: str, precision: str) -> None:
    whole, parts, resumed = (of_kind(recipe, precision=precision, ema=0.5) for _ in range(3))
    for number in range(4):
        loss, named = whole.step(batch(number), number)
        assert len(named) >= 3
    for number in range(2):
        parts.step(batch(number), number)
    resumed.restore(Checkpoint({n: v.clone().contiguous() for n, v in parts.tensors().items()}, {}))
    for number in (2, 3):
        assert resumed.step(batch(number), number)[0] == loss or number == 2
    for name, value in whole.tensors().items():
        assert torch.equal(value, resumed.tensors()[name]), name
    assert {name.split(".")[1] for name in whole.tensors() if name.startswith("optimizer")} == set(whole.optimizers)


def test_compiling_without_a_compiler_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner_module.shutil, "which", lambda _: None)
    with pytest.raises(DependencyError, match=r"g\+\+"):
        make(compiled=True)


def test_weights_of_another_training_leave_fitted_controls_when_asked_to() -> None:
    learner = make_on_a_control()
    learner.begin(batch())
    fitted = learner.network.state_dict()["expected.table"].clone()
    weights = {name: torch.full_like(value, 0.25) for name, value in learner.network.state_dict().items()}
    learner.take_over(weights, keep_controls=True)
    for network in (learner.network, learner.recipe.network):  # the average as well
        after = network.state_dict()
        assert torch.equal(after["expected.table"], fitted)
        assert torch.equal(after["head.weight"], weights["head.weight"])
    learner.take_over(weights)
    assert all(torch.equal(value, weights[name]) for name, value in learner.network.state_dict().items())


def in_stages(recipe: str, accumulate: int) -> Learner:
    """Three steps of the network, two of the discriminator alone, then both."""
    lengths = {"first_steps": 3, "second_steps" if recipe == "adversarial" else "warm_steps": 2}
    judge = GAN if recipe == "adversarial" else {"discriminator_options": {"width": 4, "downs": 2}}
    plan = Plan(
        model=MemberSettings(name="unet"),
        recipe=MemberSettings(name=recipe, options={**judge, **lengths}),
        loop=LoopSettings(steps=10, seed=1, accumulate=accumulate),
    )
    return Learner(Fabric(accelerator="cpu"), plan, OPTIONS, 10, "fp32")


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("recipe", ["adversarial", "pixelwise"])
def test_a_stage_has_as_many_steps_however_many_parts_a_batch_has(recipe: str, accumulate: int) -> None:
    first = {"adversarial": {"l1"}, "pixelwise": {"l1", "discriminator"}}[recipe]
    second = {"adversarial": {"discriminator"}, "pixelwise": {"l1", "discriminator"}}[recipe]
    learner, resumed = in_stages(recipe, accumulate), in_stages(recipe, accumulate)
    for number, named in enumerate((*[first] * 3, *[second] * 2, {"l1", "discriminator", "adversarial"})):
        assert learner.step(batch(number), number)[1].keys() == named, number
        assert int(learner.tensors()["recipe.steps_taken"]) == number + 1
        if number == 3:
            resumed.restore(Checkpoint({n: v.clone().contiguous() for n, v in learner.tensors().items()}, {}))
        elif number > 3:
            resumed.step(batch(number), number)
    for name, value in learner.tensors().items():
        assert torch.equal(value, resumed.tensors()[name]), name
