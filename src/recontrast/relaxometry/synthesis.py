"""Any contrast from parameter maps by the signal equations: what the software of synthetic MRI scanners does.

Spin-echo contrasts in the limit of short echo trains: S = PD |1 - 2 exp(-TI/T1) + exp(-TR/T1)| exp(-TE/T2), without
inversion S = PD (1 - exp(-TR/T1)) exp(-TE/T2). S. A. Bobman, AJNR 6:265, 1985; J. B. M. Warntjes, Magn Reson Med
60:320, 2008. One tissue a voxel is assumed: at borders with CSF that is wrong, and brighter than the truth in FLAIR.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import ConfigError, IntensityError, UnknownNameError
from recontrast.phantom.sequences import Sequence, TurboSpinEcho
from recontrast.relaxometry.maps import ParameterMaps


@dataclass(frozen=True)
class NamedSequence:
    """A contrast that can be made from maps.

    Attributes:
        repetition_time_ms: TR, ms.
        echo_time_ms: TE, ms.
        inversion_time_ms: TI, ms; 0: no inversion.
        source: Where the numbers come from.
    """

    repetition_time_ms: float
    echo_time_ms: float
    inversion_time_ms: float
    source: str

    @property
    def summary(self) -> str:
        """One line for lists."""
        inversion = f"/{self.inversion_time_ms:g}" if self.inversion_time_ms else ""
        names = "TR/TE/TI" if inversion else "TR/TE"
        return f"{names} {self.repetition_time_ms:g}/{self.echo_time_ms:g}{inversion} ms ({self.source})"


_PAPER, _OURS = "Hagiwara 2019", "a usual choice"

SEQUENCES: Mapping[str, NamedSequence] = MappingProxyType(
    {
        "FLAIR": NamedSequence(15000.0, 100.0, 3000.0, _PAPER),
        "PDw": NamedSequence(8000.0, 10.0, 0.0, _OURS),
        "T1w": NamedSequence(500.0, 10.0, 0.0, _PAPER),
        "T2w": NamedSequence(4500.0, 100.0, 0.0, _OURS),
    }
)
"""Contrasts that `recontrast synthesize` makes, with their usual times; all times can be changed."""


def spin_echo_sequence(
    name: str, tr_ms: float | None = None, te_ms: float | None = None, ti_ms: float | None = None
) -> TurboSpinEcho:
    """The sequence of a named contrast with some of its times changed.

    Args:
        name: A name in `SEQUENCES`.
        tr_ms: TR in ms; None: the usual one.
        te_ms: TE in ms; None: the usual one.
        ti_ms: TI in ms, 0 for none; None: the usual one.

    Raises:
        UnknownNameError: No such contrast.
        ConfigError: A time is negative, TI is not shorter than TR, or TR looks like seconds.

    Example:
        >>> spin_echo_sequence("FLAIR", ti_ms=2800.0).inversion_time_s
        2.8
    """
    if name not in SEQUENCES:
        raise UnknownNameError.among("contrast to synthesize", name, SEQUENCES)
    usual = SEQUENCES[name]
    tr = usual.repetition_time_ms if tr_ms is None else tr_ms
    te = usual.echo_time_ms if te_ms is None else te_ms
    ti = usual.inversion_time_ms if ti_ms is None else ti_ms
    if tr <= 0 or te < 0 or ti < 0 or not np.isfinite([tr, te, ti]).all():
        raise ConfigError(f"TR/TE/TI {tr:g}/{te:g}/{ti:g} ms: TR must be positive, TE and TI not negative")
    if tr < 50:
        raise ConfigError(f"TR {tr:g} ms is too short for a spin echo; times are in ms: 15 s are 15000")
    return TurboSpinEcho(tr / 1000, te / 1000, 0.0, 1, inversion_time_s=ti / 1000)


def synthesize(maps: ParameterMaps, sequence: Sequence) -> NDArray[np.float32]:
    """The magnitude image of a sequence, in units of the proton density; zero outside the maps' mask.

    Args:
        maps: Parameter maps. A map that is missing counts as no relaxation.
        sequence: Any sequence of `recontrast.phantom.sequences`.

    Raises:
        IntensityError: The maps give values that are not finite.

    Example:
        >>> one = np.ones((1, 1, 1), np.float32)
        >>> csf = ParameterMaps(pd=one, mask=one > 0, r1=one / 4.3, r2=one / 1.8)
        >>> round(float(synthesize(csf, spin_echo_sequence("FLAIR"))[0, 0, 0]), 4)
        0.0332
    """
    signal = np.abs(sequence.signal(maps.relaxation()))
    if not np.isfinite(signal).all():
        raise IntensityError(
            f"{int(np.count_nonzero(~np.isfinite(signal)))} voxels give no finite signal; check the parameter maps"
        )
    image: NDArray[np.float32] = np.zeros(maps.pd.shape, np.float32)
    image[maps.mask] = signal
    return image


def required_maps(sequence: TurboSpinEcho) -> tuple[str, ...]:
    """Names of the maps ("T1", "T2", "PD") without which an image of the sequence would be wrong."""
    needed: dict[str, Any] = {"T1": True, "T2": sequence.echo_time_s > 0, "PD": True}
    return tuple(name for name, wanted in needed.items() if wanted)
