"""Patch discriminators on an image and on smaller copies of it.

T.-C. Wang et al., High-resolution image synthesis with conditional GANs, CVPR 2018, section 3.2; the layers are those
that UNIT uses (three scales, four strided convolutions, no norm: 8,265,027 parameters for one channel).
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from recontrast.errors import ConfigError
from recontrast.models import DISCRIMINATORS
from recontrast.models.blocks import CONVOLUTION, framed, gaussian_init, in_float32, norm_layer, require_spatial_dims

_SMALLER = {2: functional.avg_pool2d, 3: functional.avg_pool3d}


@DISCRIMINATORS.register("multiscale_patchgan")
class MultiscalePatchGAN(nn.Module):
    """Several patch discriminators, for slices (2D) and volumes (3D); each sees half the resolution of the one before.

    Args:
        in_channels: Channels judged together.
        spatial_dims: 2 or 3.
        width: Channels of the first layer, doubled with every further one.
        layers: Number of convolutions of width 4 and stride 2; a convolution of width 1 ends each discriminator.
        scales: Number of discriminators.
        norm: none (published), instance, batch_of_one or batch.

    Raises:
        ConfigError: An option is out of range.

    Example:
        >>> import torch
        >>> [map.shape[-1] for map in MultiscalePatchGAN(in_channels=1, width=4)(torch.zeros(1, 1, 64, 64))]
        [4, 2, 1]
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        spatial_dims: int = 2,
        width: int = 64,
        layers: int = 4,
        scales: int = 3,
        norm: str = "none",
    ) -> None:
        super().__init__()
        dims = require_spatial_dims(spatial_dims)
        if min(in_channels, width, layers, scales) < 1:
            raise ConfigError(
                "in_channels, width, layers and scales of the multi-scale discriminator must be at least 1, "
                f"got {in_channels}, {width}, {layers} and {scales}"
            )
        channels = [in_channels, *(width * 2**level for level in range(layers))]
        self.least = 2 ** (layers + scales - 1)
        self.scales = nn.ModuleList(_judge(channels, norm, dims) for _ in range(scales))
        gaussian_init(self)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Logits of each scale, from the full resolution down, float32 (B, 1, I', J'[, K']).

        An image that is too small for the smallest scale is continued at its edges.
        """
        image = framed(image, 1, self.least)
        found = []
        for number, judge in enumerate(self.scales):
            if number:
                image = _SMALLER[image.ndim - 2](image, 3, 2, 1, count_include_pad=False)
            features = judge[:-1](image)  # type: ignore[index]
            found.append(in_float32(judge[-1], features))  # type: ignore[index]
        return found


def _judge(channels: list[int], norm: str, dims: int) -> nn.Sequential:
    steps: list[nn.Module] = []
    for level, (before, after) in enumerate(pairwise(channels)):
        steps.append(CONVOLUTION[dims](before, after, 4, 2, 1))
        steps.append(norm_layer(norm if level else "none", after, dims, learned=False))
        steps.append(nn.LeakyReLU(0.2, inplace=True))
    return nn.Sequential(*steps, CONVOLUTION[dims](channels[-1], 1, 1))
