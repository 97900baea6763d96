"""Figures that say whether a prepared case can be trusted; one row a contrast in `quality.tsv`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from recontrast.errors import RecontrastWarning
from recontrast.preparation.align import mean_displacement
from recontrast.preparation.recipes import PlacedImage
from recontrast.volume import Volume

COLUMNS = (
    "case", "contrast", "finite", "low", "median", "high", "levels", "head_ml", "overlap", "coverage",
    "interpolated", "moved_mm", "shift_left_mm", "turn_left_deg",
)  # fmt: skip
"""Columns of `quality.tsv`; `describe_image` says what they are."""

FEWEST_LEVELS = 32
"""Fewer distinct values than this inside the head give a warning."""

LEAST_COVERAGE = 0.9
"""A contrast that covers less of the head than this gives a warning."""

LEAST_OVERLAP = 0.8
"""Heads (own mask against that of the case) that overlap less than this give a warning."""

LARGEST_SHIFT_VOXELS = 1.0
"""A mean displacement of the head left after preparation beyond this gives a warning."""


def describe_image(case: str, contrast: str, image: PlacedImage, head: Volume) -> dict[str, Any]:
    """Quality figures of one prepared contrast.

    Args:
        case: Key of the case.
        contrast: Its label.
        image: The contrast on the grid of the case.
        head: Head mask of the case.

    Returns:
        finite: share of voxels that are finite; low, median, high: 0.1th, 50th and 99.9th percentile inside the head
        (native units); levels: distinct values inside the head; head_ml: volume of the contrast's own head mask;
        overlap: Dice of that with the head of the case; coverage: share of the case's head inside the contrast's
        field of view; interpolated: yes or no; moved_mm: movement undone; shift_left_mm, turn_left_deg: movement
        still found afterwards (mean displacement in the head, rotation angle); None where not looked for.
    """
    values = image.volume.data[head.data.astype(bool)]
    low, median, high = (float(v) for v in np.percentile(values, (0.1, 50, 99.9)))
    shift, turn = _movement(image, head)
    return {
        "case": case,
        "contrast": contrast,
        "finite": float(np.isfinite(image.volume.data).mean()),
        "low": low,
        "median": median,
        "high": high,
        "levels": int(np.unique(values).size),
        "head_ml": float(image.head.data.sum() * abs(np.linalg.det(head.affine[:3, :3])) / 1000),
        "overlap": _dice(image.head, head),
        "coverage": 1.0 if image.seen is None else float(image.seen[head.data.astype(bool)].mean()),
        "interpolated": "yes" if image.interpolated else "no",
        "moved_mm": image.moved_mm,
        "shift_left_mm": shift,
        "turn_left_deg": turn,
    }


def warn_of_doubt(row: Mapping[str, Any], spacing: tuple[float, float, float]) -> None:
    """Give a warning for each figure of a row that is out of the ordinary."""
    voxel = float(np.prod(spacing)) ** (1 / 3)
    doubts = []
    if row["levels"] < FEWEST_LEVELS:
        doubts.append(f"only {row['levels']} distinct values inside the head")
    if row["coverage"] < LEAST_COVERAGE:
        doubts.append(f"covers only {100 * row['coverage']:.0f} % of the head")
    if row["overlap"] < LEAST_OVERLAP:
        doubts.append(f"its head overlaps the head of the case by only {row['overlap']:.2f} (Dice)")
    if row["shift_left_mm"] is not None and row["shift_left_mm"] > LARGEST_SHIFT_VOXELS * voxel:
        doubts.append(f"still displaced by about {row['shift_left_mm']:.1f} mm")
    for doubt in doubts:
        warnings.warn(f"{row['case']} {row['contrast']}: {doubt}", RecontrastWarning, stacklevel=2)


def _movement(image: PlacedImage, head: Volume) -> tuple[float | None, float | None]:
    if image.residual is None:
        return None, None
    turn = np.degrees(np.arccos(np.clip((np.trace(image.residual[:3, :3]) - 1) / 2, -1, 1)))
    return mean_displacement(image.residual, np.eye(4), head), float(turn)


def _dice(first: Volume, second: Volume) -> float:
    a, b = first.data.astype(bool), second.data.astype(bool)
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2.0 * int(np.count_nonzero(a & b)) / total if total else 0.0
