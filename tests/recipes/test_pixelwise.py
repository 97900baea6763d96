"""The two stages: who learns from what, and when."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from recontrast.datasets.patches import Batch
from recontrast.errors import CheckpointError, ConfigError, UnknownNameError
from recontrast.models.pixelwise import Pixelwise
from recontrast.recipes.pixelwise import PixelwiseRecipe

SMALL = {"discriminator_options": {"width": 4, "downs": 2}}


@pytest.fixture
def batch() -> Batch:
    torch.manual_seed(5)
    source = torch.rand(3, 2, 16, 16)
    return Batch(source, source.mean(dim=1, keepdim=True), source[:, :1] > 0.2, None)


def build(**options) -> PixelwiseRecipe:
    torch.manual_seed(0)
    return PixelwiseRecipe(network=Pixelwise(in_channels=2, width=8), source_channels=2, **{**SMALL, **options})


def test_stage_one_is_absolute_error_with_the_discriminator_beside(batch: Batch) -> None:
    recipe = build(first_steps=1)
    first, second = recipe.training_step(batch)
    assert (first.optimizer, second.optimizer) == ("discriminator", "network")
    expected = (recipe.predict(batch.source) - batch.target).abs().mean()
    assert second.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert (first.rate, second.rate, second.betas) == (0.002, 1.0, None)


def test_stage_two_is_the_discriminators_judgement_alone(batch: Batch) -> None:
    recipe = build(first_steps=1)
    recipe.steps_taken.fill_(1)
    judged = list(recipe.training_step(batch))
    network = judged[1]
    assert (network.rate, network.betas) == (0.02, (0.5, 0.999))
    maps = recipe.discriminator(recipe.predict(batch.source))
    expected = torch.stack([torch.log(1 - torch.sigmoid(m)).mean() for m in maps]).mean()
    assert network.loss.item() == pytest.approx(expected.item(), rel=1e-4)
    network.loss.backward()
    assert all(p.grad is not None for p in recipe.network.parameters())
    assert set(network.parts) == {"l1", "adversarial"}


@pytest.mark.parametrize("objective", ["cross_entropy", "least_squares", "hinge"])
def test_alternatives_to_minimax(objective: str, batch: Batch) -> None:
    recipe = build(first_steps=0, objective=objective)
    turn = list(recipe.training_step(batch))[1]
    maps = recipe.discriminator(recipe.predict(batch.source))
    assert turn.loss.item() == pytest.approx(recipe.adversarial.generator(maps).item(), rel=1e-4)


def test_minimax_pushes_the_network_towards_images_taken_for_acquired(batch: Batch) -> None:
    recipe = build(first_steps=0)
    recipe.discriminator.eval()
    optimizer = torch.optim.Adam(recipe.network.parameters(), 1e-2)

    def judged() -> float:
        return torch.stack([m.mean() for m in recipe.discriminator(recipe.predict(batch.source))]).mean().item()

    before = judged()
    for _ in range(10):
        turn = list(recipe.training_step(batch))[1]
        optimizer.zero_grad()
        turn.loss.backward()
        optimizer.step()
    assert judged() > before


def test_acquired_patches_come_from_another_place_unless_asked_for(batch: Batch) -> None:
    seen = []
    recipe = build(first_steps=1)
    recipe.discriminator.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].detach().clone()))
    next(recipe.training_step(batch))
    assert torch.equal(seen[0], batch.target.roll(1, 0))
    seen.clear()
    recipe.same_place = True
    next(recipe.training_step(batch))
    assert torch.equal(seen[0], batch.target)


def test_conditional_discriminators_see_the_source(batch: Batch) -> None:
    recipe = build(first_steps=5, conditional=True)
    assert recipe.discriminator.levels[0][0].layer.in_channels == 3
    list(recipe.training_step(batch))


def test_the_stage_is_kept_with_the_weights(batch: Batch) -> None:
    recipe = build(first_steps=1)
    recipe.steps_taken.fill_(1)
    again = build(first_steps=1)
    again.load_state_dict(recipe.state_dict())
    assert "adversarial" in list(again.training_step(batch))[1].parts


def test_without_discriminator_there_is_one_stage(batch: Batch) -> None:
    recipe = build(first_steps=1, discriminator="none", discriminator_options={})
    assert recipe.last_stage == 0
    (turn,) = recipe.training_step(batch)
    assert turn.optimizer == "network"
    recipe.steps_taken.fill_(1)
    with pytest.raises(ConfigError, match="stage two"):
        list(recipe.training_step(batch))


def test_a_second_run_starts_from_the_first(batch: Batch, tmp_path: Path) -> None:
    first = build(first_steps=9)
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(0.1)
    folder = tmp_path / "checkpoints" / "last"
    folder.mkdir(parents=True)
    save_file({f"recipe.{k}": v for k, v in first.state_dict().items()}, folder / "step-00000009.safetensors")
    (folder / "state.json").write_text(json.dumps({"step": 9, "tensors": "step-00000009.safetensors"}))
    second = build(first_steps=0, start=str(tmp_path))
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value) or name == "steps_taken"
    with torch.device("meta"):
        build(first_steps=0, start=str(tmp_path))
    with pytest.raises(CheckpointError, match=r"size mismatch|shape"):
        PixelwiseRecipe(network=Pixelwise(in_channels=3, width=8), **SMALL, start=str(tmp_path))
    with pytest.raises(CheckpointError, match="folder of a run"):
        build(start=str(tmp_path / "nothing"))


def test_a_second_run_may_start_from_a_first_without_discriminator(batch: Batch, tmp_path: Path) -> None:
    first = build(discriminator="none", discriminator_options={})
    folder = tmp_path / "checkpoints" / "last"
    folder.mkdir(parents=True)
    save_file({f"recipe.{k}": v for k, v in first.state_dict().items()}, folder / "one.safetensors")
    (folder / "state.json").write_text(json.dumps({"step": 9, "tensors": "one.safetensors"}))
    plain, second = build(first_steps=0), build(first_steps=0, start=str(tmp_path))
    assert second.started_from is not None
    assert plain.started_from is None
    for name, value in first.network.state_dict().items():
        assert torch.equal(second.network.state_dict()[name], value)


def test_the_discriminator_warms_up_alone(batch: Batch) -> None:
    recipe = build(first_steps=0, warm_steps=2)
    assert recipe.last_stage == 2
    names = []
    for step in range(3):
        recipe.steps_taken.fill_(step)
        names.append([turn.optimizer for turn in recipe.training_step(batch)])
    assert names == [["discriminator"], ["discriminator"], ["discriminator", "network"]]


def test_judged_together_a_batch_norm_sees_both(batch: Batch) -> None:
    options = {"discriminator_options": {"width": 4, "downs": 2, "norm": "batch"}, "first_steps": 0}
    apart, together = build(**options), build(**options, together=True)
    together.load_state_dict(apart.state_dict())
    for recipe, sees in ((apart, False), (together, True)):
        recipe.discriminator.train()
        judged = [recipe._judge(k * batch.target, batch.target)[1][-1] for k in (1.0, 3.0)]
        # Whether a synthetic image is judged by what it was compared with.
        assert torch.equal(*judged) is not sees
    network = list(together.training_step(batch))[1]
    network.loss.backward()
    assert all(p.grad is not None for p in together.network.parameters())


def test_wrong_options_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="minimax"):
        build(objective="minmax")
    with pytest.raises(ConfigError, match="first_steps"):
        build(first_steps=-1)


def test_the_preset_has_the_papers_numbers() -> None:
    from recontrast.training.plan import read_plan

    plan = read_plan("hagiwara2019", "paper")
    options = plan.recipe.options
    rate = plan.loop.learning_rate
    assert (rate, plan.loop.betas) == (5e-4, (0.9, 0.999))
    assert rate * options["second_rate"] == pytest.approx(1e-5)
    assert rate * options["discriminator_rate"] == pytest.approx(1e-6)
    assert tuple(options["second_betas"]) == (0.5, 0.999)
    assert (options["first_steps"], plan.loop.steps) == (100_000, 200_000)
    assert (plan.data.batch, plan.data.size, plan.data.clip_target) == (15, (128, 128), False)
    small = read_plan("hagiwara2019", "cpu")
    assert small.recipe.options["discriminator"] == "none"
    assert small.recipe.options["first_steps"] >= small.loop.steps


@pytest.mark.parametrize("scale", ["paper", "cpu"])
def test_the_preset_can_be_built(scale: str) -> None:
    from recontrast.models import MODELS
    from recontrast.recipes import build_recipe
    from recontrast.training.plan import read_plan

    plan = read_plan("hagiwara2019", scale)
    network = MODELS.build(plan.model.name, {**plan.model.options, "in_channels": 8, "out_channels": 1})
    recipe = build_recipe(plan.recipe.name, plan.recipe.options, network, lambda i, o: network, 8)
    assert sum(p.numel() for p in recipe.network.parameters()) == 2562
