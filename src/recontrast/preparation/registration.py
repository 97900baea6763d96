"""What rigid alignment and registration to a template share: mutual information on a few voxels, at one resolution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from recontrast.volume import Volume


def similarity_method(
    pair: list[Any], region: Any, level_mm: float, *, samples: int, bins: int, seed: int
) -> tuple[Any, list[Any]]:
    """A SimpleITK registration by Mattes mutual information, still without transform and optimiser.

    Args:
        pair: Fixed and moving image.
        region: Mask on the fixed image: where voxels are looked at.
        level_mm: Both images are averaged to about this voxel size.
        samples: Voxels looked at.
        bins: Bins of the joint histogram.
        seed: Seed of the voxels.

    Returns:
        The method and both averaged images.
    """
    images = [coarsened(image, level_mm) for image in pair]
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(bins)
    method.SetMetricFixedMask(region)
    method.SetMetricUseFixedImageGradientFilter(False)
    method.SetMetricUseMovingImageGradientFilter(False)
    method.SetMetricSamplingStrategy(method.RANDOM)
    share = min(1.0, samples / max(1, images[0].GetNumberOfPixels()))
    method.SetMetricSamplingPercentage(share, seed + 1)  # 0 would mean: by the clock
    method.SetInterpolator(sitk.sitkLinear)
    return method, images


def distinct_levels(levels_mm: Sequence[float], pair: list[Any]) -> list[float]:
    """The levels that differ for these images: a level finer than both voxel sizes repeats the one before."""
    factors = {level_mm: tuple(tuple(_factors(image, level_mm)) for image in pair) for level_mm in levels_mm}
    return [level for i, level in enumerate(levels_mm) if i == 0 or factors[level] != factors[levels_mm[i - 1]]]


def coarsened(image: Any, level_mm: float) -> Any:
    """Average blocks of voxels to about `level_mm`."""
    factors = _factors(image, level_mm)
    return sitk.BinShrink(image, factors) if max(factors) > 1 else image


def dilated(mask: Volume, margin_mm: float) -> Volume:
    """A mask grown by a box of `margin_mm` to each side."""
    grown = mask.data.view(np.uint8)
    for axis, step in enumerate(mask.spacing):
        grown = ndimage.maximum_filter1d(grown, 2 * round(margin_mm / step) + 1, axis=axis, mode="constant")
    return mask.with_data(grown.view(bool))


@contextmanager
def one_thread() -> Iterator[None]:
    """Let SimpleITK add up in one order, for the same bits every time; cases run side by side anyway."""
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def last_line(error: Exception) -> str:
    """The last line of a foreign error's message: the one that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _factors(image: Any, level_mm: float) -> list[int]:
    """How many voxels are averaged along each axis to come near `level_mm`."""
    sizes = zip(image.GetSpacing(), image.GetSize(), strict=True)
    return [max(1, min(int(level_mm / step + 0.25), size // 4)) for step, size in sizes]
