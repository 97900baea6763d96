"""Which prepared cases a training learns from, and on which it is validated."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recontrast.config import to_plain
from recontrast.contrasts import Contrast
from recontrast.errors import ConfigError, LayoutError, MissingContrastError, RecontrastWarning
from recontrast.io.bids import read_sidecar
from recontrast.io.tables import read_table
from recontrast.preparation.acquisition import NOT_TOLD
from recontrast.preparation.bank import makeable, usable
from recontrast.preparation.cohort import PreparedCase, PreparedCohort
from recontrast.provenance import sha256_of

_NAME_THEM = (
    "name the contrasts: --source T1w (one or several) and --target FLAIR, got source {source} and target {target}"
)


@dataclass(frozen=True)
class Cases:
    """Cases of a training.

    Attributes:
        train: What is learned from; at least one.
        validation: What tells which weights are best; may be empty.
    """

    train: tuple[PreparedCase, ...]
    validation: tuple[PreparedCase, ...]


def choose_cases(
    cohort: PreparedCohort, sources: Sequence[str], targets: Sequence[str], *, paired: bool = True, partly: bool = False
) -> Cases:
    """The cases of the splits train and validation that can be used.

    Args:
        cohort: The prepared folder.
        sources: Source contrasts.
        targets: Target contrasts; one unless `partly`.
        paired: A case needs all sources and the target; unpaired learning takes those with all sources, or the target.
        partly: A case needs any target together with any other source (a network that makes several contrasts).

    Raises:
        MissingContrastError: A target is never beside a source; unpaired: a contrast is nowhere in the split.
        LayoutError: There is no training subject.

    Example:
        >>> choose_cases(cohort, ["T1w"], ["T2w"]).train  # doctest: +SKIP
    """
    wanted = tuple(dict.fromkeys((*sources, *targets)))
    if partly:
        learn_from, validation = (_with_any(cohort, split, sources, targets) for split in ("train", "validation"))
        _require_pairs(cohort, learn_from, sources, targets)
    else:
        (target,) = targets
        learn_from = _with_all(cohort, "train", wanted, target, paired=paired)
        validation = _with_all(cohort, "validation", wanted, target)
    if not learn_from:
        counts = ", ".join(f"{len(cohort.split(name))} {name}" for name in ("train", "validation", "test"))
        raise LayoutError(
            f"{cohort.folder}: no training subject (cases: {counts}); prepare more subjects, "
            "or give --splits a table that puts one into train"
        )
    if not validation:
        warnings.warn(
            f"{cohort.folder}: no validation subject: nothing tells which weights are best, those of the last step "
            "are saved; put a subject into the validation split when there are enough",
            RecontrastWarning,
            stacklevel=3,
        )
    return Cases(learn_from, validation)


def require_lesions(cases: Sequence[PreparedCase], names: Sequence[str]) -> None:
    """Check that a loss that weighs lesions finds some; a warning tells of cases without a mask.

    Args:
        cases: Training cases.
        names: Regions that are lesions (`data.lesion_regions`).

    Raises:
        ConfigError: No case has any of the regions.
    """
    without = [case.key for case in cases if not set(names) & set(case.regions)]
    if len(without) == len(cases):
        there = sorted({name for case in cases for name in case.regions})
        raise ConfigError(
            f"recipe.options.terms.lesions: no training case has a region called {' or '.join(names) or '(no name)'} "
            f"(there is: {', '.join(there)}); prepare with masks of lesions, name others with "
            'data.lesion_regions=["..."], or leave the term out'
        )
    if without:
        warnings.warn(
            f"recipe.options.terms.lesions: {len(without)} of {len(cases)} training cases have no mask of lesions "
            f"({', '.join(without[:3])}{' …' if len(without) > 3 else ''}); they count as healthy",
            RecontrastWarning,
            stacklevel=4,
        )


def describe_prepared(
    cohort: PreparedCohort, cases: Iterable[PreparedCase], contrasts: Sequence[str]
) -> dict[str, Any]:
    """How the images of these cases were scaled and placed, and one digest of all that was noted of them.

    No image is read: `prepare` noted a hash of each raw image (`quality.tsv`) and what became of it (its sidecar).

    Args:
        cohort: The prepared folder.
        cases: Its cases that are learned from or validated on.
        contrasts: Contrasts that count.

    Raises:
        FormatError: A table or sidecar is damaged.
    """
    raw = _hashes_of_raw(cohort.folder / "quality.tsv")
    noted: list[Any] = []
    for case in cases:
        noted.append([case.key, sorted({"head", "brain"} & case.regions.keys())])
        for label in contrasts:
            if label in case.images:
                sidecar = read_sidecar(case.images[label])
                # A file may be renamed, and what no network is told was not kept by older versions.
                became = {name: value for name, value in sidecar.items() if name not in ("Sources", *NOT_TOLD)}
                noted.append([label, raw.get((case.key, label)), became])
    return {
        "preparation": to_plain(cohort.preparation),
        "scale": to_plain(cohort.scale_settings),
        "sha256_of_images": hashlib.sha256(json.dumps(noted, sort_keys=True).encode()).hexdigest(),
    }


def sha256_of_masks(cases: Iterable[PreparedCase], names: Sequence[str]) -> str:
    """One digest of the masks of these cases, which are small: `prepare` notes nothing that would tell them apart.

    Args:
        cases: Cases that are learned from or validated on.
        names: Regions that count.

    Raises:
        FormatError: A mask is gone or cannot be read.
    """
    noted = [[c.key, name, sha256_of(c.regions[name])] for c in cases for name in names if name in c.regions]
    return hashlib.sha256(json.dumps(noted).encode()).hexdigest()


def _hashes_of_raw(path: Path) -> dict[tuple[str, str], str]:
    """Case and contrast to the hash of the raw image; empty where no quality was measured."""
    columns = ("case", "contrast", "image_hash")
    table = read_table(path, text_columns=columns) if path.is_file() else None
    if table is None or not set(columns) <= set(table.columns):
        return {}
    known = table.dropna(subset=list(columns))
    return {(case, label): digest for case, label, digest in zip(*(known[name] for name in columns), strict=True)}


def require_contrasts(cohort: PreparedCohort, wanted: Sequence[str]) -> None:
    """Check that every contrast is somewhere in a prepared folder.

    Raises:
        MissingContrastError: One is nowhere; the message lists those that are there.
    """
    there = sorted({label for case in cohort.cases for label in case.images})
    absent = [label for label in dict.fromkeys(wanted) if label not in there]
    if absent:
        raise MissingContrastError(
            f"{cohort.folder}: no case has {', '.join(absent)}; there is: {', '.join(there) or 'no image'}"
        )


def require_names(sources: Sequence[str], targets: Sequence[str]) -> None:
    """Check that a source is named, and every contrast once, by a name that can be one.

    Raises:
        ConfigError: It is not so.
    """
    if not sources:
        raise ConfigError(_NAME_THEM.format(source="none", target=" ".join(targets) or "none"))
    for label in (*sources, *targets):
        Contrast.parse(label)
    for kind, labels in (("source", sources), ("target", targets)):
        if len(set(labels)) < len(labels):
            raise ConfigError(f"a {kind} is named twice: {' '.join(labels)}")


def require_targets(sources: Sequence[str], targets: Sequence[str], *, reconstructs: bool = False) -> None:
    """Check that the targets can be made of the sources.

    Args:
        sources: Source contrasts.
        targets: Target contrasts.
        reconstructs: Whether the recipe gives its one source back.

    Raises:
        ConfigError: It is not so.
    """
    if reconstructs:
        if len(sources) > 1 or tuple(targets) != tuple(sources):
            raise ConfigError(
                "this preset hides parts of one contrast and gives them back: name one --source and no other target, "
                f"got source {' '.join(sources)} and target {' '.join(targets)}"
            )
    elif not targets:
        raise ConfigError(_NAME_THEM.format(source=" ".join(sources), target="none"))
    elif len(targets) > 1:
        require_several(sources, targets)
    elif targets[0] in sources:
        raise ConfigError(f"{targets[0]} is source and target; a translator makes a contrast it is not given")


def require_several(sources: Sequence[str], targets: Sequence[str]) -> None:
    """Check that each of several targets can be made from a source.

    Raises:
        ConfigError: One is the only source.
    """
    for target in targets:
        if not usable(sources, target):
            raise ConfigError(f"{target} is a target and the only source; name further sources for it")


def _with_any(
    cohort: PreparedCohort, split: str, sources: Sequence[str], targets: Sequence[str]
) -> tuple[PreparedCase, ...]:
    """Cases that have a target beside a source; a case without is left out with a warning that names it."""
    chosen = []
    for case in cohort.split(split):
        if makeable(sources, targets, case.images):
            chosen.append(case)
        else:
            _warn_left_out(case, split, f"no target ({', '.join(targets)}) beside a source ({', '.join(sources)})")
    return tuple(chosen)


def _require_pairs(
    cohort: PreparedCohort, cases: Sequence[PreparedCase], sources: Sequence[str], targets: Sequence[str]
) -> None:
    """Every target must be learned from some case, and every source seen in one."""
    if not cases:
        return
    made = {label for case in cases for label in makeable(sources, targets, case.images)}
    read = {
        label
        for case in cases
        for target in makeable(sources, targets, case.images)
        for label in usable(sources, target, case.images)
    }
    for label, known, words in (
        *((label, made, "together with a source") for label in targets),
        *((label, read, "together with a target") for label in sources),
    ):
        if label not in known:
            raise MissingContrastError(f"{cohort.folder}: no train case has {label} {words}; leave {label} out")


def _with_all(
    cohort: PreparedCohort, split: str, wanted: Sequence[str], target: str, *, paired: bool = True
) -> tuple[PreparedCase, ...]:
    """Cases of a split that have all contrasts; a case without is left out with a warning that names it.

    For unpaired learning all sources, or the target, are enough, and some case must have either.
    """
    chosen = []
    for case in cohort.split(split):
        missing = [label for label in wanted if label not in case.images]
        half = not paired and (missing == [target] or target in case.images)
        if missing and not half:
            _warn_left_out(case, split, f"no {', '.join(missing)}")
        else:
            chosen.append(case)
    if chosen and not paired:
        some: Collection[str] = {label for case in chosen for label in case.images}
        lacking = [label for label in wanted if label not in some]
        if lacking:
            raise MissingContrastError(
                f"{cohort.folder}: no {split} case has {', '.join(lacking)}; unpaired learning needs images of "
                "source and target, though not of the same subjects"
            )
    return tuple(chosen)


def _warn_left_out(case: PreparedCase, split: str, lack: str) -> None:
    warnings.warn(
        f"{case.key}: has {lack}, it is left out of the {split} cases (it has {', '.join(case.images)})",
        RecontrastWarning,
        stacklevel=5,
    )
