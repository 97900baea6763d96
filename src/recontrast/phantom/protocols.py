"""Which sequence, with which parameters, makes which contrast. To add a contrast, add a line to `_PROTOCOLS`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from recontrast.contrasts import Contrast
from recontrast.errors import ConfigError, UnknownNameError
from recontrast.phantom.sequences import (
    InversionPreparedGradientEcho,
    SaturationRecovery,
    Sequence,
    SpoiledGradientEcho,
    TurboSpinEcho,
    VariableFlipTurboSpinEcho,
)

AGENTS = ("gadolinium",)
"""Contrast agents that can be given: values of the BIDS entity `ce`."""


@dataclass(frozen=True)
class Scan:
    """One image to acquire.

    Attributes:
        contrast: Its name.
        sequence: How its signal comes about.
        three_dimensional: Whether it is a 3D acquisition; a 2D one may have thick slices and gaps.
        coarseness: Voxel size beside that of the cohort (a localizer is coarser than the scan it prepares).
        entities: BIDS entities beside `acq` and `ce`.
        gadolinium: Whether a contrast agent was given before.
        phase: Whether a phase image is written as well.
        fat_saturated: Whether the signal of fat is suppressed.
    """

    contrast: Contrast
    sequence: Sequence
    three_dimensional: bool
    coarseness: float = 1.0
    entities: Mapping[str, str] = field(default_factory=dict)
    gadolinium: bool = False
    phase: bool = False
    fat_saturated: bool = False


def _scan(
    label: str, sequence: Sequence, three_dimensional: bool, coarseness: float = 1.0, fat_saturated: bool = False
) -> tuple[Scan, ...]:
    return (Scan(Contrast.parse(label), sequence, three_dimensional, coarseness, fat_saturated=fat_saturated),)


def _saturation_recovery() -> tuple[Scan, ...]:
    """The eight complex images of Hagiwara 2019 (AJNR 40:224), echo fastest.

    BIDS has no entity for the delay, so it stands in `acq`; so does the echo, since both make the contrast.
    """
    scans = []
    for delay_ms in (146, 546, 1879, 3879):
        for echo, echo_time_ms in ((1, 16.9), (2, 84.5)):
            contrast = Contrast.parse(f"acq-delay{delay_ms}echo{echo}_MESE")
            sequence = SaturationRecovery(4.0, delay_ms / 1000, echo_time_ms / 1000)
            scans.append(Scan(contrast, sequence, False, entities={"echo": str(echo)}, phase=True))
    return tuple(scans)


_MPRAGE = InversionPreparedGradientEcho(
    repetition_time_s=2.3, inversion_time_s=0.9, echo_time_s=0.00298, flip_angle_deg=9.0, echo_spacing_s=0.0071,
    excitations=176,
)  # fmt: skip
# The inversion time nulls CSF at T1 = 4.3 s.
_FLAIR = TurboSpinEcho(9.0, 0.124, 0.010, 16, inversion_time_s=2.472)
# AutoAlign head localizer of Tagawa 2025: 1.6 mm beside an MPRAGE of 0.9 mm.
_LOCALIZER = SpoiledGradientEcho(0.00315, 0.00137, 8.0)

_PROTOCOLS: dict[str, tuple[Scan, ...]] = {
    "T1w": _scan("T1w", _MPRAGE, True),
    "T2w": _scan("T2w", TurboSpinEcho(5.0, 0.096, 0.0096, 16), False),
    "PDw": _scan("PDw", TurboSpinEcho(3.5, 0.012, 0.012, 6), False),
    "FLAIR": _scan("FLAIR", _FLAIR, False, fat_saturated=True),
    "T2starw": _scan("T2starw", SpoiledGradientEcho(0.65, 0.020, 20.0), False),
    "acq-localizer_T1w": _scan("acq-localizer_T1w", _LOCALIZER, True, 16 / 9),
    "acq-vibe_T1w": _scan("acq-vibe_T1w", SpoiledGradientEcho(0.0105, 0.0046, 15.0), True),
    "acq-se_T1w": _scan("acq-se_T1w", TurboSpinEcho(0.5, 0.012, 0.012, 1), False),
    "acq-space_T2w": _scan("acq-space_T2w", VariableFlipTurboSpinEcho(3.2, 0.280, 0.0035, 190), True),
    "MESE": _saturation_recovery(),
}


def contrast_names() -> list[str]:
    """Contrasts that can be simulated; each may also be preceded by `ce-gadolinium_`."""
    return sorted(_PROTOCOLS)


def scans_of(label: str) -> tuple[Scan, ...]:
    """The images that make a contrast: one, or eight for MESE.

    Args:
        label: A name of `contrast_names`, or one with `ce-gadolinium` in it.

    Raises:
        UnknownNameError: No protocol makes that contrast.
        ConfigError: Another contrast agent than gadolinium.

    Example:
        >>> scans_of("ce-gadolinium_T1w")[0].gadolinium
        True
    """
    contrast = Contrast.parse(label)
    agent, plain = dict(contrast.entities).get("ce"), without_agent(label)
    if plain not in _PROTOCOLS:
        raise UnknownNameError.among("contrast to simulate", plain, _PROTOCOLS)
    if agent is None:
        return _PROTOCOLS[plain]
    if agent not in AGENTS:
        raise ConfigError(f"contrast '{label}': only ce-{AGENTS[0]} can be simulated, got ce-{agent}")
    return tuple(
        replace(scan, contrast=_with_agent(scan.contrast, agent), gadolinium=True) for scan in _PROTOCOLS[plain]
    )


def without_agent(label: str) -> str:
    """The name of a contrast as it is before a contrast agent is given.

    >>> without_agent("acq-se_ce-gadolinium_T1w")
    'acq-se_T1w'
    """
    contrast = Contrast.parse(label)
    return Contrast(contrast.suffix, tuple(pair for pair in contrast.entities if pair[0] != "ce")).label


def _with_agent(contrast: Contrast, agent: str) -> Contrast:
    return Contrast(contrast.suffix, (*contrast.entities, ("ce", agent)))
