"""The U-Net of pix2pix: convolutions of width 4 and stride 2 down to a few voxels, and back with skip connections.

P. Isola et al., Image-to-image translation with conditional adversarial networks, CVPR 2017, section 3.2 and appendix.
With 8 steps down it is the generator of the preset `tagawa2025` (54,407,809 parameters), with 9 that of
`grantjacob2021-pix2pix` (66,992,769).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from recontrast.errors import ConfigError, UnknownNameError
from recontrast.models import MODELS
from recontrast.models.blocks import (
    ACTIVATIONS,
    CONVOLUTION,
    TRANSPOSED,
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
from recontrast.models.dropout import relu_dropout

_DROPPED = 5
"""Dropout stands on the way up above the innermost step, in all but the five outermost and innermost of the steps."""


@MODELS.register("pix2pix_unet")
class Pix2PixUNet(nn.Module):
    """U-Net for slices (2D) and volumes (3D) whose every step halves, and on the way back doubles, the resolution.

    Channels double from `width` to at most `8 * width`. Input of any size: its edge is repeated on all sides up to a
    multiple of `2**downs`, and the result is cut back. Images are on the scale [0, 1]; inside the network works in
    [-1, 1], as published.

    Args:
        in_channels: Channels of the source (contrasts, times slices in 2.5D).
        out_channels: Channels of the result.
        spatial_dims: 2 or 3.
        width: Channels of the first step.
        downs: Number of steps: 7, 8 and 9 for 128, 256 and 512 voxels; smaller for small images.
        norm: batch, batch_of_one (what "batch" is when trained on single images), instance or none.
        dropout: Rate in the steps of full width on the way up, but the innermost (published: 0.5).
        dropout_at_test: Keep dropout when the network is used: every result is then a different sample.
        noise_channels: Channels of Gaussian noise beside the source in training; zeros (its mean) when used.
        activation: What ends the network: tanh (the whole scale), or linear.

    Raises:
        ConfigError: An option is out of range.

    Example:
        >>> network = Pix2PixUNet(in_channels=2, width=4, downs=3)
        >>> network(torch.zeros(1, 2, 17, 19)).shape
        torch.Size([1, 1, 17, 19])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        spatial_dims: int = 2,
        width: int = 64,
        downs: int = 8,
        norm: str = "batch_of_one",
        dropout: float = 0.5,
        dropout_at_test: bool = False,
        noise_channels: int = 0,
        activation: str = "tanh",
    ) -> None:
        super().__init__()
        dims = require_spatial_dims(spatial_dims)
        if min(in_channels, out_channels, width) < 1 or downs < 2 or noise_channels < 0:
            raise ConfigError(
                "the pix2pix U-Net needs at least 1 channel, width 1, 2 downs and no negative noise_channels; got "
                f"in_channels {in_channels}, out_channels {out_channels}, width {width}, downs {downs}, "
                f"noise_channels {noise_channels}"
            )
        if not 0 <= dropout < 1:
            raise ConfigError(f"dropout of the pix2pix U-Net must be at least 0 and below 1, got {dropout}")
        if activation not in ("tanh", "linear"):
            raise UnknownNameError.among("activation of the pix2pix U-Net", activation, ("tanh", "linear"))
        channels = [width * min(2**level, 8) for level in range(downs)]
        self.downs, self.noise_channels = downs, noise_channels
        self.dropout, self.dropout_at_test = dropout, dropout_at_test
        biased = norm in ("instance", "none")  # a norm with a shift of its own makes the bias idle
        learned = norm != "instance"
        before = [in_channels + noise_channels, *channels[:-1]]
        self.down = nn.ModuleList(
            CONVOLUTION[dims](first, second, 4, 2, 1, bias=biased)
            for first, second in zip(before, channels, strict=True)
        )
        self.down_norm = nn.ModuleList(
            norm_layer(norm, channels[level], dims, learned=learned) for level in range(1, downs - 1)
        )
        inward = [2 * size for size in channels[:-1]] + [channels[-1]]
        self.up = nn.ModuleList(
            TRANSPOSED[dims](inward[level], channels[level - 1], 4, 2, 1, bias=biased) for level in range(1, downs)
        )
        self.up_norm = nn.ModuleList(
            norm_layer(norm, channels[level - 1], dims, learned=learned) for level in range(1, downs)
        )
        self.skips = nn.ModuleList(nn.Identity() for _ in channels[:-1])
        self.head = TRANSPOSED[dims](inward[0], out_channels, 4, 2, 1)
        self.activation = ACTIVATIONS[activation]()
        gaussian_init(self)

    def forward(self, source: Tensor) -> Tensor:
        """Translate (B, in_channels, I, J[, K]) to float32 (B, out_channels, I, J[, K])."""
        features = self._with_noise(centred(framed(source, 2**self.downs)))
        skipped = []
        for level, down in enumerate(self.down):
            features = halve(features if level == 0 else functional.leaky_relu(features, 0.2), down)
            if 0 < level < self.downs - 1:
                features = self.down_norm[level - 1](features)
            skipped.append(features)
        inner = functional.relu(skipped.pop())
        dropping = self.training or self.dropout_at_test
        for level in range(self.downs - 1, 0, -1):
            above = self.up_norm[level - 1](double(inner, self.up[level - 1]))
            dropped = _DROPPED <= level + 1 < self.downs
            above = relu_dropout(above, self.dropout if dropped else 0.0, dropping)
            skip = self.skips[level - 1](functional.relu(skipped.pop()))
            inner = torch.cat([skip, above], dim=1)
        result: Tensor = from_centred(self.activation(in_float32(self.head, inner)))
        return unframed(result, source.shape[2:])

    def _with_noise(self, image: Tensor) -> Tensor:
        if not self.noise_channels:
            return image
        shape = (image.shape[0], self.noise_channels, *image.shape[2:])
        noise = torch.randn(shape, device=image.device) if self.training else torch.zeros(shape, device=image.device)
        return torch.cat([image, noise.to(image.dtype)], dim=1)
