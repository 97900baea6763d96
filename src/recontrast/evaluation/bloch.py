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
from recontrast.phantom.sequences import InversionPreparedGradientEcho, Sequence, SpoiledGradientEcho, TurboSpinEcho
from recontrast.phantom.tissues import Relaxation
from recontrast.preparation.acquisition import acquisition_of
from recontrast.relaxometry.files import kinds_of, sequence_of

Array = NDArray[Any]

NEEDED = ("T1map", "T2map", "PDmap")
"""Contrast labels of the maps: times in s, proton density in any unit; T2starmap is used where it is there."""

_FASTEST = 1e-3
"""Seconds: shorter times, and the zeros of the background, give no signal."""

_LEAST_OF_SPIN_ECHO_S = 6e-3
"""Scanners of people have no spin echo as early as this: refocusing takes time."""

_LEAST_OF_SPIN_ECHO_DEG = 60.0
"""Spin echoes are excited by 90 degrees; what a sidecar says may also be the angle of refocusing, up to 180."""

_TRAIN = "gradient echoes after an inversion"


def target_sequence(sidecar: Mapping[str, Any], target: str) -> tuple[Sequence, str]:
    """The sequence of the target, from its parameters or by its name.

    Args:
        sidecar: Sidecar of the acquired target; see `relaxometry.files.sequence_of`. Where ScanningSequence does not
            tell spin from gradient echo, flip angle and echo time do. Without repetition and echo time, or with an
            inversion before a train of gradient echoes (which needs more than these numbers), the sequence our virtual
            scanner uses for that contrast.
        target: Label of the target contrast.

    Returns:
        The sequence, and in words which it is and where it comes from.

    Raises:
        ConfigError: A parameter is missing, no number or impossible, or there are none and the contrast is not known,
            or nothing decides between spin and gradient echo.

    Example:
        >>> sidecar = {"RepetitionTime": 9.0, "EchoTime": 0.12, "InversionTime": 2.5, "ScanningSequence": ["SE", "IR"]}
        >>> target_sequence(sidecar, "FLAIR")[1]
        'turbo spin echo TR 9 s, TE 0.12 s, TI 2.5 s (sidecar)'
    """
    given = {key: value for key, value in sidecar.items() if value is not None}
    if given.get("InversionTime") == 0:
        del given["InversionTime"]
    if not {"RepetitionTime", "EchoTime"} <= given.keys():
        return _known(target)
    kind, told_by = _kind(given, target)
    if kind == "GR" and "InversionTime" in given:
        return _known_train(target)
    try:
        sequence = sequence_of({**given, "ScanningSequence": kind}, f"the acquired {target}")
    except FormatError as error:
        raise ConfigError(
            f"the sidecar of the {target} has sequence parameters that are missing or no numbers ({error})"
        ) from error
    times = {"TR": "RepetitionTime", "TE": "EchoTime", "TI": "InversionTime"}
    words = [f"{name} {given[key]:g} s" for name, key in times.items() if given.get(key)]
    if isinstance(sequence, SpoiledGradientEcho):
        words.append(f"flip angle {sequence.flip_angle_deg:g} degrees")
    name = {SpoiledGradientEcho: "spoiled gradient echo", TurboSpinEcho: "turbo spin echo"}
    return sequence, f"{name.get(type(sequence), 'saturation recovery')} {', '.join(words)} (sidecar{told_by})"


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


def _kind(given: Mapping[str, Any], target: str) -> tuple[str, str]:
    """Spin echo (SE) or gradient echo (GR), and what told so if ScanningSequence did not."""
    for kind in ("GR", "SE"):
        if kind in kinds_of(given):
            return kind, ""
    if "SaturationDelay" in given:
        return "SE", ""
    angle, echo = acquisition_of(given).get("FlipAngle"), given["EchoTime"]
    if angle is not None and angle < _LEAST_OF_SPIN_ECHO_DEG:
        return "GR", "; a gradient echo by its flip angle"
    if not isinstance(echo, int | float) or echo >= _LEAST_OF_SPIN_ECHO_S:
        return "SE", "; a spin echo by its echo time"
    if angle is None and "InversionTime" in given:
        return "GR", "; a gradient echo by its echo time"
    raise ConfigError(
        f"whether the {target} is a spin or a gradient echo cannot be told; add ScanningSequence to its sidecar (an "
        "older prepared folder: run `recontrast prepare` again)"
    )


def _known(target: str) -> tuple[Sequence, str]:
    try:
        return scans_of(target)[0].sequence, f"the virtual scanner's {target} (no parameters in the sidecar)"
    except UnknownNameError as error:
        raise ConfigError(
            f"the sidecar of the {target} has no RepetitionTime and EchoTime, and no usual sequence has that name"
        ) from error


def _known_train(target: str) -> tuple[Sequence, str]:
    try:
        sequence: Sequence | None = scans_of(target)[0].sequence
    except UnknownNameError:
        sequence = None
    if not isinstance(sequence, InversionPreparedGradientEcho):
        raise ConfigError(f"the sidecar of the {target} does not say all that {_TRAIN} need, and no usual sequence of "
                          f"{_TRAIN} has that name")  # fmt: skip
    return sequence, f"the virtual scanner's {target} (the sidecar does not say all that {_TRAIN} need)"
