"""Error bars of a translator that has just been trained: where errors are large, and how large on data it never saw.

The predicted spread is learned from the training subjects, the calibration from validation subjects, which were
not learned from; without those from the slabs that were held out of the training subjects (`data.held_out`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from recontrast.datasets.cases import held_slices
from recontrast.datasets.settings import DataSettings
from recontrast.io.nifti import read_volume
from recontrast.preparation.cohort import PreparedCase
from recontrast.translation.conformal import LEVEL, calibrate, words_of_several
from recontrast.translation.description import TranslatorDescription, direction_name, subject_hash
from recontrast.translation.engines.choice import EngineSettings
from recontrast.translation.slices import ras_spacing, to_ras
from recontrast.translation.translator import Translator
from recontrast.translation.uncertainty import LEAST, ONLY, ErrorBars, channels_of, fit_spread, spread_of
from recontrast.volume import require_same_grid

MOST_LEARNED, MOST_CALIBRATED = 3, 12
"""At most so many training subjects tell where errors are large, and so many subjects calibrate."""

MANY_DIRECTIONS = 32
"""Where sources and targets can be put together in more ways, only all sources and single ones get error bars; where
that is too many as well, all sources alone."""

VOXELS = 120_000
"""Voxels of each of these, drawn at random."""

_AIR = 0.15
"""Part of the voxels that the spread is learned from and that lie outside the head; calibration looks at the head."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class _Errors:
    """What the spread is predicted from and how wrong the translator is, at the voxels of a case that count."""

    channels: list[Array]
    errors: Array


def with_error_bars(
    network: nn.Module, about: TranslatorDescription, train: Sequence[PreparedCase],
    validation: Sequence[PreparedCase], data: DataSettings,
) -> tuple[dict[str, ErrorBars], TranslatorDescription, str]:  # fmt: skip
    """Error bars of a network, its description with the reason where there are none, and a line that says which.

    One that makes several contrasts has error bars for each set of sources and each target, calibrated apart: what is
    made of one source is less sure than what is made of three.

    Args:
        network: As it will be saved.
        about: What it is.
        train: Training cases, scales as the network saw them.
        validation: Cases it did not learn from; may be empty.
        data: What was held out of the training cases.

    Returns:
        Direction (`ONLY` where there is one) to error bars, the description, the line.
    """
    directions = about.bank.directions() if about.bank is not None else []
    asked, left_out = {ONLY: about}, ""
    if about.bank is not None:
        kept = directions
        if len(directions) > MANY_DIRECTIONS:
            whole = {target: len(about.bank.usable(target)) for _, target in directions}
            kept, words = [one for one in directions if len(one[0]) in (1, whole[one[1]])], "all sources or from one"
            if len(kept) > MANY_DIRECTIONS:
                kept, words = [one for one in kept if len(one[0]) == whole[one[1]]], "all sources"
            left_out = f"of {len(directions)} directions only those from {words} are calibrated"
        asked = {direction_name(sources, target): about.making(target, sources) for sources, target in kept}
    found: dict[str, ErrorBars] = {}
    reasons: dict[str, str] = {}
    for name, direction in asked.items():
        translator = Translator(network, direction, EngineSettings(engine="torch"))
        bars, reason = fit_error_bars(translator, train, validation, data)
        if bars is None:
            reasons[name] = reason
        else:
            found[name] = bars
    if not found:
        reason = "; ".join(dict.fromkeys(reasons.values()))
        return {}, dataclasses.replace(about, uncalibrated=reason), f"no error bars: {reason}"
    if about.bank is None:
        return found, about, found[ONLY].calibration.words()
    about = dataclasses.replace(about, uncalibrated=left_out, uncalibrated_directions=reasons)
    said = words_of_several({name: bars.calibration for name, bars in found.items()}, len(directions))
    return found, about, "; ".join([said, *(f"{name} has none: {reason}" for name, reason in reasons.items())])


def fit_error_bars(
    translator: Translator, train: Sequence[PreparedCase], validation: Sequence[PreparedCase], data: DataSettings
) -> tuple[ErrorBars | None, str]:
    """Learn and calibrate the error bars of a translator.

    Args:
        translator: As it will be saved.
        train: Training cases, scales as the network saw them.
        validation: Cases it did not learn from; may be empty.
        data: What was held out of the training cases.

    Returns:
        The error bars, or None and why there are none.

    Raises:
        FormatError: An image cannot be read.

    Example:
        >>> fit_error_bars(translator, job.train, job.validation, job.plan.data)  # doctest: +SKIP
    """
    labels = (*translator.description.sources, translator.description.target)
    learned, judged = (_complete(cases, labels) for cases in (train, validation))
    if not learned:
        return None, "no training case has all sources and the target"
    if not judged and not data.held_out:
        return None, "no validation subject, and nothing of the training subjects was held out (data.held_out)"
    parts = [_errors(translator, case, data, "learned", n) for n, case in enumerate(_some(learned, MOST_LEARNED))]
    channels = [np.concatenate(channel) for channel in zip(*(part.channels for part in parts), strict=True)]
    spread = fit_spread(channels, np.concatenate([part.errors for part in parts]), LEVEL)
    ratios: dict[str, NDArray[Any]] = {}
    for n, case in enumerate(_some(judged or learned, MOST_CALIBRATED)):
        part = _errors(translator, case, data, "head" if judged else "held", n)
        if len(part.errors):
            wide = spread_of(spread, part.channels)
            ratios[subject_hash(case.case.subject)] = np.maximum(part.errors, np.float32(LEAST)) / wide
    if not ratios:
        return None, "no voxel of a head was kept from learning"
    return ErrorBars(spread, calibrate(ratios, "subjects" if judged else "slabs")), ""


def _complete(cases: Sequence[PreparedCase], labels: Sequence[str]) -> list[PreparedCase]:
    """The first case of each subject that has all contrasts."""
    subjects: dict[str, PreparedCase] = {}
    for case in cases:
        if all(label in case.images for label in labels):
            subjects.setdefault(case.case.subject, case)
    return list(subjects.values())


def _some(cases: Sequence[PreparedCase], most: int) -> list[PreparedCase]:
    """At most so many, evenly spread."""
    chosen = np.unique(np.linspace(0, len(cases) - 1, min(most, len(cases))).round().astype(int))
    return [cases[int(number)] for number in chosen]


def _errors(translator: Translator, case: PreparedCase, data: DataSettings, where: str, seed: int) -> _Errors:
    """Errors of a case.

    Args:
        translator: The translator.
        case: The case.
        data: What was held out.
        where: learned (what was not held out, and some air), held (the head in what was), or head (all of the head).
        seed: Of the choice of voxels.
    """
    about = translator.description
    volumes = {label: read_volume(case.images[label]) for label in (*about.sources, about.target)}
    head = read_volume(case.regions["head"], np.uint8)
    grid = volumes[about.target]
    require_same_grid(grid, head, f"{case.key}: {about.target} and region head")
    scaled = {label: case.scales[label].apply(to_ras(volume)) for label, volume in volumes.items()}
    inside = to_ras(head) > 0
    sources = {label: scaled[label] for label in about.sources}
    if about.bank is not None:  # each is a target, too, and stayed on its scale
        sources = about.levelled(sources)
    zeros = {label: case.scales[label].zero for label in volumes}
    estimate = translator.given(about.sources, case.acquired).predict_scaled(sources, zeros)
    channels = channels_of(list(sources.values()), estimate, ras_spacing(grid))
    slab = np.zeros(inside.shape[2], bool)
    slab[held_slices(np.asarray(inside.any(axis=(0, 1))), data)] = True
    rng = np.random.default_rng(seed)
    if where == "learned":
        air = _drawn(~inside & ~slab, round(_AIR * VOXELS), rng)
        chosen = np.concatenate([_drawn(inside & ~slab, VOXELS - len(air), rng), air])
    else:
        chosen = _drawn(inside & slab if where == "held" else inside, VOXELS, rng)
    error = np.abs(scaled[about.target] - estimate).reshape(-1)[chosen]
    return _Errors([channel.reshape(-1)[chosen] for channel in channels], error)


def _drawn(mask: NDArray[np.bool_], most: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """At most so many voxels of a mask, flat indices in rising order."""
    there = np.flatnonzero(mask)
    return there if len(there) <= most else np.sort(rng.choice(there, most, replace=False))
