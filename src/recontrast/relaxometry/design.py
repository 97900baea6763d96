"""Which image of a series was acquired with which T1-weighting and which echo time.

A signal falls apart into a part that depends on T1 (delay, flip angle, inversion time) and a decay exp(-TE R2). A
series can be fitted when its images are all combinations of some T1-weightings with some echo times.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import ConfigError
from recontrast.phantom.sequences import SaturationRecovery, Sequence, SpinEcho, VariableFlipTurboSpinEcho
from recontrast.phantom.tissues import Relaxation

Values = NDArray[np.float64]

DELAYS_S = (0.146, 0.546, 1.879, 3.879)
ECHO_TIMES_S = (0.0169, 0.0845)

_ANGLES = ("flip_angle_deg", "saturation_angle_deg")


def synthetic_mri_sequences(
    delays_s: Many[float] = DELAYS_S, echo_times_s: Many[float] = ECHO_TIMES_S, repetition_time_s: float = 4.0
) -> tuple[SaturationRecovery, ...]:
    """The eight images of Hagiwara 2019 (AJNR 40:224) in their order: echo fastest, then delay.

    Args:
        delays_s: Times from saturation to excitation, s.
        echo_times_s: Echo times, s.
        repetition_time_s: TR, s.

    Example:
        >>> [(s.delay_s, s.echo_time_s) for s in synthetic_mri_sequences()][4:7]
        [(1.879, 0.0169), (1.879, 0.0845), (3.879, 0.0169)]
    """
    return tuple(SaturationRecovery(repetition_time_s, delay, echo) for delay in delays_s for echo in echo_times_s)


@dataclass(frozen=True, eq=False)
class Design:
    """A series taken apart.

    Attributes:
        order: Number of the image with echo e and weighting d, (E, D).
        echo_times_s: (E,), rising.
        weightings: One sequence for each T1-weighting.
    """

    order: NDArray[np.intp]
    echo_times_s: Values
    weightings: tuple[Sequence, ...]

    def curve(self, arguments: Values) -> Values:
        """T1-weighting of each image for proton density 1, (V, D).

        Args:
            arguments: log(T1 in s) and, as an optional second column, B1: (V, 1) or (V, 2).
        """
        t1 = np.exp(arguments[:, 0])
        still = np.full_like(t1, np.inf)
        tissue = Relaxation(t1, still, still, np.ones_like(t1))
        factor = arguments[:, 1] if arguments.shape[1] > 1 else None
        return np.stack([_with_b1(sequence, factor).signal(tissue) for sequence in self.weightings], axis=1)


def read_design(sequences: Many[Sequence]) -> Design:
    """Take a series apart.

    Args:
        sequences: The sequence of each image, in the order of the images.

    Raises:
        ConfigError: The images are not all combinations of their T1-weightings and echo times, two are the same, or
            the sequence's decay is not exp(-TE/T2) for several echo times.

    Example:
        >>> design = read_design(synthetic_mri_sequences())
        >>> design.order.tolist(), design.echo_times_s.tolist()
        ([[0, 2, 4, 6], [1, 3, 5, 7]], [0.0169, 0.0845])
    """
    if not sequences:
        raise ConfigError("relaxometry needs at least two images and their sequences, got none")
    times = [float(sequence.echo_time_s) for sequence in sequences]  # type: ignore[attr-defined]
    echoes = sorted(set(times))
    if len(echoes) > 1 and any(isinstance(s, SpinEcho | VariableFlipTurboSpinEcho) for s in sequences):
        raise ConfigError(
            "the T1-weighting of single spin echoes and of SPACE changes with the echo time: several of them cannot be "
            "fitted together; describe the echoes of one train as TurboSpinEcho"
        )
    plain: list[Any] = [s if len(echoes) == 1 else replace(s, echo_time_s=0.0) for s in sequences]  # type: ignore[type-var]
    weightings = list(dict.fromkeys(plain))
    order = np.full((len(echoes), len(weightings)), -1)
    for number, (weighting, time) in enumerate(zip(plain, times, strict=True)):
        place = echoes.index(time), weightings.index(weighting)
        if order[place] >= 0:
            raise ConfigError(f"images {order[place] + 1} and {number + 1} have the same sequence; leave one out")
        order[place] = number
    if (order < 0).any():
        raise ConfigError(
            f"{len(sequences)} images with {len(weightings)} T1-weightings and {len(echoes)} echo times: "
            f"{int((order < 0).sum())} combinations are missing; relaxometry needs all of them"
        )
    if order.size < 2:
        raise ConfigError("one image tells neither T1 nor T2; give at least two that differ")
    return Design(order, np.array(echoes), tuple(weightings))


def angles_of(sequence: Sequence) -> tuple[str, ...]:
    """Names of the fields that the transmit field scales."""
    return tuple(field.name for field in fields(sequence) if field.name in _ANGLES)  # type: ignore[arg-type]


def _with_b1(sequence: Sequence, factor: Values | None) -> Sequence:
    if factor is None:
        return sequence
    scaled: dict[str, Any] = {name: getattr(sequence, name) * factor for name in angles_of(sequence)}
    return replace(sequence, **scaled)  # type: ignore[type-var]
