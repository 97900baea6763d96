"""Random changes of training slices and volumes. All are off by default.

Left and right of a head differ, and a network that saw mirrored heads cannot tell them apart: mirroring must be asked
for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class AugmentSettings:
    """Random changes of training slices; the same change for source, target and mask unless said otherwise."""

    shift_voxels: int = 0
    """Largest shift along each axis that the network sees, in voxels."""

    source_gain: float = 0.0
    """Standard deviation of the logarithm of a random gain on each source contrast (the target keeps its scale)."""

    source_gamma: float = 0.0
    """Standard deviation of the logarithm of a random exponent on each source contrast, where it is positive."""

    source_noise: float = 0.0
    """Standard deviation of Gaussian noise added to the source, in units of the intensity scale."""

    mirror: bool = False
    """Mirror the first in-plane axis (left and right in axial slices) at random; mixes up laterality."""

    def __post_init__(self) -> None:
        """Check ranges."""
        if min(self.shift_voxels, self.source_gain, self.source_gamma, self.source_noise) < 0:
            raise ConfigError("data.augment: shift_voxels, source_gain, _gamma and _noise must not be negative")


def random_shift(settings: AugmentSettings, rng: np.random.Generator, axes: int = 2) -> tuple[int, ...]:
    """How far the window of one slice (`axes` 2) or volume (3) is moved, in voxels along each of its axes."""
    if settings.shift_voxels == 0:
        return (0,) * axes
    moved = rng.integers(-settings.shift_voxels, settings.shift_voxels, size=axes, endpoint=True)
    return tuple(int(voxels) for voxels in moved)


def augment(
    source: NDArray[np.float32],
    target: NDArray[np.float32],
    mask: NDArray[np.bool_],
    settings: AugmentSettings,
    rng: np.random.Generator,
    slices: int = 1,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Change one slice or volume at random; shifts are made when it is cut out (see `random_shift`).

    Args:
        source: (C, I, J[, K]), scaled units.
        target: (1, I, J[, K]), scaled units.
        mask: (1, I, J[, K]).
        settings: What to change.
        rng: Random numbers of this slice.
        slices: Neighbouring channels of the source that are slices of one contrast, and are changed alike.

    Returns:
        New source, target and mask; the inputs themselves where nothing is changed.

    Example:
        >>> zeros = np.zeros((1, 2, 2), np.float32)
        >>> augment(zeros, zeros, zeros > 0, AugmentSettings(), np.random.default_rng(0))[0] is zeros
        True
    """
    if settings.source_gain > 0:
        source = source * _random_factors(settings.source_gain, source, slices, rng)
    if settings.source_gamma > 0:
        exponent = _random_factors(settings.source_gamma, source, slices, rng)
        source = np.where(source > 0, np.power(np.maximum(source, 0), exponent), source)
    if settings.source_noise > 0:
        source = source + np.float32(settings.source_noise) * rng.standard_normal(source.shape, dtype=np.float32)
    if settings.mirror and rng.random() < 0.5:
        source, target, mask = source[:, ::-1], target[:, ::-1], mask[:, ::-1]
    return source, target, mask


def _random_factors(
    deviation: float, source: NDArray[np.float32], slices: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Positive factors around 1, one a contrast, shaped to be applied to the channels of the source."""
    drawn = np.exp(deviation * rng.standard_normal((source.shape[0] // slices, *[1] * (source.ndim - 1))))
    return np.repeat(drawn, slices, axis=0).astype(np.float32)
