"""Do error bars hold what they promise? Coverage and width of intervals in every region of a case.

Coverage alone can be bought with width: an interval as wide as the whole range covers everything and says nothing. So
the width stands beside it, and beside that the width that one interval for all voxels of the region would need to cover
as many of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import gaussian_gradient_magnitude

from recontrast.errors import FormatError, IntensityError
from recontrast.io.bids import Case, read_sidecar
from recontrast.io.nifti import read_volume
from recontrast.io.tables import write_table
from recontrast.preparation.normalize import Scale
from recontrast.translation.description import subject_hash
from recontrast.translation.maps import uncertainty_path
from recontrast.volume import Volume, require_same_grid

TABLE = "intervals.tsv"
COLUMNS = (
    "case", "subject", "session", "region", "level", "coverage", "width", "even_width", "unbounded", "voxels", "kind",
    "calibration_subjects", "calibrated_on_it", "protocol", "leak_check",
)  # fmt: skip
"""Columns of `intervals.tsv`. Widths are whole, from lower to upper end, in units of the protocol."""

EDGES, OUTSIDE = "edges", "outside"
"""Regions that are made here: the steepest tenth of the head in the reference, and all voxels outside the head."""

_STEEPEST = 0.9
_EDGE_MM = 1.0

TOLERANCE = 0.015
"""Intervals hold their promise when the mean coverage over subjects is within this of the level."""


@dataclass(frozen=True)
class IntervalScore:
    """How the intervals of one region did.

    Attributes:
        region: Where.
        coverage: Part of its voxels whose reference lies in the interval.
        width: Mean width from lower to upper end; infinite when one is.
        even_width: Width that one interval for all its voxels would need to cover as many.
        unbounded: Part of its voxels whose interval is infinitely wide.
        voxels: Number of voxels.
    """

    region: str
    coverage: float
    width: float
    even_width: float
    unbounded: float
    voxels: int

    def to_json(self) -> list[Any]:
        """As a list that JSON can hold: infinity is written as a word."""
        numbers = (self.coverage, self.width, self.even_width, self.unbounded)
        return [self.region, *(repr(number) for number in numbers), self.voxels]

    @classmethod
    def from_json(cls, content: Sequence[Any]) -> IntervalScore:
        """Read what `to_json` made."""
        region, coverage, width, even, unbounded, voxels = content
        return cls(region, float(coverage), float(width), float(even), float(unbounded), int(voxels))


@dataclass(frozen=True)
class Intervals:
    """The scored intervals of a case.

    Attributes:
        level: What they promise to cover.
        kind: What they were calibrated on: subjects or slabs; "" when nobody says.
        subjects: Hashes of the calibration subjects.
        scores: Region by region.
    """

    level: float
    kind: str
    subjects: tuple[str, ...]
    scores: tuple[IntervalScore, ...]

    def to_json(self) -> dict[str, Any]:
        """For the file of a finished case."""
        scores = [score.to_json() for score in self.scores]
        return {"level": self.level, "kind": self.kind, "subjects": list(self.subjects), "scores": scores}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Intervals:
        """Read what `to_json` made."""
        scores = tuple(IntervalScore.from_json(score) for score in content["scores"])
        return cls(content["level"], content["kind"], tuple(content["subjects"]), scores)


def score_intervals(
    reference: NDArray[Any], estimate: NDArray[Any], half_width: NDArray[Any], regions: Mapping[str, NDArray[np.bool_]]
) -> tuple[IntervalScore, ...]:
    """Coverage and width in each region that is not empty.

    Args:
        reference: What was acquired, (I, J, K).
        estimate: Middle of the intervals, in the same units.
        half_width: Half of each interval, not below zero; infinity is allowed.
        regions: Region name to boolean array.

    Example:
        >>> zeros, head = np.zeros((2, 2, 2)), {"head": np.ones((2, 2, 2), bool)}
        >>> score_intervals(zeros, zeros + 1, zeros + 2, head)[0].coverage
        1.0
    """
    found = []
    error = np.abs(np.asarray(reference, np.float64) - estimate)
    for name, mask in regions.items():
        voxels = int(np.count_nonzero(mask))
        if not voxels:
            continue
        wrong, half = error[mask], np.asarray(half_width[mask], np.float64)
        inside = wrong <= half
        covered = int(np.count_nonzero(inside))
        even = 2 * float(np.partition(wrong, covered - 1)[covered - 1]) if covered else 0.0
        unbounded = float(np.mean(np.isinf(half)))
        found.append(IntervalScore(name, covered / voxels, 2 * float(half.mean()), even, unbounded, voxels))
    return tuple(found)


def case_intervals(
    synthetic: Path, images: tuple[Volume, NDArray[Any], NDArray[Any]], scale: Scale,
    regions: Mapping[str, NDArray[np.bool_]],
) -> Intervals | None:  # fmt: skip
    """Score the error bars that lie beside a synthetic image; None where there are none.

    Args:
        synthetic: The synthetic image.
        images: The reference's grid (RAS), and reference and synthetic image on the protocol's scale.
        scale: Scale of the synthetic image.
        regions: Regions of the case.

    Raises:
        GeometryError: The map lies on another grid than the reference.
        IntensityError: A half width is negative or not a number.
        FormatError: The sidecar does not say what the intervals promise.
    """
    path = uncertainty_path(synthetic)
    if not path.is_file():
        return None
    facts = read_sidecar(path)
    level = facts.get("Level")
    if not isinstance(level, float) or not 0 < level < 1:
        raise FormatError(f"{path}: its sidecar has no Level between 0 and 1; translate again, or remove the map")
    grid, reference, estimate = images
    half = read_volume(path).reoriented("RAS")
    require_same_grid(grid, half, f"{path}: reference and error bars")
    if not (half.data >= 0).all():
        raise IntensityError(f"{path}: holds half widths that are negative or not a number; translate again")
    there = {**regions, **made_regions(reference, regions["head"], grid.spacing)}
    scores = score_intervals(reference, estimate, half.data / abs(scale.factor), there)
    hashes = tuple(str(one) for one in facts.get("CalibrationSubjectHashes", ()))
    return Intervals(level, str(facts.get("CalibratedOn", "")), hashes, scores)


def made_regions(
    reference: NDArray[Any], head: NDArray[np.bool_], spacing: Sequence[float]
) -> dict[str, NDArray[np.bool_]]:
    """Edges (the steepest tenth of the head in the reference) and what lies outside the head.

    Args:
        reference: What was acquired, (I, J, K).
        head: The head.
        spacing: mm.
    """
    if not head.any():
        return {OUTSIDE: ~head}
    steep = gaussian_gradient_magnitude(np.asarray(reference, np.float32), [_EDGE_MM / mm for mm in spacing])
    return {EDGES: head & (steep > np.quantile(steep[head], _STEEPEST)), OUTSIDE: ~head}


def intervals_table(cases: Mapping[Case, Intervals], protocol: str, leak_check: str) -> pd.DataFrame:
    """One row for each case and region."""
    rows = [
        {
            "case": case.key,
            "subject": f"sub-{case.subject}",
            "session": case.session,
            "region": score.region,
            "level": found.level,
            "coverage": score.coverage,
            "width": score.width,
            "even_width": score.even_width,
            "unbounded": score.unbounded,
            "voxels": score.voxels,
            "kind": found.kind,
            "calibration_subjects": len(found.subjects),
            "calibrated_on_it": subject_hash(case.subject) in found.subjects,
            "protocol": protocol,
            "leak_check": leak_check,
        }
        for case, found in cases.items()
        for score in found.scores
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def interval_means(table: pd.DataFrame) -> pd.DataFrame:
    """Means over subjects, region by region: sessions are averaged within a subject first.

    Returns:
        Columns region, level, subjects, coverage, lowest, highest, width, even_width, unbounded.
    """
    numbers = ["level", "coverage", "width", "even_width", "unbounded"]
    subjects = table.groupby(["region", "subject"], sort=False)[numbers].mean()
    grouped = subjects.groupby("region", sort=False)
    means = grouped.mean()
    means["subjects"] = grouped.size()
    means["lowest"], means["highest"] = grouped["coverage"].min(), grouped["coverage"].max()
    return means.reset_index()


def interval_words(table: pd.DataFrame) -> list[str]:
    """Whether the intervals hold their promise in the head, and where they fail; width stands beside coverage."""
    if not len(table):
        return []
    means = {str(row["region"]): row for row in interval_means(table).to_dict("records")}
    told = []
    if "head" in means:
        head = means["head"]
        people = f"{int(head['subjects'])} subject{'' if head['subjects'] == 1 else 's'}"
        covered = f"{_percent(head['coverage'])} of the voxels of the head"
        reach = f"{_percent(head['lowest'])} to {_percent(head['highest'])} over {people}"
        width = f"mean width {head['width']:.3g} (one width for all would need {head['even_width']:.3g})"
        told.append(f"error bars of {100 * head['level']:g} % cover {covered} ({reach}), {width}: {_verdict(head)}")
    off = {name: row for name, row in means.items() if name != "head" and _verdict(row) != "as promised"}
    for words in ("too narrow", "too wide", "infinitely wide"):
        named = [f"{name} {_percent(row['coverage'])}" for name, row in off.items() if _verdict(row) == words]
        if named:
            told.append(f"error bars are {words} in {', '.join(named)}")
    if table["calibrated_on_it"].any():
        names = sorted(set(table.loc[table["calibrated_on_it"], "subject"]))
        told.append(f"error bars were calibrated on {', '.join(names)}: their coverage is no test")
    return told


def write_intervals(out: Path, cases: Mapping[Case, Intervals], protocol: str, leak_check: str) -> list[str]:
    """Write `intervals.tsv`, and return what is to be said of it; nothing of both where no image has error bars.

    What an earlier evaluation left in the folder would be taken for this one's: it is removed.
    """
    if not cases:
        (out / TABLE).unlink(missing_ok=True)
        return []
    table = intervals_table(cases, protocol, leak_check)
    write_table(out / TABLE, table)
    return interval_words(table)


def verdict_of(coverage: float, level: float, width: float) -> str:
    """What a mean coverage says: as promised, too narrow, too wide, or infinitely wide.

    >>> verdict_of(0.93, 0.9, 0.1), verdict_of(1.0, 0.9, math.inf)
    ('too wide', 'infinitely wide')
    """
    if math.isinf(width):
        return "infinitely wide"
    if coverage < level - TOLERANCE:
        return "too narrow"
    return "too wide" if coverage > level + TOLERANCE else "as promised"


def _verdict(row: Mapping[Any, Any]) -> str:
    return verdict_of(float(row["coverage"]), float(row["level"]), float(row["width"]))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
