"""The target's signal from maps of T1, T2 and proton density, by the signal equation of its sequence.

Hagiwara et al. 2019 compare their translator with such a synthetic FLAIR. It needs maps, but no training of a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import ConfigError, UnknownNameError
from recontrast.phantom.protocols import scans_of
from recontrast.phantom.sequences import Sequence, SpoiledGradientEcho, TurboSpinEcho
from recontrast.phantom.tissues import Relaxation

Array = NDArray[Any]

NEEDED = ("T1map", "T2map", "PDmap")
"""Contrast labels of the maps: times in s, proton density in any unit; T2starmap is used where it is there."""

_FASTEST = 1e-3
"""Seconds: shorter times, and the zeros of the background, give no signal."""


def sequence_of(sidecar: Mapping[str, Any], target: str) -> tuple[Sequence, str]:
    """The sequence of the target, from its parameters or by its name.

    Args:
        sidecar: Sidecar of the acquired target: RepetitionTime, EchoTime, InversionTime in s, FlipAngle in degrees,
            ScanningSequence. Without repetition and echo time the sequence our virtual scanner uses for that contrast.
        target: Label of the target contrast.

    Returns:
        The sequence, and in words where it comes from.

    Raises:
        ConfigError: The parameters contradict each other, or there are none and the contrast is not known.

    Example:
        >>> sequence_of({"RepetitionTime": 9.0, "EchoTime": 0.12, "InversionTime": 2.5}, "FLAIR")[1]
        'turbo spin echo TR 9 s, TE 0.12 s, TI 2.5 s (sidecar)'
    """
    try:
        repetition, echo = (float(sidecar[key]) for key in ("RepetitionTime", "EchoTime"))
        inversion, angle = float(sidecar.get("InversionTime") or 0.0), float(sidecar.get("FlipAngle") or 90.0)
    except KeyError:
        return _known(target)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"the sidecar of the {target} has sequence parameters that are no numbers ({error})"
        ) from error
    kind = sidecar.get("ScanningSequence", "SE")
    kinds = set(kind if isinstance(kind, list | tuple) else str(kind).replace("\\", " ").split())
    times = f"TR {repetition:g} s, TE {echo:g} s"
    if "GR" in kinds and not inversion:
        return SpoiledGradientEcho(
            repetition, echo, angle
        ), f"spoiled gradient echo {times}, {angle:g} degrees (sidecar)"
    if "GR" in kinds:
        return _known(target)  # an inversion-prepared train needs more than these numbers
    words = f"turbo spin echo {times}" + (f", TI {inversion:g} s" if inversion else "")
    return TurboSpinEcho(repetition, echo, 0.0, 0, inversion_time_s=inversion), f"{words} (sidecar)"


def bloch_signal(maps: Mapping[str, Array], sequence: Sequence) -> NDArray[np.float32]:
    """Magnitude of the signal at each voxel; zero where a map has no value.

    Args:
        maps: `NEEDED` and perhaps T2starmap, each of one shape.
        sequence: From `sequence_of`.

    Example:
        >>> maps = {"T1map": np.array([1.0]), "T2map": np.array([0.1]), "PDmap": np.array([1.0])}
        >>> round(float(bloch_signal(maps, TurboSpinEcho(3.0, 0.1, 0.0, 0))[0]), 4)  # (1 - exp(-3)) exp(-1)
        0.3496
    """
    t1, t2, pd = (np.asarray(maps[name], dtype=np.float64) for name in NEEDED)
    t2star = np.asarray(maps.get("T2starmap", t2), dtype=np.float64)
    there = np.minimum(np.minimum(t1, t2), t2star) > _FASTEST
    first, second, third = (np.where(there, values, 1.0) for values in (t1, t2, t2star))
    tissue = Relaxation(first, second, third, np.where(there, pd, 0.0))
    return np.abs(sequence.signal(tissue)).astype(np.float32)


def _known(target: str) -> tuple[Sequence, str]:
    try:
        return scans_of(target)[0].sequence, f"the virtual scanner's {target} (no parameters in the sidecar)"
    except UnknownNameError as error:
        raise ConfigError(
            f"the sidecar of the {target} has no RepetitionTime and EchoTime, and no usual sequence has that name"
        ) from error
