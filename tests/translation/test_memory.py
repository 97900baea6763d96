"""Memory is counted block by block, and nothing is taken."""

from __future__ import annotations

import torch
from torch import nn

from recontrast.translation.memory import most_bytes, working_bytes


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
    assert 4000 <= working_bytes(network) <= 4100
    assert network.training
