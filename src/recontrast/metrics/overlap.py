"""How well two regions coincide."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion
from scipy.spatial import cKDTree

from recontrast.errors import ConfigError
from recontrast.metrics import METRICS, Array, Undefined, metric, voxels_of


@METRICS.register("dice")
@metric(best=1.0, higher_is_better=True, worst=0.0, title="Dice")
def dice(
    reference: Array,
    estimate: Array,
    *,
    mask: Array | None = None,
    data_range: float | None = None,
    label: int | None = None,
) -> float:
    """Dice coefficient 2 |A ∩ B| / (|A| + |B|) (Dice 1945, Ecology 26:297).

    Args:
        reference: True region (nonzero inside) or label image, any shape.
        estimate: Region that is judged, same shape.
        mask: Only voxels in it count; None for all.
        data_range: Not used.
        label: Compare the voxels that carry this label; None: the nonzero voxels.

    Returns:
        0 to 1. nan when both regions are empty: there is nothing to agree on, and 1 would flatter.

    Example:
        >>> dice(np.array([1, 1, 0, 0]), np.array([1, 0, 0, 0]))
        0.6666666666666666
    """
    true, judged = voxels_of(reference, mask), voxels_of(estimate, mask)
    first, second = (true != 0, judged != 0) if label is None else (true == label, judged == label)
    total = np.count_nonzero(first) + np.count_nonzero(second)
    if total == 0:
        raise Undefined("the region is empty in both images")
    return 2 * np.count_nonzero(first & second) / total


@METRICS.register("hd95")
@metric(best=0.0, higher_is_better=False, title="Hausdorff distance, 95th percentile", unit="mm")
def hd95(
    reference: Array,
    estimate: Array,
    *,
    mask: Array | None = None,
    data_range: float | None = None,
    label: int | None = None,
    spacing: Sequence[float] | None = None,
) -> float:
    """95th percentile of the distances between two surfaces (Huttenlocher 1993, IEEE PAMI 15:850, at 95 %).

    The percentile (linear between ranks) is taken in each direction; the larger one counts. The surface of a region is
    made of its voxels that touch the outside with a face; distances are between voxel centres.

    Args:
        reference: True region (nonzero inside) or label image, any shape.
        estimate: Region that is judged, same shape.
        mask: Only voxels in it count; None for all.
        data_range: Not used.
        label: Compare the voxels that carry this label; None: the nonzero voxels.
        spacing: Voxel size along each axis in mm; None: 1 mm.

    Returns:
        Distance in mm. nan when one of the regions is empty.

    Example:
        >>> hd95(np.array([1, 0, 0, 0]), np.array([0, 0, 0, 1]), spacing=(2.0,))
        6.0
    """
    there, back = _directed(reference, estimate, mask, label, spacing)
    return float(max(np.percentile(there, 95), np.percentile(back, 95)))


@METRICS.register("asd")
@metric(best=0.0, higher_is_better=False, title="average surface distance", unit="mm")
def asd(
    reference: Array,
    estimate: Array,
    *,
    mask: Array | None = None,
    data_range: float | None = None,
    label: int | None = None,
    spacing: Sequence[float] | None = None,
) -> float:
    """Average symmetric surface distance: mean over the surface voxels of both regions of the distance to the other.

    As in Heimann 2009 (IEEE Trans Med Imaging 28:1251). Surfaces and arguments as for `hd95`.

    Returns:
        Distance in mm. nan when one of the regions is empty.

    Example:
        >>> asd(np.array([1, 1, 1, 0]), np.array([1, 1, 0, 0]))
        0.5
    """
    there, back = _directed(reference, estimate, mask, label, spacing)
    return float((there.sum() + back.sum()) / (there.size + back.size))


def surface_distances(
    reference: Array, estimate: Array, spacing: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance in mm of each surface voxel of one region to the surface of the other, in both directions.

    Args:
        reference: Boolean region with at least one true voxel.
        estimate: The same, same shape.
        spacing: Voxel size along each axis in mm.

    Example:
        >>> surface_distances(np.array([True, False]), np.array([False, True]), (3.0,))
        (array([3.]), array([3.]))
    """
    surfaces = [_surface(region) for region in (reference, estimate)]
    points = [np.argwhere(surface) * np.asarray(spacing, dtype=np.float64) for surface in surfaces]
    found = []
    for own, other in ((0, 1), (1, 0)):
        distances = np.zeros(len(points[own]))
        apart = ~surfaces[other][surfaces[own]]  # voxels of both surfaces are at distance zero
        if apart.any():
            distances[apart] = cKDTree(points[other]).query(points[own][apart])[0]
        found.append(distances)
    return found[0], found[1]


def _directed(
    reference: Array, estimate: Array, mask: Array | None, label: int | None, spacing: Sequence[float] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    regions = []
    for name, image in (("reference", reference), ("estimate", estimate)):
        values = np.asarray(image)
        region = values != 0 if label is None else values == label
        region = region if mask is None else region & np.asarray(mask, dtype=bool)
        if not region.any():
            raise Undefined(f"the region is empty in the {name}: its surface does not exist")
        regions.append(region)
    steps = tuple(spacing) if spacing is not None else (1.0,) * regions[0].ndim
    if len(steps) != regions[0].ndim or min(steps) <= 0:
        raise ConfigError(f"spacing is {steps}; give a positive size in mm for each of {regions[0].ndim} axes")
    return surface_distances(regions[0], regions[1], steps)


def _surface(region: Array) -> NDArray[np.bool_]:
    """Voxels of a region that touch the outside, or the edge of the image, with a face."""
    return np.asarray(region & ~binary_erosion(region))
