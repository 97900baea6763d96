"""A discriminator that judges large patches of an image, each with one number.

S. Bottani et al., BMC Med Imaging 24:67, 2024: patches of 64 x 64 x 64 voxels, 286,625 parameters for a source and a
target of one channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product

import torch
from torch import Tensor, nn
from torch.nn import functional

from recontrast.errors import ConfigError
from recontrast.models import DISCRIMINATORS
from recontrast.models.blocks import CONVOLUTION, framed, gaussian_init, in_float32, require_spatial_dims

_AVERAGE = {2: functional.adaptive_avg_pool2d, 3: functional.adaptive_avg_pool3d}


@DISCRIMINATORS.register("averaged_patch")
class AveragedPatch(nn.Module):
    """Patch discriminator for slices (2D) and volumes (3D); one logit a patch, without any norm.

    Strided convolutions of width 3, LeakyReLU 0.2, then a convolution of width 4 to one channel, averaged over the
    patch. Patches start at 0, `stride`, 2 `stride` …, as far as they lie in the image. With the published stride of
    50 an image of 128 voxels gives the starts 0 and 50, and 29.4 % of the voxels are never judged; stride 64 covers it
    exactly. In training patches of the same starts are cut from source and image.

    Args:
        in_channels: Channels judged together (source and image where conditional).
        spatial_dims: 2 or 3.
        width: Channels of the first layer, doubled in each of the next.
        layers: Number of strided convolutions.
        patch: Voxels of a patch along each axis; 0: the whole image is one patch.
        stride: Voxels between the starts of patches; 0: `patch`.

    Raises:
        ConfigError: An option is out of range.

    Example:
        >>> AveragedPatch(spatial_dims=3, width=2, patch=32)(torch.zeros(1, 2, 64, 32, 32)).shape
        torch.Size([1, 2])
    """

    def __init__(
        self,
        *,
        in_channels: int = 2,
        spatial_dims: int = 2,
        width: int = 32,
        layers: int = 3,
        patch: int = 64,
        stride: int = 0,
    ) -> None:
        super().__init__()
        dims = require_spatial_dims(spatial_dims)
        if min(in_channels, width, layers) < 1 or min(patch, stride) < 0:
            raise ConfigError(
                "the discriminator averaged_patch needs in_channels, width and layers of at least 1, patch and stride "
                f"of at least 0; got {in_channels}, {width}, {layers}, {patch} and {stride}"
            )
        channels = [width * 2**level for level in range(layers)]
        self.patch, self.stride = patch, stride or patch
        self.least = 4 * 2**layers
        self.layers = nn.ModuleList(CONVOLUTION[dims](*sizes, 3, 2, 1) for sizes in pairwise([in_channels, *channels]))
        self.head = CONVOLUTION[dims](channels[-1], 1, 4)
        gaussian_init(self)

    def forward(self, image: Tensor) -> Tensor:
        """Logits, float32 (B, P) for P patches, of images (B, in_channels, I, J[, K]).

        An image that is smaller than a patch is one patch; where it is too small, it is continued at its edges.
        """
        patches = [self._cut(image, starts) for starts in self.starts(image.shape[2:])]
        features = framed(torch.cat(patches), 1, self.least)
        for layer in self.layers:
            features = functional.leaky_relu(layer(features), 0.2, inplace=True)
        judged = in_float32(self.head, features)
        return _AVERAGE[judged.ndim - 2](judged, 1).view(len(patches), len(image)).T

    def starts(self, size: Sequence[int]) -> list[tuple[int, ...]]:
        """First voxels of the patches of an image of spatial size `size`.

        >>> AveragedPatch(stride=50).starts((128, 128))
        [(0, 0), (0, 50), (50, 0), (50, 50)]
        """
        along = [range(0, max(1, length - self.patch + 1), self.stride) if self.patch else (0,) for length in size]
        return list(product(*along))

    def _cut(self, image: Tensor, starts: Sequence[int]) -> Tensor:
        for axis, start in enumerate(starts, start=2):
            length = min(self.patch or image.shape[axis], image.shape[axis] - start)
            image = image.narrow(axis, start, length)
        return image
