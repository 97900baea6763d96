"""Built-in segmentation of hyperintense white-matter lesions in FLAIR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_opening, distance_transform_edt, gaussian_filter, label

from recontrast.errors import DataError
from recontrast.evaluation.segmentation import (
    SEGMENTERS,
    Segmentation,
    SegmentationInput,
    Segmenter,
    brain_of,
    require_contrast,
)
from recontrast.evaluation.segmentation.mixture import start_gain
from recontrast.evaluation.segmentation.tissue import LABELS, Tissue
from recontrast.preparation.mask import bounding_box

_CLIPS, _CLIP_AT = 10, 2.5
_AROUND_MM = 3.0
"""Standard deviation of the surroundings in which the share of white matter is taken."""


@dataclass(frozen=True)
class Rules:
    """What counts as a lesion.

    Attributes:
        seed_z: A lesion holds a voxel this far above normal-appearing brain, in robust standard deviations.
        edge_z: Its other voxels are at least this far above.
        least_ml: Smaller clusters are dropped.
        surface_mm: Clusters that lie within this distance of the surface of the brain are dropped: cortex, skull base.
        fluid_z: Voxels this far below normal-appearing brain are fluid.
        rim_mm: Clusters at the ventricles thinner than this are dropped: the bright rim that many heads have.
        white_share: With a T1w: least share of a cluster's surroundings that is white matter.
    """

    seed_z: float = 3.2
    edge_z: float = 2.2
    least_ml: float = 0.01
    surface_mm: float = 5.0
    fluid_z: float = -4.0
    rim_mm: float = 2.0
    white_share: float = 0.6


ALONE = Rules()
"""Rules for a FLAIR alone."""

WITH_T1W = Rules(seed_z=2.4, edge_z=1.6)
"""Rules where tissues are known: false clusters in cortex are told by their surroundings, so that less has to be asked
of brightness."""


@SEGMENTERS.register("lesion")
class Lesions(Segmenter):
    """Clusters that stand out from normal-appearing brain; see `Rules`. Deterministic, nothing learned.

    From FLAIR alone it knows little of cortex; where the case has a T1w on the same grid, its tissues are used on both
    sides of the comparison, and the notes say so.
    """

    title = "built-in lesion segmentation (FLAIR)"
    lesions = True

    def version(self) -> str:
        """Version of the method; changes when its results change."""
        return "2"

    def segment(self, given: SegmentationInput) -> Segmentation:
        """Lesion voxels.

        Raises:
            DataError: Not a FLAIR, or no brain mask.
        """
        require_contrast(given, ("FLAIR",), "lesion")
        tissues = None
        if "T1w" in given.context:
            t1w = SegmentationInput(given.context["T1w"], "T1w", given.brain, what=f"{given.what} (T1w beside it)")
            tissues = Tissue().segment(t1w).labels.data
        mask = find_lesions(given, ALONE if tissues is None else WITH_T1W, tissues)
        notes = "with tissues of the acquired T1w" if tissues is not None else "FLAIR alone"
        return Segmentation(given.image.with_data(mask.astype(np.uint8)), {"lesion": (1,)}, notes)


def find_lesions(given: SegmentationInput, rules: Rules, tissues: NDArray[Any] | None = None) -> NDArray[np.bool_]:
    """Lesion mask of a FLAIR.

    Args:
        given: The image and its brain mask.
        rules: What counts as a lesion.
        tissues: GM, WM and CSF as `tissue` numbers them, same shape; None: from FLAIR alone.

    Raises:
        DataError: No brain mask, or the brain is constant.
    """
    brain = brain_of(given)
    box = bounding_box(brain, margin=1)
    inside = brain[box] & (given.image.data[box] != 0)
    spacing = given.image.spacing
    own = None if tissues is None else np.asarray(tissues[box])
    grey = None if own is None else own == LABELS["GM"]
    z = z_score(np.asarray(given.image.data[box], np.float32), inside, spacing, given.what, grey)
    depth = distance_transform_edt(np.pad(brain[box], 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    fluid = inside & (z < rules.fluid_z)
    kept = np.zeros(inside.shape, bool)
    labels, count = label(inside & (z > rules.edge_z), structure=np.ones((3, 3, 3)))
    if count == 0:
        return np.zeros(given.image.shape, bool)
    chosen = _chosen(labels, count, z, depth, spacing, rules)
    thick = _thick(np.isin(labels, np.flatnonzero(chosen)), spacing, rules.rim_mm)
    near_fluid = binary_dilation(fluid & (depth > 2 * rules.surface_mm), iterations=2)
    rim = np.bincount(labels[near_fluid], minlength=count + 1) > 0
    solid = np.bincount(labels[thick], minlength=count + 1) > 0
    chosen &= ~rim | solid
    if own is not None:
        chosen &= _white_around(labels, count, own, spacing) >= rules.white_share
    chosen[0] = False
    kept = chosen[labels]
    mask = np.zeros(given.image.shape, bool)
    mask[box] = kept
    return mask


def z_score(
    data: NDArray[np.float32], inside: NDArray[np.bool_], spacing: tuple[float, float, float], what: str,
    among: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:  # fmt: skip
    """Intensity as robust standard deviations from normal-appearing brain, after the smooth gain is taken out.

    Normal-appearing brain is what is left when dark fluid and all that lies further than 2.5 standard deviations (from
    the median absolute deviation) off the median is taken away, again and again. With tissues, it is grey matter, the
    brighter one in FLAIR: `among`.

    Raises:
        DataError: The brain is constant.
    """
    if not inside.any() or np.ptp(data[inside]) == 0:
        raise DataError(f"{what}: the brain is constant; lesions cannot stand out")
    even = data / start_gain(data, inside, spacing)
    # A little smoothing: one voxel of noise is no lesion.
    sigma = [0.5 / max(s, 1.0) for s in spacing]
    even = gaussian_filter(np.where(inside, even, 0), sigma) / np.maximum(
        gaussian_filter(inside.astype(np.float32), sigma), 1e-3
    )
    values = even[inside if among is None else inside & among]
    if values.size == 0:
        raise DataError(f"{what}: no grey matter was found in the T1w; lesions cannot be told from it")
    kept = values[values > 0.5 * np.median(values)]  # fluid is dark
    for _ in range(_CLIPS):
        mode = float(np.median(kept))
        spread = 1.4826 * float(np.median(np.abs(kept - mode)))
        kept = kept[np.abs(kept - mode) <= _CLIP_AT * max(spread, 1e-6 * abs(mode))]
    return np.asarray((even - mode) / max(spread, 1e-6), np.float32)


def _chosen(
    labels: NDArray[Any], count: int, z: NDArray[np.float32], depth: NDArray[Any], spacing: tuple[float, ...],
    rules: Rules,
) -> NDArray[np.bool_]:  # fmt: skip
    """Clusters with a bright voxel, large enough, and not at the surface of the brain."""
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    seeds = np.bincount(labels[z > rules.seed_z], minlength=count + 1) > 0
    deep = np.bincount(labels.ravel(), depth.ravel(), count + 1) / np.maximum(sizes, 1)
    least = rules.least_ml * 1000 / float(np.prod(spacing))
    return np.asarray(seeds & (sizes >= max(least, 2)) & (deep > rules.surface_mm))


def _thick(mask: NDArray[np.bool_], spacing: tuple[float, ...], rim_mm: float) -> NDArray[np.bool_]:
    """What is left of clusters after an opening with a box of at least `rim_mm`."""
    size = [max(2, round(rim_mm / s) + 1) if s < rim_mm else 1 for s in spacing]
    return np.asarray(binary_opening(mask, structure=np.ones(size)))


def _white_around(
    labels: NDArray[Any], count: int, tissues: NDArray[Any], spacing: tuple[float, ...]
) -> NDArray[np.float64]:
    """Share of white matter in the tissue around each cluster; candidates and fluid do not count.

    In T1w a lesion and its edge look like grey matter, so that the voxels that touch it say little.
    """
    sigma = [_AROUND_MM / s for s in spacing]
    free = labels == 0
    white = gaussian_filter((free & (tissues == LABELS["WM"])).astype(np.float32), sigma)
    grey = gaussian_filter((free & (tissues == LABELS["GM"])).astype(np.float32), sigma)
    share = white / np.maximum(white + grey, 1e-4)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    return np.asarray(np.bincount(labels.ravel(), share.ravel(), count + 1) / np.maximum(sizes, 1))
