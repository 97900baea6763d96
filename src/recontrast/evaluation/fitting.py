"""Fit controls on training subjects and apply them to a case.

Brain and what surrounds it are fitted apart where brain masks are known, each with all its voxels' worth; a test case
without a mask gets a model of the whole head. That gives the controls more than a translator gets, on purpose: they are
there to be hard to beat.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import DataError
from recontrast.evaluation.controls import CONTROLS, Control

Array = NDArray[Any]

BRAIN, REST, HEAD = "brain", "rest of the head", "head"

VOXELS = 200_000
"""At most this many training voxels in each compartment, the same number from each case."""

_FEWEST = 200
_ROWS = 1 << 18  # voxels predicted at once; bounds the memory of polynomial features


@dataclass(frozen=True)
class Sample:
    """Training voxels of one compartment of one case.

    Attributes:
        sources: Scaled intensities, shape (voxels, sources), float32.
        target: Scaled intensities, shape (voxels,), float32.
        signal: Signal computed from maps, shape (voxels,), float32; None where there is none.
        about_signal: Its sequence in words, or why there is none; "" where none was asked for.
    """

    sources: Array
    target: Array
    signal: Array | None = None
    about_signal: str = ""


@dataclass(frozen=True)
class FittedControl:
    """A control with one model for each compartment.

    Attributes:
        name: Name of the control.
        models: Compartment to fitted model.
        facts: How it was fitted, for `evaluation.json`.
    """

    name: str
    models: Mapping[str, Control]
    facts: Mapping[str, Any]

    @property
    def from_maps(self) -> bool:
        """Whether its source is the signal computed from maps."""
        return next(iter(self.models.values())).from_maps

    def predict(
        self, sources: Sequence[Array], masks: Mapping[str, Array], target: Array | None = None, seed: int = 0
    ) -> NDArray[np.float32]:
        """Make the target of one case.

        Args:
            sources: Scaled source volumes, each of shape (I, J, K), in the order of fitting.
            masks: Compartment masks of the case, from `compartments`.
            target: Scaled reference of the case: an oracle is fitted on it; the others never see it.
            seed: Seed of an oracle's fit.

        Returns:
            Scaled target, shape (I, J, K); 0 outside the head.

        Raises:
            DataError: The control was fitted with brain masks only, and the case has none.
        """
        any_model = next(iter(self.models.values()))
        if any_model.anywhere:
            return np.asarray(sources[0], dtype=np.float32)
        result = np.zeros(sources[0].shape, dtype=np.float32)
        flat = [np.asarray(source, dtype=np.float32).reshape(-1) for source in sources]
        for name, mask in masks.items():
            model = self.models.get(name, any_model)
            if name == HEAD and model.learns and HEAD not in self.models:
                raise DataError(
                    f"control '{self.name}' was fitted for brain and rest of the head apart, and the case has no brain "
                    "mask; give it one"
                )
            index = np.flatnonzero(mask)
            if model.oracle and index.size:
                if target is None:
                    raise ValueError(f"control '{self.name}' is an oracle and needs the reference it is judged on")
                model = type(model)()
                columns = np.stack([source[index] for source in flat], axis=1)
                model.fit(columns, np.asarray(target, np.float32).reshape(-1)[index], seed)
            for start in range(0, index.size, _ROWS):
                rows = index[start : start + _ROWS]
                result.reshape(-1)[rows] = model.predict(np.stack([source[rows] for source in flat], axis=1))
        return result


def compartments(head: Array, brain: Array | None) -> dict[str, Array]:
    """Masks of the parts that are fitted apart: brain and rest of the head, or the head where no brain is known.

    Example:
        >>> sorted(compartments(np.ones(3, bool), np.array([True, False, False])))
        ['brain', 'rest of the head']
    """
    if brain is None:
        return {HEAD: np.asarray(head, dtype=bool)}
    inside = np.asarray(brain, dtype=bool)
    return {BRAIN: inside, REST: np.asarray(head, dtype=bool) & ~inside}


def sample_case(
    sources: Sequence[Array],
    target: Array,
    masks: Mapping[str, Array],
    voxels: int,
    seed: Sequence[int],
    signal: Array | None = None,
    about_signal: str = "",
) -> dict[str, Sample]:
    """Draw training voxels of one case, without replacement.

    Args:
        sources: Scaled source volumes, each of shape (I, J, K).
        target: Scaled target, same shape.
        masks: Compartment masks.
        voxels: At most this many in each compartment.
        seed: Seed; must differ between cases.
        signal: Signal computed from maps, same shape; None where there is none.
        about_signal: Its sequence in words, or why there is none.
    """
    rng = np.random.default_rng(list(seed))
    samples = {}
    for name, mask in masks.items():
        index = np.flatnonzero(mask)
        if index.size > voxels:
            index = np.sort(rng.choice(index, voxels, replace=False))
        columns = [np.asarray(source, dtype=np.float32).reshape(-1)[index] for source in sources]
        computed = None if signal is None else np.asarray(signal, np.float32).reshape(-1)[index]
        wanted = np.asarray(target, np.float32).reshape(-1)[index]
        samples[name] = Sample(np.stack(columns, axis=1), wanted, computed, about_signal)
    return samples


def fit_controls(
    names: Sequence[str], samples: Mapping[str, Mapping[str, Sample]], seed: int, *, whole_head: bool = False
) -> tuple[dict[str, FittedControl], dict[str, str]]:
    """Fit the named controls.

    Args:
        names: Names of controls.
        samples: Training case key to its compartments' samples; empty when there are no training subjects.
        seed: Seed of those that draw random numbers.
        whole_head: Fit a model of the whole head beside those of its parts: some test case has no brain mask.

    Returns:
        Fitted controls, and for those that could not be fitted the reason.

    Raises:
        UnknownNameError: There is no such control.
    """
    pooled, merged = _pool(samples, whole_head)
    fitted: dict[str, FittedControl] = {}
    absent: dict[str, str] = {}
    for name in names:
        member = CONTROLS.get(name)
        if not member.learns:
            model = member()
            words = "on each test image itself" if member.oracle else model.fit(np.zeros((0, 1)), np.zeros(0), seed)
            fitted[name] = FittedControl(
                name, {HEAD: model}, {"title": member.title, "fit": words, "oracle": member.oracle}
            )
        elif not pooled:
            few = f"fewer than {_FEWEST} training voxels in the head"
            absent[name] = few if samples else "no training subjects to fit it on"
        elif member.from_maps and any(sample.signal is None for sample in pooled.values()):
            every = [part for parts in samples.values() for part in parts.values()]
            reason = next(part.about_signal for part in every if part.signal is None) or "none was asked for"
            absent[name] = f"no signal for every training subject: {reason}"
        else:
            facts = _facts(member, samples, merged)
            fitted[name] = _fit(name, member, pooled, facts, seed)
    return fitted, absent


def cases_by_words(said: Mapping[str, str]) -> dict[str, list[str]]:
    """What is said of cases, with the cases it is said of.

    Example:
        >>> cases_by_words({"sub-01": "spin echo", "sub-02": "gradient echo", "sub-03": "spin echo"})
        {'spin echo': ['sub-01', 'sub-03'], 'gradient echo': ['sub-02']}
    """
    found: dict[str, list[str]] = {}
    for key, words in said.items():
        found.setdefault(words, []).append(key)
    return found


def fingerprint(samples: Mapping[str, Mapping[str, Sample]]) -> str:
    """SHA-256 of all training voxels: what a resumed evaluation must find unchanged."""
    digest = hashlib.sha256()
    for key, parts in samples.items():
        for name, sample in parts.items():
            digest.update(f"{key}/{name}{sample.sources.shape}".encode())
            digest.update(np.ascontiguousarray(sample.sources).tobytes())
            digest.update(np.ascontiguousarray(sample.target).tobytes())
            digest.update(b"" if sample.signal is None else np.ascontiguousarray(sample.signal).tobytes())
    return digest.hexdigest()


def _facts(member: type[Control], samples: Mapping[str, Mapping[str, Sample]], merged: str) -> dict[str, Any]:
    """What a learned control was fitted on."""
    facts: dict[str, Any] = {"training_cases": list(samples)}
    if member.from_maps:
        said = {key: next(iter(parts.values())).about_signal for key, parts in samples.items()}
        facts["training_sequences"] = cases_by_words(said)
    if merged:
        facts["note"] = merged
    return facts


def _fit(
    name: str, member: type[Control], pooled: Mapping[str, Sample], facts: Mapping[str, Any], seed: int
) -> FittedControl:
    models: dict[str, Control] = {}
    words: dict[str, str] = {}
    for compartment, sample in pooled.items():
        model = member()
        columns = sample.signal[:, None] if member.from_maps and sample.signal is not None else sample.sources
        fit = model.fit(columns, sample.target, seed)
        models[compartment] = model
        words[compartment] = f"{fit}; {sample.target.size} training voxels"
    return FittedControl(name, models, {"title": member.title, "fit": words, **facts})


def _pool(samples: Mapping[str, Mapping[str, Sample]], whole_head: bool) -> tuple[dict[str, Sample], str]:
    """All cases' voxels together by compartment; a compartment too small to be fitted is left to the other's model."""
    if not samples:
        return {}, ""
    kinds = {frozenset(parts) for parts in samples.values()}
    if len(kinds) > 1:
        # Some cases know their brain and some do not: fit one model on all of the head.
        samples = {key: {HEAD: _join(list(parts.values()))} for key, parts in samples.items()}
        note = "not every training case has a brain mask: fitted on the whole head"
    else:
        note = ""
    names = list(next(iter(samples.values())))
    pooled = {name: _join([parts[name] for parts in samples.values()]) for name in names}
    if whole_head and HEAD not in pooled:
        pooled[HEAD] = _join(list(pooled.values()))
    usable = {name: sample for name, sample in pooled.items() if sample.target.size >= _FEWEST}
    if not usable:
        return {}, note
    return usable, note


def _join(parts: Sequence[Sample]) -> Sample:
    signals = [part.signal for part in parts if part.signal is not None]
    return Sample(
        np.concatenate([part.sources for part in parts]),
        np.concatenate([part.target for part in parts]),
        np.concatenate(signals) if len(signals) == len(parts) else None,
    )
