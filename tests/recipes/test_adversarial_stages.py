"""The stages of the adversarial recipe, and labels that are soft or inverted."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from recontrast.datasets.patches import Batch
from recontrast.errors import ConfigError
from recontrast.losses.adversarial import AdversarialLoss
from recontrast.recipes.adversarial import Adversarial


def volume_recipe(**options: object) -> Adversarial:
    given = {"discriminator": "averaged_patch", "discriminator_options": {"width": 2, "layers": 2, "patch": 16}}
    network = nn.Conv3d(1, 1, 1)
    return Adversarial(network=network, spatial_dims=3, objective="least_squares", **{**given, **options})  # type: ignore[arg-type]


@pytest.fixture
def batch() -> Batch:
    torch.manual_seed(0)
    return Batch(*torch.rand(2, 1, 1, 32, 16, 16), torch.ones(1, 1, 32, 16, 16, dtype=torch.bool))


def test_network_alone_then_discriminator_alone_then_both(batch: Batch) -> None:
    recipe = volume_recipe(first_steps=2, second_steps=1, reconstruction_weight=0.5)
    seen = []
    assert recipe.last_stage == 3
    for step in range(4):
        recipe.steps_taken.fill_(step)
        turns = list(recipe.training_step(batch))
        seen.append([turn.optimizer for turn in turns])
        recipe.zero_grad(set_to_none=True)
        turns[-1].loss.backward()
        frozen = recipe.network if turns[-1].optimizer == "discriminator" else recipe.discriminator
        assert all(parameter.grad is None for parameter in frozen.parameters())
    assert seen == [["network"], ["network"], ["discriminator"], ["discriminator", "network"]]
    alone = next(iter(volume_recipe(first_steps=1, reconstruction_weight=0.5).training_step(batch)))
    assert alone.parts.keys() == {"l1"}
    # Weight 0.5 on the scale [-1, 1] is 1 on the scale [0, 1].
    again = volume_recipe(first_steps=1, reconstruction_weight=0.5)
    (turn,) = again.training_step(batch)
    assert turn.loss.item() == pytest.approx((again.predict(batch.source) - batch.target).abs().mean().item(), rel=1e-5)


def test_the_stage_is_part_of_the_checkpoint_where_there_are_stages(batch: Batch) -> None:
    recipe = volume_recipe(first_steps=2)
    recipe.steps_taken.fill_(1)
    list(recipe.training_step(batch))  # counts nothing: parts of a batch are not steps
    assert int(recipe.state_dict()["steps_taken"]) == 1
    assert "steps_taken" not in volume_recipe().state_dict()
    with pytest.raises(ConfigError, match="first_steps"):
        volume_recipe(first_steps=-1)


@pytest.mark.parametrize("inverted", [False, True])
def test_soft_labels_lie_in_their_ranges(inverted: bool) -> None:
    torch.manual_seed(0)
    game = AdversarialLoss("least_squares", soft=0.3, inverted=inverted)
    high, low = (torch.ones(200_000), torch.zeros(200_000))
    true, false = (low, high) if inverted else (high, low)
    # Labels U(0.7, 1) and U(0, 0.3): mean square of the distance from 1 and from 0 is 0.3**2 / 3.
    assert game.discriminator(true, false).item() == pytest.approx(0.03, rel=0.02)
    assert game.generator(true).item() == 0.0
    soft = AdversarialLoss("least_squares", soft=0.3, inverted=inverted, smooth_generator=True)
    assert soft.generator(true).item() == pytest.approx(0.03, rel=0.02)


def test_impossible_labels_are_refused() -> None:
    with pytest.raises(ConfigError, match="soft"):
        AdversarialLoss(soft=0.5)
    with pytest.raises(ConfigError, match="hinge"):
        AdversarialLoss("hinge", inverted=True)
