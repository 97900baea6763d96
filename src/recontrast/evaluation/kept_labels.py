"""Segmentations of references that are kept: further evaluations against the same references take them up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recontrast.atomic import make_folder, write_json
from recontrast.errors import RecontrastError
from recontrast.evaluation.segmentation import Segmentation, SegmentationInput, Segmenter
from recontrast.io.bids import Case
from recontrast.io.nifti import read_volume, write_volume
from recontrast.provenance import sha256_of, version
from recontrast.volume import same_grid


def segment_once(
    segmenter: Segmenter, name: str, given: SegmentationInput, case: Case, files: Sequence[Path], folder: Path | None
) -> Segmentation:
    """Segment an image, or take up what an earlier evaluation kept of the same files, segmenter and version.

    A label map that was cut off, or whose image or mask has changed, is made anew.

    Args:
        segmenter: What segments.
        name: Its name.
        given: The reference image with what is known of it.
        case: Whose it is.
        files: Everything the result depends on: images and masks.
        folder: Where label maps are kept; None keeps none.

    Raises:
        DataError: The segmenter cannot be used for this image.
        DependencyError: The program is not installed.

    Example:
        >>> segment_once(Tissue(), "tissue", given, case, [Path("t1.nii.gz")], Path("labels"))  # doctest: +SKIP
        Segmentation(...)
    """
    if folder is None:
        return segmenter.segment(given)
    content = [name, segmenter.version(), version(), given.contrast, [sha256_of(path) for path in files]]
    stamp = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    path = folder / f"{case.key}_desc-{name}_{given.contrast.rsplit('_', 1)[-1]}_{stamp[:12]}_dseg.nii.gz"
    about = path.with_name(path.name.replace(".nii.gz", ".json"))
    kept = _read(path, about, stamp, given)
    if kept is not None:
        return kept
    made = segmenter.segment(given)
    make_folder(folder)
    write_volume(path, made.labels, np.int32)
    # Last: a label map without it does not count.
    write_json(about, {"stamp": stamp, "structures": made.structures, "notes": made.notes, "labels": sha256_of(path)})
    return made


def _read(path: Path, about: Path, stamp: str, given: SegmentationInput) -> Segmentation | None:
    try:
        told = json.loads(about.read_text(encoding="utf-8"))
        if told["stamp"] != stamp or told["labels"] != sha256_of(path):
            return None
        labels = read_volume(path, np.int32)
    except (OSError, ValueError, KeyError, TypeError, RecontrastError):
        return None
    if not same_grid(labels, given.image):
        return None
    structures = {name: tuple(numbers) for name, numbers in told["structures"].items()}
    return Segmentation(labels, structures, told["notes"])
