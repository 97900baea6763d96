"""Heads from label maps: any segmentation whose numbers are known becomes a template head.

Numbers are those of FreeSurfer (FreeSurferColorLUT), with the numbers from 500 that the label maps of SynthSeg
(Billot 2023, Medical Image Analysis 86:102789) use outside the brain. Another numbering needs a table: one row a
tissue, columns `class`, `labels` (numbers with commas between) and, for tissues that are not ours, `T1_ms`, `T2_ms`,
`T2star_ms` and `PD_rel`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from recontrast.errors import ConfigError, DataError, FormatError, LayoutError
from recontrast.io.nifti import is_nifti, read_volume
from recontrast.io.tables import read_table
from recontrast.phantom.anatomy import Head
from recontrast.phantom.grids import Array, Grid, resample_linear
from recontrast.phantom.head import pull_towards
from recontrast.phantom.tissues import HEALTHY, Tissue

FREESURFER: dict[str, tuple[int, ...]] = {
    "air": (0,),
    "GM": (3, 8, 17, 18, 42, 47, 53, 54, 19, 20, 55, 56, 27, 59),
    "WM": (2, 7, 41, 46, 16, 77, 78, 79, 85, 192, 250, 251, 252, 253, 254, 255, 28, 60),
    "CSF": (4, 5, 14, 15, 24, 43, 44, 72, 31, 63, 75, 76, 136, 137, 163, 164, 221, 257),
    "deepGM": (9, 10, 11, 12, 26, 48, 49, 50, 51, 58, 170, 171, 172),
    "pallidum": (13, 52),
    "lesion": (25, 57),
    "vessels": (30, 62),
    "nerve": (514,),
    "muscle": (502, 506, 507, 508, 509, 512, 530),
    "fat": (511,),
    "skull": (515, 516),
    "eyes": (259, 260),
}
"""Tissue to label numbers; cortical parcels from 1000 to 2999 are GM, white-matter parcels from 3000 to 4999 WM."""

_VENTRICLES = (4, 5, 14, 43, 44, 31, 63)
"""FreeSurfer numbers of the lateral and third ventricles."""

_PARCELS = {"GM": (1000, 3000), "WM": (3000, 5000)}

_CENTRE_MM = (0.0, -18.0, 5.0)
"""Where the centre of the brain is put: as in MNI152, so that the field of view fits."""

_OWN = {"gm": "GM", "wm": "WM", "csf": "CSF", "lesion": "lesion", "vessel": "vessels"}


@dataclass(frozen=True)
class LabelTable:
    """What label numbers mean.

    Attributes:
        numbers: Label number to tissue; `air` for none.
        tissues: Parameters of tissues given by the table; others are ours.
    """

    numbers: Mapping[int, str]
    tissues: Mapping[str, Tissue] = field(default_factory=dict)


def freesurfer_table() -> LabelTable:
    """The built-in numbering.

    Example:
        >>> freesurfer_table().numbers[17]
        'GM'
    """
    numbers = {number: name for name, group in FREESURFER.items() for number in group}
    for name, (first, last) in _PARCELS.items():
        numbers |= dict.fromkeys(range(first, last), name)
    return LabelTable(numbers)


def read_label_table(path: Path) -> LabelTable:
    """Read a table of tissues and their label numbers.

    Args:
        path: A TSV file with columns class, labels, T1_ms, T2_ms, T2star_ms, PD_rel.

    Raises:
        FormatError: A column is absent, or a value is not a number.
        ConfigError: A number stands in two rows.
    """
    table = read_table(path, text_columns=("class", "labels"))
    absent = {"class", "labels", "T1_ms", "T2_ms", "T2star_ms", "PD_rel"} - set(table.columns)
    if absent:
        raise FormatError(f"{path}: lacks the column {', '.join(sorted(absent))}")
    numbers: dict[int, str] = {}
    tissues: dict[str, Tissue] = {}
    for row in table.to_dict("records"):
        # BIDS labels have letters and digits only.
        name = "".join(letter for letter in str(row["class"]) if letter.isalnum())
        name = _OWN.get(name, name)
        try:
            labels = [int(number) for number in str(row["labels"]).split(",")]
            t1, t2, t2star, pd_rel = (float(row[key]) for key in ("T1_ms", "T2_ms", "T2star_ms", "PD_rel"))
        except ValueError as error:
            raise FormatError(f"{path}: row '{row['class']}': {error}") from None
        empty = pd_rel == 0
        if not empty and not min(t1, t2, t2star, pd_rel) > 0:
            raise FormatError(f"{path}: row '{row['class']}': times and density must be above 0")
        for number in labels:
            if number in numbers:
                raise ConfigError(f"{path}: label {number} stands in the rows of {numbers[number]} and {name}")
            numbers[number] = "air" if empty else name
        if not empty:
            tissues[name] = Tissue(t1 / 1000, t2 / 1000, t2star / 1000, pd_rel)
    return LabelTable(numbers, tissues)


def label_maps(path: Path) -> list[Path]:
    """The label maps meant by a file or a folder, sorted.

    Raises:
        LayoutError: There is none.
    """
    if path.is_dir():
        maps = sorted(file for file in path.iterdir() if is_nifti(file) and not file.name.startswith("."))
        if not maps:
            raise LayoutError(f"{path}: no NIfTI file in this folder; name a label map or a folder of them")
        return maps
    if not path.is_file():
        raise LayoutError(f"{path}: no such label map or folder")
    return [path]


@functools.lru_cache(maxsize=1)
def label_head(path: Path, table_path: Path | None = None) -> tuple[Head, dict[str, Tissue]]:
    """Make a template head of a label map.

    Args:
        path: The label map.
        table_path: Table of its numbers; None: FreeSurfer's.

    Returns:
        The head, and the tissues that the table brings along.

    Raises:
        DataError: The map has numbers that the table does not know, or no brain.
    """
    table = read_label_table(table_path) if table_path is not None else freesurfer_table()
    volume = read_volume(path, np.int32).reoriented("RAS")
    present = np.unique(volume.data)
    unknown = [int(number) for number in present if int(number) not in table.numbers]
    if unknown:
        shown = ", ".join(str(number) for number in unknown[:8]) + (", …" if len(unknown) > 8 else "")
        raise DataError(
            f"{path}: label numbers {shown} have no tissue; give --label-table with a row for each of them "
            "(columns class, labels, T1_ms, T2_ms, T2star_ms, PD_rel)"
        )
    names = [name for name in (*HEALTHY, *_others(table)) if name != "air"]
    index = {name: position for position, name in enumerate(names, start=1)}
    lookup = np.array([index.get(table.numbers[int(number)], 0) for number in present], np.uint8)
    labels = lookup[np.searchsorted(present, volume.data)]
    brain = np.isin(labels, [index[name] for name in ("GM", "WM", "deepGM", "pallidum") if name in index])
    if not brain.any():
        raise DataError(f"{path}: no voxel of grey or white matter in this label map")
    grid = _centred(brain, volume.spacing)
    used = [name for name in names if (labels == index[name]).any()]
    fractions = np.stack([_blurred(labels == index[name]) for name in used])
    ventricles = np.isin(volume.data, _VENTRICLES) if table_path is None else np.zeros_like(brain)
    coarse, distance, pull = _coarse_maps(brain, ventricles, grid)
    head = Head(tuple(used), fractions, grid, _blurred(ventricles), coarse, distance, pull, 1.0, 0.6, tuple(names))
    return head, dict(table.tissues)


def _others(table: LabelTable) -> list[str]:
    return sorted(set(table.numbers.values()) - set(HEALTHY))


def _centred(brain: NDArray[np.bool_], spacing: tuple[float, float, float]) -> Grid:
    """The map's grid with the middle of the brain where the template has it; axes along the world's."""
    origin = []
    for axis in range(3):
        occupied = np.flatnonzero(brain.any(axis=tuple(a for a in range(3) if a != axis)))
        origin.append(_CENTRE_MM[axis] - float(occupied[0] + occupied[-1]) / 2 * spacing[axis])
    i, j, k = brain.shape
    return Grid((i, j, k), spacing, (origin[0], origin[1], origin[2]))


def _blurred(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Fractions of a label: borders softened by half a voxel; adds up to one over all labels."""
    soft = gaussian_filter(mask.astype(np.float32), 0.55, truncate=3.0)
    return np.rint(soft * 255).astype(np.uint8)


def _coarse_maps(brain: NDArray[np.bool_], ventricles: NDArray[np.bool_], grid: Grid) -> tuple[Grid, Array, Array]:
    spacing = 4.0
    shape = [max(2, round(n * s / spacing)) for n, s in zip(grid.shape, grid.spacing, strict=True)]
    margin = 40
    x, y, z = (o - margin for o in grid.origin)
    reach = int(np.ceil(2 * margin / spacing))
    coarse = Grid((shape[0] + reach, shape[1] + reach, shape[2] + reach), (spacing,) * 3, (x, y, z))
    inside = _onto(brain, grid, coarse) > 0.3
    distance = (distance_transform_edt(~inside) - distance_transform_edt(inside)) * spacing
    pull = pull_towards(_onto(ventricles, grid, coarse), spacing)
    return coarse, np.asarray(gaussian_filter(distance, 0.7), np.float32), pull


def _onto(mask: NDArray[np.bool_], grid: Grid, coarse: Grid) -> Array:
    """A mask on a coarse grid; nothing beyond the map."""
    blurred = gaussian_filter(mask.astype(np.float32), [2.0 / s for s in grid.spacing])
    values = resample_linear(blurred, grid, coarse)
    for axis, (position, count) in enumerate(zip(coarse.positions_in(grid), grid.shape, strict=True)):
        beyond = (position < 0) | (position > count - 1)
        values[(slice(None),) * axis + (beyond,)] = 0
    return values
