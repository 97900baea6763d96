"""Structural similarity as a loss: Z. Wang et al., IEEE Trans Image Process 13:600, 2004. Always in float32."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recontrast.errors import ConfigError
from recontrast.losses import LOSSES
from recontrast.losses.reconstruction import difference, mean_inside
from recontrast.metrics.windows import band, weights_of


@LOSSES.register("ssim")
class SsimLoss(nn.Module):
    """One minus the mean SSIM, over the mask where one is given.

    The same map as the metric (`recontrast.metrics.structure.ssim_map`: Gaussian of 1.5 voxels, cut at 5, the image
    mirrored at its border), to 1e-4 at each voxel. The window spans all axes of what the network sees: slices are
    compared in the plane, volumes in all directions.

    Args:
        data_range: Width of the scale of the images; targets of a training are scaled to [0, 1].
        k1: Constant of the luminance term.
        k2: Constant of the contrast term.

    Raises:
        ConfigError: An option is not positive.

    Example:
        >>> SsimLoss()(torch.ones(1, 1, 12, 12), torch.ones(1, 1, 12, 12)).item()
        0.0
    """

    def __init__(self, *, data_range: float = 1.0, k1: float = 0.01, k2: float = 0.03) -> None:
        super().__init__()
        if min(data_range, k1, k2) <= 0:
            raise ConfigError(f"loss ssim: data_range {data_range}, k1 {k1} and k2 {k2} must be positive")
        self.first, self.second = 2 * (k1 * data_range) ** 2, 2 * (k2 * data_range) ** 2

    def forward(self, reference: Tensor, estimate: Tensor, mask: Tensor | None = None) -> Tensor:
        """One minus the mean of `ssim_map`.

        Args:
            reference: The target, (B, C, I, J[, K]).
            estimate: The synthetic image, same shape.
            mask: Voxels that count (non-zero), same shape or one channel; None: all. An empty mask gives 0.
        """
        return mean_inside(1 - self.map(reference, estimate), mask)

    def map(self, reference: Tensor, estimate: Tensor) -> Tensor:
        """SSIM of the neighbourhood of each voxel, float32 of the images' shape."""
        # Difference and sum in place of the two images: four filters, and no cancellation (see the metric).
        images = torch.stack([difference(reference, estimate), estimate.float() + reference.float()])
        mean, square = _smooth(images).square(), _smooth(images.square())
        variance = (square - mean).clamp(min=0)
        luminance = 1 - 2 * mean[0] / (mean[1] + mean[0] + self.first)
        return luminance * (1 - 2 * variance[0] / (variance[1] + variance[0] + self.second))


def _smooth(images: Tensor) -> Tensor:
    """Gaussian mean along all axes but the first three: a product with a banded matrix along each."""
    for axis in range(3, images.ndim):
        rows = torch.tensor(band(images.shape[axis], weights_of("gaussian11"), "float32", "symmetric"))
        rows = rows.to(images.device)
        images = (images.movedim(axis, -1) @ rows.T).movedim(-1, axis)
    return images
