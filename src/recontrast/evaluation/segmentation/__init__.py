"""Segmenters: ways to divide an image into structures whose volumes and shapes are then compared. One file each.

The synthetic image and its reference go through the same segmenter with the same settings and the same brain mask.
Name and version of the segmenter stand in every row of the result. Programs that must be installed run only when they
are asked for by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import DataError
from recontrast.registry import Registry
from recontrast.volume import Volume

UNKNOWN_VERSION = "unknown"
"""Version of a program that does not tell its own."""


@dataclass(frozen=True, eq=False)
class SegmentationInput:
    """An image to segment and what is known of it.

    Attributes:
        image: The image.
        contrast: Label of its contrast, for example "T1w" or "ce-gadolinium_T1w".
        brain: Voxels of the brain on the same grid; None when no mask is known.
        context: Acquired images of other contrasts on the same grid, by label; the same for both sides of a comparison.
        path: File of the image; external programs read it.
        labels: Label map made elsewhere, for `labels`.
        what: Names the image in messages, for example "sub-01: synthetic T1w".
    """

    image: Volume
    contrast: str
    brain: NDArray[np.bool_] | None = None
    context: Mapping[str, Volume] = field(default_factory=dict)
    path: Path | None = None
    labels: Path | None = None
    what: str = "image"


@dataclass(frozen=True, eq=False)
class Segmentation:
    """An image divided into structures.

    Attributes:
        labels: Label numbers on the grid of the image.
        structures: Name of each structure to its label numbers; a label may belong to several structures.
        notes: What is worth knowing; "" when nothing.
    """

    labels: Volume
    structures: Mapping[str, tuple[int, ...]]
    notes: str = ""

    def mask(self, structure: str) -> NDArray[np.bool_]:
        """Voxels of a structure."""
        return np.isin(self.labels.data, self.structures[structure])


class Segmenter(ABC):
    """Divides an image into structures.

    Attributes:
        title: What it is, in words.
        lesions: Whether its structures are lesions, which are also compared one by one.
    """

    title: ClassVar[str]
    lesions: ClassVar[bool] = False

    @abstractmethod
    def version(self) -> str:
        """Version of the segmenter.

        Raises:
            DependencyError: The program is not installed.
        """

    @abstractmethod
    def segment(self, given: SegmentationInput) -> Segmentation:
        """Divide the image.

        Raises:
            DataError: The segmenter cannot be used for this image.
            DependencyError: The program is not installed.
        """


SEGMENTERS: Registry[type[Segmenter]] = Registry("segmenter", "recontrast.evaluation.segmentation")


def require_contrast(given: SegmentationInput, suffixes: tuple[str, ...], segmenter: str) -> str:
    """The suffix of the contrast, for example "T1w" of "ce-gadolinium_T1w".

    Raises:
        DataError: The segmenter is not made for it.
    """
    suffix = given.contrast.rsplit("_", 1)[-1]
    if suffix not in suffixes:
        raise DataError(
            f"{given.what}: the segmenter '{segmenter}' is made for {' and '.join(suffixes)}, not for "
            f"{given.contrast}; choose another segmenter"
        )
    return suffix


def brain_of(given: SegmentationInput) -> NDArray[np.bool_]:
    """The brain mask of the input.

    Raises:
        DataError: There is none, it is empty, or it has another shape.
    """
    if given.brain is None:
        raise DataError(f"{given.what}: no brain mask; put one beside the reference (sub-01_desc-brain_mask.nii.gz)")
    brain = np.asarray(given.brain, dtype=bool)
    if brain.shape != given.image.shape:
        raise DataError(f"{given.what}: the brain mask has shape {brain.shape}, the image {given.image.shape}")
    if not brain.any():
        raise DataError(f"{given.what}: the brain mask is empty")
    return brain
