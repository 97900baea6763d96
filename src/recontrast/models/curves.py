"""What a voxel's own intensities say of each target from each subset of sources: sums of curves, by least squares."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from recontrast.errors import ConfigError

MOST = 8
"""Sources of which every subset has its curves."""

KNOTS = 24
"""Places on each curve, evenly from intensity 0 to `TOP`; linear between them."""

TOP = 1.25
"""Largest scaled intensity that is told apart; brighter voxels count as this bright."""

_SMOOTH = 1e-3
"""Weight, a training voxel, of the squared steps between neighbouring knots: where nothing was seen a curve is flat."""


class Curves(nn.Module):
    """For every subset of sources and every target a sum of one curve for each source of the subset.

    Before `fit`, and for subsets and targets that it was not shown, the result is zero.

    Args:
        contrasts: Number of sources.
        targets: Number of targets.

    Raises:
        ConfigError: There are more sources than it holds subsets of.

    Example:
        >>> curves, code = Curves(contrasts=1, targets=1), torch.tensor([1])
        >>> image = torch.linspace(0, 1, 4096).reshape(1, 1, 64, 64)
        >>> curves.fit(image, code, 1 - image, torch.ones_like(image))
        >>> round(float(curves(torch.full((1, 1, 1, 1), 0.25), code)), 2)
        0.75
    """

    heights: Tensor

    def __init__(self, *, contrasts: int, targets: int) -> None:
        super().__init__()
        if contrasts > MOST:
            raise ConfigError(
                f"there are curves for every subset of at most {MOST} sources, got {contrasts}; use start 'none'"
            )
        self.contrasts, self.targets = contrasts, targets
        self.register_buffer("heights", torch.zeros(2**contrasts * targets, contrasts, KNOTS))

    def code(self, there: Tensor, wanted: Tensor) -> Tensor:
        """Number of a subset and a target, (B,), from what is there (B, contrasts) and wanted (B, targets), 1 or 0."""
        subset = (there.long() * 2 ** torch.arange(self.contrasts, device=there.device)).sum(dim=1)
        return subset * self.targets + wanted.long().argmax(dim=1)

    def fit(self, images: Tensor, code: Tensor, target: Tensor, mask: Tensor) -> None:
        """Fit the curves of the codes that occur.

        Args:
            images: (B, contrasts, I, J[, K]), scaled units; absent ones hold zeros.
            code: (B,), see `code`.
            target: (B, 1, I, J[, K]).
            mask: Voxels that count, like the target.
        """
        size = self.contrasts * KNOTS
        step = torch.diff(torch.eye(KNOTS, dtype=torch.float64), dim=0)
        smooth = torch.kron(torch.eye(self.contrasts, dtype=torch.float64), step.T @ step)
        for number in sorted(set(code.tolist())):
            product, right, count = torch.zeros(size, size).double(), torch.zeros(size).double(), 0
            for n in torch.nonzero(code == number).flatten().tolist():
                inside = mask[n, 0].bool()
                below, part = _places(images[n : n + 1][:, :, inside])
                hats = functional.one_hot(below[0], KNOTS) * (1 - part[0, ..., None])
                hats = (hats + functional.one_hot(below[0] + 1, KNOTS) * part[0, ..., None]).movedim(0, 1)
                there = [bool(number // self.targets >> source & 1) for source in range(self.contrasts)]
                features = (hats * hats.new_tensor(there)[:, None]).flatten(1).double().cpu()
                product += features.T @ features
                right += features.T @ target[n, 0][inside].double().cpu()
                count += len(features)
            if count:
                solid = product + count * (_SMOOTH * smooth + 1e-9 * torch.eye(size, dtype=torch.float64))
                found = torch.linalg.solve(solid, right).reshape(self.contrasts, KNOTS)
                self.heights[number] = found.to(self.heights)

    def forward(self, images: Tensor, code: Tensor) -> Tensor:
        """Sum of the curves, float32 (B, 1, I, J[, K]); arguments as for `fit`."""
        with torch.autocast(images.device.type, enabled=False):
            below, part = _places(images.float())
            heights = self.heights[code].flatten(1)
            first = torch.arange(self.contrasts, device=images.device) * KNOTS
            place = (below.flatten(2) + first[:, None]).flatten(1)
            low, high = heights.gather(1, place), heights.gather(1, place + 1)
            values = low.reshape(images.shape) + part * (high - low).reshape(images.shape)
            return values.sum(dim=1, keepdim=True)


def _places(images: Tensor) -> tuple[Tensor, Tensor]:
    """Knot below each value, and how far it lies towards the next one."""
    position = (images / TOP).clamp(0, 1) * (KNOTS - 1)
    below = position.detach().floor().clamp(max=KNOTS - 2)
    return below.long(), position - below
