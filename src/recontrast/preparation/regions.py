"""Regions of a case (brain, lesion, tissues) from masks and label maps, beside the images or in their own folder."""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import FormatError, LayoutError, RecontrastWarning
from recontrast.io.bids import BidsImage, BidsName, Case, sidecar_path
from recontrast.io.nifti import is_nifti, read_volume
from recontrast.io.tables import read_table, require_columns
from recontrast.preparation.resample import resample
from recontrast.volume import Volume, same_grid

_SUFFIXES = ("mask", "brainmask", "dseg")

_OTHER_DATA = ("beh", "dwi", "eeg", "fmap", "func", "ieeg", "meg", "micr", "motion", "mrs", "nirs", "perf", "pet")
"""Folders of BIDS whose masks are not of anatomical images; a flat folder of images may have any other name."""


@dataclass(frozen=True)
class RegionFile:
    """A file of regions.

    Attributes:
        name: Name of the region of a mask; empty for a label map, which names its own.
        path: The image.
        table: Label names of a label map (columns index, name).
    """

    name: str
    path: Path
    table: Path | None = None


def find_regions(
    case: Case, images: Iterable[BidsImage], folder: Path | None, spaces: Sequence[str]
) -> list[RegionFile]:
    """Region files of one case: those in `folder` first, then those beside its images.

    Args:
        case: The case.
        images: All images of the case in the data set.
        folder: A data set with regions only (the same subject folders), or None.
        spaces: Values of the `space` entity that lie in the world of the case's grid; "" is no entity. Where a region
            is there in several, the first of these wins.

    Raises:
        LayoutError: Two files of one folder are the same region in the same space.
    """
    own = [image for image in images if image.path.parent.name not in _OTHER_DATA]
    chosen: dict[str, RegionFile] = {}
    for group in (_below(folder, case) if folder else [], own):
        for space in spaces:
            here = [image for image in group if image.name.entities.get("space", "") == space]
            found: dict[str, RegionFile] = {}
            for region in filter(None, map(as_region, here)):
                key = region.name or f"labels of {region.path.name}"
                if key in found:
                    raise LayoutError(f"{case.key}: region '{key}' is in {found[key].path} and {region.path}; keep one")
                found[key] = region
            chosen = {**found, **chosen}
    return list(chosen.values())


def simulated_motion(case: Case, folder: Path | None, grid: str) -> NDArray[np.float64]:
    """World of the grid contrast to world of the truth of a simulated head; identity for anything else.

    The truth shows the head where it was before it moved. Heads of `recontrast simulate` say how it moved.

    Args:
        case: The case.
        folder: The data set with regions.
        grid: Contrast whose grid the case gets.

    Raises:
        FormatError: The record of the simulation is damaged.
    """
    record = folder / case.folder / f"{case.key}_simulation.json" if folder else None
    if record is None or not record.is_file():
        return np.eye(4)
    try:
        motion = json.loads(record.read_text(encoding="utf-8"))["Motion"]
        return np.asarray(np.linalg.inv(np.asarray(motion[grid]["ReferenceToScan"], dtype=np.float64)))
    except (ValueError, KeyError, TypeError, np.linalg.LinAlgError) as error:
        raise FormatError(f"{record}: does not say how the head moved for {grid} ({error!r})") from error


def read_regions(
    files: Iterable[RegionFile], grid: Volume, what: str, transform: NDArray[np.float64] | None = None
) -> dict[str, Volume]:
    """Region name to uint8 mask on `grid`.

    Files on the grid (however their axes are stored) are only turned; others are put there by nearest neighbour.

    Args:
        files: From `find_regions`.
        grid: Grid of the case; its orientation is RAS.
        what: Names the case in warnings.
        transform: World of `grid` to world of the regions (4x4); left out: they are one.

    Raises:
        FormatError: A table of label names is damaged, or a file cannot be read.
    """
    regions: dict[str, Volume] = {}
    for file in files:
        labels = _on_grid(read_volume(file.path, np.int32), grid, transform)
        names = {1: file.name} if file.table is None else _label_names(file.table)
        values = labels.data != 0 if file.table is None else None
        for index, name in names.items():
            inside = values if values is not None else labels.data == index
            if name not in regions:
                regions[name] = grid.with_data(inside.astype(np.uint8))
            elif file.table is not None:
                regions[name] = grid.with_data(regions[name].data | inside.astype(np.uint8))
    for name, region in regions.items():
        if name in ("head", "brain") and not region.data.any():
            warnings.warn(f"{what}: region '{name}' is empty on the grid of the case", RecontrastWarning, stacklevel=2)
    return regions


def as_region(image: BidsImage) -> RegionFile | None:
    """What a file is, as a region; None for other files and for label maps without names."""
    name, entities = image.name, image.name.entities
    if name.suffix == "brainmask":
        return RegionFile("brain", image.path)
    if name.suffix == "mask":
        return RegionFile(_label(entities.get("desc", entities.get("label", "brain"))), image.path)
    if name.suffix == "dseg":
        table = sidecar_path(image.path).with_suffix(".tsv")
        if table.is_file():
            return RegionFile("", image.path, table)
        warnings.warn(
            f"{image.path}: no {table.name} with its label names beside it; its regions are left out",
            RecontrastWarning,
            stacklevel=4,
        )
    return None


def _label(text: str) -> str:
    """A name usable as a BIDS label: letters and digits only."""
    return re.sub(r"[^A-Za-z0-9]", "", text)


def _label_names(table: Path) -> dict[int, str]:
    content = read_table(table, text_columns=("name",))
    require_columns(table, content, ("index", "name"))
    names: dict[int, str] = {}
    for row, (index, name) in enumerate(zip(content["index"], content["name"], strict=True), start=1):
        try:
            number = float(index)
        except (TypeError, ValueError):
            number = math.nan
        if not number.is_integer():
            raise FormatError(f"{table}: row {row} ({name}): index '{index}' must be a whole number; correct it")
        if number != 0 and isinstance(name, str) and _label(name):  # what has no name is no region
            names[int(number)] = _label(name)
    return names


def _below(folder: Path, case: Case) -> list[BidsImage]:
    found = []
    for path in sorted((folder / case.folder / "anat").glob("sub-*")):
        if is_nifti(path):
            try:
                found.append(BidsImage(path, BidsName.parse(path.name)))
            except LayoutError:
                continue  # a name of another kind; names of the data set itself are reported elsewhere
    return [image for image in found if image.name.suffix in _SUFFIXES and image.name.case == case]


def _on_grid(labels: Volume, grid: Volume, transform: NDArray[np.float64] | None) -> Volume:
    turned = labels.reoriented(grid.orientation)
    if same_grid(turned, grid) and (transform is None or np.array_equal(transform, np.eye(4))):
        return turned
    return resample(labels, grid, transform, "nearest")
