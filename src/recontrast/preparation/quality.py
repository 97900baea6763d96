"""Figures that say whether a prepared case can be trusted; one row a contrast in `quality.tsv`."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import RecontrastWarning
from recontrast.io.bids import Case
from recontrast.preparation.align import AlignSettings, align, head_overlap, mean_displacement
from recontrast.preparation.mask import head_mask
from recontrast.preparation.recipes import PlacedImage
from recontrast.preparation.resample import resample
from recontrast.preparation.tiers import TIER_COLUMNS
from recontrast.volume import Volume

COLUMNS = (
    "case", "contrast", "finite", "low", "median", "high", "levels", "head_ml", "overlap", "coverage",
    "interpolated", "moved_mm", "shift_left_mm", "turn_left_deg",
)  # fmt: skip
"""Figures of a prepared image; `describe_image` says what they are."""

QUALITY_COLUMNS = (
    *COLUMNS, "noise", "snr", "tissue_contrast", "ghosting", "bright_share", *TIER_COLUMNS, "image_hash",
    "duplicate_of",
)  # fmt: skip
"""All columns of `quality.tsv`: those of `describe_image`, of `image_figures`, of `grade_image`, and copies."""

FEWEST_LEVELS = 32
"""Fewer distinct values than this inside the head give a warning."""

LEAST_COVERAGE = 0.9
"""A contrast that covers less of the head than this gives a warning."""

LEAST_OVERLAP = 0.8
"""Heads (own mask against that of the case) that overlap less than this give a warning."""

LARGEST_SHIFT_VOXELS = 1.0
"""A mean displacement of the head left after preparation beyond this gives a warning."""

LARGEST_TURN_DEG = 1.5
"""A rotation left after preparation beyond this gives a warning."""


@dataclass(frozen=True)
class PairQuality:
    """How two images of one person lie to each other.

    Attributes:
        shift_mm: Movement of the head's centre from source to target along right, anterior, superior, mm.
        rotation_deg: Angle of the rotation between both, degrees.
        displacement_mm: Mean displacement of the head's voxels, mm.
        overlap: Dice of both heads as they lie, 0 to 1.
        coverage: Share of the target's head inside the source's field of view.
        moved: Whether the displacement is beyond one voxel or the rotation beyond 1.5 degrees.
    """

    shift_mm: tuple[float, float, float]
    rotation_deg: float
    displacement_mm: float
    overlap: float
    coverage: float
    moved: bool


def measure_pair(source: Volume, target: Volume, what: str = "pair", seed: int = 0) -> PairQuality:
    """Movement between two images of one person, as their headers place them.

    Found by rigid alignment (mutual information); the images are not changed.

    Args:
        source: One image.
        target: Another, of another contrast or grid as a rule.
        what: Names the pair in messages.
        seed: Seed of the alignment.

    Raises:
        GeometryError: They have no common field of view.
        IntensityError: One is all zero, constant or not finite.

    Example:
        >>> measure_pair(t1w, t2w).rotation_deg  # doctest: +SKIP
        0.1
    """
    heads = head_mask(source), head_mask(target)
    found = align(source, target, AlignSettings(seed=seed), what, heads)
    centre = np.append(np.argwhere(heads[1].data).mean(axis=0), 1.0) @ target.affine.T
    shift = (centre - found.transform @ centre)[:3]
    displacement = mean_displacement(found.transform, np.eye(4), heads[1])
    turn = rotation_angle(found.transform)
    voxel = float(np.prod(target.spacing)) ** (1 / 3)
    everywhere = source.with_data(np.ones(source.shape, bool))
    seen = resample(everywhere, target, None, "nearest").data.astype(bool)
    return PairQuality(
        (float(shift[0]), float(shift[1]), float(shift[2])),
        turn,
        displacement,
        head_overlap(heads[1], heads[0], np.eye(4)),
        float(seen[heads[1].data].mean()),
        displacement > LARGEST_SHIFT_VOXELS * voxel or turn > LARGEST_TURN_DEG,
    )


def rotation_angle(transform: NDArray[np.float64]) -> float:
    """Angle of the rotation in a linear 4x4 transform, degrees; stretches are left out (polar decomposition).

    Example:
        >>> rotation_angle(np.diag([1.1, 0.9, 1.0, 1.0]))
        0.0
    """
    left, _, right = np.linalg.svd(transform[:3, :3])
    turn = left @ right
    axis = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    return float(np.degrees(np.arctan2(np.linalg.norm(axis), np.trace(turn) - 1)))


def duplicates(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """Images of different subjects with the same voxels: (case, contrast) to the other cases, joined by commas.

    Args:
        rows: Rows with `case`, `contrast` and `image_hash`.

    Example:
        >>> rows = [{"case": c, "contrast": "T1w", "image_hash": "aa"} for c in ("sub-01", "sub-02")]
        >>> duplicates(rows)[("sub-02", "T1w")]
        'sub-01'
    """
    groups: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        groups.setdefault(str(row["image_hash"]), []).append((str(row["case"]), str(row["contrast"])))
    found = {}
    for members in groups.values():
        for case, contrast in members:
            others = [other for other, _ in members if Case.parse(other).subject != Case.parse(case).subject]
            if others:
                found[case, contrast] = ", ".join(dict.fromkeys(others))
    return found


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
    if row["turn_left_deg"] is not None and row["turn_left_deg"] > LARGEST_TURN_DEG:
        doubts.append(f"still turned by about {row['turn_left_deg']:.1f} degrees")
    if row.get("gadolinium") == "suspected":
        doubts.append("looks as after contrast agent, but its name has no ce-")
    for doubt in doubts:
        warnings.warn(f"{row['case']} {row['contrast']}: {doubt}", RecontrastWarning, stacklevel=2)


def _movement(image: PlacedImage, head: Volume) -> tuple[float | None, float | None]:
    if image.residual is None:
        return None, None
    return mean_displacement(image.residual, np.eye(4), head), rotation_angle(image.residual)


def _dice(first: Volume, second: Volume) -> float:
    a, b = first.data.astype(bool), second.data.astype(bool)
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2.0 * int(np.count_nonzero(a & b)) / total if total else 0.0
