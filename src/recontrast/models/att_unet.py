"""Att-U-Net: a U-Net whose skip connections pass a gate that the level below opens and closes.

O. Oktay et al., Attention U-Net: learning where to look for the pancreas, MIDL 2018; as a translator in S. Bottani et
al., BMC Med Imaging 24:67, 2024. With 64 channels and four halvings it has 103,887,981 parameters in 3D.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from recontrast.errors import ConfigError, UnknownNameError
from recontrast.models import MODELS
from recontrast.models.blocks import (
    ACTIVATIONS,
    CONVOLUTION,
    convolve_joined,
    convolve_upsampled,
    framed,
    he_uniform,
    in_float32,
    max_pool,
    norm_layer,
    require_spatial_dims,
    unframed,
)


@MODELS.register("att_unet")
class AttUNet(nn.Module):
    """Attention U-Net for slices (2D) and volumes (3D), two convolutions of width 3 at every level.

    Input of any size: its edge is repeated on all sides up to a multiple of `2**depth`, and the result is cut back.

    Args:
        in_channels: Channels of the source.
        out_channels: Channels of the result.
        spatial_dims: 2 or 3.
        width: Channels of the first level, doubled with every halving (published: 64).
        depth: How many times the resolution is halved (published: 4).
        norm: batch (published), batch_of_one, instance or none.
        activation: What ends the network: linear (published), tanh or sigmoid.

    Raises:
        ConfigError: An option is out of range.

    Example:
        >>> network = AttUNet(width=4, depth=2)
        >>> network(torch.zeros(1, 1, 17, 19)).shape
        torch.Size([1, 1, 17, 19])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        spatial_dims: int = 2,
        width: int = 64,
        depth: int = 4,
        norm: str = "batch",
        activation: str = "linear",
    ) -> None:
        super().__init__()
        dims = require_spatial_dims(spatial_dims)
        if min(in_channels, out_channels, depth) < 1 or width < 2:
            raise ConfigError(
                "Att-U-Net needs in_channels, out_channels and depth of at least 1 and a width of at least 2, "
                f"got {in_channels}, {out_channels}, {depth} and {width}"
            )
        if activation not in ACTIVATIONS:
            raise UnknownNameError.among("activation of Att-U-Net", activation, ACTIVATIONS)
        channels = [width * 2**level for level in range(depth + 1)]
        self.multiple = 2**depth
        self.down = nn.ModuleList(_Pair(*sizes, norm, dims) for sizes in pairwise([in_channels, *channels]))
        self.up = nn.ModuleList(_Up(channels[level + 1], norm, dims) for level in reversed(range(depth)))
        self.skips = nn.ModuleList(nn.Identity() for _ in range(depth))
        self.head = CONVOLUTION[dims](width, out_channels, 1)
        self.activation = ACTIVATIONS[activation]()
        he_uniform(self)

    def forward(self, source: Tensor) -> Tensor:
        """Translate (B, in_channels, I, J[, K]) to float32 (B, out_channels, I, J[, K])."""
        features = framed(source, self.multiple)
        skipped = []
        for level, down in enumerate(self.down):
            features = down(features if level == 0 else max_pool(features))
            skipped.append(features)
        skipped = [passed(features) for passed, features in zip(self.skips, skipped, strict=False)]
        for up, skip in zip(self.up, reversed(skipped), strict=True):
            features = up(features, skip)
        result: Tensor = self.activation(in_float32(self.head, features))
        return unframed(result, source.shape[2:])


class _Pair(nn.Module):
    """Convolution, norm, ReLU, twice."""

    def __init__(self, in_channels: int, out_channels: int, norm: str, dims: int) -> None:
        super().__init__()
        self.first = CONVOLUTION[dims](in_channels, out_channels, 3, padding=1)
        self.first_norm = norm_layer(norm, out_channels, dims)
        self.second = CONVOLUTION[dims](out_channels, out_channels, 3, padding=1)
        self.second_norm = norm_layer(norm, out_channels, dims)

    def forward(self, image: Tensor) -> Tensor:
        return self._rest(self.first(image))

    def _rest(self, convolved: Tensor) -> Tensor:
        features = functional.relu(self.first_norm(convolved), inplace=True)
        return functional.relu(self.second_norm(self.second(features)), inplace=True)


class _Up(_Pair):
    """Doubling of the level below, the gate on the skipped level, and two convolutions of both.

    Args:
        below: Channels of the level below; this one has half of them.
        norm: Normalisation.
        dims: 2 or 3.
    """

    def __init__(self, below: int, norm: str, dims: int) -> None:
        channels = below // 2
        super().__init__(below, channels, norm, dims)
        self.enlarge = CONVOLUTION[dims](below, channels, 3, padding=1)
        self.enlarge_norm = norm_layer(norm, channels, dims)
        self.gate = _Gate(channels, norm, dims)

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:  # type: ignore[override]
        enlarged = convolve_upsampled(below, self.enlarge.weight, self.enlarge.bias)
        enlarged = functional.relu(self.enlarge_norm(enlarged), inplace=True)
        return self._rest(convolve_joined(self.first, self.gate(enlarged, skip), enlarged))


class _Gate(nn.Module):
    """Additive attention: one number between 0 and 1 a voxel, by which the skipped features are multiplied."""

    def __init__(self, channels: int, norm: str, dims: int) -> None:
        super().__init__()
        inner = max(1, channels // 2)
        self.from_below = CONVOLUTION[dims](channels, inner, 1)
        self.from_below_norm = norm_layer(norm, inner, dims)
        self.from_skip = CONVOLUTION[dims](channels, inner, 1)
        self.from_skip_norm = norm_layer(norm, inner, dims)
        self.open = CONVOLUTION[dims](inner, 1, 1)
        self.open_norm = norm_layer(norm, 1, dims)

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        summed = self.from_below_norm(self.from_below(below)) + self.from_skip_norm(self.from_skip(skip))
        opened = torch.sigmoid(self.open_norm(self.open(functional.relu(summed, inplace=True))))
        return skip * opened
