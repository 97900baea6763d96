"""PatchGAN: a discriminator that judges overlapping patches, one value each.

P. Isola et al., Image-to-image translation with conditional adversarial networks, CVPR 2017, section 3.3. With
three strided layers a value sees 70 x 70 voxels (2,764,609 parameters for a source and a target of one channel).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from recontrast.errors import ConfigError
from recontrast.models import DISCRIMINATORS
from recontrast.models.blocks import CONVOLUTION, framed, gaussian_init, in_float32, norm_layer, require_spatial_dims


@DISCRIMINATORS.register("patchgan")
class PatchGAN(nn.Module):
    """Patch discriminator for slices (2D) and volumes (3D); gives logits.

    Strided layers (`width`, doubled up to `8 * width`), then `straight` layers of stride 1, then the head, which has
    one channel. All but first and head are normalised; LeakyReLU 0.2 between them. `strided=0` gives the PixelGAN:
    three layers of width 1 that judge voxels.

    Args:
        in_channels: Channels judged together (source and target where conditional).
        spatial_dims: 2 or 3.
        width: Channels of the first layer.
        strided: Number of layers of stride 2 (1: 16 x 16 patches, 3: 70 x 70, 5: 286 x 286).
        straight: Number of layers of stride 1 before the head.
        head_stride: Stride of the head.
        kernel: Width of the layers, 3 or 4.
        norm: batch_of_one (what "batch" is for single images), batch, instance or none.
        slope: Slope of LeakyReLU below zero; 0 gives ReLU.

    Raises:
        ConfigError: An option is out of range.

    Example:
        >>> import torch
        >>> PatchGAN(in_channels=2, width=4)(torch.zeros(1, 2, 256, 256)).shape
        torch.Size([1, 1, 30, 30])
    """

    def __init__(
        self,
        *,
        in_channels: int = 2,
        spatial_dims: int = 2,
        width: int = 64,
        strided: int = 3,
        straight: int = 1,
        head_stride: int = 1,
        kernel: int = 4,
        norm: str = "batch_of_one",
        slope: float = 0.2,
    ) -> None:
        super().__init__()
        dims = require_spatial_dims(spatial_dims)
        if min(in_channels, width, head_stride) < 1 or min(strided, straight) < 0 or kernel not in (3, 4):
            raise ConfigError(
                "the patch discriminator needs in_channels, width and head_stride of at least 1, no negative number "
                f"of layers and a kernel of 3 or 4; got {in_channels}, {width}, {head_stride}, strided {strided}, "
                f"straight {straight}, kernel {kernel}"
            )
        learned = norm in ("batch", "batch_of_one")
        strides = [2] * strided + [1] * straight if strided else [1, 1]
        size = kernel if strided else 1
        channels = [width * min(2**level, 8) for level in range(len(strides))]
        self.slope = slope
        self.least = (2 + straight) * 2**strided if strided else 1
        self.layers = nn.ModuleList()
        self.norms = nn.ModuleList()
        for level, (before, after) in enumerate(zip([in_channels, *channels[:-1]], channels, strict=True)):
            normed = level > 0 and norm != "none"
            biased = not (normed and learned)
            self.layers.append(CONVOLUTION[dims](before, after, size, strides[level], size // 3, bias=biased))
            self.norms.append(norm_layer(norm if normed else "none", after, dims, learned=learned))
        self.head = CONVOLUTION[dims](channels[-1], 1, size, head_stride if strided else 1, size // 3)
        gaussian_init(self)

    def forward(self, image: Tensor) -> Tensor:
        """Logits, float32 (B, 1, I', J'[, K']), of images (B, in_channels, I, J[, K]).

        An image that is smaller than a patch can be is continued at its edges.
        """
        image = framed(image, 1, self.least)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            image = functional.leaky_relu(norm(layer(image)), self.slope, inplace=True)
        return in_float32(self.head, image)
