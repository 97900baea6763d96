"""Res-U-Net: strided convolutions down, transposed convolutions up, residual modules that both ways share.

S. Bottani et al., Translating T1w contrast-enhanced MRI into non-contrast-enhanced images in a clinical data warehouse,
BMC Med Imaging 24:67, 2024. With five levels of 128 channels and more it has 312,250,369 parameters in 3D.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from recontrast.errors import ConfigError, UnknownNameError
from recontrast.models import MODELS
from recontrast.models.blocks import (
    ACTIVATIONS,
    CONVOLUTION,
    TRANSPOSED,
    convolve_transposed_joined,
    convolve_upsampled,
    framed,
    gaussian_init,
    norm_layer,
    require_spatial_dims,
    unframed,
    without_autocast,
)

_MOST = 8
"""Channels grow to this multiple of the width."""


@MODELS.register("res_unet")
class ResUNet(nn.Module):
    """Residual U-Net for slices (2D) and volumes (3D).

    Level n (from 0) halves the resolution and has `width * 2**n` channels, at most `8 * width`, and a residual module
    of `n + 1` convolutions, at most three, without activation between them. Skip connections take the features before
    the residual module, but those of level 0 after it. As in the authors' code, levels with equally many channels
    share one residual module on the way down and up.

    Input of any size: its edge is repeated on all sides up to a multiple of `2**depth`, and the result is cut back.

    Args:
        in_channels: Channels of the source.
        out_channels: Channels of the result.
        spatial_dims: 2 or 3.
        width: Channels of level 0 (published: 128).
        depth: How many times the resolution is halved (published: 5).
        share_residual_weights: Whether residual modules of equal width are one (published); no: 507,342,977 parameters.
        norm: instance (published), batch, batch_of_one or none.
        activation: What ends the network: tanh (published), sigmoid or linear.

    Raises:
        ConfigError: An option is out of range.

    Example:
        >>> network = ResUNet(width=4, depth=2)
        >>> network(torch.zeros(1, 1, 17, 19)).shape
        torch.Size([1, 1, 17, 19])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        spatial_dims: int = 2,
        width: int = 128,
        depth: int = 5,
        share_residual_weights: bool = True,
        norm: str = "instance",
        activation: str = "tanh",
    ) -> None:
        super().__init__()
        dims = require_spatial_dims(spatial_dims)
        if min(in_channels, out_channels, width, depth - 1) < 1:
            raise ConfigError(
                "Res-U-Net needs in_channels, out_channels and width of at least 1 and a depth of at least 2, "
                f"got {in_channels}, {out_channels}, {width} and {depth}"
            )
        if activation not in ACTIVATIONS:
            raise UnknownNameError.among("activation of Res-U-Net", activation, ACTIVATIONS)
        channels = [width * min(2**level, _MOST) for level in range(depth)]
        self.multiple, self.least = 2**depth, 2 ** (depth + 1)  # a single voxel has no statistics
        self.down = nn.ModuleList(
            _Down(before, after, norm, dims)
            for before, after in zip([in_channels, *channels[:-1]], channels, strict=True)
        )
        self.up = nn.ModuleList(
            _Up(channels[level + 1], channels[level], norm, dims, joined=level < depth - 2)
            for level in reversed(range(depth - 1))
        )
        made = [_Residual(size, min(level + 1, 3), dims) for level, size in enumerate(channels)]
        if share_residual_weights:
            by_size = {block.channels: block for block in reversed(made)}
            self.residual = nn.ModuleList(by_size[size] for size in sorted(by_size))
            self._on_way_down = [sorted(by_size).index(size) for size in channels]
            self._on_way_up = self._on_way_down[-2::-1]
        else:
            again = [_Residual(size, min(level + 1, 3), dims) for level, size in enumerate(channels[:-1])]
            self.residual = nn.ModuleList([*made, *reversed(again)])
            self._on_way_down = list(range(depth))
            self._on_way_up = list(range(depth, 2 * depth - 1))
        self.skips = nn.ModuleList(nn.Identity() for _ in channels[:-1])
        self.head = CONVOLUTION[dims](2 * width, out_channels, 3, padding=1)
        self.activation = ACTIVATIONS[activation]()
        gaussian_init(self)

    def forward(self, source: Tensor) -> Tensor:
        """Translate (B, in_channels, I, J[, K]) to float32 (B, out_channels, I, J[, K])."""
        features = framed(source, self.multiple, self.least)
        skipped = []
        for level, (down, place) in enumerate(zip(self.down, self._on_way_down, strict=True)):
            before = down(features)
            features = self.residual[place](before)
            skipped.append(before if level else features)
        skips = [passed(image) for passed, image in zip(self.skips, skipped, strict=False)]
        beside: Tensor | None = None
        for up, place in zip(self.up, self._on_way_up, strict=True):
            features = self.residual[place](up(features, beside))
            beside = skips.pop()
        return unframed(self._ended(features, beside), source.shape[2:])

    def _ended(self, features: Tensor, beside: Any) -> Tensor:
        """Both images joined, doubled in size and convolved, in float32, without making the joined or doubled image."""
        of_features, of_beside = torch.split(self.head.weight, [features.shape[1], beside.shape[1]], dim=1)
        with without_autocast(features):
            summed = convolve_upsampled(features.float(), of_features)
            summed = summed + convolve_upsampled(beside.float(), of_beside)
            bias: Tensor = self.head.bias  # type: ignore[assignment]
            result: Tensor = self.activation(summed + bias.view(-1, *[1] * (summed.ndim - 2)))
        return result


class _Down(nn.Module):
    """Convolution of stride 2, norm, LeakyReLU."""

    def __init__(self, in_channels: int, out_channels: int, norm: str, dims: int) -> None:
        super().__init__()
        self.layer = CONVOLUTION[dims](in_channels, out_channels, 3, 2, 1)
        self.norm = norm_layer(norm, out_channels, dims, learned=norm != "instance")

    def forward(self, image: Tensor) -> Tensor:
        return functional.leaky_relu(self.norm(self.layer(image)), 0.2, inplace=True)


class _Up(nn.Module):
    """Transposed convolution of stride 2, norm, ReLU; of two joined images but at the bottom."""

    def __init__(self, in_channels: int, out_channels: int, norm: str, dims: int, *, joined: bool) -> None:
        super().__init__()
        self.layer = TRANSPOSED[dims](in_channels * (2 if joined else 1), out_channels, 4, 2, 1)
        self.norm = norm_layer(norm, out_channels, dims, learned=norm != "instance")

    def forward(self, below: Tensor, skip: Tensor | None) -> Tensor:
        raised = self.layer(below) if skip is None else convolve_transposed_joined(self.layer, below, skip)
        return functional.relu(self.norm(raised), inplace=True)


class _Residual(nn.Module):
    """Convolutions without activation between them, LeakyReLU, plus the input."""

    def __init__(self, channels: int, count: int, dims: int) -> None:
        super().__init__()
        self.channels = channels
        self.layers = nn.Sequential(*(CONVOLUTION[dims](channels, channels, 3, padding=1) for _ in range(count)))

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = image + functional.leaky_relu(self.layers(image), 0.2, inplace=True)
        return result
