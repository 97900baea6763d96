"""What the residual U-Nets share: weights keep the names and the order that saved translators and checkpoints have."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from recontrast.errors import ConfigError
from recontrast.models import MODELS
from recontrast.models.residual_levels import (
    SLOPE,
    Between,
    Block,
    Up,
    down_and_up,
    he_normal,
    head_layer,
    levels_down,
    levels_up,
    require_levels,
    stem_layer,
)

ENCODER = [
    "stem.weight", "stem.bias",
    *(f"down.0.0.{name}" for name in (
        "first.weight", "first_norm.weight", "first_norm.bias", "second.weight", "second_norm.weight",
        "second_norm.bias",
    )),
    *(f"down.1.0.{name}" for name in (
        "first.weight", "first_norm.weight", "first_norm.bias", "second.weight", "second_norm.weight",
        "second_norm.bias", "project.weight",
    )),
    *(f"up.0.{name}" for name in (
        "project.weight", "first.weight", "first_norm.weight", "first_norm.bias", "second.weight", "second_norm.weight",
        "second_norm.bias",
    )),
    "head.weight", "head.bias",
]  # fmt: skip

FILM = [
    "embed.0.weight", "embed.0.bias", "stem.weight", "stem.bias",
    *(f"down.0.blocks.0.{name}" for name in (
        "first.weight", "modulation.told.weight", "modulation.told.bias", "second.weight", "second_norm.weight",
        "second_norm.bias",
    )),
    *(f"down.1.blocks.0.{name}" for name in (
        "first.weight", "modulation.told.weight", "modulation.told.bias", "second.weight", "second_norm.weight",
        "second_norm.bias", "project.weight",
    )),
    *(f"up.0.{name}" for name in (
        "project.weight", "first.weight", "modulation.told.weight", "modulation.told.bias", "second.weight",
        "second_norm.weight", "second_norm.bias",
    )),
    "head.weight", "head.bias", "fine.weight", "fine.bias", "fine_told.weight", "fine_told.bias", "fine_head.weight",
    "fine_head.bias",
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "options", "expected"), [("residual_encoder", {"start": "none"}, ENCODER), ("film_unet", {}, FILM)]
)
def test_weights_have_the_names_and_the_order_of_saved_ones(name: str, options: dict, expected: list[str]) -> None:  # type: ignore[type-arg]
    network = MODELS.build(name, {"width": 4, "blocks": (1, 1), **options})
    assert list(network.state_dict()) == expected
    assert [name for name, _ in network.named_parameters()] == expected  # by which an optimiser counts its state


@pytest.mark.parametrize("dims", [2, 3])
def test_a_block_is_what_its_first_line_says(dims: int) -> None:
    torch.manual_seed(0)
    block, image = Block(2, 3, 2, dims), torch.randn(2, 2, *(6, 8, 4)[:dims])
    convolve = functional.conv2d if dims == 2 else functional.conv3d
    pool = functional.avg_pool2d if dims == 2 else functional.avg_pool3d
    inner = functional.instance_norm(convolve(image, block.first.weight, stride=2, padding=1))
    inner = functional.instance_norm(convolve(functional.leaky_relu(inner, SLOPE), block.second.weight, padding=1))
    assert block.project is not None
    expected = functional.leaky_relu(inner + convolve(pool(image, 2), block.project.weight), SLOPE)
    torch.testing.assert_close(block(image), expected)


class Told(nn.Module):
    """Adds what it is told, and keeps how often it was."""

    def __init__(self, channels: int, dims: int) -> None:
        super().__init__()
        self.heard = 0

    def forward(self, features: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        self.heard += 1
        return features + told


def test_every_block_is_told() -> None:
    between, channels, blocks = Between("told", Told, "none"), [2, 4, 4], (1, 2, 1)
    down = [nn.ModuleList(level) for level in levels_down(2, channels, blocks, 2, between)]
    assert [len(level) for level in down] == list(blocks)
    assert [[block.stride for block in level] for level in down] == [[1], [2, 1], [2]]
    up = levels_up(channels, 2, between)
    assert [isinstance(level, Up) for level in up] == [True, True]

    class Level(nn.Module):
        def __init__(self, blocks: nn.ModuleList) -> None:
            super().__init__()
            self.blocks = blocks

        def forward(self, image: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
            for block in self.blocks:
                image = block(image, told)
            return image

    levels = [Level(blocks) for blocks in down]
    skips = [nn.Identity(), nn.Identity()]
    result = down_and_up(torch.rand(1, 2, 8, 12), torch.ones(()), down=levels, skips=skips, up=up)
    assert result.shape == (1, 2, 8, 12)
    told = [module for part in (*levels, up) for module in part.modules() if isinstance(module, Told)]
    assert [module.heard for module in told] == [1] * 6


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("stem", [1, 2])
def test_the_head_undoes_the_stems_resolution(stem: int, dims: int) -> None:
    image = torch.rand(1, 1, *(8, 6, 4)[:dims])
    features = stem_layer(1, 2, stem, dims)(image)
    assert features.shape[2:] == tuple(size // stem for size in image.shape[2:])
    assert head_layer(2, 1, stem, dims)(features).shape == image.shape


def test_he_initialisation() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(64, 64, 3), nn.Linear(4, 4))
    before = layers[1].weight.clone()
    he_normal(layers)
    assert layers[0].weight.std().item() == pytest.approx(math.sqrt(2 / (1 + SLOPE**2) / (64 * 9)), rel=0.02)
    assert not layers[0].bias.any()
    assert torch.equal(layers[1].weight, before)


@pytest.mark.parametrize("wrong", [{"width": 0}, {"blocks": ()}, {"blocks": (1, 0)}, {"stem": 3}, {"out_channels": 0}])
def test_what_no_network_can_be(wrong: dict) -> None:  # type: ignore[type-arg]
    given = {"in_channels": 1, "out_channels": 1, "width": 1, "blocks": (1,), "stem": 1}
    require_levels("toy", **given)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="the toy needs"):
        require_levels("toy", **{**given, **wrong})  # type: ignore[arg-type]
