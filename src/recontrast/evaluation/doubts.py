"""What must be known before a number is believed: odd intensities, units that do not fit, values that do not exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.evaluation.protocols import NATIVE, Protocol
from recontrast.evaluation.scores import NO_REGION, NOT_SCORED, OK, Record

_SCALE = "the protocol's full scale is"
_CONSTANT = "the synthetic image has one value everywhere"
_NEGATIVE = "negative intensities:"

OWN_SCALE = "it was scaled by its own intensities, which forgives a wrong brightness"
RESAMPLED = "the synthetic image was resampled onto the grid of the reference, which blurs it"
"""What `cases` says of the way a synthetic image was read."""

_TISSUES = ("GM", "WM", "CSF")

_BELOW_ZERO, _SHARE_BELOW_ZERO = 0.05, 0.001
"""More than a thousandth of the voxels below zero by more than a twentieth of full scale is said: networks stray a
little below zero in the background."""

_SPANS = 3.0
"""A full scale of more than this many times the reference's own range is doubted: 10 dB of PSNR come from it."""

_NAMED = 3
"""So many cases are named; all are in the tables."""


def intensity_doubts(protocol: Protocol, reference: NDArray[np.float32], synthetic: NDArray[np.float32]) -> list[str]:
    """What is doubtful about the intensities of a pair that is scored all the same.

    Args:
        protocol: How it is scored.
        reference: The reference on the protocol's scale.
        synthetic: The synthetic image on that scale, same shape.
    """
    notes = []
    if (doubt := _scale_doubt(protocol, reference)) is not None:
        notes.append(doubt)
    if float(np.ptp(synthetic)) == 0:
        notes.append(_CONSTANT)
    native = protocol.normaliser == NATIVE
    span = float(np.ptp(reference)) if native else protocol.data_range
    below = {
        name: float(np.mean(image < -_BELOW_ZERO * span))
        for name, image in (("the reference", reference), ("the synthetic image", synthetic))
    }
    odd = {name: share for name, share in below.items() if share > _SHARE_BELOW_ZERO}
    if odd and not (native and "the reference" in odd):  # Hounsfield units are below zero by right
        words = " and ".join(f"{100 * share:.2g} % of {name}" for name, share in odd.items())
        notes.append(f"{_NEGATIVE} {words}")
    return notes


def warnings_of(messages: Mapping[str, str], protocol: Protocol) -> list[str]:
    """Sentences on the doubts of all cases together.

    Args:
        messages: Scored case to its message, parts joined by "; ".
        protocol: How they were scored.

    Example:
        >>> from recontrast.evaluation.protocols import PROTOCOLS
        >>> warnings_of({"sub-01": ""}, PROTOCOLS.get("recontrast"))
        []
    """
    found: dict[str, dict[str, str]] = {beginning: {} for beginning in (_SCALE, _CONSTANT, _NEGATIVE)}
    for key, message in messages.items():
        for part in message.split("; "):
            for beginning, cases in found.items():
                if part.startswith(beginning):
                    cases[key] = part
    told = []
    if found[_SCALE]:
        told.append(
            f"Protocol {protocol.name} is made for images in fixed units, with a full scale of {protocol.data_range:g};"
            f" in {len(found[_SCALE])} of {len(messages)} cases the reference spans less than a third of it. PSNR is "
            "too high by that and can only be compared among images on this very scale."
        )
    for words, told_of in (
        (OWN_SCALE, "scaled by their own intensities, which forgives a wrong brightness"),
        (RESAMPLED, "resampled onto the grid of the reference, which blurs them"),
    ):
        cases = {key: message for key, message in messages.items() if words in message}
        if cases:
            told.append(f"{len(cases)} of {len(messages)} synthetic images were {told_of}; cases.tsv says why.")
    for beginning in (_CONSTANT, _NEGATIVE):
        cases = found[beginning]
        if cases:
            first = next(iter(cases.values()))
            told.append(
                f"{first[0].upper()}{first[1:]} ({_some(cases)}; {len(cases)} of {len(messages)} cases in all). It is "
                "scored as it is: look at the image and at its scale."
            )
    return told


def mixed_regions(taken: Mapping[str, Mapping[str, str]]) -> list[str]:
    """A sentence for each choice of regions ("brain|head") of which the cases do not all take the same.

    Args:
        taken: Scored case to choice to what it took.

    Example:
        >>> mixed_regions({"sub-01": {"brain|head": "brain"}, "sub-02": {"brain|head": "brain"}})
        []
    """
    found: dict[str, dict[str, dict[str, None]]] = {}
    for key, choices in taken.items():
        for choice, name in choices.items():
            found.setdefault(choice, {}).setdefault(name, {})[key] = None
    told = []
    for choice, names in found.items():
        if len(names) > 1:
            usual = max(names, key=lambda name: len(names[name]))
            others = "; ".join(f"{name} in {_some(cases)}" for name, cases in names.items() if name != usual)
            odd = sum(len(cases) for name, cases in names.items() if name != usual)
            told.append(
                f"Masks, slices or divisors are taken from {choice}: {usual} in most cases, but {others} ({odd} of "
                f"{len(taken)} cases in all). These numbers are of another region and stand in the same mean: give all "
                "cases the same masks, or leave these out."
            )
    return told


def partly_scored(controls: Mapping[str, Mapping[str, Any]], cases: int) -> list[str]:
    """A line for each control that was scored in some cases only, with the first reason.

    Args:
        controls: The controls as `evaluation.json` describes them.
        cases: Number of scored cases.

    Example:
        >>> partly_scored({"bloch": {"scored": True, "not_scored_in": {"sub-01": "sub-01: no T1map"}}}, 3)
        ['control bloch was not scored in 1 of 3 cases (sub-01): sub-01: no T1map']
    """
    told = []
    for name, facts in controls.items():
        reasons = facts.get("not_scored_in")
        if facts.get("scored") and isinstance(reasons, Mapping) and reasons:
            first = next(iter(reasons.values()))
            told.append(f"control {name} was not scored in {len(reasons)} of {cases} cases ({_some(reasons)}): {first}")
    return told


def sequences_assumed(controls: Mapping[str, Mapping[str, Any]], cases: int) -> list[str]:
    """A line for each sequence whose signal a control computed from maps: its scores are no better than that choice.

    Args:
        controls: The controls as `evaluation.json` describes them.
        cases: Number of scored cases.

    Example:
        >>> sequences_assumed({"bloch": {"sequences": {"turbo spin echo TR 5 s (sidecar)": ["sub-01"]}}}, 1)
        ['control bloch computes turbo spin echo TR 5 s (sidecar) in 1 of 1 cases (sub-01)']
    """
    return [
        f"control {name} computes {words} in {len(keys)} of {cases} cases ({_some(dict.fromkeys(keys))})"
        for name, facts in controls.items()
        for words, keys in facts.get("sequences", {}).items()
    ]


def undefined_values(records: Mapping[str, Mapping[str, Sequence[Record]]]) -> list[str]:
    """Values that do not exist, one line for each region and reason; `scores.tsv` has every single one.

    Controls that could not be scored in a case are told by `partly_scored`.

    Args:
        records: Scored case to estimator to its values.
    """
    found: dict[tuple[str, str], tuple[dict[str, None], dict[str, None]]] = {}
    for key, estimators in records.items():
        for values in estimators.values():
            for record in values:
                if record.status not in (OK, NOT_SCORED):
                    metrics, cases = found.setdefault((record.region, record.status), ({}, {}))
                    metrics[record.metric] = cases[key] = None
    return [
        f"no value in {region} for {', '.join(metrics)} in {len(cases)} of {len(records)} cases ({_some(cases)}): {why}"
        + ("; give masks, or find them with --tissues-from T1w" if why == NO_REGION and region in _TISSUES else "")
        for (region, why), (metrics, cases) in found.items()
    ]


def _some(cases: Mapping[str, object]) -> str:
    keys = list(cases)
    return ", ".join(keys[:_NAMED]) + (", …" if len(keys) > _NAMED else "")


def _scale_doubt(protocol: Protocol, reference: NDArray[np.float32]) -> str | None:
    """A protocol with a full scale in fixed units flatters images in other units."""
    if protocol.normaliser != NATIVE or protocol.steps:
        return None
    span = float(np.percentile(reference, 99.9) - reference.min())
    if protocol.data_range <= _SPANS * span:
        return None
    return f"{_SCALE} {protocol.data_range:g}, the reference spans {span:.4g}"
