"""The U-Net-like discriminator: maps, sizes, parameters."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from recontrast.errors import ConfigError
from recontrast.models.unet_discriminator import UNetDiscriminator


def by_hand(channels: int, width: int, downs: int) -> int:
    """Weights of the convolutions, scale and shift of their norms, weight and bias of the heads."""
    counts = [width * 2**n for n in range(downs + 1)]
    total = 0
    for level, count in enumerate(counts):
        before = channels if level == 0 else count
        total += 9 * before * count + 2 * count + 9 * count * count + 2 * count
        total += count + 1
    for above, below in pairwise(counts):
        total += 16 * above * below + 2 * below
        total += 9 * (above + below) * above + 2 * above
    return total


@pytest.mark.parametrize(("channels", "width", "downs"), [(1, 32, 3), (2, 8, 2)])
def test_parameters(channels: int, width: int, downs: int) -> None:
    network = UNetDiscriminator(in_channels=channels, width=width, downs=downs)
    assert sum(parameter.numel() for parameter in network.parameters()) == by_hand(channels, width, downs)


def test_the_number_in_the_documentation_is_true() -> None:
    assert f"{by_hand(1, 32, 3):,} parameters" in (UNetDiscriminator.__doc__ or "")


@pytest.mark.parametrize("size", [(32, 32), (33, 27), (8, 64), (16, 17, 9)], ids=str)
def test_one_map_a_resolution_for_any_size(size: tuple[int, ...]) -> None:
    network = UNetDiscriminator(in_channels=2, width=4, spatial_dims=len(size)).eval()
    with torch.no_grad():
        maps = network(torch.rand(2, 2, *size))
    assert [tuple(m.shape) for m in maps] == [(2, 1, *(n // 2**d for n in size)) for d in (3, 2, 1, 0)]
    assert all(m.dtype == torch.float32 for m in maps)


def test_every_parameter_gets_a_gradient() -> None:
    network = UNetDiscriminator(in_channels=1, width=4)
    sum(m.square().mean() for m in network(torch.rand(2, 1, 32, 32))).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_it_can_tell_noise_from_a_flat_image() -> None:
    torch.manual_seed(0)
    network = UNetDiscriminator(in_channels=1, width=4)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    images = torch.cat([torch.full((4, 1, 16, 16), 0.5), torch.rand(4, 1, 16, 16)])
    label = torch.tensor([1.0] * 4 + [0.0] * 4).reshape(8, 1, 1, 1)
    for _ in range(30):
        losses = [torch.nn.functional.binary_cross_entropy_with_logits(m, label.expand_as(m)) for m in network(images)]
        loss = torch.stack(losses).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        UNetDiscriminator(in_channels=1, downs=0)
