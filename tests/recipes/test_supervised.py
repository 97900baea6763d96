"""The supervised recipe: its loss, its parts, its mask."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recontrast.datasets.patches import Batch
from recontrast.errors import ConfigError, UnknownNameError
from recontrast.losses.shifts import best_shift, moved
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


def smooth_batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(3, 1, 6, 7, generator=generator)
    source = torch.nn.functional.interpolate(coarse, (36, 42), mode="bicubic")
    return Batch(source, source.clone(), torch.ones_like(source, dtype=torch.bool))


def test_a_shift_of_the_target_costs_nothing_when_it_is_tolerated() -> None:
    batch = smooth_batch()
    apart = batch._replace(target=moved(batch.target, torch.tensor([[2.0, -1.0], [0.4, 2.7], [-3.0, 0.0]])))
    losses = {}
    for voxels in (0, 3):
        recipe = Supervised(network=torch.nn.Identity(), loss="l1", masked=True, misaligned_voxels=voxels)
        losses[voxels] = next(recipe.training_step(apart)).loss.item()
    assert losses[3] < 0.1 * losses[0]


def test_what_is_learned_from_shifted_pairs_is_not_shifted_itself() -> None:
    """A filter that could move the image stays where the source is when all targets lie to one side or the other."""
    torch.manual_seed(0)
    network = torch.nn.Conv2d(1, 1, 5, padding=2, padding_mode="replicate", bias=False)
    torch.nn.init.zeros_(network.weight)
    network.weight.data[0, 0, 2, 2] = 0.8
    recipe = Supervised(network=network, loss="l1", misaligned_voxels=3)
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    batch = smooth_batch()
    for step in range(150):
        shift = torch.from_numpy(np.random.default_rng(step).uniform(-3, 3, (3, 2))).float()
        turn = next(recipe.training_step(batch._replace(target=moved(batch.target, shift))))
        optimizer.zero_grad()
        turn.loss.backward()
        optimizer.step()
    with torch.no_grad():
        made = recipe.predict(batch.source)
    assert best_shift(batch.target, made, None, 3).abs().max() < 0.3
    assert (made - batch.target).abs().mean() < 0.02


def test_targets_are_put_back_to_where_the_image_is_and_what_is_not_known_stays_unknown() -> None:
    batch = smooth_batch()
    target = moved(batch.target, torch.tensor([[2.0, -1.0]] * 3))
    target[..., -8:] = torch.nan
    recipe = Supervised(network=torch.nn.Identity(), misaligned_voxels=3)
    aligned = recipe.aligned(batch._replace(target=target, mask=target.isfinite()), batch.source)
    assert (aligned.target - batch.target)[..., 6:-6, 6:-12].abs().max() < 0.05
    assert not aligned.mask[~aligned.target.isfinite()].any()
    assert not aligned.target.isfinite()[..., -6:].any()
    assert Supervised(network=torch.nn.Identity()).aligned(batch, batch.source) is batch


def test_pairs_too_far_apart_are_not_for_the_loss() -> None:
    with pytest.raises(ConfigError, match="must be registered"):
        Supervised(network=torch.nn.Identity(), misaligned_voxels=20)


def test_lesions_count_more_when_the_batch_knows_them(batch: Batch) -> None:
    lesion = torch.zeros_like(batch.mask)
    lesion[..., 3, 3] = True
    recipe = Supervised(network=torch.nn.Identity(), loss="l1", masked=True, terms={"lesions": 4})
    (turn,) = recipe.training_step(batch._replace(lesion=lesion))
    count = torch.where(lesion, 5.0, 1.0) * batch.mask
    expected = (count * (batch.source - batch.target).abs()).sum() / batch.mask.sum()
    assert turn.loss.item() == pytest.approx(expected.item())
