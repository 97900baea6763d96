"""Absolute errors that count more in some places: a term of the loss beside `l1`. Always computed in float32."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recontrast.errors import ConfigError
from recontrast.losses import LOSSES
from recontrast.losses.reconstruction import difference, mean_inside


@LOSSES.register("edges")
class EdgeError(nn.Module):
    """Absolute error times how steep the target is, over the mask where one is given.

    As a term of weight w beside `l1`, a voxel of the steepest edges counts 1 + w times, one of a flat place once.

    Args:
        full: Steepness from which a voxel counts fully, in parts of the scale a voxel; below it counts in proportion.

    Raises:
        ConfigError: `full` is not positive.

    Example:
        >>> ramp = torch.linspace(0, 0.7, 8).expand(1, 1, 8, 8)  # 0.1 a voxel
        >>> round(EdgeError(full=0.2)(ramp, ramp + 1).item(), 3)
        0.5
    """

    def __init__(self, *, full: float = 0.2) -> None:
        super().__init__()
        if not full > 0:
            raise ConfigError(f"loss edges: full is {full}, it must be positive")
        self.full = full

    def forward(self, reference: Tensor, estimate: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mean of `|estimate - reference|` times the steepness.

        Args:
            reference: The target on the scale [0, 1], (B, C, I, J[, K]).
            estimate: The synthetic image, same shape.
            mask: Voxels that count (non-zero), same shape or one channel; None: all. An empty mask gives 0.
        """
        error = difference(reference, estimate).abs()
        slopes = torch.gradient(reference.float(), dim=list(range(2, reference.ndim)))
        steepness = torch.stack(slopes).square().sum(0).sqrt()
        return mean_inside(error * (steepness / self.full).clamp(max=1), mask)


@LOSSES.register("lesions")
class LesionError(nn.Module):
    """Absolute error of the voxels of lesions, over the mask where one is given.

    As a term of weight w beside `l1`, a voxel of a lesion counts 1 + w times, whatever the size of lesions: the sum is
    divided by all voxels of the mask.

    Example:
        >>> lesion = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
        >>> LesionError()(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2), lesion=lesion).item()
        0.25
    """

    of_lesions = True

    def forward(
        self, reference: Tensor, estimate: Tensor, mask: Tensor | None = None, *, lesion: Tensor | None = None
    ) -> Tensor:
        """Sum of `|estimate - reference|` in lesions, divided by the voxels of the mask.

        Args:
            reference: The target, (B, C, I, J[, K]).
            estimate: The synthetic image, same shape.
            mask: Voxels that count (non-zero), same shape or one channel; None: all. An empty mask gives 0.
            lesion: Voxels of lesions (non-zero), like the mask; None: there are none.
        """
        error = difference(reference, estimate).abs()
        return mean_inside(error * (lesion != 0) if lesion is not None else error * 0, mask)
