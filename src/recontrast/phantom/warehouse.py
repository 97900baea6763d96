"""A clinical warehouse: several scanners, and scans of good, medium and low quality.

The scans of a hospital differ in more than the head: field strength, sequence, coil and noise go with the scanner, and
some scans are noisy, moved or of weak contrast. Bottani et al (BMC Med Imaging 2024;24:67) graded each of these three
0, 1 or 2; here the grades come first and the scan is made to match, so that they are truth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from recontrast.contrasts import Contrast
from recontrast.errors import ConfigError, UnknownNameError
from recontrast.phantom.acquisition import Motion, draw_motion
from recontrast.phantom.protocols import Scan
from recontrast.phantom.sequences import InversionPreparedGradientEcho, SpoiledGradientEcho
from recontrast.phantom.sequences import Sequence as PulseSequence


@dataclass(frozen=True)
class Scanner:
    """A scanner of the warehouse.

    Attributes:
        model: Its name in sidecars.
        field_strength_t: Field strength, T.
        t1w: The sequence of its `T1w`; other contrasts are those of `protocols`.
        snr: Its signal-to-noise ratio beside the cohort's.
        bias: Unevenness of its receive coil beside the cohort's.
        transmit: Share of their nominal angle that its pulses reach at the grades 0, 1, 2 of contrast. Less than all,
            and T1 weighting is lost: below the Ernst angle, and with an inversion that turns too little over. The
            shares leave 60 and 30 % of the contrast of white and grey matter.
    """

    model: str
    field_strength_t: float
    t1w: PulseSequence
    snr: float = 1.0
    bias: float = 1.0
    transmit: tuple[float, float, float] = (1.0, 0.572, 0.456)


SCANNERS: Mapping[str, Scanner] = {
    "mprage-3t": Scanner("virtual scanner A", 3.0, InversionPreparedGradientEcho(2.3, 0.9, 0.00298, 9.0, 0.0071, 176)),
    "mprage-1.5t": Scanner(
        "virtual scanner B", 1.5, InversionPreparedGradientEcho(2.1, 0.95, 0.0033, 15.0, 0.0075, 160), 0.7, 0.6,
        (1.0, 0.488, 0.373),
    ),
    "spgr-3t": Scanner("virtual scanner C", 3.0, SpoiledGradientEcho(0.0095, 0.0041, 18.0), 0.9, 1.3,
        (1.0, 0.577, 0.433),
    ),
}  # fmt: skip
"""Scanners by name: two vendors' kinds of 3D T1w, two field strengths. To add one, add a line."""

_NOISE = (1.0, 0.3, 0.12)
"""Signal-to-noise ratio at the grades 0, 1, 2, beside that of a good scan."""

_WANDER = (0.0, 1.0, 3.0)
"""Motion during the scan at the grades 0, 1, 2: standard deviation of each jerk, mm and degrees."""

_JERKS = 4
"""Times the head moves during a scan of grade 1 or 2."""


@dataclass(frozen=True)
class Grades:
    """Quality of a scan as people grade it: 0 good, 1 medium, 2 low.

    Attributes:
        contrast: How weak the contrast of grey and white matter is.
        motion: How much the head moved during the scan.
        noise: How noisy it is.

    Example:
        >>> Grades(noise=1).tier
        'medium'
    """

    contrast: int = 0
    motion: int = 0
    noise: int = 0

    @property
    def tier(self) -> str:
        """good, medium or low: the worst grade, as in Bottani 2024."""
        return ("good", "medium", "low")[max(self.contrast, self.motion, self.noise)]

    @property
    def snr(self) -> float:
        """Signal-to-noise ratio beside that of a good scan."""
        return _NOISE[self.noise]


GOOD = Grades()


def scanner_of(name: str) -> Scanner:
    """A scanner by its name.

    Raises:
        UnknownNameError: There is none of that name.

    Example:
        >>> scanner_of("mprage-1.5t").field_strength_t
        1.5
    """
    if name not in SCANNERS:
        raise UnknownNameError.among("scanner", name, SCANNERS)
    return SCANNERS[name]


def check_shares(medium: float, low: float) -> None:
    """Refuse shares that are none.

    Raises:
        ConfigError: A share lies outside 0 to 1, or both together above 1.
    """
    for name, share in (("medium_quality", medium), ("low_quality", low)):
        if not 0 <= share <= 1:
            raise ConfigError(f"{name} is a share of scans from 0 to 1, got {share:g}")
    if medium + low > 1:
        raise ConfigError(f"medium_quality {medium:g} and low_quality {low:g} are more than all scans together")


def draw_grades(rng: np.random.Generator, medium: float, low: float, weakened: bool = True) -> Grades:
    """Grades of a scan: one figure decides its tier, the others are as good or better.

    Args:
        rng: Source of random numbers.
        medium: Share of scans of medium quality.
        low: Share of scans of low quality.
        weakened: Whether its contrast can be weak, see `can_be_weak`; else the grade of contrast is 0.
    """
    chance, worst, lesser = rng.random(), int(rng.integers(3)), rng.integers(0, 2, 3)
    grade = 2 if chance < low else 1 if chance < low + medium else 0
    if grade == 0:
        return GOOD
    found = [int(value) for value in lesser] if grade == 2 else [0, 0, 0]
    found[worst if weakened or worst else 1 + int(rng.integers(2))] = grade
    return Grades(found[0] if weakened else 0, found[1], found[2])


def can_be_weak(scan: Scan) -> bool:
    """Whether `as_on` can weaken the contrast of a scan: of T1w gradient echoes alone.

    Example:
        >>> from recontrast.phantom.protocols import scans_of
        >>> can_be_weak(scans_of("T1w")[0]), can_be_weak(scans_of("FLAIR")[0])
        (True, False)
    """
    gradient_echo = isinstance(scan.sequence, InversionPreparedGradientEcho | SpoiledGradientEcho)
    return scan.contrast.suffix == "T1w" and gradient_echo


def as_on(scan: Scan, scanner: Scanner | None, grades: Grades) -> Scan:
    """A scan as this scanner makes it, with the T1 weighting that its grade of contrast says.

    Without a scanner the sequence is that of the protocol. Only what `can_be_weak` is weakened: all its pulses fall
    short of their angles, because the transmitter was set too low.

    Example:
        >>> from recontrast.phantom.protocols import scans_of
        >>> as_on(scans_of("T1w")[0], scanner_of("spgr-3t"), Grades(contrast=2)).sequence.flip_angle_deg
        7.79
    """
    if scanner is not None and (scan.contrast.suffix, _acquisition(scan.contrast)) == ("T1w", ""):
        scan = replace(scan, sequence=scanner.t1w)
    sequence, share = scan.sequence, (scanner or SCANNERS["mprage-3t"]).transmit[grades.contrast]
    if share == 1 or not can_be_weak(scan):
        return scan
    if isinstance(sequence, InversionPreparedGradientEcho):
        turned = round(-sequence.inversion_efficiency * math.cos(share * math.pi), 4)
        angle = round(sequence.flip_angle_deg * share, 2)
        return replace(scan, sequence=replace(sequence, flip_angle_deg=angle, inversion_efficiency=turned))
    if isinstance(sequence, SpoiledGradientEcho):
        angle = round(sequence.flip_angle_deg * share, 2)
        return replace(scan, sequence=replace(sequence, flip_angle_deg=angle))
    return scan


def draw_wander(rng: np.random.Generator, motion: Motion, grades: Grades) -> Sequence[Motion]:
    """Positions the head takes during a scan, one after the other; empty where it lies still.

    Args:
        rng: Source of random numbers.
        motion: Where it lies when the middle of k-space is acquired.
        grades: Of the scan.
    """
    amount = _WANDER[grades.motion]
    if amount == 0:
        return ()
    jerks = [draw_motion(rng, amount) for _ in range(_JERKS)]
    return tuple(
        replace(
            motion,
            rotation_deg=_sum(motion.rotation_deg, jerk.rotation_deg),
            shift_mm=_sum(motion.shift_mm, jerk.shift_mm),
        )
        for jerk in jerks
    )


def _sum(one: tuple[float, float, float], other: tuple[float, float, float]) -> tuple[float, float, float]:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def _acquisition(contrast: Contrast) -> str:
    return dict(contrast.entities).get("acq", "")
