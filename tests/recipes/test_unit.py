"""UNIT: four ways through one latent space."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from recontrast.datasets.patches import Batch
from recontrast.errors import ConfigError
from recontrast.models.unit import Unit
from recontrast.recipes.unit import UnitRecipe

SMALL = {"width": 2, "layers": 1, "scales": 2}


def make(channels: int = 1, **options: float) -> UnitRecipe:
    torch.manual_seed(0)
    network = Unit(in_channels=channels, width=2, private=1, shared=1)
    return UnitRecipe(network=network, source_channels=channels, discriminator_options=SMALL, **options)  # type: ignore[arg-type]


def batch(channels: int = 1) -> Batch:
    torch.manual_seed(1)
    source, target = torch.rand(1, channels, 16, 16), torch.rand(1, 1, 16, 16)
    return Batch(source, target, torch.ones(1, 1, 16, 16, dtype=torch.bool))


@pytest.mark.parametrize("channels", [1, 3])
def test_each_turn_gives_gradients_to_its_own_weights_only(channels: int) -> None:
    recipe = make(channels)
    for turn in recipe.training_step(batch(channels)):
        recipe.zero_grad(set_to_none=True)
        turn.loss.backward()
        trained = {p for module in recipe.optimized()[turn.optimizer] for p in module.parameters()}
        assert {p for p in recipe.parameters() if p.grad is not None} == trained


def test_shared_blocks_are_trained_and_saved_once() -> None:
    recipe = make()
    names = [name for name in recipe.state_dict() if "shared" in name]
    assert names
    assert all(name.startswith("network.shared_") for name in names)
    counted = [p for module in recipe.optimized()["network"] for p in module.parameters()]
    assert len(counted) == len(set(counted))


def test_loss_is_the_weighted_sum_of_its_parts() -> None:
    weights = {"adversarial": 2.0, "reconstruction": 3.0, "latent": 0.5, "cycle": 5.0, "cycle_latent": 0.25}
    turn = next(make(**{f"{name}_weight": value for name, value in weights.items()}).training_step(batch()))
    assert turn.parts.keys() == weights.keys()
    expected = sum(weights[name] * part.item() for name, part in turn.parts.items())
    assert turn.loss.item() == pytest.approx(expected, rel=1e-5)


def test_cycle_weight_may_be_zero() -> None:
    turns = list(make(cycle_weight=0.0, cycle_latent_weight=0.0).training_step(batch()))
    assert all(torch.isfinite(turn.loss) for turn in turns)


def test_constant_slices_give_finite_losses() -> None:
    flat = Batch(torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16), torch.ones(1, 1, 16, 16, dtype=torch.bool))
    recipe = make()
    for turn in recipe.training_step(flat):
        turn.loss.backward()
        assert torch.isfinite(turn.loss)
    assert all(torch.isfinite(p.grad).all() for p in recipe.parameters() if p.grad is not None)


def test_wrong_options() -> None:
    with pytest.raises(ConfigError, match=r"model\.name=unit"):
        UnitRecipe(network=nn.Conv2d(1, 1, 1))
    with pytest.raises(ConfigError, match="negative"):
        make(latent_weight=-1.0)
