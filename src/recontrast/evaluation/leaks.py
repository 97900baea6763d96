"""Was the translator trained on the subjects that are evaluated? Its folder carries the hashes of its subjects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recontrast.errors import CheckpointError, ConfigError
from recontrast.io.bids import Case, read_sidecar
from recontrast.translation.description import TranslatorDescription, read_description, subject_hash

PASSED = "passed"
"""Status of a check that found no training subject among the images."""

NOT_POSSIBLE = "not possible"
"""Status of a check of images that do not all say what their translator learned from."""


@dataclass(frozen=True)
class LeakCheck:
    """What the check found.

    Attributes:
        status: For every table: "passed", "not possible" or "TRAINING SUBJECTS INCLUDED: sub-01, …".
        leaked: Subjects (with `sub-`) that were in the training set.
        reasons: Why the check was not possible for some images.
        translators: Facts of the translators, as the sidecars give them.
    """

    status: str
    leaked: tuple[str, ...]
    reasons: tuple[str, ...]
    translators: tuple[Mapping[str, Any], ...]


def check_leaks(images: Mapping[Case, Path], root: Path, *, allow: bool) -> LeakCheck:
    """Compare the evaluated subjects with the translator's training subjects.

    Args:
        images: Case to its synthetic image.
        root: The synthetic folder; translator folders may be given relative to it.
        allow: Go on with training subjects, and say so in every table.

    Raises:
        ConfigError: A training subject is evaluated and `allow` is false.
    """
    translators: dict[str, Mapping[str, Any]] = {}
    known: dict[Path, TranslatorDescription] = {}
    leaked: set[str] = set()
    reasons: set[str] = set()
    for case, path in images.items():
        facts = read_sidecar(path).get("Translator")
        if not isinstance(facts, Mapping):
            reasons.add("images without translator facts in their sidecar (made by another tool?)")
            continue
        translators.setdefault(json.dumps(facts, sort_keys=True, default=str), facts)
        subjects, reason = _training_subjects(facts, root, path, known)
        if reason:
            reasons.add(reason)
        elif subject_hash(case.subject) in subjects:
            leaked.add(f"sub-{case.subject}")
    names = ", ".join(sorted(leaked))
    if leaked and not allow:
        raise ConfigError(
            f"{root}: the translator was trained on {names}, which are to be evaluated; scores on them are not "
            "evidence. Evaluate held-out subjects, or say --allow-training-subjects and it will stand in every table"
        )
    status = NOT_POSSIBLE if reasons or not images else PASSED
    if leaked:
        status = f"TRAINING SUBJECTS INCLUDED: {names}"
    return LeakCheck(status, tuple(sorted(leaked)), tuple(sorted(reasons)), tuple(translators.values()))


def _training_subjects(
    facts: Mapping[str, Any], root: Path, image: Path, known: dict[Path, TranslatorDescription]
) -> tuple[frozenset[str], str]:
    """Hashes of the training subjects, or why they are not known; `known` keeps what was read for the next image."""
    if not facts.get("folder"):
        return frozenset(), "the sidecar does not say where the translator is"
    named = Path(str(facts["folder"]))
    places = [named] if named.is_absolute() else [named, root / named, image.parent / named, root.parent / named]
    for place in places:
        try:
            description = known[place] if place in known else read_description(place)
        except CheckpointError:
            continue
        known[place] = description
        if facts.get("weights_sha256") not in (None, "", description.weights_sha256):
            return frozenset(), f"{place} holds other weights than those that made the images"
        if not description.training_subjects:
            return frozenset(), "the translator does not say which subjects it was trained on"
        return frozenset(description.training_subjects), ""
    return frozenset(), f"no translator can be read at {named} any more"
