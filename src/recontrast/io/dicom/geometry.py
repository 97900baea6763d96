"""Where slices lie: sorted by their positions, put on a regular grid, with an affine in RAS+ millimetres.

DICOM gives the centre of the first pixel of a slice, p, the direction r in which columns count, the direction c in
which rows count, and the distances between rows and columns (PS3.3 C.7.6.2.1.1, LPS, mm). A volume here is
(column, row, slice), slices ordered along r x c.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import GeometryError
from recontrast.io.dicom.headers import Frame

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

ORIENTATION_TOLERANCE = 1e-3
"""Direction cosines of one stack may differ by this much."""

POSITION_TOLERANCE = 0.02
"""A slice may lie this far from its regular place, as a part of the slice distance (or `POSITION_FLOOR_MM`)."""

POSITION_FLOOR_MM = 0.01
MOST_SLICES = 10_000

_MOST_LOST = 3
"""Slices stated for each slice that is there, up to which the others count as lost; beyond, the header is wrong."""


@dataclass(frozen=True)
class Grid:
    """The regular grid on which slices lie.

    Attributes:
        affine: Voxel indices (column, row, slice) to RAS+ millimetres.
        shape: Number of columns, rows and slices, absent slices counted.
        order: For each slice that is there, its number in the frames that were given, sorted along the normal.
        places: Slice index of each of them in the grid.
        missing: Slice indices between the first and the last that no frame fills.
        notes: What is doubtful but usable.
    """

    affine: NDArray[np.float64]
    shape: tuple[int, int, int]
    order: tuple[int, ...]
    places: tuple[int, ...]
    missing: tuple[int, ...] = ()
    notes: tuple[str, ...] = field(default=())


def normal_of(orientation: Sequence[float]) -> NDArray[np.float64]:
    """The direction in which slices are counted: row direction x column direction, LPS, unit length.

    >>> normal_of((1, 0, 0, 0, 1, 0)).tolist()
    [0.0, 0.0, 1.0]
    """
    values = np.asarray(orientation, dtype=np.float64)
    normal = np.cross(values[:3], values[3:])
    length = float(np.linalg.norm(normal))
    return normal / length if length > 0 else normal


def distance_along(frame: Frame) -> float:
    """Position of a frame along its normal in mm.

    Raises:
        GeometryError: The header does not say where the frame lies.
    """
    if frame.position is None or frame.orientation is None:
        raise GeometryError(
            f"{frame.path}: the header does not say where the image lies (Image Position and Orientation (Patient)); "
            "export it again from the scanner or the archive"
        )
    return float(normal_of(frame.orientation) @ np.asarray(frame.position))


def grid_of(frames: Sequence[Frame]) -> Grid:
    """Sort the slices of one stack and find their grid.

    Args:
        frames: Frames of equal size and orientation, each at another position.

    Raises:
        GeometryError: A position is lacking, two slices lie at one position, distances are uneven, or slices are
            shifted against each other within the plane. The slices are named.

    Example:
        >>> grid_of(frames).missing  # doctest: +SKIP
        ()
    """
    first = frames[0]
    where = f"{first.path.parent}"
    distances = np.array([distance_along(frame) for frame in frames])
    row, column = _directions(first)
    if first.spacing is None or min(first.spacing) <= 0:
        raise GeometryError(f"{first.path}: the header gives no Pixel Spacing; export it again")
    order = np.argsort(distances, kind="stable")
    along = distances[order] - distances[order[0]]
    step, places, notes = _places(along, first, where)
    ends = [np.asarray(frames[order[n]].position) for n in (0, -1)]
    per_slice = (ends[1] - ends[0]) / places[-1] if places[-1] else np.cross(row, column) * step
    _require_straight(frames, order, places, per_slice, np.cross(row, column), where)
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1], lps[:3, 2] = row * first.spacing[1], column * first.spacing[0], per_slice
    lps[:3, 3] = ends[0]
    filled = set(places.tolist())
    return Grid(
        affine=LPS_TO_RAS @ lps,
        shape=(first.columns, first.rows, int(places[-1]) + 1),
        order=tuple(int(n) for n in order),
        places=tuple(int(n) for n in places),
        missing=tuple(n for n in range(int(places[-1])) if n not in filled),
        notes=tuple(notes),
    )


def stored_order(frames: Sequence[Frame]) -> str:
    """How instance numbers run along the normal: along, against, or neither (interleaved); frames are sorted by it."""
    numbers = [frame.order for frame in frames]
    if all(here < there for here, there in pairwise(numbers)):
        return "along"
    return "against" if all(here > there for here, there in pairwise(numbers)) else "interleaved"


def _directions(frame: Frame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values = np.asarray(frame.orientation, dtype=np.float64)
    row, column = values[:3], values[3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if max(abs(length - 1) for length in lengths) > 0.01 or abs(float(row @ column)) > 0.01:
        raise GeometryError(
            f"{frame.path}: Image Orientation (Patient) {values.round(5).tolist()} is not a pair of perpendicular "
            "directions of length one; export it again"
        )
    return row / lengths[0], column / lengths[1]


def _places(along: NDArray[np.float64], first: Frame, where: str) -> tuple[float, NDArray[np.int_], list[str]]:
    """Distance between slices and the grid index of each, from distances that start at 0 and rise."""
    stated = abs(first.between or 0.0)
    if len(along) == 1:
        step = stated or first.thickness or 0.0
        notes = [] if step > 0 else ["one slice and no thickness in the header: 1 mm is assumed"]
        return step or 1.0, np.zeros(1, dtype=np.int_), notes
    gaps = np.diff(along)
    if gaps.min() < POSITION_FLOOR_MM:
        count = int((gaps < POSITION_FLOOR_MM).sum())
        raise GeometryError(f"{where}: {count + 1} or more slices lie at one position ({count} repeated)")
    step = float(np.median(gaps[gaps < 1.5 * gaps.min()]))
    notes = []
    if stated > 0 and not _near(step, stated):
        parts = round(step / stated)
        gap = first.thickness is not None and _near(step, first.thickness + stated)  # some write the gap there
        if 2 <= parts <= _MOST_LOST and _near(step / parts, stated) and not gap:
            step /= parts
        else:
            notes.append(f"slices lie {step:.4g} mm apart, the header says {stated:.4g} mm; the positions are used")
    counts = along / step
    if counts[-1] > MOST_SLICES:
        raise GeometryError(f"{where}: slices lie {step:.4g} mm apart over {along[-1]:.4g} mm; the positions are wrong")
    places = np.rint(counts).astype(np.int_)
    exact = along[-1] / places[-1]
    off = np.abs(along - exact * places)
    worst = int(off.argmax())
    if off[worst] > max(POSITION_TOLERANCE * exact, POSITION_FLOOR_MM) or len(set(places.tolist())) != len(places):
        listed = ", ".join(f"{gap:.4g}" for gap in sorted(set(gaps.round(3).tolist()))[:6])
        raise GeometryError(
            f"{where}: the slices are not evenly spaced (distances of {listed} mm); no affine describes them. "
            "Import parts that are even, or have the series exported again"
        )
    return float(exact), places, notes


def _require_straight(
    frames: Sequence[Frame],
    order: NDArray[np.int_],
    places: NDArray[np.int_],
    per_slice: NDArray[np.float64],
    normal: NDArray[np.float64],
    where: str,
) -> None:
    """Slices must lie above each other: a stack that leans, or with one slice moved aside, has no right grid."""
    start = np.asarray(frames[order[0]].position)
    positions = np.array([frames[n].position for n in order])
    aside = np.linalg.norm(positions - start - np.outer(places, per_slice), axis=1).max()
    lean = float(np.linalg.norm(per_slice - normal * (per_slice @ normal)))
    allowed = max(POSITION_TOLERANCE * float(np.linalg.norm(per_slice)), POSITION_FLOOR_MM)
    if aside > allowed:
        raise GeometryError(f"{where}: a slice lies {aside:.3g} mm beside the others in its plane; no affine fits")
    if lean > allowed:
        raise GeometryError(
            f"{where}: each slice is shifted by {lean:.3g} mm in its plane against the one before (a leaning stack); "
            "that grid cannot be stored rightly: reformat the series at the scanner"
        )


def _near(first: float, second: float) -> bool:
    return abs(first - second) <= max(POSITION_TOLERANCE * second, POSITION_FLOOR_MM)
