"""The target's signal from maps of T1, T2 and proton density, by the signal equation of its sequence.

Hagiwara et al. 2019 compare their translator with such a synthetic FLAIR. It needs maps, but no training of a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import ConfigError, FormatError, UnknownNameError
from recontrast.phantom.protocols import scans_of
from recontrast.phantom.sequences import Sequence, SpoiledGradientEcho, TurboSpinEcho
from recontrast.phantom.tissues import Relaxation
from recontrast.relaxometry.files import sequence_of

Array = NDArray[Any]

NEEDED = ("T1map", "T2map", "PDmap")
"""Contrast labels of the maps: times in s, proton density in any unit; T2starmap is used where it is there."""

_FASTEST = 1e-3
"""Seconds: shorter times, and the zeros of the background, give no signal."""


def target_sequence(sidecar: Mapping[str, Any], target: str) -> tuple[Sequence, str]:
    """The sequence of the target, from its parameters or by its name.

    Args:
        sidecar: Sidecar of the acquired target; see `relaxometry.files.sequence_of`. Without repetition and echo time,
            or with an inversion before a train of gradient echoes (which needs more than these numbers), the sequence
            our virtual scanner uses for that contrast.
        target: Label of the target contrast.

    Returns:
        The sequence, and in words where it comes from.

    Raises:
        ConfigError: A parameter is no number or impossible, or there are none and the contrast is not known.

    Example:
        >>> target_sequence({"RepetitionTime": 9.0, "EchoTime": 0.12, "InversionTime": 2.5}, "FLAIR")[1]
        'turbo spin echo TR 9 s, TE 0.12 s, TI 2.5 s (sidecar)'
    """
    given = {key: value for key, value in sidecar.items() if value is not None}
    kinds = given.get("ScanningSequence", ())
    train = "InversionTime" in given and "GR" in (kinds.split("\\") if isinstance(kinds, str) else kinds)
    if train or not {"RepetitionTime", "EchoTime"} <= given.keys():
        return _known(target)
    try:
        sequence = sequence_of(given, f"the acquired {target}")
    except FormatError as error:
        raise ConfigError(
            f"the sidecar of the {target} has sequence parameters that are no numbers ({error})"
        ) from error
    times = {"TR": "RepetitionTime", "TE": "EchoTime", "TI": "InversionTime"}
    words = ", ".join(f"{name} {given[key]:g} s" for name, key in times.items() if given.get(key))
    kind = {SpoiledGradientEcho: "spoiled gradient echo", TurboSpinEcho: "turbo spin echo"}
    return sequence, f"{kind.get(type(sequence), 'saturation recovery')} {words} (sidecar)"


def bloch_signal(maps: Mapping[str, Array], sequence: Sequence) -> NDArray[np.float32]:
    """Magnitude of the signal at each voxel; zero where a map has no value.

    Args:
        maps: `NEEDED` and perhaps T2starmap, each of one shape.
        sequence: From `target_sequence`.

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
