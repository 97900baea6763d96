"""Split-conformal calibration by subject: how far a predicted spread is stretched, and what that promises.

Voxels of one head resemble each other, so a million of them are one observation. Each calibration subject counts the
same, and the promise depends on their number (J. Lei et al., J. Am. Stat. Assoc. 2018; Y. Lee, R. F. Barber,
R. Willett, Distribution-free inference with hierarchical data, arXiv:2306.06342). No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import CheckpointError

LEVEL = 0.9
"""Part of the voxels that the intervals are meant to hold."""

Kind = Literal["subjects", "slabs"]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How the error bars of a translator were calibrated; part of `translator.json`.

    Example:
        >>> Calibration(kind="subjects", subjects=("a", "b"), factor=2.0).guaranteed
        0.6
    """

    kind: Kind
    """What it was calibrated on: subjects that were not learned from, or slabs of the training subjects."""

    subjects: tuple[str, ...]
    """Hashes of these subjects (`subject_hash`)."""

    factor: float
    """The predicted spread times this is half an interval, in network range."""

    level: float = LEVEL
    """Part of the voxels the intervals are meant to hold."""

    left_out: tuple[float, ...] = field(default_factory=tuple)
    """Part of each subject's voxels that the others would have covered; empty for one subject."""

    spread_sha256: str = ""
    """SHA-256 of the file of the predicted spread; filled in when saved."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.kind not in ("subjects", "slabs") or not self.subjects or not 0 < self.level < 1 or not self.factor > 0:
            raise CheckpointError(
                f"error bars of kind '{self.kind}', level {self.level}, factor {self.factor} from "
                f"{len(self.subjects)} subjects cannot be"
            )

    @property
    def guaranteed(self) -> float:
        """Coverage promised on average for a further subject like these, whatever the errors look like; 0: none.

        The factor is the quantile at `level` over n subjects of equal weight. With a further one at infinity among them
        it is the quantile at level * n / (n + 1), and that holds without any assumption but that subjects are alike.
        """
        number = len(self.subjects)
        return round(self.level * number / (number + 1), 10) if self.kind == "subjects" else 0.0

    def words(self) -> str:
        """What was calibrated on what, and what that promises, in a sentence."""
        number, aim = len(self.subjects), f"error bars of {100 * self.level:g} %"
        if self.kind == "slabs":
            whose = "the training subject" if number == 1 else f"{number} training subjects"
            return (
                f"{aim}, calibrated on slabs of {whose} that were not learned from: for other subjects nothing is "
                "promised, they may be too narrow; with validation subjects they would be calibrated on those"
            )
        people = f"{number} subject{' that was' if number == 1 else 's that were'} not learned from"
        share = math.floor(100 * self.guaranteed + 1e-6)  # a promise is not rounded up
        least = f"at least {share} % of a head's voxels are promised on average over new subjects"
        seen = "how subjects differ is not known"
        if self.left_out:
            low, high = 100 * min(self.left_out), 100 * max(self.left_out)
            seen = f"left out one by one, {low:.1f} to {high:.1f} % of their voxels were covered"
        return f"{aim}, calibrated on {people}, which also chose the weights: {least}; {seen}"

    def to_sidecar(self) -> dict[str, Any]:
        """For the sidecar of a map of error bars."""
        return {
            "Level": self.level,
            "CalibratedOn": self.kind,
            "CalibrationSubjects": len(self.subjects),
            "CalibrationSubjectHashes": list(self.subjects),
            "GuaranteedMeanCoverage": self.guaranteed,
            "CoverageOfSubjectsLeftOut": [round(share, 4) for share in self.left_out],
            "Statement": self.words(),
        }


def words_of_several(calibrations: Mapping[str, Calibration], directions: int) -> str:
    """Error bars of a translator that makes several contrasts, in a sentence: those that promise least.

    Args:
        calibrations: Of each direction that has one; at least one.
        directions: Number of directions there are.

    Example:
        >>> one = Calibration(kind="subjects", subjects=("a",), factor=1.0)
        >>> words_of_several({"T1w to T2w": one}, 2).partition(":")[0]
        '1 of 2 directions have error bars; of these T1w to T2w promises least'
    """
    name, least = min(calibrations.items(), key=lambda item: (item[1].guaranteed, len(item[1].subjects), item[0]))
    many = f"{len(calibrations)} of {directions} directions have error bars"
    return f"{many}; of these {name} promises least: {least.words()}"


def conformal_factor(ratios: Sequence[NDArray[Any]], level: float = LEVEL) -> float:
    """The factor on predicted spreads with which `level` of the voxels are covered, every subject counting the same.

    Args:
        ratios: For each subject |error| / predicted spread of its voxels.
        level: Part of the voxels to cover, 0 to 1.

    Raises:
        ValueError: A subject has no voxel.

    Example:
        >>> conformal_factor([np.arange(1, 11), np.arange(11, 21)], 0.9)
        18.0
    """
    if not ratios or any(len(values) == 0 for values in ratios):
        raise ValueError("a subject without voxels cannot be calibrated on")
    values = np.concatenate([np.asarray(part, np.float64) for part in ratios])
    weights = np.concatenate([np.full(len(part), 1 / (len(ratios) * len(part))) for part in ratios])
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    return float(values[order[min(len(order) - 1, int(np.searchsorted(reached, level - 1e-9)))]])


def left_out_coverage(ratios: Sequence[NDArray[Any]], level: float = LEVEL) -> tuple[float, ...]:
    """Part of each subject's voxels covered with the factor of the others; empty for one subject.

    Args:
        ratios: As for `conformal_factor`.
        level: Part of the voxels to cover, 0 to 1.
    """
    if len(ratios) < 2:
        return ()
    factors = [conformal_factor([*ratios[:n], *ratios[n + 1 :]], level) for n in range(len(ratios))]
    return tuple(float(np.mean(part <= factor)) for part, factor in zip(ratios, factors, strict=True))


def calibrate(ratios: Mapping[str, NDArray[Any]], kind: Kind, level: float = LEVEL) -> Calibration:
    """Calibrate on subjects, or on slabs of subjects.

    Args:
        ratios: Hash of each subject to |error| / predicted spread of its voxels.
        kind: What the voxels are.
        level: Part of the voxels to cover, 0 to 1.

    Raises:
        ValueError: There is no subject, or one without voxels.
    """
    parts = list(ratios.values())
    factor = conformal_factor(parts, level)
    left_out = left_out_coverage(parts, level) if kind == "subjects" else ()
    return Calibration(kind=kind, subjects=tuple(ratios), factor=factor, level=level, left_out=left_out)
