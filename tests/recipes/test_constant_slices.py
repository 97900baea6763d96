"""Slices without any contrast, as air above the head: losses and gradients stay finite in every adversarial recipe."""

from __future__ import annotations

import pytest
import torch

from recontrast.datasets.patches import Batch
from recontrast.models.pix2pix_unet import Pix2PixUNet
from recontrast.models.strided_resnet import StridedResNet
from recontrast.recipes.adversarial import Adversarial
from recontrast.recipes.cycle import Cycle

SMALL = {"width": 2, "strided": 1}


def pix2pix(*_: int) -> Pix2PixUNet:
    return Pix2PixUNet(width=2, downs=3, norm="batch_of_one")


def resnet(*_: int) -> StridedResNet:
    return StridedResNet(width=2, blocks=1, norm="batch_of_one")


@pytest.mark.parametrize("value", [0.0, 0.5])
@pytest.mark.parametrize("recipe", ["adversarial", "cycle"])
def test_losses_and_gradients_are_finite(recipe: str, value: float) -> None:
    torch.manual_seed(0)
    flat = torch.full((1, 1, 16, 16), value)
    batch = Batch(flat, flat.clone(), torch.ones(1, 1, 16, 16, dtype=torch.bool))
    learned = (
        Adversarial(network=pix2pix(), discriminator_options=SMALL)
        if recipe == "adversarial"
        else Cycle(network=resnet(), build_network=resnet, discriminator_options=SMALL)
    )
    for turn in learned.training_step(batch):
        turn.loss.backward()
        assert torch.isfinite(turn.loss)
    assert all(torch.isfinite(p.grad).all() for p in learned.parameters() if p.grad is not None)
