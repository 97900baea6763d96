"""Volumes of structures, and how far those of a synthetic image lie from those of its reference.

Definitions and signs are those of the papers: ASPC of Tagawa 2025, AVD and VD of Bottani 2024, counts of lesions found
in both images or in one, as Tagawa 2025 counts them. Volumes are counted voxels times voxel volume, in ml (= cm³).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from recontrast.metrics.overlap import asd, dice, hd95
from recontrast.preparation.mask import bounding_box

OK = "ok"

SIZES_ML: tuple[tuple[str, float], ...] = (("small", 0.1), ("medium", 1.0), ("large", math.inf))
"""Size classes of lesions with their upper ends in ml: below 0.1 ml (a ball of 5.8 mm), below 1 ml (12.4 mm), above."""

LEAST_LESION_ML = 0.003
"""Smaller lesions are not counted one by one: three voxels of 1 mm, as is usual for MS lesions."""

Found = Literal["both", "only reference", "only synthetic"]


def volume_ml(mask: NDArray[Any], spacing: Sequence[float]) -> float:
    """Volume of a region in ml.

    Args:
        mask: Nonzero inside.
        spacing: Voxel size along each axis in mm.

    Example:
        >>> volume_ml(np.ones((10, 10, 10)), (1.0, 1.0, 2.0))
        2.0
    """
    return float(np.count_nonzero(mask) * np.prod(np.asarray(spacing, dtype=np.float64)) / 1000)


def aspc(reference: float, synthetic: float) -> float:
    """Absolute symmetrised percent change of a volume, 200 |X - Y| / (X + Y) (Tagawa 2025).

    Args:
        reference: Volume in the reference, any unit, at least 0.
        synthetic: Volume in the synthetic image, same unit.

    Returns:
        0 to 200 %; nan when both are 0.

    Example:
        >>> aspc(4.0, 6.0)
        40.0
    """
    total = reference + synthetic
    return 200 * abs(reference - synthetic) / total if total > 0 else math.nan


def volume_difference(reference: float, synthetic: float, tiv: float, mean_tiv: float) -> float:
    """VD of Bottani 2024: (reference - synthetic) / TIV x mean TIV.

    Positive when the synthetic image under-estimates the structure: note the sign, which is that of the paper.

    Args:
        reference: Volume in the reference, ml.
        synthetic: Volume in the synthetic image, ml.
        tiv: Total intracranial volume (GM + WM + CSF) of that subject's reference, ml.
        mean_tiv: Mean of it over the subjects, ml.

    Example:
        >>> volume_difference(600.0, 630.0, tiv=1500.0, mean_tiv=1400.0)
        -28.0
    """
    return (reference - synthetic) / tiv * mean_tiv if tiv > 0 else math.nan


def absolute_volume_difference(reference: float, synthetic: float, tiv: float, mean_tiv: float) -> float:
    """AVD of Bottani 2024: the magnitude of `volume_difference`.

    Example:
        >>> absolute_volume_difference(600.0, 630.0, tiv=1500.0, mean_tiv=1400.0)
        28.0
    """
    return abs(volume_difference(reference, synthetic, tiv, mean_tiv))


@dataclass(frozen=True)
class StructureComparison:
    """One structure in the reference and in the synthetic image.

    Attributes:
        structure: Its name.
        volume_reference_ml: Volume in the reference.
        volume_synthetic_ml: Volume in the synthetic image.
        dice: Dice coefficient; nan when it is in neither.
        hd95_mm: 95th percentile of the Hausdorff distance; nan when it is not in both.
        asd_mm: Average symmetric surface distance; nan when it is not in both.
        status: "ok", or why values are undefined.
    """

    structure: str
    volume_reference_ml: float
    volume_synthetic_ml: float
    dice: float
    hd95_mm: float
    asd_mm: float
    status: str = OK


def compare_structure(
    structure: str, reference: NDArray[np.bool_], synthetic: NDArray[np.bool_], spacing: Sequence[float]
) -> StructureComparison:
    """Volumes, Dice and surface distances of one structure.

    Args:
        structure: Its name.
        reference: Its voxels in the reference, boolean.
        synthetic: Its voxels in the synthetic image, same shape.
        spacing: Voxel size in mm.

    Example:
        >>> compare_structure("GM", np.ones((2, 2, 2), bool), np.ones((2, 2, 2), bool), (1, 1, 1)).dice
        1.0
    """
    overlap, reason = dice.score(reference, synthetic)
    far, near = math.nan, math.nan
    if not reason:
        # The edge of an image is a surface, and so is the edge of the box: a margin keeps them apart.
        box = bounding_box(reference | synthetic, margin=1)
        cut = (reference[box], synthetic[box])
        far, reason = hd95.score(*cut, spacing=tuple(spacing))
        near = asd(*cut, spacing=tuple(spacing))
    volumes = (volume_ml(reference, spacing), volume_ml(synthetic, spacing))
    return StructureComparison(structure, *volumes, overlap, far, near, reason or OK)


@dataclass(frozen=True)
class Lesion:
    """One lesion.

    Attributes:
        found: In both images, only in the reference, or only in the synthetic image.
        volume_ml: Its volume: in the reference where it is there, else in the synthetic image.
        size: Size class of that volume.
        overlap_ml: How much of it the other image has as lesion.
    """

    found: Found
    volume_ml: float
    size: str
    overlap_ml: float


def match_lesions(
    reference: NDArray[np.bool_],
    synthetic: NDArray[np.bool_],
    spacing: Sequence[float],
    least_ml: float = LEAST_LESION_ML,
) -> list[Lesion]:
    """Lesions one by one: found in both images, only in the reference, only in the synthetic image.

    A lesion is a set of voxels that touch by faces, edges or corners. One of the reference is found when a lesion voxel
    of the synthetic image lies in it; one of the synthetic image is extra when none of the reference lies in it. So
    lesions that flow together in one image still count one by one in the other.

    Args:
        reference: Lesion voxels of the reference, boolean, three axes.
        synthetic: Those of the synthetic image, same shape.
        spacing: Voxel size in mm.
        least_ml: Smaller lesions are left out.

    Example:
        >>> lesion = np.zeros((6, 6, 6), bool)
        >>> lesion[1:4, 1:4, 1:4] = True
        >>> [found.found for found in match_lesions(lesion, np.roll(lesion, 1, axis=0), (1, 1, 1))]
        ['both']
    """
    voxel = volume_ml(np.ones(1), (*spacing,))
    lesions: list[Lesion] = []
    for own, other, alone in ((reference, synthetic, "only reference"), (synthetic, reference, "only synthetic")):
        labels, count = label(own, structure=np.ones((3,) * own.ndim))
        sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        shared = np.bincount(labels[other].ravel(), minlength=count + 1)[1:]
        for size, common in zip(sizes, shared, strict=True):
            volume = float(size * voxel)
            if volume < least_ml * (1 - 1e-9):
                continue
            if common and alone == "only synthetic":
                continue  # counted with the reference
            found: Any = "both" if common else alone
            lesions.append(Lesion(found, volume, size_class(volume), float(common * voxel)))
    return lesions


def size_class(volume: float) -> str:
    """Name of the size class of a lesion volume in ml.

    Example:
        >>> size_class(0.1)
        'medium'
    """
    return next(name for name, end in SIZES_ML if volume < end)


@dataclass(frozen=True)
class Detection:
    """Counts of lesions of one size, or of all.

    Attributes:
        both: Found in both images.
        only_reference: Missed in the synthetic image.
        only_synthetic: Extra in the synthetic image.
    """

    both: int
    only_reference: int
    only_synthetic: int

    @property
    def sensitivity(self) -> float:
        """Share of the reference's lesions that are found; nan when it has none."""
        total = self.both + self.only_reference
        return self.both / total if total else math.nan

    @property
    def precision(self) -> float:
        """Share of found lesions among found and extra ones; nan when there is none."""
        total = self.both + self.only_synthetic
        return self.both / total if total else math.nan

    @property
    def f1(self) -> float:
        """2 both / (2 both + only reference + only synthetic); nan when there is none."""
        total = 2 * self.both + self.only_reference + self.only_synthetic
        return 2 * self.both / total if total else math.nan


def count_lesions(lesions: Sequence[Lesion], size: str = "") -> Detection:
    """Count lesions of one size class; "" counts all.

    Example:
        >>> count_lesions([Lesion("both", 0.5, "medium", 0.4)]).sensitivity
        1.0
    """
    chosen = [lesion.found for lesion in lesions if not size or lesion.size == size]
    return Detection(chosen.count("both"), chosen.count("only reference"), chosen.count("only synthetic"))
