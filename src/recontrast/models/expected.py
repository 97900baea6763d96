"""What a voxel's own intensities say of the target: the conditional mean over the training voxels, as a table."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from recontrast.errors import ConfigError

LEVELS = {1: 256, 2: 128, 3: 40}
"""Steps of the table along each contrast, by number of contrasts."""

TOP = 1.25
"""Largest scaled intensity the table tells apart; brighter voxels count as this bright."""

_ENOUGH = 50.0
"""Training voxels that carry a cell of the table; where there are fewer its neighbourhood is asked."""


class ExpectedTarget(nn.Module):
    """Mean target of the training voxels that have the same source intensities, with linear interpolation between them.

    Of all functions of the voxel's own intensities it has the least squared error on the training voxels. The cells are
    averaged with their neighbours until `_ENOUGH` voxels stand behind each. Before `fit` it gives zero.

    Args:
        contrasts: Number of source contrasts, 1 to 3.
        slices: Channels of each contrast (2.5D); the middle one is looked at.

    Raises:
        ConfigError: There are more contrasts than a table can hold.

    Example:
        >>> expected = ExpectedTarget(contrasts=1)
        >>> image = torch.linspace(0, 1, 4096).reshape(1, 1, 64, 64)
        >>> expected.fit(image, 1 - image, torch.ones_like(image))
        >>> round(float(expected(torch.full((1, 1, 1, 1), 0.25))), 2)
        0.75
    """

    table: Tensor

    def __init__(self, *, contrasts: int, slices: int = 1) -> None:
        super().__init__()
        if contrasts not in LEVELS:
            raise ConfigError(f"a table of expected targets holds 1 to 3 contrasts, got {contrasts}; use start 'none'")
        self.contrasts, self.slices = contrasts, slices
        self.register_buffer("table", torch.zeros((LEVELS[contrasts],) * contrasts))

    def fit(self, source: Tensor, target: Tensor, mask: Tensor) -> None:
        """Fill the table.

        Args:
            source: (B, contrasts * slices, I, J[, K]), scaled units.
            target: (B, 1, I, J[, K]).
            mask: Voxels that count, like the target; none: the table stays as it is.
        """
        inside = mask[:, 0].bool()
        if not inside.any():
            return
        levels = self.table.shape[0]
        channels = self._looked_at(source).movedim(1, -1)[inside].double().cpu().numpy()
        values = target[:, 0][inside].double().cpu().numpy()
        positions = np.rint(np.clip(channels / TOP, 0, 1) * (levels - 1)).astype(np.intp)
        cells = np.ravel_multi_index(tuple(positions.T), (levels,) * self.contrasts)
        size, shape = levels**self.contrasts, (levels,) * self.contrasts
        count = np.bincount(cells, minlength=size).reshape(shape).astype(np.float64)
        total = np.bincount(cells, values, minlength=size).reshape(shape).astype(np.float64)
        self.table.copy_(torch.from_numpy(_smoothed(total, count).astype(np.float32)))

    def forward(self, source: Tensor) -> Tensor:
        """Expected target, float32 (B, 1, I, J[, K]), of (B, contrasts * slices, I, J[, K])."""
        levels = self.table.shape[0]
        with torch.autocast(source.device.type, enabled=False):
            position = (self._looked_at(source).float() / TOP).clamp(0, 1) * (levels - 1)
            below = position.detach().floor().clamp(max=levels - 2)
            part = position - below
            cell = below.long()
            flat = self.table.reshape(-1)
            result = torch.zeros_like(position[:, :1])
            for corner in range(2**self.contrasts):
                weight, index = torch.ones_like(result), torch.zeros_like(cell[:, :1])
                for axis in range(self.contrasts):
                    upper = corner >> axis & 1
                    own, share = cell[:, axis : axis + 1], part[:, axis : axis + 1]
                    index = index * levels + own + upper
                    weight = weight * (share if upper else 1 - share)
                result = result + weight * flat[index]
        return result

    def _looked_at(self, source: Tensor) -> Tensor:
        """The middle slice of each contrast; channels beyond the contrasts are not looked at."""
        return source[:, self.slices // 2 : self.contrasts * self.slices : self.slices]


def _smoothed(total: NDArray[np.float64], count: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of cells, each over the smallest neighbourhood that holds enough voxels."""
    result = np.full(total.shape, total.sum() / count.sum())
    carried = np.zeros(total.shape, dtype=bool)
    width = 0.5
    while not carried.all() and width < total.shape[0]:
        # Sums over a neighbourhood of about (2 pi width**2)**(d / 2) cells; edges see no voxels beyond them.
        scale = (2 * np.pi * width**2) ** (total.ndim / 2)
        near = [gaussian_filter(part, width, mode="constant") * scale for part in (total, count)]
        new = ~carried & (near[1] >= _ENOUGH)
        result[new] = near[0][new] / near[1][new]
        carried |= new
        width *= 2
    return result
