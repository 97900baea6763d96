"""What a run folder holds already: nothing, a part of this training, its result, or another training."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recontrast.config import build_settings, to_plain
from recontrast.errors import CheckpointError, ConfigError, RecontrastWarning
from recontrast.provenance import FILE_NAME, sha256_of
from recontrast.training.plan import BUDGETS, Plan
from recontrast.translation.description import DESCRIPTION, FOLDER

log = logging.getLogger(__name__)

LAST = Path("checkpoints", "last")
"""Where in a run's folder its last checkpoint lies, from which it goes on."""

STATE = "state.json"
"""File of a checkpoint that is written last: where it is, the checkpoint is whole."""

PREPARED_IMAGES = "prepared"
"""Fact that tells the prepared images; runs of older versions have none, and are taken to have learned from these."""

RECIPE_START = "recipe_start"
"""Fact that tells the weights a recipe starts from (`recipe.options.start`)."""

SEGMENTERS = "segmenters"
"""Fact that tells the weights of the segmenters a recipe's losses look through."""

PERCEPTUAL_WEIGHTS = "perceptual_weights"
"""Fact that tells what is in the files of weights that a recipe's perceptual loss reads."""

MASKS = "masks"
"""Fact that tells the masks that the prepared cases are learned from within; it too came later."""

_NAMED_BY = {RECIPE_START: "start", SEGMENTERS: "segmenter", PERCEPTUAL_WEIGHTS: "perceptual_weights"}
"""Options of a recipe that name weights, by the fact that tells them: what is in them counts, not where they lie."""

RECORD = "started-from.json"
"""File of a study's second stage: whose weights it began with, and their hash; older versions noted them here alone."""


def has_begun(run: Path) -> bool:
    """Whether a run folder holds a checkpoint that a training can go on from.

    >>> has_begun(Path("no-such-run"))
    False
    """
    return (run / LAST / STATE).is_file()


def last_weights(run: Path) -> str:
    """SHA-256 of a run's last checkpoint.

    Raises:
        CheckpointError: There is none.

    Example:
        >>> last_weights(Path("run"))  # doctest: +SKIP
        '9f86d081884c7d65…'
    """
    folder = run / LAST
    name = content_of(folder / STATE).get("tensors")
    if not isinstance(name, str):
        raise CheckpointError(f"{run}: there is no checkpoint to start from; remove this run and train it again")
    return sha256_of(folder / Path(name).name)


def without_lost_best(told: Mapping[str, Any], best: Path, table: Path, *, aloud: bool) -> Mapping[str, Any]:
    """What a run's last checkpoint tells, but of no best validation where the weights of that one are gone.

    Args:
        told: State in the last checkpoint.
        best: Folder of the best weights.
        table: File that says how they did, which is removed with them.
        aloud: Warn of it, and remove the table; one process does.

    Example:
        >>> without_lost_best({"step": 3, "best_score": None}, Path("best"), Path("validation.tsv"), aloud=True)
        {'step': 3, 'best_score': None}
    """
    tensors = content_of(best / STATE).get("tensors", "")
    if told["best_score"] is None or (tensors and (best / Path(tensors).name).is_file()):
        return told
    if aloud:
        table.unlink(missing_ok=True)
        warnings.warn(
            f"{best}: the weights of the best validation, of step {told['best_step']}, are gone; the best of those "
            f"after step {told['step']} takes their place, or the last weights where none is left to come",
            RecontrastWarning,
            stacklevel=2,
        )
    return {**told, "best_score": None, "best_step": 0}


def is_finished(run: Path, facts: dict[str, Any], *, resume: bool) -> bool:
    """Whether the run folder already holds the result.

    Args:
        run: Folder of the run.
        facts: What decides how the training goes, as `provenance.json` will hold it.
        resume: Go on from the last checkpoint where there is one.

    Raises:
        ConfigError: It holds something else, a part of this training and `resume` was not asked for, or a translator
            that would be lost because there is no checkpoint to go on from.

    Example:
        >>> is_finished(Path("no-such-run"), {}, resume=False)
        False
    """
    path = run / FILE_NAME
    begun = has_begun(run)
    if not begun and resume and not _holds_translator(run):
        log.info("%s: nothing to resume; the training starts from the beginning", run)
    if not path.is_file():
        _require_no_translator(run, f"and no {FILE_NAME}, which says what it learned from")
        return False
    try:
        former = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid JSON ({error}); train in another folder") from error
    if former.get("stage") != "train":
        raise ConfigError(f"{run} was made by `recontrast {former.get('stage')}`; train in another folder")
    if "plan" in former:
        former["plan"] = _with_defaults(former["plan"], path)
    former, facts = _by_content(run, former, facts)
    compared = [key for key in facts if key in former or key not in (PREPARED_IMAGES, MASKS)]
    different = [key for key in compared if _without_budgets(former.get(key)) != _without_budgets(facts[key])]
    if {"sources", "target", "train_cases", "validation_cases"} & set(different):
        different = [key for key in different if key not in (PREPARED_IMAGES, MASKS)]  # other cases have others
    if different and (begun or "result" in former or _holds_translator(run)):
        raise ConfigError(
            f"{run} holds a training with other settings ({', '.join(different)} differ: "
            f"{_difference(former, facts, different[0])}); train in another folder, or remove this one"
        )
    same_budget = former.get("plan") == facts["plan"]
    if "result" in former and same_budget and _holds_translator(run):
        return True
    if not begun:
        _require_no_translator(run, "and no checkpoint that this training could go on from")
    if begun and not resume:
        kind = "an unfinished training" if same_budget else "a training with another budget"
        kind += "" if _holds_translator(run) or "result" not in former else " whose translator was removed"
        raise ConfigError(
            f"{run} holds {kind}; add --resume to go on from its last checkpoint, or train in another folder"
        )
    return False


def _holds_translator(run: Path) -> bool:
    return (run / FOLDER / DESCRIPTION).is_file()


def _require_no_translator(run: Path, without: str) -> None:
    if _holds_translator(run):
        raise ConfigError(
            f"{run} holds a translator {without}: a new training would overwrite it; train in another folder, or "
            f"remove this one (to go on from its weights: train in another folder with --start-from {run})"
        )


def _with_defaults(plan: Any, path: Path) -> Any:
    """The plan of a run as it would be written now: a setting that came later was at its default when the run was made.

    One that has a setting no more stays as it is.
    """
    try:
        return to_plain(build_settings(Plan, plan, str(path)))
    except ConfigError:
        return plan


def _by_content(run: Path, former: dict[str, Any], facts: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both without the options that name weights, where both know these; else without what is known of the weights."""
    before, now = dict(former), dict(facts)
    before[RECIPE_START] = former.get(RECIPE_START) or content_of(run / RECORD).get("sha256")
    for fact, option in _NAMED_BY.items():
        if before.get(fact) and now.get(fact):
            before["plan"], now["plan"] = (_without_option(each.get("plan"), option) for each in (before, now))
        else:
            now.pop(fact, None)
    return before, now


def _without_option(plan: Any, name: str) -> Any:
    """A plan whose recipe has no option of this name, nor a term of its loss."""
    return {**plan, "recipe": _without(plan.get("recipe"), name)} if isinstance(plan, dict) else plan


def _without(content: Any, name: str) -> Any:
    if not isinstance(content, dict):
        return content
    return {key: _without(value, name) for key, value in content.items() if key != name}


def content_of(path: Path) -> dict[str, Any]:
    """A JSON file's content; empty where it is absent or damaged.

    Example:
        >>> content_of(Path("no-such-file.json"))
        {}
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _without_budgets(fact: Any) -> Any:
    if not isinstance(fact, dict) or "loop" not in fact:
        return fact
    return {**fact, "loop": {key: value for key, value in fact["loop"].items() if key not in BUDGETS}}


def _difference(former: dict[str, Any], facts: dict[str, Any], key: str) -> str:
    """The first entry that differs, as `plan.loop.seed was 0, is 1`."""
    if key == "start_from":
        return "it began with other weights: give the same --start-from"
    if key == RECIPE_START:
        return "the run that recipe.options.start names has other weights than it had when this one began"
    if key == SEGMENTERS:
        return "the segmenter of the loss segmentation has other weights than it had when this run began: trained anew?"
    if key == PERCEPTUAL_WEIGHTS:
        return "the files of recipe.options.perceptual_weights hold other weights than they did when this run began"
    if key == MASKS:
        return "it learned within other masks: they were made anew, or are those of another folder"
    old, new, path = former.get(key), facts[key], key
    while isinstance(old, dict) and isinstance(new, dict):
        names = [n for n in sorted({*old, *new}) if _without_budgets(old.get(n)) != _without_budgets(new.get(n))]
        names = [name for name in names if not (path == "plan.loop" and name in BUDGETS)]
        old, new, path = old.get(names[0]), new.get(names[0]), f"{path}.{names[0]}"
    if path == f"{PREPARED_IMAGES}.sha256_of_images":
        return "it learned from other images: they were prepared anew, or are those of another folder"
    return f"{path} was {old}, is {new}"
