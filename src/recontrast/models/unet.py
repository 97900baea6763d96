"""The U-Net: an encoder, a decoder, and skip connections between equal resolutions.

O. Ronneberger et al., U-Net, MICCAI 2015. With the options of the preset `osman2022` it is the network of
A. F. I. Osman and N. M. Tamam, J Appl Clin Med Phys 23(4):e13530, 2022 (1,962,337 parameters).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from recontrast.errors import ConfigError, UnknownNameError
from recontrast.models import MODELS
from recontrast.models.blocks import (
    ACTIVATIONS,
    CONVOLUTION,
    convolve_upsampled,
    he_uniform,
    in_float32,
    max_pool,
    norm_layer,
    require_spatial_dims,
)
from recontrast.models.dropout import relu_dropout

UPSAMPLINGS = ("nearest", "transpose")
"""nearest: repeat voxels, then convolve; transpose: a learned transposed convolution of width and stride 2."""


@MODELS.register("unet")
class UNet(nn.Module):
    """Plain U-Net for slices (2D) and volumes (3D), two convolutions of width 3 at every level.

    Level n has `width * 2**n` channels. Input of any size: it is continued at its far edges up to a multiple of
    `2**depth` and the result is cut back.

    Args:
        in_channels: Channels of the source (contrasts, times slices in 2.5D).
        out_channels: Channels of the result.
        spatial_dims: 2 or 3.
        width: Channels of the first level.
        depth: How many times the resolution is halved.
        dropout: Rate of each level from the full resolution down to the bottleneck, `depth + 1` values, used on the
            way down and up; one value is used for all levels, none means no dropout.
        upsampling: nearest or transpose.
        norm: none, batch or instance; after each convolution.
        activation: What ends the network: tanh, sigmoid or linear.

    Raises:
        ConfigError: An option is out of range.

    Example:
        >>> network = UNet(in_channels=2, width=4, depth=2)
        >>> network(torch.zeros(1, 2, 17, 19)).shape
        torch.Size([1, 1, 17, 19])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        spatial_dims: int = 2,
        width: int = 16,
        depth: int = 4,
        dropout: Sequence[float] = (),
        upsampling: str = "nearest",
        norm: str = "none",
        activation: str = "tanh",
    ) -> None:
        super().__init__()
        dims = require_spatial_dims(spatial_dims)
        rates = _dropout_rates(dropout, depth)
        if min(in_channels, out_channels, width, depth) < 1:
            raise ConfigError(
                "in_channels, out_channels, width and depth of the U-Net must be at least 1, "
                f"got {in_channels}, {out_channels}, {width} and {depth}"
            )
        if upsampling not in UPSAMPLINGS:
            raise UnknownNameError.among("upsampling of the U-Net", upsampling, UPSAMPLINGS)
        if activation not in ACTIVATIONS:
            raise UnknownNameError.among("activation of the U-Net", activation, ACTIVATIONS)
        channels = [width * 2**level for level in range(depth + 1)]
        self.depth = depth
        self.down = nn.ModuleList(
            _Level(first, second, rate, norm, dims)
            for (first, second), rate in zip(pairwise([in_channels, *channels]), rates, strict=True)
        )
        self.up = nn.ModuleList(
            _UpLevel(channels[level + 1], channels[level], rates[level], norm, dims, upsampling)
            for level in reversed(range(depth))
        )
        self.skips = nn.ModuleList(nn.Identity() for _ in range(depth))
        self.head = CONVOLUTION[dims](width, out_channels, 1)
        self.activation = ACTIVATIONS[activation]()
        he_uniform(self)

    def forward(self, source: Tensor) -> Tensor:
        """Translate (B, in_channels, I, J[, K]) to float32 (B, out_channels, I, J[, K])."""
        features = _continued(source, 2**self.depth)
        skipped = []
        for level, down in enumerate(self.down):
            features = down(features if level == 0 else max_pool(features))
            skipped.append(features)
        skipped = [passed(features) for passed, features in zip(self.skips, skipped, strict=False)]
        for up, skip in zip(self.up, reversed(skipped), strict=True):
            features = up(features, skip)
        result: Tensor = self.activation(in_float32(self.head, features))
        for axis, size in enumerate(source.shape[2:], start=2):
            result = result.narrow(axis, 0, size)
        return result


class _Level(nn.Module):
    """convolution, norm, ReLU, dropout, convolution, norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, rate: float, norm: str, dims: int) -> None:
        super().__init__()
        self.rate = rate
        self.first = CONVOLUTION[dims](in_channels, out_channels, 3, padding=1)
        self.first_norm = norm_layer(norm, out_channels, dims)
        self.second = CONVOLUTION[dims](out_channels, out_channels, 3, padding=1)
        self.second_norm = norm_layer(norm, out_channels, dims)

    def forward(self, image: Tensor) -> Tensor:
        return self._rest(self.first(image))

    def _rest(self, convolved: Tensor) -> Tensor:
        features = relu_dropout(self.first_norm(convolved), self.rate, self.training)
        return functional.relu(self.second_norm(self.second(features)), inplace=True)


class _UpLevel(_Level):
    """A level whose input is the upsampled level below, joined with the level of the same resolution on the way down.

    With nearest upsampling the joined image is not made: its convolution is the sum of the convolutions of its two
    parts, and that of the upsampled part is done at the lower resolution (see `convolve_upsampled`).
    """

    def __init__(self, below: int, channels: int, rate: float, norm: str, dims: int, upsampling: str) -> None:
        doubled = below if upsampling == "nearest" else channels
        super().__init__(doubled + channels, channels, rate, norm, dims)
        transposed = nn.ConvTranspose2d if dims == 2 else nn.ConvTranspose3d
        self.enlarge = None if upsampling == "nearest" else transposed(below, channels, 2, stride=2)

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:  # type: ignore[override]
        if self.enlarge is not None:
            return self._rest(self.first(torch.cat([self.enlarge(below), skip], dim=1)))
        from_below, from_skip = torch.split(self.first.weight, [below.shape[1], skip.shape[1]], dim=1)
        convolved = functional.conv2d if skip.ndim == 4 else functional.conv3d
        summed = convolved(skip, from_skip, self.first.bias, padding=1)
        return self._rest(summed.add_(convolve_upsampled(below, from_below)))


def _continued(image: Tensor, multiple: int) -> Tensor:
    """Repeat the last rows (columns, planes) until every spatial size is a multiple of `multiple`."""
    missing = [-size % multiple for size in image.shape[2:]]
    if not any(missing):
        return image
    padding = [amount for size in reversed(missing) for amount in (0, size)]
    return functional.pad(image, padding, mode="replicate")


def _dropout_rates(dropout: Sequence[float], depth: int) -> list[float]:
    rates = [float(rate) for rate in dropout]
    if len(rates) <= 1:
        rates = (rates or [0.0]) * (depth + 1)
    if len(rates) != depth + 1:
        raise ConfigError(
            f"dropout of the U-Net has {len(rates)} rates, depth {depth} needs {depth + 1} "
            "(full resolution down to the bottleneck), one for all, or none"
        )
    if not all(0 <= rate < 1 for rate in rates):
        raise ConfigError(f"dropout rates of the U-Net must be at least 0 and below 1, got {rates}")
    return rates
