"""The CycleGAN generator of Grant-Jacob 2021: strided convolutions of width 4 at both ends, residual blocks between.

J. A. Grant-Jacob et al., J Phys Commun 5:095006, 2021. It is not the usual generator of CycleGAN (see `resnet`): it has
no convolutions of width 7, five residual blocks, and batch normalisation. The paper leaves open how many strided
convolutions there are and how wide they are; three (64, 128, 256) is our choice.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from recontrast.errors import ConfigError
from recontrast.models import MODELS
from recontrast.models.blocks import (
    CONVOLUTION,
    TRANSPOSED,
    ResidualBlock,
    centred,
    double,
    framed,
    from_centred,
    gaussian_init,
    halve,
    in_float32,
    norm_layer,
    require_spatial_dims,
    unframed,
)


@MODELS.register("strided_resnet")
class StridedResNet(nn.Module):
    """Generator for slices (2D) and volumes (3D); ends in tanh.

    Input of any size: its edge is repeated on all sides up to a multiple of `2**downs`, and the result is cut back.
    Images are on the scale [0, 1]; inside the network works in [-1, 1].

    Args:
        in_channels: Channels of the source (contrasts, times slices in 2.5D).
        out_channels: Channels of the result.
        spatial_dims: 2 or 3.
        width: Channels after the first convolution; doubled with every further one.
        downs: Number of strided convolutions on either side.
        blocks: Number of residual blocks.
        norm: batch_of_one (batch normalisation of single images), batch, instance or none.

    Raises:
        ConfigError: An option is out of range.

    Example:
        >>> import torch
        >>> StridedResNet(width=4, blocks=1)(torch.zeros(1, 1, 17, 19)).shape
        torch.Size([1, 1, 17, 19])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        spatial_dims: int = 2,
        width: int = 64,
        downs: int = 3,
        blocks: int = 5,
        norm: str = "batch_of_one",
    ) -> None:
        super().__init__()
        dims = require_spatial_dims(spatial_dims)
        if min(in_channels, out_channels, width, downs, blocks) < 1:
            raise ConfigError(
                "in_channels, out_channels, width, downs and blocks of the strided residual generator must be at "
                f"least 1, got {in_channels}, {out_channels}, {width}, {downs} and {blocks}"
            )
        learned = norm in ("batch", "batch_of_one")
        channels = [width * 2**level for level in range(downs)]
        self.multiple, self.least = 2**downs, 2 ** (downs + 1)
        self.down = nn.ModuleList(
            CONVOLUTION[dims](before, after, 4, 2, 1, bias=not learned)
            for before, after in zip([in_channels, *channels[:-1]], channels, strict=True)
        )
        self.down_norm = nn.ModuleList(norm_layer(norm, size, dims, learned=learned) for size in channels)
        self.blocks = nn.Sequential(
            *(ResidualBlock(channels[-1], norm, dims, learned=learned, padding="zeros") for _ in range(blocks))
        )
        self.up = nn.ModuleList(
            TRANSPOSED[dims](channels[n + 1], channels[n], 4, 2, 1, bias=not learned)
            for n in reversed(range(downs - 1))
        )
        self.up_norm = nn.ModuleList(
            norm_layer(norm, channels[n], dims, learned=learned) for n in reversed(range(downs - 1))
        )
        self.head = TRANSPOSED[dims](width, out_channels, 4, 2, 1)
        gaussian_init(self)

    def forward(self, source: Tensor) -> Tensor:
        """Translate (B, in_channels, I, J[, K]) to float32 (B, out_channels, I, J[, K])."""
        features = centred(framed(source, self.multiple, self.least))
        for down, norm in zip(self.down, self.down_norm, strict=True):
            features = functional.relu(norm(halve(features, down)), inplace=True)
        features = self.blocks(features)
        for up, norm in zip(self.up, self.up_norm, strict=True):
            features = functional.relu(norm(double(features, up)), inplace=True)
        result: Tensor = from_centred(in_float32(self.head, features).tanh())
        return unframed(result, source.shape[2:])
