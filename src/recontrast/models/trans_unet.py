"""Trans-U-Net: a convolutional encoder and decoder, and a transformer at an eighth of the resolution.

W. Wang et al., TransBTS: multimodal brain tumor segmentation using transformer, MICCAI 2021; as a translator in S.
Bottani et al., BMC Med Imaging 24:67, 2024. As published it has 32,722,561 parameters in 3D, without layers that the
released code makes and never uses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from recontrast.errors import ConfigError, UnknownNameError
from recontrast.models import MODELS
from recontrast.models.attention import attend
from recontrast.models.blocks import (
    ACTIVATIONS,
    CONVOLUTION,
    TRANSPOSED,
    convolve_joined,
    framed,
    in_float32,
    norm_layer,
    require_spatial_dims,
    unframed,
)
from recontrast.models.dropout import dropout as dropped_out

_DROPOUT = {2: nn.Dropout2d, 3: nn.Dropout3d}
_INTERPOLATION = {2: "bilinear", 3: "trilinear"}


@MODELS.register("trans_unet")
class TransUNet(nn.Module):
    """U-Net with a transformer in place of its lowest levels, for slices (2D) and volumes (3D).

    The learned position of a token is stored for `position_size` tokens along each axis and interpolated to as many
    as an image has. Input of any size: its edge is repeated on all sides up to a multiple of `2**depth`, and the
    result is cut back. Dropout works in training only (the authors' code keeps it on at inference).

    Args:
        in_channels: Channels of the source.
        out_channels: Channels of the result.
        spatial_dims: 2 or 3.
        width: Channels of the first level, doubled with every halving (published: 16).
        depth: How many times the resolution is halved before the transformer (published: 3).
        blocks: Residual blocks of each level of the encoder, `depth + 1` values.
        hidden: Length of a token.
        layers: Layers of the transformer.
        heads: Attention heads; they divide `hidden`.
        mlp: Inner size of the transformer's feed-forward blocks.
        position_size: Tokens along each axis for which positions are stored (published: 16, for 128 voxels).
        dropout: Rate in the transformer.
        first_dropout: Rate of whole channels after the first convolution.
        norm: batch (published), batch_of_one, instance or none: of decoder and tokens; the encoder has group norms.
        activation: What ends the network: linear, tanh or sigmoid. The paper's soft-max over one channel is always 1.

    Raises:
        ConfigError: An option is out of range.

    Example:
        >>> network = TransUNet(width=4, depth=2, blocks=(1, 1, 1), hidden=16, layers=1, heads=2, mlp=16)
        >>> network(torch.zeros(1, 1, 17, 19)).shape
        torch.Size([1, 1, 17, 19])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        spatial_dims: int = 2,
        width: int = 16,
        depth: int = 3,
        blocks: Sequence[int] = (1, 2, 2, 4),
        hidden: int = 512,
        layers: int = 4,
        heads: int = 8,
        mlp: int = 4096,
        position_size: int = 16,
        dropout: float = 0.1,
        first_dropout: float = 0.2,
        norm: str = "batch",
        activation: str = "linear",
    ) -> None:
        super().__init__()
        dims = require_spatial_dims(spatial_dims)
        least = min(in_channels, out_channels, width, depth, hidden, layers, heads, mlp, position_size, *blocks)
        if least < 1 or not all(0 <= rate < 1 for rate in (dropout, first_dropout)):
            raise ConfigError("Trans-U-Net: sizes and numbers must be at least 1, rates of dropout in [0, 1)")
        if len(blocks) != depth + 1 or hidden % heads:
            raise ConfigError(
                f"Trans-U-Net: depth {depth} needs {depth + 1} numbers of blocks (got {len(blocks)}), and heads "
                f"({heads}) must divide hidden ({hidden})"
            )
        if activation not in ACTIVATIONS:
            raise UnknownNameError.among("activation of Trans-U-Net", activation, ACTIVATIONS)
        channels = [width * 2**level for level in range(depth + 1)]
        self.multiple = 2**depth
        self.first = CONVOLUTION[dims](in_channels, width, 3, padding=1)
        self.first_dropout = _DROPOUT[dims](first_dropout)
        self.levels = nn.ModuleList(
            nn.Sequential(*(_PreActivated(size, dims) for _ in range(count)))
            for size, count in zip(channels, blocks, strict=True)
        )
        self.down = nn.ModuleList(
            CONVOLUTION[dims](channels[level], channels[level + 1], 3, 2, 1) for level in range(depth)
        )
        self.token_norm = norm_layer(norm, channels[-1], dims)
        self.to_tokens = CONVOLUTION[dims](channels[-1], hidden, 3, padding=1)
        self.position = nn.Parameter(torch.zeros(1, hidden, *[position_size] * dims))
        self.token_rate = dropout
        self.layers = nn.ModuleList(_Layer(hidden, heads, mlp, dropout) for _ in range(layers))
        self.back = nn.Sequential(
            CONVOLUTION[dims](hidden, channels[-1], 3, padding=1), norm_layer(norm, channels[-1], dims), nn.ReLU(True),
            CONVOLUTION[dims](channels[-1], channels[-1], 3, padding=1), norm_layer(norm, channels[-1], dims),
            nn.ReLU(True), _Residual(channels[-1], norm, dims),
        )  # fmt: skip
        self.up = nn.ModuleList(_Up(channels[level + 1], norm, dims) for level in reversed(range(depth)))
        self.skips = nn.ModuleList(nn.Identity() for _ in range(depth))
        self.head = CONVOLUTION[dims](width, out_channels, 1)
        self.activation = ACTIVATIONS[activation]()

    def forward(self, source: Tensor) -> Tensor:
        """Translate (B, in_channels, I, J[, K]) to float32 (B, out_channels, I, J[, K])."""
        features = self.first_dropout(self.first(framed(source, self.multiple)))
        skipped: list[Tensor] = []
        for level, down in zip(self.levels, self.down, strict=False):
            features = level(features)
            skipped.append(self.skips[len(skipped)](features))
            features = down(features)
        features = self.back(self._transformed(self.levels[-1](features)))
        for up, skip in zip(self.up, reversed(skipped), strict=True):
            features = up(features, skip)
        result: Tensor = self.activation(in_float32(self.head, features))
        return unframed(result, source.shape[2:])

    def _transformed(self, features: Tensor) -> Tensor:
        image = self.to_tokens(functional.relu(self.token_norm(features), inplace=True))
        size = image.shape[2:]
        tokens = (image + self._positions(size)).flatten(2).transpose(1, 2)
        tokens = dropped_out(tokens.contiguous(), self.token_rate, self.training)
        for layer in self.layers:
            tokens = layer(tokens)
        return tokens.transpose(1, 2).unflatten(2, size)

    def _positions(self, size: Sequence[int]) -> Tensor:
        if tuple(self.position.shape[2:]) == tuple(size):
            return self.position
        mode = _INTERPOLATION[len(size)]
        return functional.interpolate(self.position, size=tuple(size), mode=mode, align_corners=False)


class _Layer(nn.Module):
    """Attention and feed-forward block, each normalised before and added to its input."""

    def __init__(self, hidden: int, heads: int, mlp: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.rate = dropout
        self.attention_norm = nn.LayerNorm(hidden)
        self.queries_keys_values = nn.Linear(hidden, 3 * hidden, bias=False)
        self.attended = nn.Linear(hidden, hidden)
        self.forward_norm = nn.LayerNorm(hidden)
        self.widen = nn.Linear(hidden, mlp)
        self.narrow = nn.Linear(mlp, hidden)

    def forward(self, tokens: Tensor) -> Tensor:
        joined = self.queries_keys_values(self.attention_norm(tokens)).unflatten(-1, (3, self.heads, -1))
        queries, keys, values = joined.permute(2, 0, 3, 1, 4).unbind(0)
        rate = self.rate if self.training else 0.0
        mixed = attend(queries, keys, values, rate)
        tokens = tokens + self._dropped(self.attended(mixed.transpose(1, 2).flatten(2)))
        inner = self._dropped(functional.gelu(self.widen(self.forward_norm(tokens))))
        result: Tensor = tokens + self._dropped(self.narrow(inner))
        return result

    def _dropped(self, values: Tensor) -> Tensor:
        return dropped_out(values, self.rate, self.training)


class _PreActivated(nn.Module):
    """Group norm, ReLU, convolution, twice, plus the input."""

    def __init__(self, channels: int, dims: int) -> None:
        super().__init__()
        groups = math.gcd(8, channels)
        self.first_norm = nn.GroupNorm(groups, channels)
        self.first = CONVOLUTION[dims](channels, channels, 3, padding=1)
        self.second_norm = nn.GroupNorm(groups, channels)
        self.second = CONVOLUTION[dims](channels, channels, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        inner = self.first(functional.relu(self.first_norm(image), inplace=True))
        result: Tensor = image + self.second(functional.relu(self.second_norm(inner), inplace=True))
        return result


class _Residual(nn.Module):
    """Convolution, norm, ReLU, twice, plus the input."""

    def __init__(self, channels: int, norm: str, dims: int) -> None:
        super().__init__()
        self.first = CONVOLUTION[dims](channels, channels, 3, padding=1)
        self.first_norm = norm_layer(norm, channels, dims)
        self.second = CONVOLUTION[dims](channels, channels, 3, padding=1)
        self.second_norm = norm_layer(norm, channels, dims)

    def forward(self, image: Tensor) -> Tensor:
        inner = functional.relu(self.first_norm(self.first(image)), inplace=True)
        result: Tensor = image + functional.relu(self.second_norm(self.second(inner)), inplace=True)
        return result


class _Up(nn.Module):
    """Half the channels, twice the resolution, joined with the skipped level, and a residual block."""

    def __init__(self, below: int, norm: str, dims: int) -> None:
        super().__init__()
        channels = below // 2
        self.narrow = CONVOLUTION[dims](below, channels, 1)
        self.enlarge = TRANSPOSED[dims](channels, channels, 2, 2)
        self.join = CONVOLUTION[dims](below, channels, 1)
        self.residual = _Residual(channels, norm, dims)

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        result: Tensor = self.residual(convolve_joined(self.join, skip, self.enlarge(self.narrow(below))))
        return result
