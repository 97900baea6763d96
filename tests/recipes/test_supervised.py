"""The supervised recipe: its loss, its parts, its mask."""

from __future__ import annotations

import pytest
import torch

from recontrast.datasets.patches import Batch
from recontrast.errors import ConfigError, UnknownNameError
from recontrast.recipes.supervised import Supervised


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    source, target = torch.rand(2, 3, 1, 8, 8, generator=generator)
    mask = torch.zeros(3, 1, 8, 8, dtype=torch.bool)
    mask[..., 2:5, 2:5] = True
    return Batch(source, target, mask)


def test_step_gives_the_loss_and_its_named_part(batch: Batch) -> None:
    recipe = Supervised(network=torch.nn.Identity())
    (turn,) = recipe.training_step(batch)
    loss, parts = turn.loss, turn.parts
    assert turn.optimizer == "network"
    assert loss.item() == pytest.approx((batch.source - batch.target).square().mean().item())
    assert parts.keys() == {"mse"}
    assert not parts["mse"].requires_grad


def test_mask_limits_the_loss_to_the_head(batch: Batch) -> None:
    (turn,) = Supervised(network=torch.nn.Identity(), loss="l1", masked=True).training_step(batch)
    inside = (batch.source - batch.target).abs()[batch.mask].mean()
    assert turn.loss.item() == pytest.approx(inside.item())


def test_loss_and_result_are_float32_under_autocast(batch: Batch) -> None:
    recipe = Supervised(network=torch.nn.Conv2d(1, 1, 3, padding=1))
    with torch.autocast("cpu", torch.bfloat16):
        assert next(recipe.training_step(batch)).loss.dtype == torch.float32
        assert recipe.predict(batch.source).dtype == torch.float32


def test_unknown_loss_is_named() -> None:
    with pytest.raises(UnknownNameError, match="unknown loss 'mes'"):
        Supervised(network=torch.nn.Identity(), loss="mes")


def test_terms_are_added_with_their_weights_and_logged_without(batch: Batch) -> None:
    recipe = Supervised(network=torch.nn.Identity(), loss="l1", masked=True, terms={"mse": 0.25})
    (turn,) = recipe.training_step(batch)
    difference = (batch.source - batch.target)[batch.mask]
    assert turn.parts["mse"].item() == pytest.approx(difference.square().mean().item())
    assert turn.parts["l1"].item() == pytest.approx(difference.abs().mean().item())
    assert turn.loss.item() == pytest.approx((difference.abs().mean() + 0.25 * difference.square().mean()).item())


def test_the_loss_is_no_term_of_itself() -> None:
    with pytest.raises(ConfigError, match="'l1' is the loss already"):
        Supervised(network=torch.nn.Identity(), loss="l1", terms={"l1": 1.0})
