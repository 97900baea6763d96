"""The residual-encoder U-Net: many residual blocks on the way down, two convolutions a level on the way up.

F. Isensee et al., nnU-Net revisited, MICCAI 2024 (the encoder); K. He et al., Deep residual learning, CVPR 2016 (the
blocks). For synthesis, linear up-sampling and two convolutions a level on the way up have done better than transposed
convolutions.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from recontrast.errors import ConfigError
from recontrast.models import MODELS
from recontrast.models.blocks import (
    CONVOLUTION,
    TRANSPOSED,
    framed,
    in_float32,
    norm_layer,
    require_spatial_dims,
    unframed,
)
from recontrast.models.expected import ExpectedTarget
from recontrast.models.surroundings import Surroundings

_SLOPE = 0.01
_UPSAMPLING = {2: "bilinear", 3: "trilinear"}
_WIDEST = {2: 512, 3: 320}
"""Most channels of a level, as in nnU-Net."""


@MODELS.register("residual_encoder")
class ResidualEncoder(nn.Module):
    """Residual-encoder U-Net, on top of what each voxel alone says of the target.

    The network adds to a control: with `start="expected"` the mean target of the training voxels that have this
    voxel's sources (see `ExpectedTarget`). Its last layer begins at zero, so before the first step the result is the
    control, and training can only improve on it.

    Level n has `width * 2**n` channels (512 at most in 2D, 320 in 3D). With `stem=2` the first level works at half the
    resolution, and the result is brought back by a transposed convolution: a quarter of the work (an eighth in 3D).

    Args:
        in_channels: Channels of the source (contrasts, times slices in 2.5D).
        out_channels: Channels of the result.
        spatial_dims: 2 or 3.
        width: Channels of the first level.
        blocks: Residual blocks of each level; as many levels as numbers.
        stem: 1, or 2 for half the resolution from the start.
        start: What the network adds to: expected (needs `contrasts` of 1 to 3), context (the same, and what all
            channels of the voxel say beyond it, see `Surroundings`), or none.
        contrasts: Number of contrasts among the channels, for `start`; they come first, and the middle slice of each is
            looked at. 0: every channel is a contrast.
        slices: Channels of each contrast (2.5D); 0: as many as there are channels for each.
        share: Part of what is added to the control that is kept, 0 to 1; a training ends by setting it.

    Raises:
        ConfigError: An option is out of range.

    Example:
        >>> network = ResidualEncoder(in_channels=2, width=8, blocks=(1, 1))
        >>> network(torch.zeros(1, 2, 17, 19)).shape
        torch.Size([1, 1, 17, 19])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        spatial_dims: int = 2,
        width: int = 32,
        blocks: Sequence[int] = (1, 2, 2, 2, 2),
        stem: int = 1,
        start: str = "expected",
        contrasts: int = 0,
        slices: int = 0,
        share: float = 1.0,
    ) -> None:
        super().__init__()
        dims = require_spatial_dims(spatial_dims)
        if not 0 <= share <= 1:
            raise ConfigError(f"the residual encoder keeps a share of 0 to 1 of what it adds, got {share}")
        self.share = share
        if min(in_channels, out_channels, width, *blocks, len(blocks)) < 1 or stem not in (1, 2):
            raise ConfigError(
                "the residual encoder needs at least one channel, one level and one block a level, and a stem of 1 or "
                f"2; got in_channels {in_channels}, out_channels {out_channels}, width {width}, blocks "
                f"{list(blocks)}, stem {stem}"
            )
        self.expected = _start(start, in_channels, contrasts, slices, out_channels)
        self.surroundings: Surroundings | None = None
        if start == "context":
            self.surroundings = Surroundings(channels=in_channels, spatial_dims=dims)
        shown = in_channels + (self.expected is not None)
        channels = [min(width * 2**level, _WIDEST[dims]) for level in range(len(blocks))]
        self.multiple = stem * 2 ** (len(blocks) - 1)
        layer = CONVOLUTION[dims]
        self.stem = layer(shown, width, 3, padding=1) if stem == 1 else layer(shown, width, 4, stride=2, padding=1)
        self.down = nn.ModuleList(
            _stage(before, after, count, 1 if level == 0 else 2, dims)
            for level, ((before, after), count) in enumerate(zip(pairwise([width, *channels]), blocks, strict=True))
        )
        self.up = nn.ModuleList(_Up(below, own, dims) for own, below in reversed(list(pairwise(channels))))
        self.skips = nn.ModuleList(nn.Identity() for _ in channels[:-1])
        self.head = layer(width, out_channels, 3, padding=1) if stem == 1 else TRANSPOSED[dims](
            width, out_channels, 4, stride=2, padding=1
        )  # fmt: skip
        self._initialise()

    def fit(self, source: Tensor, target: Tensor, mask: Tensor) -> None:
        """Learn the control from training slices, before the first step; nothing happens without one.

        Args:
            source: (B, in_channels, I, J[, K]).
            target: (B, 1, I, J[, K]).
            mask: Voxels that count, like the target.
        """
        if self.expected is None:
            return
        self.expected.fit(source, target, mask)
        if self.surroundings is not None:
            self.surroundings.fit(source, target - self._in_parts(self.expected, source), mask)

    @torch.no_grad()
    def _in_parts(self, module: nn.Module, source: Tensor) -> Tensor:
        return torch.cat([module(part) for part in torch.split(source, 8)])

    @torch.no_grad()
    def agreement(self, source: Tensor, target: Tensor, mask: Tensor) -> tuple[float, float]:
        """How what the network adds agrees with what the control lacks: their product, and the square of the former.

        Summed over voxels of the mask. Their quotient, over slices that were not learned from, is the `share` of the
        addition that has the least squared error there. Arguments as for `fit`.
        """
        if self.expected is None:
            return 0.0, 0.0
        begun = self.expected(source)
        added, lacking = (self(source) - begun)[mask].double(), (target - begun)[mask].double()
        return float((added * lacking).sum()), float(added.square().sum())

    def forward(self, source: Tensor) -> Tensor:
        """Translate (B, in_channels, I, J[, K]) to float32 (B, out_channels, I, J[, K])."""
        control = begun = None if self.expected is None else self.expected(source)
        if begun is not None and self.surroundings is not None:
            begun = begun + in_float32(self.surroundings, source)
        shown = source if begun is None else torch.cat([source, begun.to(source.dtype)], dim=1)
        features = self.stem(framed(shown, self.multiple))
        skipped = []
        for stage in self.down:
            features = stage(features)
            skipped.append(features)
        skipped = [passed(image) for passed, image in zip(self.skips, skipped, strict=False)]
        for up, skip in zip(self.up, reversed(skipped), strict=True):
            features = up(features, skip)
        result = unframed(in_float32(self.head, features), source.shape[2:])
        if control is None or begun is None:
            return result
        whole = result + begun
        return whole if self.share == 1 else control + self.share * (whole - control)

    def _initialise(self) -> None:
        """He's normal distribution for leaky ReLU, and zero in the last layer."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
                nn.init.kaiming_normal_(layer.weight, a=_SLOPE)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        if self.expected is not None:
            nn.init.zeros_(self.head.weight)
        if self.surroundings is not None:
            nn.init.zeros_(self.surroundings.last.weight)


def _start(start: str, in_channels: int, contrasts: int, slices: int, out_channels: int) -> ExpectedTarget | None:
    if start == "none":
        return None
    number = contrasts or in_channels
    each = slices or in_channels // number
    if start not in ("expected", "context") or number * each > in_channels or in_channels % each or out_channels != 1:
        raise ConfigError(
            f"the residual encoder starts from 'expected', 'context' or 'none', got '{start}'; contrasts ({number}) "
            f"times slices ({each}) must be among in_channels ({in_channels}), and out_channels must be 1 "
            f"(got {out_channels}) to start from a control"
        )
    return ExpectedTarget(contrasts=number, slices=each)


def _stage(before: int, channels: int, count: int, stride: int, dims: int) -> nn.Sequential:
    first = _Block(before, channels, stride, dims)
    return nn.Sequential(first, *(_Block(channels, channels, 1, dims) for _ in range(count - 1)))


class _Block(nn.Module):
    """act(norm(conv(act(norm(conv(x))))) + x); where channels or resolution change x is averaged and projected."""

    def __init__(self, before: int, channels: int, stride: int, dims: int) -> None:
        super().__init__()
        layer = CONVOLUTION[dims]
        self.first = layer(before, channels, 3, stride=stride, padding=1, bias=False)
        self.first_norm = norm_layer("instance", channels, dims)
        self.second = layer(channels, channels, 3, padding=1, bias=False)
        self.second_norm = norm_layer("instance", channels, dims)
        self.stride = stride
        self.project = layer(before, channels, 1, bias=False) if before != channels else None

    def forward(self, image: Tensor) -> Tensor:
        inner = _activated(self.first_norm(self.first(image)))
        inner = self.second_norm(self.second(inner))
        if self.stride > 1:
            pool = functional.avg_pool2d if image.ndim == 4 else functional.avg_pool3d
            image = pool(image, self.stride)
        if self.project is not None:
            image = self.project(image)
        return _activated(inner + image)


class _Up(nn.Module):
    """The level below, projected and enlarged linearly, joined with the way down; then two convolutions.

    Projection and linear enlargement commute; projecting first is cheaper by the number of voxels it saves.
    """

    def __init__(self, below: int, channels: int, dims: int) -> None:
        super().__init__()
        layer = CONVOLUTION[dims]
        self.mode = _UPSAMPLING[dims]
        self.project = layer(below, channels, 1, bias=False)
        self.first = layer(2 * channels, channels, 3, padding=1, bias=False)
        self.first_norm = norm_layer("instance", channels, dims)
        self.second = layer(channels, channels, 3, padding=1, bias=False)
        self.second_norm = norm_layer("instance", channels, dims)

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        enlarged = functional.interpolate(self.project(below), scale_factor=2, mode=self.mode, align_corners=False)
        features = _activated(self.first_norm(self.first(torch.cat([enlarged, skip], dim=1))))
        return _activated(self.second_norm(self.second(features)))


def _activated(features: Tensor) -> Tensor:
    return functional.leaky_relu(features, _SLOPE, inplace=True)
