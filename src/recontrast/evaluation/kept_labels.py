"""Segmentations of references that are kept: further evaluations against the same references take them up."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from recontrast.atomic import make_folder, write_json
from recontrast.errors import RecontrastError
from recontrast.evaluation.segmentation import UNKNOWN_VERSION, Segmentation, SegmentationInput, Segmenter
from recontrast.io.bids import BidsName, Case
from recontrast.io.nifti import read_volume, write_volume
from recontrast.provenance import sha256_of, version
from recontrast.volume import Volume, same_grid


def segment_once(
    segmenter: Segmenter, name: str, given: SegmentationInput, case: Case, folder: Path | None
) -> Segmentation:
    """Segment an image, or take up what was kept of the same image, masks, segmenter and version.

    What is kept of something else, or was cut off, is made anew. A program that does not tell its version is asked
    each time, for nobody would notice that it is another one.

    Args:
        segmenter: What segments.
        name: Its name.
        given: The image with what is known of it.
        case: Whose it is.
        folder: Where label maps are kept; None keeps none.

    Raises:
        DataError: The segmenter cannot be used for this image.
        DependencyError: The program is not installed.
        OutputError: The folder cannot be written.

    Example:
        >>> segment_once(Tissue(), "tissue", given, case, Path("labels"))  # doctest: +SKIP
        Segmentation(...)
    """
    if folder is None:
        return segmenter.segment(given)
    number = segmenter.version()
    if number == UNKNOWN_VERSION:
        return segmenter.segment(given)
    stamp = _stamp(name, number, given)
    label = "".join(letter for letter in name if letter.isalnum())
    path = folder / BidsName.of(case, "dseg", desc=f"{label}{stamp[:12]}").filename
    about = path.with_name(path.name.replace(".nii.gz", ".json"))
    kept = _read(path, about, stamp, given)
    if kept is not None:
        return kept
    made = segmenter.segment(given)
    make_folder(folder)
    write_volume(path, made.labels, np.int32)
    told = {
        "Description": f"{name} (version {number}) of the acquired {given.contrast}",
        "stamp": stamp, "structures": made.structures, "notes": made.notes, "labels": sha256_of(path),
    }  # fmt: skip
    write_json(about, told)  # last: a label map without it does not count
    return made


def _stamp(name: str, number: str, given: SegmentationInput) -> str:
    """Hash of everything that a segmenter sees."""
    seen: list[Any] = [name, number, version(), given.contrast, _hash(given.image)]
    seen.append("" if given.brain is None else _hash(given.image.with_data(given.brain)))
    seen.append(sorted((label, _hash(image)) for label, image in given.context.items()))
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()


def _hash(volume: Volume) -> str:
    data = np.ascontiguousarray(volume.data)
    content = hashlib.sha256(json.dumps([data.dtype.str, data.shape]).encode())
    content.update(np.asarray(volume.affine, np.float64).tobytes())
    content.update(data.data)
    return content.hexdigest()


def _read(path: Path, about: Path, stamp: str, given: SegmentationInput) -> Segmentation | None:
    """What was kept; None where it is absent, damaged or of something else."""
    try:
        told = json.loads(about.read_text(encoding="utf-8"))
        if told["stamp"] != stamp or told["labels"] != sha256_of(path):
            return None
        labels = read_volume(path, np.int32)
        structures = {str(name): tuple(map(int, numbers)) for name, numbers in told["structures"].items()}
        notes = str(told["notes"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecontrastError):
        return None
    return Segmentation(labels, structures, notes) if same_grid(labels, given.image) else None
