"""The residual generator of CycleGAN: wide convolutions at both ends, residual blocks at a quarter of the resolution.

J. Johnson et al., Perceptual losses for real-time style transfer, ECCV 2016; J.-Y. Zhu et al., Unpaired
image-to-image translation using cycle-consistent adversarial networks, ICCV 2017, appendix. With 9 blocks it has
11,365,633 parameters for one contrast.
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
    framed,
    from_centred,
    gaussian_init,
    in_float32,
    norm_layer,
    require_spatial_dims,
    unframed,
)


@MODELS.register("resnet")
class ResNet(nn.Module):
    """Residual generator for slices (2D) and volumes (3D); ends in tanh.

    Input of any size: its edge is repeated on all sides up to a multiple of `2**downs`, and the result is cut back.
    Images are on the scale [0, 1]; inside the network works in [-1, 1], as published.

    Args:
        in_channels: Channels of the source (contrasts, times slices in 2.5D).
        out_channels: Channels of the result.
        spatial_dims: 2 or 3.
        width: Channels of the first convolution; doubled with every halving of the resolution.
        blocks: Number of residual blocks (published: 9, 6 for 128 voxels; 5 here too).
        downs: How many times the resolution is halved.
        norm: instance (published), batch_of_one, batch or none.
        dropout: Rate inside the residual blocks, in training only.

    Raises:
        ConfigError: An option is out of range.

    Example:
        >>> import torch
        >>> ResNet(width=4, blocks=1)(torch.zeros(1, 1, 17, 19)).shape
        torch.Size([1, 1, 17, 19])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        spatial_dims: int = 2,
        width: int = 64,
        blocks: int = 9,
        downs: int = 2,
        norm: str = "instance",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        dims = require_spatial_dims(spatial_dims)
        if min(in_channels, out_channels, width, blocks, downs) < 1 or not 0 <= dropout < 1:
            raise ConfigError(
                "the residual generator needs in_channels, out_channels, width, blocks and downs of at least 1 and a "
                f"dropout in [0, 1); got {in_channels}, {out_channels}, {width}, {blocks}, {downs} and {dropout}"
            )
        learned = norm in ("batch", "batch_of_one")
        biased = not learned
        channels = [width * 2**level for level in range(downs + 1)]
        self.multiple, self.least = 2**downs, 2 ** (downs + 1)  # two voxels are the least that can be reflected
        self.first = CONVOLUTION[dims](in_channels, width, 7, padding=3, padding_mode="reflect", bias=biased)
        self.first_norm = norm_layer(norm, width, dims, learned=learned)
        self.down = nn.ModuleList(
            CONVOLUTION[dims](channels[n], channels[n + 1], 3, 2, 1, bias=biased) for n in range(downs)
        )
        self.down_norm = nn.ModuleList(norm_layer(norm, size, dims, learned=learned) for size in channels[1:])
        self.blocks = nn.Sequential(
            *(ResidualBlock(channels[-1], norm, dims, learned=learned, dropout=dropout) for _ in range(blocks))
        )
        self.up = nn.ModuleList(
            TRANSPOSED[dims](channels[n + 1], channels[n], 3, 2, 1, output_padding=1, bias=biased)
            for n in reversed(range(downs))
        )
        self.up_norm = nn.ModuleList(norm_layer(norm, size, dims, learned=learned) for size in reversed(channels[:-1]))
        self.head = CONVOLUTION[dims](width, out_channels, 7, padding=3, padding_mode="reflect")
        gaussian_init(self)

    def forward(self, source: Tensor) -> Tensor:
        """Translate (B, in_channels, I, J[, K]) to float32 (B, out_channels, I, J[, K])."""
        features = centred(framed(source, self.multiple, self.least))
        features = functional.relu(self.first_norm(self.first(features)), inplace=True)
        for down, norm in zip(self.down, self.down_norm, strict=True):
            features = functional.relu(norm(down(features)), inplace=True)
        features = self.blocks(features)
        for up, norm in zip(self.up, self.up_norm, strict=True):
            features = functional.relu(norm(up(features)), inplace=True)
        result: Tensor = from_centred(in_float32(self.head, features).tanh())
        return unframed(result, source.shape[2:])
