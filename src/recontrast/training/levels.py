"""Bring the sources of all cases to one level of tissue signal, as the translator will do with new scans."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence

from recontrast.io.nifti import read_volume
from recontrast.preparation.cohort import PreparedCase
from recontrast.preparation.level import signal_level
from recontrast.preparation.normalize import Scale


def source_levels(cases: Sequence[PreparedCase], sources: Sequence[str]) -> dict[str, float]:
    """Median over training cases of the signal level of each scaled source.

    A source whose scale does not keep intensity zero (z-scores), or that shows nothing, is not named: it is taken as
    scaled.

    Args:
        cases: Training cases.
        sources: Contrasts; a case may lack one.

    Example:
        >>> source_levels(cohort.split("train"), ["T1w"])  # doctest: +SKIP
        {'T1w': 0.7}
    """
    levels = {}
    for label in sources:
        having = [case for case in cases if label in case.images]
        if having and all(case.scales[label].offset == 0 for case in having):
            level = statistics.median(_level(case, label) for case in having)
            if level > 0:
                levels[label] = level
    return levels


def at_source_levels(cases: Sequence[PreparedCase], levels: dict[str, float]) -> tuple[PreparedCase, ...]:
    """The cases with scales that bring each named source to its level; other scales stay."""
    return tuple(
        dataclasses.replace(case, scales={label: _scale(case, label, levels.get(label, 0.0)) for label in case.scales})
        for case in cases
    )


def _scale(case: PreparedCase, label: str, level: float) -> Scale:
    scale = case.scales[label]
    own = _level(case, label) if level > 0 and label in case.images else 0.0
    return dataclasses.replace(scale, factor=scale.factor * own / level) if own > 0 else scale


def _level(case: PreparedCase, label: str) -> float:
    return signal_level(case.scales[label].apply(read_volume(case.images[label]).data))
