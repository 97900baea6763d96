"""UNIT: encoders of two contrasts meet in one latent space, whose blocks they share, and decoders lead out of it.

M.-Y. Liu, T. Breuel, J. Kautz, Unsupervised image-to-image translation networks, NIPS 2017. A network here is one way
through it, source to target: encoder of the source, shared blocks, decoder of the target. `back` makes the two
other halves; the shared blocks exist once, and each contrast goes through them by itself. The layers follow
the table in the facts about Grant-Jacob 2021 (7 wide ends, two strided convolutions, residual blocks of width 3).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from recontrast.errors import ConfigError, UnknownNameError
from recontrast.models import MODELS
from recontrast.models.blocks import (
    CONVOLUTION,
    TRANSPOSED,
    ResidualBlock,
    centred,
    framed,
    from_centred,
    in_float32,
    norm_layer,
    require_spatial_dims,
    unframed,
)

UPSAMPLINGS = ("transpose", "resize")
"""transpose: transposed convolution of width 3, instance norm; resize: nearest neighbour, convolution of width 5,
layer norm."""


@MODELS.register("unit")
class Unit(nn.Module):
    """One way through a UNIT, for slices (2D) and volumes (3D); ends in tanh.

    Input of any size: its edge is repeated on all sides up to a multiple of `2**downs`, and the result is cut back.
    Images are on the scale [0, 1]; inside the network works in [-1, 1]. In training the latent image gets Gaussian
    noise of unit variance (the variational part), when used none.

    Args:
        in_channels: Channels of the source (contrasts, times slices in 2.5D).
        out_channels: Channels of the result.
        spatial_dims: 2 or 3.
        width: Channels of the first convolution; doubled with every halving of the resolution.
        downs: How many times the resolution is halved.
        private: Residual blocks of each encoder, and of each decoder, that belong to one contrast.
        shared: Residual blocks before, and again after, the latent image that both contrasts share.
        kernel: Width of the strided convolutions, 3 or 4.
        upsampling: transpose or resize.

    Raises:
        ConfigError: An option is out of range.

    Example:
        >>> Unit(width=4, private=1, shared=1)(torch.zeros(1, 1, 17, 19)).shape
        torch.Size([1, 1, 17, 19])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        spatial_dims: int = 2,
        width: int = 64,
        downs: int = 2,
        private: int = 3,
        shared: int = 2,
        kernel: int = 3,
        upsampling: str = "transpose",
    ) -> None:
        super().__init__()
        dims = require_spatial_dims(spatial_dims)
        if min(in_channels, out_channels, width, downs) < 1 or min(private, shared) < 0 or kernel not in (3, 4):
            raise ConfigError(
                "UNIT needs in_channels, out_channels, width and downs of at least 1, no negative number of blocks "
                f"and a kernel of 3 or 4; got {in_channels}, {out_channels}, {width}, {downs}, private {private}, "
                f"shared {shared}, kernel {kernel}"
            )
        if upsampling not in UPSAMPLINGS:
            raise UnknownNameError.among("upsampling of UNIT", upsampling, UPSAMPLINGS)
        channels = [width * 2**level for level in range(downs + 1)]
        self.multiple, self.least = 2**downs, 2 ** (downs + 1)
        self.layers = (channels, private, kernel, upsampling, dims)
        self.encoder = _encoder(in_channels, *self.layers[:3], dims)
        self.shared_encoder = nn.Sequential(*(ResidualBlock(channels[-1], "instance", dims) for _ in range(shared)))
        self.shared_decoder = nn.Sequential(*(ResidualBlock(channels[-1], "instance", dims) for _ in range(shared)))
        self.decoder = _decoder(out_channels, *self.layers)
        _he_normal(self)

    def back(self, target_channels: int, source_channels: int) -> tuple[nn.Module, nn.Module]:
        """An encoder of the target and a decoder of the source, for the same shared blocks.

        Args:
            target_channels: Channels of the target.
            source_channels: Channels of the source.
        """
        channels, private, kernel, upsampling, dims = self.layers
        encoder = _encoder(target_channels, channels, private, kernel, dims)
        decoder = _decoder(source_channels, channels, private, kernel, upsampling, dims)
        for module in (encoder, decoder):
            _he_normal(module)
        return encoder, decoder

    def encode(self, image: Tensor, encoder: nn.Module) -> Tensor:
        """Mean of the latent image, (B, width * 2**downs, I', J'[, K']), of an image on the scale [0, 1].

        Args:
            image: (B, C, I, J[, K]).
            encoder: `self.encoder`, or the other contrast's.
        """
        latent: Tensor = self.shared_encoder(encoder(centred(framed(image, self.multiple, self.least))))
        return latent

    def decode(self, latent: Tensor, decoder: nn.Module, size: torch.Size) -> Tensor:
        """Image of spatial size `size`, float32 on the scale [0, 1], of a latent image; noise is added in training.

        Args:
            latent: What `encode` gave.
            decoder: `self.decoder`, or the other contrast's.
            size: Spatial size of the encoded image.
        """
        if self.training:
            latent = latent + torch.randn_like(latent)
        features = decoder[:-1](self.shared_decoder(latent))  # type: ignore[index]
        result: Tensor = from_centred(in_float32(decoder[-1], features).tanh())  # type: ignore[index]
        return unframed(result, size)

    def forward(self, source: Tensor) -> Tensor:
        """Translate (B, in_channels, I, J[, K]) to float32 (B, out_channels, I, J[, K])."""
        return self.decode(self.encode(source, self.encoder), self.decoder, source.shape[2:])


class _Step(nn.Module):
    """Convolution, norm and ReLU; before it, nearest-neighbour upsampling where asked for."""

    def __init__(self, layer: nn.Module, norm: nn.Module, enlarge: bool = False) -> None:
        super().__init__()
        self.layer, self.norm, self.enlarge = layer, norm, enlarge

    def forward(self, image: Tensor) -> Tensor:
        if self.enlarge:
            image = functional.interpolate(image, scale_factor=2.0, mode="nearest")
        return functional.relu(self.norm(self.layer(image)), inplace=True)


def _encoder(in_channels: int, channels: list[int], private: int, kernel: int, dims: int) -> nn.Sequential:
    def step(before: int, after: int, width: int, stride: int, padding: int) -> _Step:
        layer = CONVOLUTION[dims](before, after, width, stride, padding, padding_mode="reflect")
        return _Step(layer, norm_layer("instance", after, dims, learned=False))

    return nn.Sequential(
        step(in_channels, channels[0], 7, 1, 3),
        *(step(channels[n], channels[n + 1], kernel, 2, 1) for n in range(len(channels) - 1)),
        *(ResidualBlock(channels[-1], "instance", dims) for _ in range(private)),
    )


def _decoder(
    out_channels: int, channels: list[int], private: int, kernel: int, upsampling: str, dims: int
) -> nn.Sequential:
    steps = []
    for before, after in zip(reversed(channels[1:]), reversed(channels[:-1]), strict=True):
        if upsampling == "resize":
            layer: nn.Module = CONVOLUTION[dims](before, after, 5, 1, 2, padding_mode="replicate")
            steps.append(_Step(layer, norm_layer("layer", after, dims), enlarge=True))
        else:
            layer = TRANSPOSED[dims](before, after, kernel, 2, 1, output_padding=kernel % 2)
            steps.append(_Step(layer, norm_layer("instance", after, dims, learned=False)))
    return nn.Sequential(
        *(ResidualBlock(channels[-1], "instance", dims) for _ in range(private)),
        *steps,
        CONVOLUTION[dims](channels[0], out_channels, 7, 1, 3, padding_mode="reflect"),
    )


def _he_normal(module: nn.Module) -> None:
    """K. He et al., Delving deep into rectifiers, ICCV 2015, equation 10."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
