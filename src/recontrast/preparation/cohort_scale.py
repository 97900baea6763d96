"""One intensity scale a contrast for a whole cohort, fitted to its training subjects."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from recontrast.contrasts import Contrast
from recontrast.errors import DataError
from recontrast.execution.workers import failures, run_cases
from recontrast.io.nifti import read_volume
from recontrast.preparation.normalize import ScaleSettings, fit_scale


def fit_cohort_scale(
    images: Mapping[str, Mapping[str, Path]], shared: Sequence[str] = (), workers: int = 1, high: float = 99.9
) -> tuple[str, ...]:
    """Numbers for the scale `fixed`: per contrast the median over cases of the percentile of the head.

    Zero stays zero. Contrasts whose suffix is in `shared` get one number, the largest of theirs, so that ratios between
    their images keep their meaning; phases among them (`acq-…phase`) are in radians and are divided by pi.

    Args:
        images: Case to contrast label to raw image.
        shared: Suffixes that share one scale.
        workers: Cases read at the same time.
        high: Percentile of the head that becomes 1.

    Returns:
        Entries for `ScaleSettings.contrasts`, for example `("T1w=1180", "FLAIR=640")`.

    Raises:
        DataError: No case could be read.

    Example:
        >>> fit_cohort_scale({"sub-01": {"T1w": Path("sub-01_T1w.nii.gz")}})  # doctest: +SKIP
        ('T1w=1180',)
    """
    outcomes = run_cases(
        _ranges,
        {case: (dict(files), high, tuple(shared)) for case, files in images.items()},
        workers=workers,
        description="scale of the cohort",
    )
    ranges = [outcome.value for outcome in outcomes if outcome.error is None]
    if not ranges:
        case, reason = next(iter(failures(outcomes).items()), ("", "there is no case"))
        raise DataError(f"no scale could be fitted: {case}{': ' if case else ''}{reason}")
    labels = list(dict.fromkeys(label for values in ranges for label in values))
    factors = {label: statistics.median(values[label] for values in ranges if label in values) for label in labels}
    for suffix in shared:
        group = [label for label in labels if Contrast.parse(label).suffix == suffix and not _is_phase(label, shared)]
        largest = max((factors[label] for label in group), default=0.0)
        factors.update(dict.fromkeys(group, largest))
    return tuple(f"{label}={factor:.6g}" for label, factor in factors.items())


def _ranges(files: Mapping[str, Path], high: float, shared: tuple[str, ...]) -> dict[str, float]:
    settings = ScaleSettings(high=high)
    return {
        label: math.pi if _is_phase(label, shared) else fit_scale(read_volume(path), settings).factor
        for label, path in files.items()
    }


def _is_phase(label: str, shared: Sequence[str]) -> bool:
    contrast = Contrast.parse(label)
    return contrast.suffix in shared and dict(contrast.entities).get("acq", "").endswith("phase")
