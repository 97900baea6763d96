"""Res-U-Net: published sizes, shared modules, and the way features take, written out once more."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from recontrast.errors import ConfigError
from recontrast.models.res_unet import ResUNet


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("shared", "expected"), [(True, 312_250_369), (False, 507_342_977)])
def test_published_numbers_of_parameters(shared: bool, expected: int) -> None:
    with torch.device("meta"):
        network = ResUNet(spatial_dims=3, share_residual_weights=shared)
    assert count(network) == expected


def test_published_sizes_of_its_levels() -> None:
    with torch.device("meta"):
        network = ResUNet(spatial_dims=3)
        sizes = []
        for module in (*network.down, *network.up):
            module.register_forward_hook(lambda _, __, result: sizes.append(tuple(result.shape[1:3])))
        result = network(torch.empty(1, 1, 128, 128, 128))
    down = [(128, 64), (256, 32), (512, 16), (1024, 8), (1024, 4)]
    assert sizes == [*down, (1024, 8), (512, 16), (256, 32), (128, 64)]
    assert result.shape == (1, 1, 128, 128, 128)


@pytest.mark.parametrize("dims", [2, 3])
def test_equals_the_equations_written_plainly(dims: int) -> None:
    torch.manual_seed(0)
    network = ResUNet(spatial_dims=dims, width=2, depth=3)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.3)
    first, second, third = network.residual
    normed = functional.instance_norm

    def down(number: int, image: torch.Tensor) -> torch.Tensor:
        return functional.leaky_relu(normed(network.down[number].layer(image)), 0.2)

    def up(number: int, image: torch.Tensor) -> torch.Tensor:
        return functional.relu(normed(network.up[number].layer(image)))

    def residual(module: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
        return image + functional.leaky_relu(module.layers(image), 0.2)

    source = torch.rand(2, 1, *(16, 32, 16)[:dims])
    d1 = residual(first, down(0, source))
    d2 = down(1, d1)
    bottom = residual(third, down(2, residual(second, d2)))
    u1 = residual(second, up(0, bottom))
    u2 = residual(first, up(1, torch.cat([u1, d2], 1)))
    expected = network.head(functional.interpolate(torch.cat([u2, d1], 1), scale_factor=2)).tanh()
    torch.testing.assert_close(network(source), expected, atol=1e-5, rtol=1e-4)


def test_a_network_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="depth"):
        ResUNet(depth=1)
    with pytest.raises(ConfigError, match="tanh"):
        ResUNet(activation="tan")
