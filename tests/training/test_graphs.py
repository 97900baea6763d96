"""Recorded networks: where there is nothing to record they are run as they are. (On a GPU: test_on_gpu.py.)"""

from __future__ import annotations

import torch
from torch import nn

from recontrast.recipes.supervised import Supervised
from recontrast.training.graphs import recorded


def test_on_a_processor_it_is_the_network_itself() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    source = torch.rand(2, 1, 8, 8)
    before = network[1].running_mean.clone()  # type: ignore[union-attr, operator]
    run = recorded(network, source, half=False)
    assert torch.equal(before, network[1].running_mean)  # type: ignore[arg-type]
    torch.testing.assert_close(run(source), network(source))


def test_a_recipe_that_runs_it_keeps_its_weights_in_one_place() -> None:
    recipe = Supervised(network=nn.Conv2d(1, 1, 1))
    names = set(recipe.state_dict())
    recipe.run = recorded(recipe.network, torch.rand(1, 1, 4, 4), half=False)
    assert set(recipe.state_dict()) == names == {"network.weight", "network.bias"}
