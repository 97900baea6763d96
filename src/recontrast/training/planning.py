"""The plan of one run: as the preset says, or made for these data, this machine and the minutes there are."""

from __future__ import annotations

import dataclasses
import inspect
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recontrast.config import merge, read_toml
from recontrast.errors import ConfigError
from recontrast.preparation.acquisition import NUMBERS
from recontrast.preparation.cohort import PreparedCase
from recontrast.training.automatic import AUTO, MINUTES, PLAN_FILE, decide, fit_memory, fit_steps, seen_size, write_plan
from recontrast.training.fingerprint import Fingerprint, take_fingerprint
from recontrast.training.plan import Plan, parsed, read_plan

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """What a user asked of a training.

    Attributes:
        run: Folder of the run.
        preset: Name or file.
        scale: paper or cpu.
        overrides: Entries like `loop.steps=100`.
        sources: Source contrasts.
        minutes: Wall-clock budget; 0: as the preset says.
        targets: Number of target contrasts.
        begins: Nested settings that the weights it begins with ask for; they win over the preset.
        start_from: Where these weights lie; empty: it begins with random ones.
        ways: Targets and sets of sources that the training cases have, each of which has its own controls.
    """

    run: Path
    preset: str
    scale: str
    overrides: tuple[str, ...]
    sources: tuple[str, ...]
    minutes: float
    targets: int = 1
    begins: Mapping[str, Any] = field(default_factory=dict)
    start_from: str = ""
    ways: int = 1


@dataclass(frozen=True)
class Planned:
    """A plan, and where it was made here (not read) from what and why.

    Attributes:
        plan: The plan.
        about: What was known when it was made now; None: it was read.
        reasons: Setting to reason.
        made_with: Overrides that it was made with, now or when the run was begun; None: it is the preset.
    """

    plan: Plan
    about: Fingerprint | None = None
    reasons: dict[str, str] = field(default_factory=dict)
    made_with: tuple[str, ...] | None = None

    def write(self, run: Path) -> None:
        """Keep a plan that was made in the run's folder; one that was read stays as it is."""
        if self.about is not None:
            write_plan(run / PLAN_FILE, self.plan, self.about, self.reasons)


def plan_run(wanted: Wanted, plan: Plan, train: Sequence[PreparedCase], validation: Sequence[PreparedCase]) -> Planned:
    """The plan of a run.

    `auto` decides by itself; any preset is given as many steps as fit when `minutes` are named. A plan that was made
    is kept in the run: the same command reads it again, edited or not.

    Args:
        wanted: What the user asked for.
        plan: The preset with the overrides.
        train: Training cases.
        validation: Validation cases; may be empty.

    Raises:
        ConfigError: The kept plan is of another preset or budget; two budgets are named; there is too little time or
            memory for any plan.
    """
    automatic = wanted.preset == AUTO
    if not automatic and not wanted.minutes:
        return Planned(plan)
    kept = wanted.run / PLAN_FILE
    if kept.is_file():
        return _kept_plan(wanted, kept)
    set_by_user = _combined(wanted.overrides)
    given = set_by_user.get("loop", {})
    if wanted.minutes and given.get("minutes", wanted.minutes) != wanted.minutes:
        raise ConfigError(f"--minutes {wanted.minutes:g} and --set loop.minutes={given['minutes']}: give one of them")
    minutes = wanted.minutes or float(given.get("minutes", 0)) or MINUTES
    about = take_fingerprint(train, validation, wanted.sources, minutes, plan.loop.accelerator)
    reasons: dict[str, str] = {}
    if automatic:
        decision = decide(about, str(set_by_user.get("data", {}).get("plane", "")))
        reasons |= decision.reasons
        if wanted.begins:
            reasons["model.options.width"] = "that of the weights it begins with"
        reasons |= {name: "as it was set" for name in reasons if _names(set_by_user, name)}
        plan = read_plan(AUTO, wanted.scale, wanted.overrides, merge(decision.values, wanted.begins))
        plan, reason = fit_memory(plan, about)
        if reason:
            reasons["data.batch"] = reason
            log.warning("data.batch is %d: %s", plan.data.batch, reason)
    if not {"steps", "epochs"} & given.keys():
        from recontrast.training.pace import seconds_between_steps, seconds_of_beginning  # imports torch

        options = model_options(plan, len(wanted.sources), wanted.targets)
        seconds = seconds_between_steps(plan, options, seen_size(plan.data, about))
        before = seconds_of_beginning(plan, options, about, wanted.ways)
        plan, reasons["loop.steps"] = fit_steps(plan, minutes, bool(validation), seconds, given.keys(), before)
        log.info("%s", reasons["loop.steps"])
    elif wanted.minutes:
        plan = dataclasses.replace(plan, loop=dataclasses.replace(plan.loop, minutes=minutes))
    return Planned(plan, about, reasons, wanted.overrides)


def gives_source_back(plan: Plan) -> bool:
    """Whether the recipe learns from sources alone: its target is its source."""
    from recontrast.recipes import RECIPES

    return bool(getattr(RECIPES.get(plan.recipe.name), "reconstructs", False))


def makes_several(plan: Plan) -> bool:
    """Whether the network is told which sources there are and which of its targets is wanted.

    One that can be is not with `model.options.targets=0`: it then learns one target from all sources, as any other.
    """
    from recontrast.models import MODELS

    named = "targets" in inspect.signature(MODELS.get(plan.model.name)).parameters
    return named and plan.model.options.get("targets", 1) != 0


def model_options(plan: Plan, contrasts: int, targets: int = 1) -> dict[str, Any]:
    """Options of the network, with those that follow from the number of contrasts and from the slices.

    Args:
        plan: The resolved preset.
        contrasts: Number of source contrasts.
        targets: Number of target contrasts.

    Raises:
        ConfigError: The plan says something else.
    """
    from recontrast.models import MODELS

    slices = 2 * plan.data.neighbours + 1
    fixed: dict[str, Any] = {
        "in_channels": plan.data.channels(contrasts),
        "out_channels": 1,
        "spatial_dims": plan.data.spatial_dims,
    }
    if "contrasts" in inspect.signature(MODELS.get(plan.model.name)).parameters:
        fixed |= {"contrasts": contrasts, "slices": slices}
    if "context" in inspect.signature(MODELS.get(plan.model.name)).parameters:
        fixed["context"] = plan.data.context_images
    if plan.data.acquisition and not makes_several(plan):
        raise ConfigError(
            "data.acquisition: only a network of several contrasts (preset any-to-any) can be told how a scan was "
            f"acquired, not {plan.model.name} with one target: leave it out"
        )
    if makes_several(plan):
        acquisition = NUMBERS if plan.data.acquisition else 0
        told = contrasts * (1 + acquisition) + targets
        fixed |= {"targets": targets, "in_channels": fixed["in_channels"] + told * slices}
        fixed |= {"acquisition": acquisition} if acquisition else {}
    for name, value in fixed.items():
        if plan.model.options.get(name, value) != value:
            raise ConfigError(
                f"model.options.{name} is {plan.model.options[name]}, the sources and slices need {value}; leave it out"
            )
    return {**plan.model.options, **fixed}


def _kept_plan(wanted: Wanted, path: Path) -> Planned:
    """The plan that lies in the run folder.

    Overrides that it was made with are in it already, as far as time and memory allowed; only others count.
    """
    config = wanted.run / "config.toml"
    content = read_toml(config) if config.is_file() else {}
    before = content.get("train", {})
    made_with = tuple(content.get("planned_with", before.get("set", ())))
    plan = read_plan(str(path), wanted.scale, (), _changes(_combined(wanted.overrides), _combined(made_with)))
    former = before.get("preset", wanted.preset)
    if former != wanted.preset:
        raise ConfigError(f"{path} is the plan of preset {former}, not {wanted.preset}; train in another folder")
    began = before.get("start_from", "") if before else wanted.start_from
    if bool(began) != bool(wanted.start_from):  # which weights they are is compared by their hash, not by their folder
        raise ConfigError(
            f"{path} is the plan of a training that begins with {began or 'random weights'}, not with "
            f"{wanted.start_from or 'random weights'}; train in another folder"
        )
    if wanted.minutes and wanted.minutes != plan.loop.minutes:
        raise ConfigError(
            f"{path} is a plan for {plan.loop.minutes:g} minutes, not {wanted.minutes:g}: edit loop.minutes and "
            "loop.steps there, or train in another folder"
        )
    log.info("%s: the plan that lies there is used", path)
    return Planned(plan, made_with=made_with)


def _combined(overrides: Sequence[str]) -> dict[str, Any]:
    """Overrides as nested settings, of several of one name the last."""
    combined: dict[str, Any] = {}
    for given in parsed(overrides):
        combined = merge(combined, given)
    return combined


def _names(settings: Any, name: str) -> bool:
    """Whether nested settings hold one of this dotted name.

    >>> _names({"data": {"batch": 2}}, "data.batch"), _names({"data": {"batch": 2}}, "data.batch.size")
    (True, False)
    """
    for part in name.split("."):
        if not isinstance(settings, Mapping) or part not in settings:
            return False
        settings = settings[part]
    return True


def _changes(now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings without those that are the same in others.

    >>> _changes({"loop": {"steps": 9, "seed": 1}, "data": {"batch": 2}}, {"loop": {"seed": 1}, "data": {"batch": 2}})
    {'loop': {'steps': 9}}
    """
    found: dict[str, Any] = {}
    for name, value in now.items():
        old = before.get(name)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            if changed := _changes(value, old):
                found[name] = changed
        elif name not in before or value != old:
            found[name] = value
    return found
