"""Paired adversarial learning: whose turn, which weights, which scale."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from recontrast.datasets.patches import Batch
from recontrast.errors import ConfigError, UnknownNameError
from recontrast.losses.adversarial import AdversarialLoss
from recontrast.recipes.adversarial import Adversarial

SMALL = {"width": 4, "strided": 1}


@pytest.fixture
def batch() -> Batch:
    torch.manual_seed(0)
    return Batch(*torch.rand(2, 1, 1, 16, 16), torch.ones(1, 1, 16, 16, dtype=torch.bool))


def test_turns_and_their_losses_by_hand(batch: Batch) -> None:
    torch.manual_seed(1)
    recipe = Adversarial(
        network=nn.Conv2d(1, 1, 1), discriminator_options=SMALL, real_label=0.9, reconstruction_weight=7.0
    )
    first, second = recipe.training_step(batch)
    assert (first.optimizer, second.optimizer) == ("discriminator", "network")
    source, target, estimate = (2 * image - 1 for image in (batch.source, batch.target, recipe.predict(batch.source)))
    true, false = (recipe.discriminator(torch.cat([source, image], 1)) for image in (target, estimate))
    game = AdversarialLoss(real_label=0.9)
    assert first.loss.item() == pytest.approx(game.discriminator(true, false).item())
    expected = game.generator(false) + 7 * (target - estimate).abs().mean()
    assert second.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert second.parts.keys() == {"adversarial", "l1"}
    assert second.parts["l1"].item() == pytest.approx(
        2 * (batch.target - recipe.predict(batch.source)).abs().mean().item()
    )


def test_each_turn_gives_gradients_to_its_own_weights_only(batch: Batch) -> None:
    recipe = Adversarial(network=nn.Conv2d(1, 1, 1), discriminator_options=SMALL)
    for turn in recipe.training_step(batch):
        recipe.zero_grad(set_to_none=True)
        turn.loss.backward()
        trained = {p for module in recipe.optimized()[turn.optimizer] for p in module.parameters()}
        assert {p for p in recipe.parameters() if p.grad is not None} == trained
    assert all(parameter.requires_grad for parameter in recipe.parameters())


def test_the_network_meets_the_discriminator_after_its_step(batch: Batch) -> None:
    recipe = Adversarial(network=nn.Conv2d(1, 1, 1), discriminator_options=SMALL, reconstruction_weight=0.0)
    losses = []
    for change in (False, True):
        turns = recipe.training_step(batch)
        next(turns)
        if change:
            with torch.no_grad():
                recipe.discriminator.head.bias.add_(5.0)
        losses.append(next(turns).loss.item())
    assert losses[1] < losses[0]


def test_several_source_channels_and_no_condition(batch: Batch) -> None:
    source = torch.rand(1, 3, 16, 16)
    for conditional, channels in ((True, 4), (False, 1)):
        recipe = Adversarial(
            network=nn.Conv2d(3, 1, 1), source_channels=3, discriminator_options=SMALL, conditional=conditional
        )
        assert recipe.discriminator.layers[0].weight.shape[1] == channels
        assert len(list(recipe.training_step(batch._replace(source=source)))) == 2


def test_wrong_options() -> None:
    network = nn.Conv2d(1, 1, 1)
    with pytest.raises(ConfigError, match="needs the weights of torchvision's VGG16"):
        Adversarial(network=network, perceptual="lpips_vgg", perceptual_weight=1.0)
    with pytest.raises(ConfigError, match="no perceptual_weight"):
        Adversarial(network=network, perceptual="vgg19_54")
    with pytest.raises(ConfigError, match="negative"):
        Adversarial(network=network, reconstruction_weight=-1)
    with pytest.raises(UnknownNameError, match="discriminator"):
        Adversarial(network=network, discriminator="pachgan")
    with pytest.raises(ConfigError, match="no option 'widht'"):
        Adversarial(network=network, discriminator_options={"widht": 4})
