"""From a study file to the list of trainings: directions x methods x loss weights x seeds, and the weights to judge."""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from recontrast.config import to_plain
from recontrast.errors import CheckpointError, ConfigError
from recontrast.study.settings import Budget, DataSource, Direction, Method, Study
from recontrast.training.plan import Plan, read_plan

RUNS = "runs"
_MOST_SNAPSHOTS = 100


@dataclass(frozen=True)
class TrainingJob:
    """One training.

    Attributes:
        direction: What is made from what; its target is the one that is learned.
        method: How.
        name: Name within the direction: method, grid values that differ, seed when there are several.
        overrides: `--set` entries, in their order.
        plan: The resolved preset.
        snapshots: Fraction of the run to the name of its snapshot folder; empty: the translator at the end alone.
        start: Name of the job of the same direction whose last weights it starts from; empty: none.
    """

    direction: Direction
    method: Method
    name: str
    overrides: tuple[str, ...]
    plan: Plan
    snapshots: tuple[tuple[float, int], ...]
    start: str = ""

    @property
    def key(self) -> str:
        """Direction and name."""
        return f"{self.direction.label}/{self.name}"

    @property
    def start_key(self) -> str:
        """Key of the job it starts from; empty: none."""
        return f"{self.direction.label}/{self.start}" if self.start else ""

    def run(self, out: Path) -> Path:
        """Folder of the run."""
        return out / RUNS / self.direction.label / self.name

    @property
    def adversarial(self) -> bool:
        """Whether a discriminator takes part."""
        return self.plan.recipe.name != "supervised" and self.plan.recipe.options.get("discriminator") != "none"


@dataclass(frozen=True)
class Candidate:
    """Weights that may be chosen: those at the end of a training, or a snapshot of it.

    Attributes:
        job: The training.
        fraction: Part of the run after which they were kept; 1 at its end.
        number: Which of the evenly spaced snapshots, counted from 1; 0: the run's translator.
    """

    job: TrainingJob
    fraction: float = 1.0
    number: int = 0

    @property
    def name(self) -> str:
        """Name within the direction."""
        return f"{self.job.name}@{self.fraction:g}" if self.number else self.job.name

    @property
    def group(self) -> tuple[str, str]:
        """Direction and method, among whose candidates one is selected."""
        return self.job.direction.label, self.job.method.label

    def translator(self, out: Path) -> Path | None:
        """Folder of the translator; None when the run ended before.

        Args:
            out: Folder of the study.
        """
        run = self.job.run(out)
        if not self.number:
            folder = run / "translator"
        else:
            kept = sorted((run / "snapshots").glob("step-*"))
            if len(kept) < self.number:
                return None
            folder = kept[self.number - 1]
        return folder if (folder / "translator.json").is_file() else None


def plan_jobs(study: Study, data: DataSource, scale: str, overrides: Sequence[str] = ()) -> list[TrainingJob]:
    """All trainings of a study, in the order they are run.

    Args:
        study: The study file.
        data: Where its subjects come from.
        scale: paper or cpu.
        overrides: Preset settings of the command line, which win over all others.

    Raises:
        ConfigError: Two candidates are the same, a snapshot cannot be taken where the study wants it, or a method could
            start from several trainings or from none.
        UnknownNameError: No such preset or setting.

    Example:
        >>> from recontrast.study.settings import read_study
        >>> study = read_study("osman2022", "cpu")
        >>> [job.key for job in plan_jobs(study, study.source(""), "cpu")][0]
        'T1w-T2w/osman2022'
    """
    directions = data.directions or study.directions
    jobs: list[TrainingJob] = []
    for direction, method in itertools.product(directions, study.methods):
        for one in _combinations(method, study.seeds):
            given = (*study.set, *method.set, *data.set, *_budget(study.budget), *one.given, *overrides)
            plan = read_plan(method.preset, scale, given)
            own = replace(direction, target=method.target, name=direction.label) if method.target else direction
            start = _start_of(study, method, one)
            jobs.append(TrainingJob(own, method, one.name, given, plan, _snapshots(study.budget, one.name), start))
    _refuse_doubles(jobs)
    return jobs


def weights_of(candidate: Candidate, out: Path, untrained: Collection[str] = ()) -> Path:
    """Folder of a candidate's translator.

    Args:
        candidate: The candidate.
        out: Folder of the study.
        untrained: Keys of the jobs that failed: weights that lie there were not made as the study says.

    Raises:
        CheckpointError: There is none.
    """
    translator = candidate.translator(out)
    if translator is None or candidate.job.key in untrained:
        raise CheckpointError("there are no weights: the training failed or ended before")
    return translator


def candidates_of(jobs: Sequence[TrainingJob]) -> list[Candidate]:
    """The weights that may be chosen: each judged job's snapshots, or its translator."""
    return [
        candidate
        for job in jobs
        if job.method.judged
        for candidate in [Candidate(job, *snapshot) for snapshot in job.snapshots] or [Candidate(job)]
    ]


def groups_of(candidates: Sequence[Candidate]) -> dict[tuple[str, str], list[Candidate]]:
    """Candidates by direction and method."""
    groups: dict[tuple[str, str], list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault(candidate.group, []).append(candidate)
    return groups


@dataclass(frozen=True)
class _Combination:
    """A seed and a value for each setting of a method's grid."""

    name: str
    given: tuple[str, ...]
    values: Mapping[str, Any]
    seed: int


def _combinations(method: Method, seeds: Sequence[int]) -> Iterator[_Combination]:
    for values in itertools.product(*method.grid.values()):
        grid = dict(zip(method.grid, values, strict=True))
        words = [f"{key.rpartition('.')[2]}-{_in_name(value)}" for key, value in grid.items()]
        chosen = [f"{key}={json.dumps(value)}" for key, value in grid.items()]
        for seed in seeds:
            named = [*words, f"seed-{seed}"] if len(seeds) > 1 else words
            yield _Combination("_".join([method.label, *named]), (*chosen, f"loop.seed={seed}"), grid, seed)


def _start_of(study: Study, method: Method, one: _Combination) -> str:
    """Name of the job of the same seed and grid values whose weights a second stage starts from; empty: none."""
    if not method.start:
        return ""
    first = next(other for other in study.methods if other.label == method.start)
    shared = [key for key in first.grid if key in method.grid]
    fits = [
        other.name
        for other in _combinations(first, study.seeds)
        if other.seed == one.seed and all(other.values[key] == one.values[key] for key in shared)
    ]
    if len(fits) != 1:
        raise ConfigError(
            f"method {method.label} starts from {first.label}, but for {one.name} there are {len(fits)} trainings of "
            f"it ({', '.join(fits) or 'none with these values'}): give both the same grid, or {first.label} none"
        )
    return fits[0]


def _in_name(value: Any) -> str:
    return "".join(c if c.isalnum() or c in ".+-" else "-" for c in str(value))


def _budget(budget: Budget) -> list[str]:
    given = []
    if budget.steps or budget.epochs or budget.minutes:
        given = [f"loop.steps={budget.steps}", f"loop.epochs={budget.epochs}", f"loop.minutes={float(budget.minutes)}"]
    if budget.validations and budget.steps:
        given.append(f"loop.validate_every={max(1, budget.steps // budget.validations)}")
    if budget.snapshots:
        given.append(f"loop.snapshots={_even(budget)}")
    return given


def _even(budget: Budget) -> int:
    """The smallest number of evenly spaced snapshots among which are those at the stated fractions."""
    fractions = [Fraction(value).limit_denominator(_MOST_SNAPSHOTS) for value in budget.snapshots]
    for value, fraction in zip(budget.snapshots, fractions, strict=True):
        if not 0 < value <= 1 or abs(float(fraction) - value) > 1e-6:
            raise ConfigError(
                f"budget.snapshots: {value:g} is not a fraction of the run above 0 and up to 1 with a denominator of "
                f"at most {_MOST_SNAPSHOTS}"
            )
    if len(set(fractions)) < len(fractions):
        raise ConfigError("budget.snapshots: a fraction stands there twice; each candidate must be another one")
    return next(n for n in range(1, _MOST_SNAPSHOTS**2) if all((f * n).denominator == 1 for f in fractions))


def _snapshots(budget: Budget, name: str) -> tuple[tuple[float, int], ...]:
    if not budget.snapshots:
        return ()
    even = _even(budget)
    if budget.steps and even > budget.steps:
        raise ConfigError(f"{name}: {even} snapshots need at least as many steps, the budget has {budget.steps}")
    return tuple((value, round(value * even)) for value in budget.snapshots)


def _refuse_doubles(jobs: Sequence[TrainingJob]) -> None:
    """No two candidates may be the same: the study would count one result twice."""
    seen: dict[str, str] = {}
    for job in jobs:
        content = {"plan": to_plain(job.plan), "start": job.start, "source": job.direction.source}
        key = json.dumps({**content, "target": job.direction.target}, sort_keys=True)
        if key in seen:
            raise ConfigError(
                f"the candidates {seen[key]} and {job.key} are the same: one setting stands twice in a grid, or two "
                "methods or directions differ in name alone; leave one out"
            )
        if job.key in seen.values():
            raise ConfigError(f"two candidates are called {job.key}; give the methods different names")
        seen[key] = job.key
