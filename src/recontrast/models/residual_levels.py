"""What residual U-Nets are built of: levels of residual blocks on the way down, two convolutions a level on the way up.

F. Isensee et al., nnU-Net revisited, MICCAI 2024; K. He et al., Deep residual learning, CVPR 2016 (the blocks). For
synthesis, linear up-sampling and two convolutions a level on the way up have done better than transposed convolutions.

The names of the modules are those of the weights in saved translators, and their order is that of the optimiser's state
in checkpoints: neither may change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from recontrast.errors import ConfigError
from recontrast.models.blocks import CONVOLUTION, TRANSPOSED, norm_layer

SLOPE = 0.01
"""Of the leaky ReLU, on the negative side."""

_UPSAMPLING = {2: "bilinear", 3: "trilinear"}
_WIDEST = {2: 512, 3: 320}
"""Most channels of a level, as in nnU-Net."""


@dataclass(frozen=True)
class Between:
    """What lies between the two convolutions of a block, and after the second.

    Attributes:
        name: Of the module between them, in the block.
        build: Makes it, from channels and spatial axes; it is given features and whatever the levels are told.
        last: Name of the normalisation after the second convolution.
    """

    name: str
    build: Callable[[int, int], nn.Module]
    last: str


Head = nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d

PLAIN = Between("first_norm", lambda channels, dims: norm_layer("instance", channels, dims), "instance")
"""Normalised features; the levels are told nothing."""


def require_levels(
    what: str, *, in_channels: int, out_channels: int, width: int, blocks: Sequence[int], stem: int
) -> None:
    """Refuse a network without channels, levels or blocks, or with another stem than 1 or 2.

    Raises:
        ConfigError: It is one.
    """
    if min(in_channels, out_channels, width, *blocks, len(blocks)) < 1 or stem not in (1, 2):
        raise ConfigError(
            f"the {what} needs at least one channel, one level and one block a level, and a stem of 1 or 2; got "
            f"in_channels {in_channels}, out_channels {out_channels}, width {width}, blocks {list(blocks)}, "
            f"stem {stem}"
        )


def channels_of_levels(width: int, levels: int, dims: int) -> list[int]:
    """Channels of each level: twice as many at each further one, 512 at most in 2D, 320 in 3D.

    >>> channels_of_levels(64, 4, 3)
    [64, 128, 256, 320]
    """
    return [min(width * 2**level, _WIDEST[dims]) for level in range(levels)]


def stem_layer(channels: int, width: int, stem: int, dims: int) -> nn.Conv2d | nn.Conv3d:
    """The layer before the first level; `stem` is 1, or 2 for half the resolution."""
    layer = CONVOLUTION[dims]
    return layer(channels, width, 3, padding=1) if stem == 1 else layer(channels, width, 4, stride=2, padding=1)


def head_layer(width: int, channels: int, stem: int, dims: int) -> Head:
    """The layer after the last level, back at the resolution that the stem was given."""
    if stem == 1:
        return CONVOLUTION[dims](width, channels, 3, padding=1)
    return TRANSPOSED[dims](width, channels, 4, stride=2, padding=1)


def levels_down(
    width: int, channels: Sequence[int], blocks: Sequence[int], dims: int, between: Between = PLAIN
) -> list[list[Block]]:
    """The blocks of each level; the first block of all levels but the first halves the resolution."""
    return [
        [
            Block(before if n == 0 else own, own, 2 if n == 0 and level > 0 else 1, dims, between)
            for n in range(blocks[level])
        ]
        for level, (before, own) in enumerate(pairwise([width, *channels]))
    ]


def levels_up(channels: Sequence[int], dims: int, between: Between = PLAIN) -> nn.ModuleList:
    """The way up, coarsest level first."""
    return nn.ModuleList(Up(below, own, dims, between) for own, below in reversed(list(pairwise(channels))))


def down_and_up(
    features: Tensor, *told: Tensor, down: Iterable[nn.Module], skips: Iterable[nn.Module], up: Iterable[nn.Module]
) -> Tensor:
    """Features of the first level after the way down and up.

    Args:
        features: What the stem gave.
        *told: What every level is told beside them.
        down: A module a level.
        skips: What each level but the last passes through on its way to the other side.
        up: As `levels_up` gives it.
    """
    skipped = []
    for level in down:
        features = level(features, *told)
        skipped.append(features)
    skipped = [passed(image) for passed, image in zip(skips, skipped, strict=False)]
    for level, skip in zip(up, reversed(skipped), strict=True):
        features = level(features, skip, *told)
    return features


def he_normal(module: nn.Module) -> None:
    """Initialise the convolutions of `module` with He's normal distribution for leaky ReLU and zero bias."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class Block(nn.Module):
    """act(norm(conv(act(between(conv(x))))) + x); where channels or resolution change x is averaged and projected.

    Args:
        before: Channels in.
        channels: Channels out.
        stride: 1, or 2 to halve the resolution.
        dims: 2 or 3.
        between: What lies between the convolutions.
    """

    def __init__(self, before: int, channels: int, stride: int, dims: int, between: Between = PLAIN) -> None:
        super().__init__()
        _add_pair(self, before, channels, stride, dims, between)
        self.between = between.name
        self.stride = stride
        self.project = CONVOLUTION[dims](before, channels, 1, bias=False) if before != channels else None

    def forward(self, image: Tensor, *told: Tensor) -> Tensor:
        """(B, before, I, J[, K]) to (B, channels, I / stride, J / stride[, K / stride])."""
        inner = _through_pair(self, image, *told)
        if self.stride > 1:
            pool = functional.avg_pool2d if image.ndim == 4 else functional.avg_pool3d
            image = pool(image, self.stride)
        if self.project is not None:
            image = self.project(image)
        return _activated(inner + image)


class Up(nn.Module):
    """The level below, projected and enlarged linearly, joined with the way down; then two convolutions.

    Projection and linear enlargement commute; projecting first is cheaper by the number of voxels it saves.

    Args:
        below: Channels of the level below.
        channels: Channels of this level.
        dims: 2 or 3.
        between: What lies between the convolutions.
    """

    def __init__(self, below: int, channels: int, dims: int, between: Between = PLAIN) -> None:
        super().__init__()
        self.mode = _UPSAMPLING[dims]
        self.project = CONVOLUTION[dims](below, channels, 1, bias=False)
        _add_pair(self, 2 * channels, channels, 1, dims, between)
        self.between = between.name

    def forward(self, below: Tensor, skip: Tensor, *told: Tensor) -> Tensor:
        """The level below and what comes from the way down, to what comes from the way down's size."""
        enlarged = functional.interpolate(self.project(below), scale_factor=2, mode=self.mode, align_corners=False)
        return _activated(_through_pair(self, torch.cat([enlarged, skip], dim=1), *told))


def _add_pair(module: nn.Module, before: int, channels: int, stride: int, dims: int, between: Between) -> None:
    """Add two convolutions and what follows each, in the order of use."""
    layer = CONVOLUTION[dims]
    module.first = layer(before, channels, 3, stride=stride, padding=1, bias=False)
    module.add_module(between.name, between.build(channels, dims))
    module.second = layer(channels, channels, 3, padding=1, bias=False)
    module.second_norm = norm_layer(between.last, channels, dims)


def _through_pair(module: Any, features: Tensor, *told: Tensor) -> Tensor:
    inner = _activated(getattr(module, module.between)(module.first(features), *told))
    result: Tensor = module.second_norm(module.second(inner))
    return result


def _activated(features: Tensor) -> Tensor:
    return functional.leaky_relu(features, SLOPE, inplace=True)
