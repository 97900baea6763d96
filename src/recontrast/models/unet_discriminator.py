"""A discriminator like a U-Net: for every voxel, at several resolutions, whether the image is acquired or synthetic.

A. Hagiwara et al., AJNR Am J Neuroradiol 40:224, 2019. The paper says in words: U-Net-like, batch normalisation and
ELU, judgements voxel by voxel at different resolutions with the same weight. Depth, widths and heads are our choice.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from recontrast.errors import ConfigError
from recontrast.models import DISCRIMINATORS
from recontrast.models.blocks import CONVOLUTION, in_float32, norm_layer, require_spatial_dims


@DISCRIMINATORS.register("unet_discriminator")
class UNetDiscriminator(nn.Module):
    """Encoder, decoder with skips, and one head of width 1 at the bottleneck and at every level of the decoder.

    Level n has `width * 2**n` channels: two convolutions of width 3. A convolution of width 4 and stride 2 halves the
    resolution; on the way up the image is repeated to the size of the skip, joined with it and convolved. All but the
    heads are followed by a norm and ELU. 2,830,276 parameters for one channel.

    Args:
        in_channels: Channels judged together: the image, and its source where conditional.
        spatial_dims: 2 or 3.
        width: Channels of the full resolution.
        downs: How many times the resolution is halved; there are `downs + 1` maps.
        norm: batch (as in the paper), batch_of_one, instance or none.

    Raises:
        ConfigError: An option is out of range.

    Example:
        >>> judged = UNetDiscriminator(in_channels=1, width=4)(torch.zeros(2, 1, 32, 48))
        >>> [tuple(logits.shape[2:]) for logits in judged]
        [(4, 6), (8, 12), (16, 24), (32, 48)]
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        spatial_dims: int = 2,
        width: int = 32,
        downs: int = 3,
        norm: str = "batch",
    ) -> None:
        super().__init__()
        dims = require_spatial_dims(spatial_dims)
        if min(in_channels, width, downs) < 1:
            raise ConfigError(
                "in_channels, width and downs of the U-Net discriminator must be at least 1, "
                f"got {in_channels}, {width} and {downs}"
            )
        channels = [width * 2**level for level in range(downs + 1)]
        self.levels = nn.ModuleList(
            nn.Sequential(
                _Convolved(in_channels if level == 0 else count, count, 3, 1, norm, dims),
                _Convolved(count, count, 3, 1, norm, dims),
            )
            for level, count in enumerate(channels)
        )
        self.halvings = nn.ModuleList(_Convolved(above, below, 4, 2, norm, dims) for above, below in pairwise(channels))
        self.joins = nn.ModuleList(
            _Convolved(above + below, above, 3, 1, norm, dims) for above, below in reversed(list(pairwise(channels)))
        )
        self.heads = nn.ModuleList(CONVOLUTION[dims](count, 1, 1) for count in reversed(channels))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Logits from the coarsest to the full resolution, float32 (B, 1, I', J'[, K']); every size is at least 8."""
        features, skips = image, []
        for level, convolve in enumerate(self.levels):
            features = convolve(self.halvings[level - 1](features) if level else features)
            skips.append(features)
        judged = [in_float32(self.heads[0], features)]
        for join, head, skip in zip(self.joins, self.heads[1:], reversed(skips[:-1]), strict=True):
            enlarged = functional.interpolate(features, size=skip.shape[2:], mode="nearest")
            features = join(torch.cat([enlarged, skip], dim=1))
            judged.append(in_float32(head, features))
        return judged


class _Convolved(nn.Module):
    """Convolution, norm, ELU."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, norm: str, dims: int) -> None:
        super().__init__()
        self.layer = CONVOLUTION[dims](before, after, kernel, stride, 1, bias=norm == "none")
        self.norm = norm_layer(norm, after, dims)
        nn.init.kaiming_uniform_(self.layer.weight, nonlinearity="relu")

    def forward(self, image: Tensor) -> Tensor:
        return functional.elu(self.norm(self.layer(image)), inplace=True)
