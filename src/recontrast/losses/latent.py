"""Losses on a latent image."""

from __future__ import annotations

from torch import Tensor


def unit_gaussian(mean: Tensor) -> Tensor:
    """How far a latent image is from the standard normal distribution, when its own variance is one.

    The Kullback-Leibler divergence of N(mean, 1) from N(0, 1) is `mean**2 / 2` a value; like the published UNIT this
    takes the mean of the squares, without the half. M.-Y. Liu et al., NIPS 2017, equation 3.

    Args:
        mean: Any shape.

    Example:
        >>> import torch
        >>> unit_gaussian(torch.tensor([1.0, 3.0])).item()
        5.0
    """
    return mean.float().square().mean()
