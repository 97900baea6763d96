"""Rigid alignment of two images of one person by mutual information (Mattes et al, IEEE TMI 22:120, 2003)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from recontrast.errors import GeometryError, RecontrastWarning
from recontrast.preparation.itk import to_itk, to_itk_transform, to_matrix
from recontrast.preparation.mask import head_mask
from recontrast.preparation.normalize import ScaleSettings, fit_scale
from recontrast.preparation.registration import dilated, distinct_levels, last_line, one_thread, similarity_method
from recontrast.preparation.resample import resample
from recontrast.volume import Volume


@dataclass(frozen=True, kw_only=True)
class AlignSettings:
    """How two images are aligned."""

    levels_mm: tuple[float, ...] = (4.0, 2.0, 1.0)
    """voxel sizes of the resolution levels, coarse to fine, mm; never finer than the images"""

    samples: int = 60_000
    """voxels looked at per level"""

    search_samples: int = 20_000
    """voxels looked at in the first search, at the coarsest level; 0: no search, where hardly anything can be left"""

    bins: int = 32
    """bins of the joint histogram"""

    high: float = 99.0
    """percentile of the head above which values count as one (bright fat and vessels leave bins to the brain)"""

    iterations: int = 100
    """optimiser steps per level at most"""

    margin_mm: float = 6.0
    """air around the head that is looked at too, mm"""

    suspicious_mm: float = 30.0
    """a mean movement larger than this gives a warning, mm"""

    suspicious_overlap: float = 0.5
    """heads that overlap less than this after alignment (Dice) give a warning, 0 to 1"""

    seed: int = 0
    """seed of the voxels looked at"""


@dataclass(frozen=True)
class Alignment:
    """Result of `align`.

    Attributes:
        transform: World of the fixed image to world of the moving image (RAS+ mm, 4x4, rigid).
        mutual_information: Of both images after alignment, nats; larger is better.
        moved_mm: Mean movement of the head against the start (worlds as in the headers), mm.
        overlap: Dice of both head masks after alignment, within the common field of view.
    """

    transform: NDArray[np.float64]
    mutual_information: float
    moved_mm: float
    overlap: float


def align(
    moving: Volume,
    fixed: Volume,
    settings: AlignSettings | None = None,
    what: str = "images",
    heads: tuple[Volume, Volume] | None = None,
) -> Alignment:
    """Find the rigid movement that brings `moving` onto `fixed`.

    The start is the better of two: the worlds as the headers have them, or the centres of both heads on each other.
    A search without derivatives follows at the coarsest resolution, for it finds its way along the long valley that a
    nearly round head makes of rotation; gradient descent then refines from coarse to fine. Same images and seed, same
    bits.

    Args:
        moving: Image to align; finite values.
        fixed: Image it is aligned to; another contrast and grid as a rule.
        settings: See `AlignSettings`.
        what: Names the pair in warnings (subject, contrasts).
        heads: Head masks of `moving` and `fixed` where they are known already.

    Raises:
        GeometryError: The images have no common field of view, or the search failed.
        IntensityError: An image is all zero, constant or not finite.

    Example:
        >>> align(t2w, t1w, what="sub-01 T2w to T1w").moved_mm  # doctest: +SKIP
        1.3
    """
    settings = settings or AlignSettings()
    moving_head, fixed_head = heads if heads is not None else (head_mask(moving), head_mask(fixed))
    region = dilated(fixed_head, settings.margin_mm)
    pair = [
        to_itk(v.with_data(np.clip(fit_scale(v, ScaleSettings(high=settings.high), head).apply(v.data), 0, 1)))
        for v, head in ((fixed, fixed_head), (moving, moving_head))
    ]
    value = 0.0
    try:
        with one_thread():
            transform = _start(pair, to_itk(region), fixed_head, moving_head, settings)
            levels_mm = distinct_levels(settings.levels_mm, pair)
            if settings.search_samples > 0:
                _search(transform, pair, to_itk(region), settings)
                levels_mm = levels_mm[1:] or levels_mm  # the coarsest was searched
            for level_mm in levels_mm:
                value = _refine(transform, pair, to_itk(region), level_mm, settings)
    except RuntimeError as error:
        raise GeometryError(
            f"{what}: alignment failed ({last_line(error)}); check that both images show the same part of the body, "
            "or put them on one grid yourself and prepare with align = false"
        ) from error
    matrix = to_matrix(transform)
    moved = mean_displacement(matrix, np.eye(4), fixed_head)
    overlap = head_overlap(fixed_head, moving_head, matrix)
    _doubt(moved, overlap, settings, what)
    return Alignment(matrix, -value, moved, overlap)


def mean_displacement(first: NDArray[np.float64], second: NDArray[np.float64], head: Volume) -> float:
    """Mean distance between where two transforms (4x4, world to world) send the voxels of a mask, mm.

    Example:
        >>> shifted = np.eye(4)
        >>> shifted[0, 3] = 2.0
        >>> mean_displacement(shifted, np.eye(4), Volume(np.ones((2, 2, 2), bool), np.eye(4)))
        2.0
    """
    voxels = np.argwhere(head.data)
    voxels = voxels[:: max(1, len(voxels) // 50_000)]
    world = np.c_[voxels, np.ones(len(voxels))] @ head.affine.T
    return float(np.linalg.norm((world @ (first - second).T)[:, :3], axis=1).mean())


def head_overlap(fixed_head: Volume, moving_head: Volume, transform: NDArray[np.float64]) -> float:
    """Dice of two head masks on the grid of the first, counted where the second has voxels at all.

    Args:
        fixed_head: Boolean mask.
        moving_head: Boolean mask.
        transform: World of the first to world of the second.
    """
    moved = resample(moving_head, fixed_head, transform, "nearest").data
    seen = resample(moving_head.with_data(np.ones(moving_head.shape, bool)), fixed_head, transform, "nearest").data
    reference = fixed_head.data & seen
    total = np.count_nonzero(reference) + np.count_nonzero(moved)
    return 2.0 * np.count_nonzero(reference & moved) / total if total else 0.0


def _start(pair: list[Any], region: Any, fixed_head: Volume, moving_head: Volume, settings: AlignSettings) -> Any:
    """Rigid transform about the head's centre to start from."""
    centre, target = (_centre(head) for head in (fixed_head, moving_head))
    offsets = [np.zeros(3), target - centre] if settings.search_samples > 0 else [np.zeros(3)]
    candidates = []
    for offset in offsets:
        matrix = np.eye(4)
        matrix[:3, 3] = offset
        transform = sitk.Euler3DTransform()
        transform.SetCenter((centre * (-1, -1, 1)).tolist())
        transform.SetTranslation(to_itk_transform(matrix).GetTranslation())
        method = _method(pair, region, settings.levels_mm[0], settings)
        method[0].SetInitialTransform(transform)
        try:
            candidates.append((float(method[0].MetricEvaluate(*method[1])), transform))
        except RuntimeError:
            continue  # no overlap from this start
    if not candidates:
        raise RuntimeError("the fields of view do not meet")
    return min(candidates, key=lambda candidate: candidate[0])[1]


def _search(transform: Any, pair: list[Any], region: Any, settings: AlignSettings) -> None:
    """Improve `transform` in place at the coarsest resolution by the method of Powell (Computer J 7:155, 1964)."""
    coarse_mm = settings.levels_mm[0]
    method, images = _method(pair, region, coarse_mm, replace(settings, samples=settings.search_samples))
    method.SetInitialTransform(transform, inPlace=True)
    method.SetOptimizerAsPowell(
        numberOfIterations=10,
        maximumLineIterations=30,
        stepLength=coarse_mm / 4,
        stepTolerance=coarse_mm / 200,
        valueTolerance=1e-5,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.Execute(*images)


def _refine(transform: Any, pair: list[Any], region: Any, level_mm: float, settings: AlignSettings) -> float:
    """Improve `transform` in place at one resolution; return the metric (negative mutual information)."""
    method, images = _method(pair, region, level_mm, settings)
    method.SetInitialTransform(transform, inPlace=True)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=level_mm / 2,
        minStep=level_mm / 100,
        numberOfIterations=settings.iterations,
        relaxationFactor=0.6,
        gradientMagnitudeTolerance=1e-6,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.Execute(*images)
    return float(method.GetMetricValue())


def _method(pair: list[Any], region: Any, level_mm: float, settings: AlignSettings) -> tuple[Any, list[Any]]:
    return similarity_method(pair, region, level_mm, samples=settings.samples, bins=settings.bins, seed=settings.seed)


def _centre(head: Volume) -> NDArray[np.float64]:
    centre = np.argwhere(head.data).mean(axis=0)
    return np.asarray(head.affine[:3, :3] @ centre + head.affine[:3, 3], dtype=np.float64)


def _doubt(moved: float, overlap: float, settings: AlignSettings, what: str) -> None:
    if moved > settings.suspicious_mm:
        warnings.warn(
            f"{what}: alignment moved the head by {moved:.0f} mm on average (more than {settings.suspicious_mm:g} mm "
            "is suspicious); look at the prepared images before using them",
            RecontrastWarning,
            stacklevel=3,
        )
    if overlap < settings.suspicious_overlap:
        warnings.warn(
            f"{what}: after alignment the heads overlap by only {overlap:.2f} (Dice); look at the prepared images, "
            "or leave the case out",
            RecontrastWarning,
            stacklevel=3,
        )
