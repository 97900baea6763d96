"""Memory is counted block by block, and nothing is taken."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from recontrast.models import MODELS
from recontrast.translation.memory import MemoryCount, most_bytes, without_values, working_bytes


def test_blocks_are_counted_while_they_live() -> None:
    def run() -> None:
        kept = torch.empty(1000)
        torch.empty(500)
        view = kept.view(10, 100)[2:]
        torch.empty(300)
        view.add_(1)

    assert most_bytes(run) == 4 * 1500


def test_what_a_backward_pass_needs_is_counted() -> None:
    layer = nn.Conv3d(1, 4, 3, padding=1)
    kept = most_bytes(lambda: layer(torch.empty(1, 1, 8, 8, 8)).exp().sum().backward())
    alone = 4 * 512 * (1 + 4 + 4)  # input, convolution, exponential
    assert alone <= kept <= 2.2 * alone


def test_a_network_of_any_size_is_asked_without_memory() -> None:
    network = nn.Conv3d(1, 1000, 1)
    assert 4000 <= working_bytes(network, 1) <= 4100
    assert network.training


@pytest.mark.slow
@pytest.mark.parametrize("name", ["res_unet", "att_unet", "trans_unet"])
def test_every_network_of_volumes_is_asked(name: str) -> None:
    options = {"spatial_dims": 3, "width": 2, "in_channels": 3}
    if name == "trans_unet":  # its first parameter has five axes too, and is not a convolution
        options |= {"hidden": 8, "heads": 2, "layers": 1}
    assert working_bytes(MODELS.build(name, options), 3) > 0


@pytest.mark.parametrize("transposed", [False, True])
def test_what_a_convolution_takes_for_itself_is_counted_where_it_is_asked_for(transposed: bool) -> None:
    layer = nn.ConvTranspose3d(8, 16, 2, 2) if transposed else nn.Conv3d(8, 16, 3, padding=1)
    source = 4 * 8 * 6**3
    made = 4 * 16 * (6 * 2) ** 3 if transposed else 4 * 16 * 6**3

    def most(layout: torch.memory_format, convolutions: bool) -> int:
        layer.to(memory_format=layout)
        with without_values(), MemoryCount(convolutions) as count, torch.no_grad():
            layer(torch.empty(1, 8, 6, 6, 6, memory_format=layout))
        assert count.now == 0
        return count.most

    plain, blocked = (most(torch.contiguous_format, asked) for asked in (False, True))
    assert plain == source + made
    assert blocked == source + max(source + made, 2 * made)  # copies in blocks: of the image, and of the result
    assert most(torch.channels_last_3d, True) == most(torch.channels_last_3d, False)  # nothing is copied there
