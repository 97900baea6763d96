from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from recontrast.execution.runtime import supports_bf16
from recontrast.models import MODELS
from recontrast.training.half_precision import half_precision, is_small
from recontrast.training.recompute import recompute_levels

CONVOLVE: dict[tuple[int, bool], Any] = {
    (2, False): functional.conv2d,
    (2, True): functional.conv_transpose2d,
    (3, False): functional.conv3d,
    (3, True): functional.conv_transpose3d,
}


SIZES = ((1, 1), (4, 1), (2, 2), (16, 1), (1, 1, 1), (2, 1, 1), (2, 2, 2), (2, 2, 8), (4, 2, 2), (4, 4, 4), (8, 8, 8))


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "transposed"),
    [
        (3, 1, 1, False),
        (4, 2, 1, False),
        (3, 2, 1, False),
        (4, 2, 1, True),
        (3, 2, 1, True),
        (5, 1, 2, False),
        (3, 1, 0, False),
        (4, 1, 0, False),
        (5, 1, 0, False),
    ],
)
def test_gradients_are_those_of_float64(kernel: int, stride: int, padding: int, transposed: bool) -> None:
    torch.manual_seed(0)
    for size in SIZES:
        if transposed or min(size) + 2 * padding >= kernel:
            compare(size, kernel, stride, padding, transposed)


def compare(size: tuple[int, ...], kernel: int, stride: int, padding: int, transposed: bool) -> None:
    dims = len(size)
    image, weight = torch.randn(2, 8, *size), 0.05 * torch.randn(8, 8, *[kernel] * dims)
    form = {"stride": stride, "padding": padding}
    layout = torch.channels_last if dims == 2 else torch.channels_last_3d
    found = [part.clone().contiguous(memory_format=layout).requires_grad_() for part in (image, weight)]
    exact = [part.double().requires_grad_() for part in (image, weight)]
    with half_precision("cpu"):
        made = CONVOLVE[dims, transposed](*found, **form)
    expected = CONVOLVE[dims, transposed](*exact, **form)
    back = torch.randn(expected.shape)
    gradients = torch.autograd.grad(made, found, back.to(made.dtype))
    references = torch.autograd.grad(expected, exact, back.double())
    for one, other in zip((made, *gradients), (expected, *references), strict=True):
        away, size_of = (part.detach().norm().item() for part in (one.double() - other, other))
        assert away <= 0.02 * size_of + 1e-9, size


def test_large_images_stay_in_bfloat16_and_without_it_nothing_changes() -> None:
    layer = nn.Conv3d(1, 2, 3, padding=1)
    large, small = torch.rand(1, 1, 8, 8, 8), torch.rand(1, 1, 8, 2, 8)
    with half_precision("cpu"):
        assert layer(large).dtype == torch.bfloat16
        assert layer(small).dtype == torch.float32
        assert functional.conv3d(input=small, weight=layer.weight, padding=1).dtype == torch.float32
        assert nn.Conv3d(1, 1, 1)(small).dtype == torch.bfloat16
    with half_precision("cpu", enabled=False):
        assert layer(large).dtype == torch.float32
    assert layer(small).dtype == torch.float32
    assert not is_small(large, layer.weight)


def test_both_passes_of_a_recomputed_level_agree() -> None:
    class Levels(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.levels = nn.ModuleList([nn.Sequential(nn.Conv3d(1, 2, 3, padding=1), nn.Conv3d(2, 1, 3, padding=1))])

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            made: torch.Tensor = self.levels[0](image)
            return made

    torch.manual_seed(0)
    plain = Levels()
    again = Levels()
    again.load_state_dict(plain.state_dict())
    assert recompute_levels(again) == 1
    image = torch.rand(1, 1, 2, 4, 4)
    for network in (plain, again):
        with half_precision("cpu"):
            made = network(image)
        assert made.dtype == torch.float32
        made.sum().backward()
    for one, other in zip(plain.parameters(), again.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.allclose(one.grad, other.grad, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(not supports_bf16(), reason="this processor does not compute in bfloat16")
@pytest.mark.parametrize("recompute", [False, True])
def test_networks_learn_from_small_patches(recompute: bool) -> None:
    torch.manual_seed(0)
    options = {"width": 8, "depth": 3, "hidden": 32, "layers": 1, "heads": 2, "mlp": 32, "norm": "batch_of_one"}
    network = MODELS.build("trans_unet", {**options, "spatial_dims": 3}).to(memory_format=torch.channels_last_3d)
    if recompute:
        assert recompute_levels(network) > 0
    for _ in range(3):
        rubbish = [torch.full((100_000,), float("nan")) for _ in range(20)]
        del rubbish  # what is not written is NaN
        network.zero_grad()
        with half_precision("cpu"):
            made = network(torch.rand(2, 1, 16, 16, 16))
        made.mean().backward()
        assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
