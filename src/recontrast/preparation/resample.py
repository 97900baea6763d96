"""Put an image onto another grid with one interpolation."""

from __future__ import annotations

from typing import Literal

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from recontrast.preparation.itk import to_itk, to_itk_transform
from recontrast.volume import Volume

Interpolation = Literal["nearest", "linear", "cubic"]

_SPLINE_SUPPORT = 4
"""Voxels along an axis that a cubic spline needs."""


def resample(
    volume: Volume,
    grid: Volume,
    transform: NDArray[np.float64] | None = None,
    interpolation: Interpolation = "cubic",
) -> Volume:
    """Values of `volume` at the voxel centres of `grid`; zero where `volume` has none.

    Args:
        volume: What to resample, any orientation. Labels need "nearest", which keeps their type and values.
        grid: Only its shape and affine matter.
        transform: World of `grid` to world of `volume` (RAS+ mm, 4x4); left out: the worlds are one.
        interpolation: nearest, linear, or cubic (B-spline of order 3, clipped to the range of the input so that
            nothing rings below zero). An image with fewer than four slices is interpolated linearly instead of cubic.

    Returns:
        Volume on `grid`: the input's type for nearest, else float32.

    Example:
        >>> image = Volume(np.arange(64, dtype=np.float32).reshape(4, 4, 4), np.eye(4))
        >>> float(resample(image, image, interpolation="linear").data[3, 3, 3])
        63.0
    """
    kinds = {"nearest": sitk.sitkNearestNeighbor, "linear": sitk.sitkLinear, "cubic": sitk.sitkBSpline}
    kind = "linear" if interpolation == "cubic" and min(volume.shape) < _SPLINE_SUPPORT else interpolation
    source = volume if kind == "nearest" else volume.with_data(volume.data.astype(np.float32, copy=False))
    resampler = sitk.ResampleImageFilter()
    resampler.SetReferenceImage(to_itk(Volume(np.zeros(grid.shape, np.uint8), grid.affine)))
    resampler.SetInterpolator(kinds[kind])
    resampler.SetTransform(to_itk_transform(np.eye(4) if transform is None else transform))
    resampler.SetDefaultPixelValue(0.0)
    values = sitk.GetArrayFromImage(resampler.Execute(to_itk(source))).transpose(2, 1, 0)
    if kind == "cubic":
        low, high = float(source.data.min()), float(source.data.max())
        values = np.clip(values, min(low, 0.0), max(high, 0.0))
    return Volume(np.ascontiguousarray(values).astype(source.data.dtype, copy=False), grid.affine)
