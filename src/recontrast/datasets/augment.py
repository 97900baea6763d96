"""Random changes of training slices and volumes. All are off by default.

Left and right of a head differ, and a network that saw mirrored heads cannot tell them apart: mirroring must be asked
for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from recontrast.errors import ConfigError

_BEND_MM = 32.0
"""Distance of the nodes between which a random displacement is smooth, in mm."""


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

    rotate_degrees: float = 0.0
    """Standard deviation of a random rotation within the slice, in degrees."""

    stretch: float = 0.0
    """Standard deviation of the logarithm of a random enlargement along each axis of the slice."""

    bend_mm: float = 0.0
    """Standard deviation of a random smooth displacement along each axis of the slice, in mm."""

    reshape_share: float = 1.0
    """Part of the slices, drawn at random, that are turned, stretched and bent; the others keep their sharpness."""

    mirror: bool = False
    """Mirror the first in-plane axis (left and right in axial slices) at random; mixes up laterality."""

    def __post_init__(self) -> None:
        """Check ranges."""
        if min(self.shift_voxels, self.source_gain, self.source_gamma, self.source_noise) < 0:
            raise ConfigError("data.augment: shift_voxels, source_gain, _gamma and _noise must not be negative")
        if min(self.rotate_degrees, self.stretch, self.bend_mm) < 0:
            raise ConfigError("data.augment: rotate_degrees, stretch and bend_mm must not be negative")
        if not 0 <= self.reshape_share <= 1:
            raise ConfigError(f"data.augment: reshape_share is {self.reshape_share}, it must be 0 to 1")

    @property
    def reshapes(self) -> bool:
        """Whether heads are turned, stretched or bent."""
        return max(self.rotate_degrees, self.stretch, self.bend_mm) > 0 < self.reshape_share


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
    spacing: Sequence[float] = (1.0, 1.0),
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Change one slice or volume at random; shifts are made when it is cut out (see `random_shift`).

    Args:
        source: (C, I, J[, K]), scaled units.
        target: (1, I, J[, K]), scaled units.
        mask: (1, I, J[, K]), or further regions beside it.
        settings: What to change.
        rng: Random numbers of this slice.
        slices: Neighbouring channels of the source that are slices of one contrast, and are changed alike.
        spacing: Voxel size along the axes of a slice, in mm; only slices are turned, stretched and bent.

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
    if settings.reshapes and (settings.reshape_share == 1 or rng.random() < settings.reshape_share):
        source, target, mask = _reshaped(source, target, mask, _places(source.shape[1:], settings, rng, spacing))
    if settings.mirror and rng.random() < 0.5:
        source, target, mask = source[:, ::-1], target[:, ::-1], mask[:, ::-1]
    return source, target, mask


def _places(
    size: Sequence[int], settings: AugmentSettings, rng: np.random.Generator, spacing: Sequence[float]
) -> torch.Tensor:
    """Where each voxel of a new slice lies in the old one, (1, I, J, 2) as `grid_sample` wants it (J before I)."""
    half = (np.array(size) - 1) / 2
    axes = [mm * (np.arange(n) - middle) for n, middle, mm in zip(size, half, spacing, strict=True)]
    angle = np.deg2rad(settings.rotate_degrees) * rng.standard_normal()
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    stretched = turn / np.exp(settings.stretch * rng.standard_normal(2))
    in_mm = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1) @ stretched.T
    if settings.bend_mm:
        nodes = [max(2, round(n * mm / _BEND_MM)) for n, mm in zip(size, spacing, strict=True)]
        drawn = torch.from_numpy(settings.bend_mm * rng.standard_normal((1, 2, *nodes)))
        bent = functional.interpolate(drawn, tuple(size), mode="bicubic", align_corners=True)
        in_mm += bent[0].permute(1, 2, 0).numpy()
    relative = in_mm / np.array(spacing) / np.maximum(half, 0.5)
    return torch.from_numpy(relative[None, :, :, ::-1].astype(np.float32))


def _reshaped(
    source: NDArray[np.float32], target: NDArray[np.float32], mask: NDArray[np.bool_], places: torch.Tensor
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Source and target interpolated linearly, the mask taken from the nearest voxel."""

    def taken(images: NDArray[np.float32], mode: str) -> NDArray[np.float32]:
        given = torch.from_numpy(images)[None]
        moved = functional.grid_sample(given, places, mode=mode, padding_mode="border", align_corners=True)
        result: NDArray[np.float32] = moved[0].numpy()
        return result

    moved = taken(np.concatenate([source, target]), "bilinear")
    return moved[: len(source)], moved[len(source) :], taken(mask.astype(np.float32), "nearest") > 0.5


def _random_factors(
    deviation: float, source: NDArray[np.float32], slices: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Positive factors around 1, one a contrast, shaped to be applied to the channels of the source."""
    drawn = np.exp(deviation * rng.standard_normal((source.shape[0] // slices, *[1] * (source.ndim - 1))))
    return np.repeat(drawn, slices, axis=0).astype(np.float32)
