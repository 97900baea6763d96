"""Which tissue each voxel of a prepared case is: from its masks, else from our own segmentation of its T1w or T2w."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import DataError, MissingContrastError
from recontrast.evaluation.segmentation import SegmentationInput
from recontrast.evaluation.segmentation.tissue import Tissue
from recontrast.io.nifti import read_volume, write_volume
from recontrast.preparation.cohort import PreparedCase
from recontrast.preparation.normalize import Scale
from recontrast.volume import Volume, require_same_grid

TISSUES: Mapping[str, tuple[str, ...]] = {"CSF": ("CSF",), "GM": ("GM", "deepGM", "pallidum"), "WM": ("WM",)}
"""Tissue to the regions of a prepared case that are parts of it; simulated heads name deep grey matter apart."""

LESION = "lesion"
"""Region of lesions; where it is, the tissue does not count."""

MAP = "tissues"
"""What the map is called among the images of a case."""

_SEGMENTED = ("T1w", "T2w")
"""Contrasts that our own segmentation reads, the better one first."""


def classes_of(cases: tuple[PreparedCase, ...]) -> tuple[str, ...]:
    """Names of the classes: everything else, the tissues, and lesions where a case has a mask of them.

    Example:
        >>> classes_of(())
        ('other', 'CSF', 'GM', 'WM')
    """
    lesions = any(LESION in case.regions for case in cases)
    return ("other", *TISSUES, *((LESION,) if lesions else ()))


def with_tissue_map(case: PreparedCase, classes: tuple[str, ...], contrast: str, folder: Path) -> PreparedCase:
    """The case with its image of one contrast and, as a further image `MAP`, the number of each voxel's class.

    Args:
        case: A prepared case.
        classes: As `classes_of` names them.
        contrast: Contrast that is kept.
        folder: Where the map is written.

    Raises:
        MissingContrastError: The case has no masks of tissues, and neither T1w nor T2w.
        DataError: Its T1w or T2w cannot be segmented: there is no brain mask, for example.
        GeometryError: A mask lies on another grid than the image.
    """
    image = read_volume(case.images[contrast])
    found = _tissues(case, image)
    if LESION in classes and LESION in case.regions:
        found[LESION] = _region(case, LESION, image)
    numbers = np.zeros(image.shape, np.uint8)
    for number, name in enumerate(classes):
        if name in found:
            numbers[found[name]] = number
    path = folder / f"{case.key}_{MAP}.nii.gz"
    write_volume(path, image.with_data(numbers), np.uint8)
    images = {contrast: case.images[contrast], MAP: path}
    return dataclasses.replace(case, images=images, scales={contrast: case.scales[contrast], MAP: Scale(MAP, 0.0, 1.0)})


def _tissues(case: PreparedCase, image: Volume) -> dict[str, NDArray[np.bool_]]:
    if all(name in case.regions for name in TISSUES):
        return {
            name: np.any([_region(case, part, image) for part in parts if part in case.regions], axis=0)
            for name, parts in TISSUES.items()
        }
    label = next((label for label in _SEGMENTED if label in case.images), None)
    if label is None:
        raise MissingContrastError(
            f"{case.key}: no masks of {', '.join(TISSUES)}, and no {' or '.join(_SEGMENTED)} to find them in; "
            "prepare it with one of these"
        )
    if "brain" not in case.regions:
        raise DataError(
            f"{case.key}: no masks of {', '.join(TISSUES)}, and no brain mask to find them in its {label}; "
            "prepare with --brain built-in"
        )
    acquired = read_volume(case.images[label])
    require_same_grid(image, acquired, f"{case.key}: its images and {label}")
    brain = _region(case, "brain", image)
    found = Tissue().segment(SegmentationInput(acquired, label, brain, what=f"{case.key}: {label}"))
    return {name: found.mask(name) for name in TISSUES}


def _region(case: PreparedCase, name: str, image: Volume) -> NDArray[np.bool_]:
    region = read_volume(case.regions[name], np.uint8)
    require_same_grid(image, region, f"{case.key}: image and region {name}")
    return np.asarray(region.data > 0)
