"""Masked reconstruction: what is hidden, what counts, what is learned."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from recontrast.datasets.patches import Batch
from recontrast.errors import ConfigError
from recontrast.recipes.reconstruction import Reconstruction, hidden_blocks


class Watched(nn.Module):
    """Gives back its first channel plus one weight, and keeps what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.added = nn.Parameter(torch.tensor(0.25))
        self.seen = torch.empty(0)

    def forward(self, source: Tensor) -> Tensor:
        self.seen = source
        return source[:, :1] + self.added


def a_batch(size: tuple[int, ...] = (40, 48)) -> Batch:
    source = torch.rand(3, 2, *size) + 0.5
    mask = torch.zeros(3, 1, *size, dtype=torch.bool)
    mask[:, :, 5:30, 5:30] = True
    return Batch(source, source[:, :1].clone(), mask)


@pytest.mark.parametrize("size", [(40, 48), (32, 36, 20)])
def test_only_hidden_voxels_of_the_head_count_and_all_channels_are_hidden_there(size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network, batch = Watched(), a_batch(size)
    before = batch.source.clone()
    (turn,) = Reconstruction(network=network, block=8).training_step(batch)
    hidden = network.seen[:, :1] == 0
    assert 0.3 < hidden.float().mean() < 0.7
    assert torch.equal(network.seen[:, 1:] == 0, hidden)
    assert torch.equal(network.seen[~hidden.expand_as(before)], before[~hidden.expand_as(before)])
    assert torch.equal(batch.source, before), "the batch itself is not changed"
    counted = hidden & batch.mask
    torch.testing.assert_close(turn.loss.detach(), (batch.target[counted] - 0.25).abs().mean())
    assert turn.parts.keys() == {"l1"}


def test_blocks_lie_elsewhere_in_each_image_and_step_and_a_seed_gives_them_again() -> None:
    torch.manual_seed(3)
    first, second = hidden_blocks(2, (64, 64), 16, 0.5), hidden_blocks(2, (64, 64), 16, 0.5)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, second)
    torch.manual_seed(3)
    assert torch.equal(first, hidden_blocks(2, (64, 64), 16, 0.5))


def test_what_is_hidden_comes_in_whole_blocks_of_the_share() -> None:
    torch.manual_seed(0)
    hidden = hidden_blocks(50, (96, 96), 12, 0.75)[:, 0]
    assert float(hidden.float().mean()) == pytest.approx(0.75, abs=0.03)
    edges = (hidden[:, 1:] != hidden[:, :-1]).float().mean()
    # Two neighbouring blocks differ with probability 2 * 0.75 * 0.25, one row of twelve is a border of blocks.
    assert float(edges) == pytest.approx(2 * 0.75 * 0.25 / 12, abs=0.005)


def test_a_batch_in_which_no_head_is_hidden_teaches_nothing_but_goes_on() -> None:
    batch = a_batch()._replace(mask=torch.zeros(3, 1, 40, 48, dtype=torch.bool))
    network = Watched()
    (turn,) = Reconstruction(network=network).training_step(batch)
    turn.loss.backward()
    assert turn.loss == 0
    assert network.added.grad == 0


@pytest.mark.parametrize("options", [{"block": 0}, {"hidden": 0.0}, {"hidden": 1.0}])
def test_options_out_of_range_are_one_clear_line(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="recipe reconstruction: block must be"):
        Reconstruction(network=Watched(), **options)  # type: ignore[arg-type]
