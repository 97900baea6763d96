"""Att-U-Net: published size, and the gate, written out once more."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from recontrast.errors import ConfigError
from recontrast.models.att_unet import AttUNet


def test_published_number_of_parameters_and_sizes() -> None:
    with torch.device("meta"):
        network = AttUNet(spatial_dims=3)
        gates = []
        for up in network.up:
            up.gate.register_forward_hook(lambda _, given, result: gates.append((given[0].shape[1], result.shape[2])))
        assert network(torch.empty(1, 1, 32, 32, 32)).shape == (1, 1, 32, 32, 32)
    assert sum(parameter.numel() for parameter in network.parameters()) == 103_887_981
    assert gates == [(512, 4), (256, 8), (128, 16), (64, 32)]
    assert [up.gate.open.in_channels for up in network.up] == [256, 128, 64, 32]


@pytest.mark.parametrize("dims", [2, 3])
def test_equals_the_equations_written_plainly(dims: int) -> None:
    torch.manual_seed(0)
    network = AttUNet(spatial_dims=dims, width=4, depth=1, norm="none")
    source = torch.rand(2, 1, *(8, 12, 8)[:dims])
    pool = functional.max_pool2d if dims == 2 else functional.max_pool3d

    def pair(module: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
        return module.second(module.first(image).relu()).relu()

    skip = pair(network.down[0], source)
    below = pair(network.down[1], pool(skip, 2))
    (up,) = network.up
    raised = up.enlarge(functional.interpolate(below, scale_factor=2)).relu()
    opened = up.gate.open((up.gate.from_below(raised) + up.gate.from_skip(skip)).relu()).sigmoid()
    expected = network.head(pair(up, torch.cat([skip * opened, raised], 1)))
    torch.testing.assert_close(network(source), expected, atol=1e-5, rtol=1e-4)


def test_a_network_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="width"):
        AttUNet(width=1)
    with pytest.raises(ConfigError, match="sigmoid"):
        AttUNet(activation="sigmoit")
