"""Built-in tissue segmentation: GM, WM and CSF inside a brain mask, from one T1w or T2w image."""

from __future__ import annotations

import numpy as np

from recontrast.errors import DataError
from recontrast.evaluation.segmentation import (
    SEGMENTERS,
    Segmentation,
    SegmentationInput,
    Segmenter,
    brain_of,
    require_contrast,
)
from recontrast.evaluation.segmentation.mixture import CSF, GM, WM, Fit, Settings, fit_mixture
from recontrast.preparation.mask import bounding_box
from recontrast.volume import Volume

LABELS = {"GM": 1, "WM": 2, "CSF": 3}
"""Structure to label number, in the order of SPM's tissue classes."""

_ORDER = {"T1w": (CSF, GM, WM), "T2w": (WM, GM, CSF)}
"""Tissues from dark to bright."""

_NUMBER = {GM: 1, WM: 2, CSF: 3}
_FEWEST_VOXELS = 500


@SEGMENTERS.register("tissue")
class Tissue(Segmenter):
    """Mixture with partial volume, Markov prior and bias field; see `mixture`. Deterministic, no template.

    Made for T1w, with or without gadolinium. On T2w it is less exact (see `docs/concepts/segmentation.md`). Other
    contrasts are refused: in FLAIR grey and white matter overlap too much.
    """

    title = "built-in tissue segmentation (GM, WM, CSF)"

    def version(self) -> str:
        """Version of the method; changes when its results change."""
        return "2"

    def segment(self, given: SegmentationInput) -> Segmentation:
        """Each brain voxel gets the tissue of which it holds most.

        Raises:
            DataError: Not T1w or T2w, no brain mask, or too few voxels.
        """
        suffix = require_contrast(given, tuple(_ORDER), "tissue")
        fit, box = fit_tissues(given, _ORDER[suffix])
        labels = np.zeros(given.image.shape, np.uint8)
        numbers = np.array([_NUMBER[tissue] for tissue in range(3)], np.uint8)
        labels[box] = np.where(fit.fractions.sum(axis=-1) > 0, numbers[fit.fractions.argmax(axis=-1)], 0)
        return Segmentation(given.image.with_data(labels), {name: (number,) for name, number in LABELS.items()})


def fit_tissues(
    given: SegmentationInput, order: tuple[int, int, int], settings: Settings | None = None
) -> tuple[Fit, tuple[slice, ...]]:
    """Fit the mixture in the box around the brain; returns it with the box.

    Raises:
        DataError: No brain mask, too few voxels, or they all have one intensity.
    """
    brain = brain_of(given)
    box = bounding_box(brain, margin=1)
    data = np.asarray(given.image.data[box], dtype=np.float32)
    mask = brain[box]
    # What is exactly zero was cut away: skull-stripping, or a field of view that ends.
    mask = mask & (data != 0)
    count = int(np.count_nonzero(mask))
    if count < _FEWEST_VOXELS:
        raise DataError(f"{given.what}: {count} voxels in the brain, {_FEWEST_VOXELS} are needed to tell tissues apart")
    values = data[mask]
    if not np.isfinite(values).all() or values.min() == values.max():
        raise DataError(f"{given.what}: the brain is constant or has voxels that are not finite; it cannot be divided")
    return fit_mixture(data, mask, given.image.spacing, order=order, settings=settings or Settings()), box


def fractions_of(given: SegmentationInput) -> dict[str, Volume]:
    """Share of GM, WM and CSF in each voxel (partial volume), 0 to 1.

    Raises:
        DataError: As for `Tissue.segment`.
    """
    suffix = require_contrast(given, tuple(_ORDER), "tissue")
    fit, box = fit_tissues(given, _ORDER[suffix])
    found = {}
    for name, tissue in (("GM", GM), ("WM", WM), ("CSF", CSF)):
        share = np.zeros(given.image.shape, np.float32)
        share[box] = fit.fractions[..., tissue]
        found[name] = given.image.with_data(share)
    return found
