"""Losses that compare the synthetic image with the target voxel by voxel. Always computed in float32."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recontrast.losses import LOSSES


@LOSSES.register("mse")
class MeanSquaredError(nn.Module):
    """Mean squared error, over the mask where one is given.

    Example:
        >>> MeanSquaredError()(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 3.0)).item()
        9.0
    """

    def forward(self, reference: Tensor, estimate: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mean of `(estimate - reference)**2`.

        Args:
            reference: The target, (B, C, I, J[, K]).
            estimate: The synthetic image, same shape.
            mask: Voxels that count (non-zero), same shape or one channel; None: all. An empty mask gives 0.
        """
        return mean_inside(difference(reference, estimate).square(), mask)


@LOSSES.register("l1")
class MeanAbsoluteError(nn.Module):
    """Mean absolute error, over the mask where one is given.

    Example:
        >>> MeanAbsoluteError()(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), -3.0)).item()
        3.0
    """

    def forward(self, reference: Tensor, estimate: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mean of `|estimate - reference|`; arguments as for `MeanSquaredError`."""
        return mean_inside(difference(reference, estimate).abs(), mask)


def difference(reference: Tensor, estimate: Tensor) -> Tensor:
    """Synthetic image minus target, float32.

    Raises:
        ValueError: Their shapes differ.
    """
    if reference.shape != estimate.shape:
        raise ValueError(f"reference {tuple(reference.shape)} and estimate {tuple(estimate.shape)} differ in shape")
    return estimate.float() - reference.float()


def mean_inside(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of values over a mask (non-zero), of the same shape or of one channel; None: all. An empty mask gives 0."""
    if mask is None:
        return values.mean()
    weight = (mask != 0).to(values.dtype).expand_as(values)
    return (values * weight).sum() / torch.clamp(weight.sum(), min=1.0)
