"""How a scan was acquired, as far as its sidecar says, and how a network is told.

A contrast is many images: a T1w with another inversion time is another T1w. Four numbers of the sidecar are told, each
as its logarithm beside those of the training scans; what a sidecar does not say is told as unknown.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

PARAMETERS = ("RepetitionTime", "EchoTime", "InversionTime", "FlipAngle")
"""Names of BIDS; seconds and degrees."""

_TEXTS, _MORE_NUMBERS = ("ScanningSequence", "Units"), ("SaturationDelay", "SaturationAngle")

NOT_TOLD = (*_TEXTS, *_MORE_NUMBERS)
"""What is kept beside them and no network is told: with it a signal can be computed (control `bloch`)."""

NUMBERS = 2 * len(PARAMETERS)
"""Numbers in which a source's acquisition is told: of each parameter whether it is known, and its value."""

_LEAST = 0.05
"""Least standard deviation of the logarithms, 5 %: where all scans were acquired alike, a rounded value is no news."""

_FURTHEST = 5.0
"""Values are told up to so many standard deviations from the middle."""

Acquisition = Mapping[str, float]
"""Name of a parameter to its value; one that is not known is not named."""

Usual = Mapping[str, Mapping[str, tuple[float, float]]]
"""Contrast to parameter to the median of the logarithms in training and their standard deviation."""


def acquisition_of(sidecar: Mapping[str, Any]) -> dict[str, float]:
    """The parameters that a sidecar gives; whatever is no positive number is left out.

    >>> acquisition_of({"EchoTime": 0.003, "FlipAngle": "9", "RepetitionTime": 0, "Manufacturer": "x"})
    {'EchoTime': 0.003}
    """
    return _positive(sidecar, PARAMETERS)


def kept_of(sidecar: Mapping[str, Any]) -> dict[str, Any]:
    """What a prepared image keeps of its raw sidecar: the parameters and `NOT_TOLD`; no other text or number.

    >>> kept_of({"EchoTime": 0.003, "ScanningSequence": ["GR", "IR"], "Manufacturer": "x"})
    {'EchoTime': 0.003, 'ScanningSequence': ['GR', 'IR']}
    """
    texts = {name: sidecar[name] for name in _TEXTS if _is_text(sidecar.get(name))}
    return {**_positive(sidecar, (*PARAMETERS, *_MORE_NUMBERS)), **texts}


def usual_of(scans: Iterable[Mapping[str, Acquisition]], contrasts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Median and standard deviation of the logarithm of each parameter of each contrast (see `Usual`).

    Args:
        scans: Of each training case contrast to acquisition.
        contrasts: Those that are asked for; one of which nothing is known is not named.

    >>> usual_of([{"T1w": {"FlipAngle": 1.0}}, {"T1w": {"FlipAngle": 1.0}}], ["T1w", "T2w"])
    {'T1w': {'FlipAngle': (0.0, 0.05)}}
    """
    cases, usual = list(scans), dict[str, dict[str, Any]]()
    for label in contrasts:
        for name in PARAMETERS:
            known = [math.log(case[label][name]) for case in cases if name in case.get(label, {})]
            if known:
                spread = max(_LEAST, statistics.pstdev(known))
                usual.setdefault(label, {})[name] = (statistics.median(known), spread)
    return usual


def known(usual: Usual, acquired: Mapping[str, Acquisition], given: Iterable[str]) -> dict[str, dict[str, float]]:
    """What a network can be told of the acquisition of its sources: the parameters that training scans had, too.

    >>> known({"T1w": {"FlipAngle": (0.0, 0.5)}}, {"T1w": {"FlipAngle": 9.0, "EchoTime": 1.0}}, ["T1w", "T2w"])
    {'T1w': {'FlipAngle': 9.0}}
    """
    both = {
        label: {name: value for name, value in acquired.get(label, {}).items() if name in usual.get(label, {})}
        for label in given
    }
    return {label: values for label, values in both.items() if values}


def told(
    usual: Usual, acquired: Mapping[str, Acquisition], given: Collection[str], contrasts: Sequence[str]
) -> tuple[float, ...]:
    """The numbers in which a network is told how its sources were acquired, `NUMBERS` of each contrast.

    Args:
        usual: Of the training scans.
        acquired: Contrast to acquisition.
        given: Contrasts that are given.
        contrasts: All sources, in their order.

    Returns:
        Of each contrast and parameter 1 and how many standard deviations its logarithm lies from the median; 0 and 0
        where it is not known, was never known in training, or belongs to a contrast that is not given.

    >>> told({"T1w": {"FlipAngle": (0.0, 0.5)}}, {"T1w": {"FlipAngle": math.e, "EchoTime": 1.0}}, ["T1w"], ["T1w"])
    (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0)
    """
    numbers: list[float] = []
    own = known(usual, acquired, given)
    for label in contrasts:
        for name in PARAMETERS:
            if name in own.get(label, {}):
                middle, spread = usual[label][name]
                away = (math.log(own[label][name]) - middle) / spread
                numbers += [1.0, min(max(away, -_FURTHEST), _FURTHEST)]
            else:
                numbers += [0.0, 0.0]
    return tuple(numbers)


def _positive(sidecar: Mapping[str, Any], names: Iterable[str]) -> dict[str, float]:
    return {
        name: float(value)
        for name in names
        if isinstance(value := sidecar.get(name), int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value > 0
    }


def _is_text(value: Any) -> bool:
    """Whether a value is a text or a list of texts, and not empty."""
    texts = value if isinstance(value, list) else [value]
    return bool(texts) and all(isinstance(text, str) and text for text in texts)
