"""Heads of random contrast: field, tissues and timing are drawn from wide ranges in which a contrast stays what it is.

A network that has seen every T1w and FLAIR that could be does not rely on one scanner's. Tobin 2017 (IROS, p. 23) calls
that domain randomisation; Billot 2023 (Med Image Anal 86:102789) draws the intensities of brain tissues at random. Here
the physics is drawn, so that the contrasts of a subject belong together. To vary a further contrast, add a row to
`RANGES`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from recontrast.contrasts import Contrast
from recontrast.errors import ConfigError
from recontrast.phantom.protocols import Scan, scans_of, without_agent
from recontrast.phantom.sequences import (
    InversionPreparedGradientEcho,
    Sequence,
    SpoiledGradientEcho,
    TurboSpinEcho,
    nulling_inversion_time_s,
)
from recontrast.phantom.tissues import FIELDS_T, Relaxation, Tissue, draw_tissues

TIMES = 0.15
"""Means of T1 and T2 of each tissue are up to this share longer or shorter than usual (in the logarithm, evenly)."""

DENSITY = 0.05
"""The same for proton density."""

NULLING = (0.95, 1.05)
"""TI of FLAIR beside the one that nulls the subject's CSF."""

_MOST_DRAWS = 1000
_UNUSUAL = (
    "random_contrast: of a thousand {what} none gives a {label} in which grey matter, white matter and CSF are bright "
    "in the usual order; look at the times of these tissues in label_table, or leave random_contrast out"
)


class Family(NamedTuple):
    """Sequences of one kind: a protocol, and the lowest and highest value of each parameter that is drawn."""

    sequence: Sequence
    limits: Mapping[str, tuple[float, float]]


RANGES: Mapping[str, tuple[Family, ...]] = {
    "T1w": (
        Family(
            InversionPreparedGradientEcho(2.3, 0.9, 0.003, 9.0, 0.0071, 176),
            {"repetition_time_s": (1.8, 2.6), "inversion_time_s": (0.75, 1.1), "echo_time_s": (0.002, 0.005),
             "flip_angle_deg": (7.0, 15.0)},
        ),
        Family(
            SpoiledGradientEcho(0.0095, 0.0041, 18.0),
            {"repetition_time_s": (0.007, 0.025), "echo_time_s": (0.002, 0.006), "flip_angle_deg": (15.0, 30.0)},
        ),
    ),
    "T2w": (
        Family(
            TurboSpinEcho(5.0, 0.096, 0.0096, 16),
            {"repetition_time_s": (3.0, 8.0), "echo_time_s": (0.075, 0.13)},
        ),
    ),
    "PDw": (
        Family(
            TurboSpinEcho(3.5, 0.012, 0.012, 6),
            {"repetition_time_s": (2.2, 5.0), "echo_time_s": (0.01, 0.03)},
        ),
    ),
    "FLAIR": (
        Family(
            TurboSpinEcho(9.0, 0.124, 0.010, 16, inversion_time_s=2.472),
            {"repetition_time_s": (6.0, 11.0), "echo_time_s": (0.08, 0.15)},
        ),
    ),
    "T2starw": (
        Family(
            SpoiledGradientEcho(0.65, 0.020, 20.0),
            {"repetition_time_s": (0.4, 0.9), "echo_time_s": (0.015, 0.03), "flip_angle_deg": (12.0, 25.0)},
        ),
    ),
}  # fmt: skip
"""Families of a contrast, one of which is drawn; contrasts that are not here keep their protocol."""


def draw_field(rng: np.random.Generator) -> float:
    """Field strength of a subject's scanner, T."""
    return float(rng.choice(FIELDS_T))


def draw_any_tissues(rng: np.random.Generator, means: Mapping[str, Tissue]) -> dict[str, Tissue]:
    """Tissues of a subject around other means: each by itself, evenly in the logarithm; T2* follows T2.

    They are drawn anew until the usual T1w, T2w and FLAIR show (`shows`) these contrasts.

    Args:
        rng: Source of random numbers.
        means: Usual parameters.

    Raises:
        ConfigError: These tissues do not give these contrasts (a label table may say so).

    Example:
        >>> from recontrast.phantom.tissues import tissues_at
        >>> bool(0.6 < draw_any_tissues(np.random.default_rng(0), tissues_at(3.0))["WM"].t1_s < 1.2)
        True
    """
    for _ in range(_MOST_DRAWS):
        found = draw_tissues(rng, _widened(rng, means))
        if all(shows(label, scans_of(label)[0].sequence, found) for label in ("T1w", "T2w", "FLAIR")):
            return found
    raise ConfigError(_UNUSUAL.format(what="tissues", label="T1w, T2w and FLAIR"))


def _widened(rng: np.random.Generator, means: Mapping[str, Tissue]) -> dict[str, Tissue]:
    found = {}
    for name, tissue in means.items():
        t1, t2, density = np.exp(rng.uniform(-1, 1, 3) * np.log1p([TIMES, TIMES, DENSITY])).tolist()
        found[name] = replace(
            tissue, t1_s=tissue.t1_s * t1, t2_s=tissue.t2_s * t2, t2star_s=tissue.t2star_s * t2,
            pd=min(tissue.pd * density, 1.0),
        )  # fmt: skip
    return found


def draw_scans(rng: np.random.Generator, label: str, tissues: Mapping[str, Tissue]) -> tuple[Scan, ...]:
    """The images that make a contrast, with timing drawn at random; it is drawn anew until it `shows` the contrast.

    Before and after a contrast agent the same numbers give the same timing.

    Args:
        rng: Source of random numbers.
        label: A name that `scans_of` knows.
        tissues: The subject's tissues.

    Raises:
        ConfigError: With these tissues no timing gives that contrast (a label table may say so).

    Example:
        >>> from recontrast.phantom.tissues import tissues_at
        >>> sequence = draw_scans(np.random.default_rng(0), "T2w", tissues_at(3.0))[0].sequence
        >>> bool(0.075 <= sequence.sidecar()["EchoTime"] <= 0.13)
        True
    """
    scans, families = scans_of(label), RANGES.get(without_agent(label), ())
    if not families:
        return scans
    for _ in range(_MOST_DRAWS):
        sequence = _draw(rng, families[int(rng.integers(len(families)))], tissues["CSF"].t1_s)
        if shows(Contrast.parse(label).suffix, sequence, tissues):
            return tuple(replace(scan, sequence=sequence) for scan in scans)
    raise ConfigError(_UNUSUAL.format(what="protocols", label=label))


def shows(suffix: str, sequence: Sequence, tissues: Mapping[str, Tissue]) -> bool:
    """Whether tissues are bright in the order by which a contrast is known.

    T1w: white, grey, CSF. T2w: CSF, grey, white. FLAIR: lesion, grey, white, and CSF at most at a third of white. The
    first of two is at least 3 % brighter. Other contrasts are known by their timing.

    Example:
        >>> from recontrast.phantom.tissues import tissues_at
        >>> shows("T1w", TurboSpinEcho(5.0, 0.096, 0.0096, 16), tissues_at(3.0))
        False
    """
    names = ("GM", "WM", "CSF", "lesion")
    signal = np.abs(sequence.signal(Relaxation.of(tissues[name] for name in names)))
    grey, white, csf, lesion = signal.tolist()
    if suffix == "T1w":
        return _falls(white, grey, csf)
    if suffix == "T2w":
        return _falls(csf, grey, white)
    if suffix == "FLAIR":
        return _falls(lesion, grey, white, 3 * csf)
    return True


def _falls(*signals: float) -> bool:
    return all(first >= 1.03 * second for first, second in itertools.pairwise(signals))


def _draw(rng: np.random.Generator, family: Family, csf_t1_s: float) -> Sequence:
    """A sequence of the family; sidecars hold its parameters, rounded as they are used."""
    drawn: dict[str, Any] = {name: round(float(rng.uniform(*limits)), 5) for name, limits in family.limits.items()}
    sequence: Any = replace(family.sequence, **drawn)  # type: ignore[type-var]
    if isinstance(sequence, TurboSpinEcho) and sequence.inversion_time_s > 0:
        train = sequence.echo_spacing_s * sequence.echo_train_length
        nulling = nulling_inversion_time_s(csf_t1_s, sequence.repetition_time_s - train)
        sequence = replace(sequence, inversion_time_s=round(nulling * float(rng.uniform(*NULLING)), 4))
    result: Sequence = sequence
    return result
