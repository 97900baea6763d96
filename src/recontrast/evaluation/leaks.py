"""Does the translator know the subjects that are evaluated? Its folder carries the hashes of its subjects."""

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
"""Status of a check that found no training and no validation subject among the images."""

VALIDATED = "VALIDATION SUBJECTS INCLUDED"
"""Beginning of the status where subjects are evaluated that chose the translator's weights."""

NOT_POSSIBLE = "not possible"
"""Status of a check of images that do not all say what their translator learned from."""


@dataclass(frozen=True)
class LeakCheck:
    """What the check found.

    Attributes:
        status: For every table: "passed", "not possible", "TRAINING SUBJECTS INCLUDED: sub-01, …" or "VALIDATION
            SUBJECTS INCLUDED: sub-01, …".
        leaked: Subjects (with `sub-`) that were in the training set.
        validated: Subjects that were in the validation set, and not in the training set.
        reasons: Why the check was not possible for some images.
        translators: Facts of the translators, as the sidecars give them.
    """

    status: str
    leaked: tuple[str, ...]
    validated: tuple[str, ...]
    reasons: tuple[str, ...]
    translators: tuple[Mapping[str, Any], ...]


def check_leaks(images: Mapping[Case, Path], root: Path, *, allow: bool) -> LeakCheck:
    """Compare the evaluated subjects with the translator's training and validation subjects.

    Subjects that chose its weights are no training subjects, and may be evaluated; the tables say so.

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
    validated: set[str] = set()
    reasons: set[str] = set()
    for case, path in images.items():
        facts = read_sidecar(path).get("Translator")
        if not isinstance(facts, Mapping):
            reasons.add("images without translator facts in their sidecar (made by another tool?)")
            continue
        translators.setdefault(json.dumps(facts, sort_keys=True, default=str), facts)
        description, reason = _description(facts, root, path, known)
        own = subject_hash(case.subject)
        if description is None:
            reasons.add(reason)
        elif own in description.training_subjects:
            leaked.add(f"sub-{case.subject}")
        elif own in description.validation_subjects:
            validated.add(f"sub-{case.subject}")
    names = ", ".join(sorted(leaked))
    if leaked and not allow:
        raise ConfigError(
            f"{root}: the translator was trained on {names}, which are to be evaluated; scores on them are not "
            "evidence. Evaluate held-out subjects, or say --allow-training-subjects and it will stand in every table"
        )
    status = NOT_POSSIBLE if reasons or not images else PASSED
    if leaked:
        status = f"TRAINING SUBJECTS INCLUDED: {names}"
    elif validated:
        status = f"{VALIDATED}: {', '.join(sorted(validated))}" + (f"; {NOT_POSSIBLE} for others" if reasons else "")
    return LeakCheck(
        status, tuple(sorted(leaked)), tuple(sorted(validated)), tuple(sorted(reasons)), tuple(translators.values())
    )


def _description(
    facts: Mapping[str, Any], root: Path, image: Path, known: dict[Path, TranslatorDescription]
) -> tuple[TranslatorDescription | None, str]:
    """What made an image, or why that is not known; `known` keeps what was read for the next image."""
    if not facts.get("folder"):
        return None, "the sidecar does not say where the translator is"
    named = Path(str(facts["folder"]))
    places = [named] if named.is_absolute() else [named, root / named, image.parent / named, root.parent / named]
    for place in places:
        try:
            description = known[place] if place in known else read_description(place)
        except CheckpointError:
            continue
        known[place] = description
        if facts.get("weights_sha256") not in (None, "", description.weights_sha256):
            return None, f"{place} holds other weights than those that made the images"
        if not description.training_subjects:
            return None, "the translator does not say which subjects it was trained on"
        return description, ""
    return None, f"no translator can be read at {named} any more"
