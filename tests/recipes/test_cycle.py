"""Cycle consistency: its losses by hand, its pool, its turns."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from recontrast.datasets.patches import Batch
from recontrast.errors import ConfigError
from recontrast.recipes.cycle import Cycle

SMALL = {"width": 4, "strided": 1}


class Shifted(nn.Module):
    """Adds a number."""

    def __init__(self, amount: float) -> None:
        super().__init__()
        self.amount = nn.Parameter(torch.tensor(amount))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image[:, :1] + self.amount


@pytest.fixture
def batch() -> Batch:
    torch.manual_seed(0)
    return Batch(*torch.rand(2, 1, 1, 16, 16), torch.ones(1, 1, 16, 16, dtype=torch.bool))


def test_cycle_and_identity_by_hand(batch: Batch) -> None:
    recipe = Cycle(network=Shifted(0.25), build_network=lambda *_: Shifted(-0.1), discriminator_options=SMALL,
                   cycle_weight=10.0, identity_weight=5.0)  # fmt: skip
    turn = next(recipe.training_step(batch))
    # There and back adds 0.15, on the scale of the network 0.3; the identity of one is off by 0.5, of the other by 0.2.
    assert turn.parts["cycle_source"].item() == pytest.approx(0.3, abs=1e-5)
    assert turn.parts["cycle_target"].item() == pytest.approx(0.3, abs=1e-5)
    assert turn.parts["identity"].item() == pytest.approx(0.7, abs=1e-5)
    adversarial = turn.parts["adversarial_target"] + turn.parts["adversarial_source"]
    assert turn.loss.item() == pytest.approx(adversarial.item() + 10 * 0.6 + 5 * 0.7, rel=1e-5)


def test_each_turn_gives_gradients_to_its_own_weights_only(batch: Batch) -> None:
    recipe = Cycle(network=Shifted(0.2), discriminator_options=SMALL)
    names = []
    for turn in recipe.training_step(batch):
        recipe.zero_grad(set_to_none=True)
        turn.loss.backward()
        trained = {p for module in recipe.optimized()[turn.optimizer] for p in module.parameters()}
        assert {p for p in recipe.parameters() if p.grad is not None} == trained
        names.append(turn.optimizer)
    assert names == ["network", "discriminators"]


def test_made_images_enter_the_pools_without_a_graph(batch: Batch) -> None:
    recipe = Cycle(network=Shifted(0.2), discriminator_options=SMALL, pool=2)
    for _ in range(3):
        list(recipe.training_step(batch))
    assert recipe.former_targets.images.shape == (2, 1, 16, 16)
    assert not recipe.former_targets.images.requires_grad


def test_true_images_cannot_be_told_by_values_that_no_network_reaches(batch: Batch) -> None:
    seen = []
    recipe = Cycle(network=Shifted(0.0), discriminator_options=SMALL)
    recipe.of_source.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    for _ in recipe.training_step(batch._replace(source=3 * batch.source)):
        pass
    assert max(float(image.max()) for image in seen[1:]) <= 1.0


def test_networks_with_several_source_channels(batch: Batch) -> None:
    built = []

    def build(in_channels: int, out_channels: int) -> nn.Module:
        built.append((in_channels, out_channels))
        return nn.Conv2d(in_channels, out_channels, 1)

    recipe = Cycle(network=nn.Conv2d(3, 1, 1), source_channels=3, build_network=build, discriminator_options=SMALL)
    assert built == [(1, 3)]
    assert len(list(recipe.training_step(batch._replace(source=torch.rand(1, 3, 16, 16))))) == 2
    with pytest.raises(ConfigError, match="identity_weight needs a source of one channel"):
        Cycle(network=nn.Conv2d(3, 1, 1), source_channels=3, identity_weight=1.0)
    with pytest.raises(ConfigError, match="negative"):
        Cycle(network=nn.Conv2d(1, 1, 1), cycle_weight=-1.0)
