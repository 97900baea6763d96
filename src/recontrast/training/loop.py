"""The training loop: data, step, validate, checkpoint, log. Everything that happens stands here in its order."""

from __future__ import annotations

import dataclasses
import shutil
import statistics
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recontrast.datasets.ahead import Ahead, threads_ahead
from recontrast.datasets.augment import AugmentSettings
from recontrast.datasets.banks import BankBatches
from recontrast.datasets.cases import CachedCase, cache_cases
from recontrast.datasets.patches import Batch, SliceBatches
from recontrast.datasets.unpaired import UnpairedBatches
from recontrast.datasets.volumes import VolumeBatches
from recontrast.errors import RecontrastWarning, TrainingError
from recontrast.execution.runtime import available_cores
from recontrast.io.tables import write_table
from recontrast.losses.terms import weigh_lesions
from recontrast.preparation.cohort import PreparedCase
from recontrast.training.any_to_any import build_validator
from recontrast.training.automatic import PLAN_FILE
from recontrast.training.beginning import Beginning
from recontrast.training.checkpoint import has_checkpoint, load_checkpoint, read_step, save_checkpoint
from recontrast.training.former import LAST, without_lost_best
from recontrast.training.learner import Learner, learning_rate
from recontrast.training.log import LiveLine, RunLog
from recontrast.training.memory import slices_of_a_control
from recontrast.training.plan import LoopSettings, Plan
from recontrast.training.validation import Judge
from recontrast.translation.description import TranslatorDescription

BEST = Path("checkpoints", "best")
"""Weights that become the translator: of the best validation, or of the last step (loop.keep, or no validation)."""

SNAPSHOTS = Path("checkpoints", "snapshots")
"""Weights kept on the way (loop.snapshots), a folder for each."""

VALIDATION_TABLE = "validation.tsv"
"""Scores of the best validation, case by case."""

CACHE = Path("cache")
"""Memory-mapped slices; can always be made again."""


_STILL_HIGH = 0.05
"""Part of the learning rate above which a run says that it ended before the rate had fallen."""


@dataclass(frozen=True)
class Job:
    """A training, ready to start in any process.

    Attributes:
        run: Folder of the run.
        preset: Name of the preset.
        scale: paper or cpu.
        plan: The resolved preset.
        train: Training cases.
        validation: Validation cases; may be empty.
        description: What the translator will be: contrasts, network, scales.
        precision: "fp32" or "bf16".
        resume: Go on from the last checkpoint.
        beginning: Weights to begin with; None: random ones.
    """

    run: Path
    preset: str
    scale: str
    plan: Plan
    train: tuple[PreparedCase, ...]
    validation: tuple[PreparedCase, ...]
    description: TranslatorDescription
    precision: str
    resume: bool
    beginning: Beginning | None = None


@dataclass
class State:
    """How far a training is; saved with every checkpoint.

    Attributes:
        step: Steps done.
        seconds: Time spent in the loop, all resumed parts together.
        best_score: Best validation so far; None before the first.
        best_step: Its step; 0 before the first.
        waited: Validations since then.
    """

    step: int = 0
    seconds: float = 0.0
    best_score: float | None = None
    best_step: int = 0
    waited: int = 0


@dataclass(frozen=True)
class Learned:
    """What became of a training.

    Attributes:
        state: How far it came.
        kept_step: Step whose weights became the translator: that of the best validation, or the last.
        reason: Why it ended.
        metric: Metric and region that chose the best weights; "" without validation.
        precision: "fp32" or "bf16".
        parameters: Learned numbers of the network.
        seconds_per_step: Median time of a step, in this part of the run.
        spacing_mm: Median voxel size of the training cases along R, A, S.
        image_hashes: SHA-256 of the training images.
        share: Part of what the network adds to its control that is kept, from data it did not learn from; None: all,
            there was no such data or no control.
    """

    state: State
    kept_step: int
    reason: str
    metric: str
    precision: str
    parameters: int
    seconds_per_step: float
    spacing_mm: tuple[float, float, float]
    image_hashes: tuple[str, ...]
    share: float | None = None


def learn(fabric: Any, job: Job) -> Learned:
    """Train until a budget is used up or patience ends; called once on each rank.

    Args:
        fabric: A launched Lightning Fabric.
        job: What to train.

    Raises:
        TrainingError: A loss or weight is not finite; the last good checkpoint is kept.
    """
    set_up_processor(job.plan.loop.threads, fabric.world_size)
    with fabric.rank_zero_first():
        wanted, about = (*job.train, *job.validation), job.description
        contrasts = (about.bank.contrasts, "") if about.bank else (about.sources, about.target)
        cached = cache_cases(
            wanted, *contrasts, job.plan.data, job.run / CACHE, partly=about.bank is not None,
            lesions=weigh_lesions(job.plan.recipe.options),
        )  # fmt: skip
    data, learned_from = job.plan.data, {case.key for case in job.train}
    learned = [case for case in cached if case.key in learned_from and case.plane in data.learned_planes]
    judged = [case for case in cached if case.key not in learned_from and case.plane == data.shown_plane]
    batches: SliceBatches | UnpairedBatches
    if about.bank:
        batches = BankBatches(learned, data, job.plan.loop.seed, about.bank, about.source_levels, about.acquisition)
    else:
        kind = VolumeBatches if data.spatial_dims == 3 else SliceBatches if data.paired else UnpairedBatches
        batches = kind(learned, data, job.plan.loop.seed)
    validator = build_validator(job.validation, judged, job.plan.loop.protocol, about) if job.validation else None
    training = _Training(fabric, job, batches, validator)
    with training.log or nullcontext(), training.live:
        reason = training.run()
    fabric.barrier()
    i, j, k = np.median([case.spacing_ras(case.plane) for case in batches.cases], axis=0).tolist()
    return Learned(
        state=training.state,
        kept_step=training.kept_step,
        reason=reason,
        metric=f"{validator.labels[0]} in {validator.region}" if validator is not None else "",
        precision=job.precision,
        parameters=training.learner.parameters,
        seconds_per_step=statistics.median(training.times) if training.times else 0.0,
        spacing_mm=(i, j, k),
        image_hashes=tuple(sorted({digest for case in batches.cases for digest in case.hashes})),
        share=training.share_to_keep(judged),
    )


class _Training:
    """A training on one rank; `run` is the loop, the methods below it are its steps in the order they come."""

    def __init__(self, fabric: Any, job: Job, batches: SliceBatches | UnpairedBatches, validator: Judge | None) -> None:
        began = time.perf_counter()  # fitting a control is part of the budget
        self.fabric, self.job, self.loop = fabric, job, job.plan.loop
        self.batches, self.validator = batches, validator
        self.total_steps = _total_steps(self.loop, batches.epoch_length)
        self.snapshots = {round((n + 1) * self.total_steps / self.loop.snapshots) for n in range(self.loop.snapshots)}
        self.validate_every = self.loop.validate_every or batches.epoch_length
        self.learner = Learner(fabric, job.plan, job.description.model.options, self.total_steps, job.precision)
        self.last_stage = getattr(self.learner.recipe, "last_stage", 0)
        self.most_steps: int | None = getattr(self.learner.recipe, "most_steps", None)
        self.state = State()
        resumed = job.resume and has_checkpoint(job.run / LAST)
        if resumed:
            checkpoint = load_checkpoint(job.run / LAST)
            self.learner.restore(checkpoint)
            told = checkpoint.state
            if self.loop.keep == "best":
                aloud = fabric.is_global_zero
                told = without_lost_best(told, job.run / BEST, job.run / VALIDATION_TABLE, aloud=aloud)
            self.state = State(**{name: told[name] for name in State.__dataclass_fields__})
        else:
            if fabric.is_global_zero:  # of a training stopped before its first checkpoint, maybe with another seed
                shutil.rmtree(job.run / SNAPSHOTS, ignore_errors=True)
            self._begin()
        self.chief = fabric.is_global_zero
        self.live = LiveLine(self.chief)
        self.log: RunLog | None = None
        if self.chief:
            resumed_at = self.state.step if resumed else None
            self.log = RunLog(job.run, tensorboard=self.loop.tensorboard, resumed_at=resumed_at)
            self._log_start(resumed_at)
            self._warn_of_stages()
        self.times: list[float] = []
        self.saved_at = time.perf_counter()
        self.started_at = began - self.state.seconds

    def _begin(self) -> None:
        """What the network is before the first step: weights of another training, and controls fitted to these data.

        What cannot be fitted here, as a control of contrasts that no case has together, stays that of the other one.
        """
        weights = self.job.beginning.taken_over() if self.job.beginning is not None else None
        if weights is not None:
            self.learner.take_over(weights)
        if isinstance(self.batches, SliceBatches) and self.learner.starts_from_control:
            most = slices_of_a_control(self.job.description.channels, self.batches.size)
            for batch in self.batches.to_begin_with(most):
                self.learner.begin(batch)
            if weights is not None:
                self.learner.take_over(weights, keep_controls=True)

    def _warn_of_stages(self) -> None:
        """Say beforehand that the steps end before the last stage of the recipe begins."""
        if 0 < self.total_steps <= self.last_stage:
            warnings.warn(
                f"{self.job.run}: the last stage of the recipe begins after step {self.last_stage}, and the training "
                f"ends after step {self.total_steps}: give it more steps or minutes, or make the stages before "
                "shorter (recipe.options.first_steps)",
                RecontrastWarning,
                stacklevel=4,
            )

    def run(self) -> str:
        """Steps until there is a reason to end, which is returned."""
        rank, ranks, reason = self.fabric.global_rank, self.fabric.world_size, self._reason_to_end()
        threads = threads_ahead(self.fabric.device.type, ranks)
        with Ahead(lambda step: self.batches.batch(step, rank, ranks), self.state.step, threads) as ahead:
            while not reason:
                reason = self._one_more(ahead.take())
        if self.state.step <= self.last_stage > 0:
            reason += f"; the last stage of the recipe, which begins after step {self.last_stage}, was not reached"
        if self.chief and self._keeps_last:
            self._save_weights(BEST)
        if self.log is not None:
            state = self.state
            self.log.write(
                "end", step=state.step, reason=reason, seconds=state.seconds, kept_step=self.kept_step,
                best_step=state.best_step or None,
            )  # fmt: skip
        return reason

    def _one_more(self, batch: Batch) -> str:
        """A step, and what is due after it: snapshot, validation, checkpoint; a reason to end, or nothing."""
        loss, parts = self._step(batch)
        reason = self._reason_to_end()
        self._show(loss, parts, last=bool(reason))
        if self.chief and self.state.step in self.snapshots:
            self._save_weights(SNAPSHOTS / f"step-{self.state.step:08d}")
        if reason or self.state.step % self.validate_every == 0:
            self._validate(loss)
            self._save()
            reason = reason or self._reason_to_end()
        elif time.perf_counter() - self.saved_at >= 60 * self.loop.checkpoint_minutes:
            self._save()
        return reason

    @property
    def _keeps_last(self) -> bool:
        """Whether the last weights were asked for, nothing was validated, or no value was defined."""
        return self.loop.keep == "last" or self.state.best_score is None

    @property
    def kept_step(self) -> int:
        """Step of the weights that become the translator, once the loop has ended."""
        return self.state.step if self._keeps_last else self.state.best_step

    def share_to_keep(self, judged: Sequence[CachedCase]) -> float | None:
        """Part of what the best weights add to the control that is kept: the one of least squared error on held data.

        Held data are slices of validation cases; without those, what `data.held_out` kept from learning.
        """
        if not self.learner.adds_to_control or not isinstance(self.batches, SliceBatches):
            return None
        if judged:
            as_is = dataclasses.replace(self.job.plan.data, augment=AugmentSettings(), planes=(), held_out=0.0)
            batches = type(self.batches)(judged, as_is, self.loop.seed)
            most = slices_of_a_control(self.job.description.channels, batches.size)
            held = iter([batches.as_they_are(most)])
        else:
            held = self.batches.held_out()
        self.learner.network.load_state_dict(load_checkpoint(self.job.run / BEST).part("network"))
        return self.learner.share_to_keep(held)

    def _reason_to_end(self) -> str:
        loop, state = self.loop, self.state
        if self.total_steps and state.step >= self.total_steps:
            return f"{state.step} steps done"
        if self.most_steps is not None and state.step >= self.most_steps:
            return f"{state.step} steps done, the last that the recipe has (recipe.options.first_steps)"
        if loop.minutes and state.seconds >= 60 * loop.minutes:
            return f"{loop.minutes:g} minutes used{self._cut_off()}"
        if loop.patience and state.waited >= loop.patience:
            return f"no better validation in {loop.patience} validations"
        return ""

    def _cut_off(self) -> str:
        """What one must know of a falling learning rate that did not come to its end."""
        if self.loop.schedule == "constant":
            return ""
        if not self.total_steps:
            rate = self.learner.rate / self.loop.learning_rate
            return f" with the learning rate still at {rate:.0%} in the last step" if rate > _STILL_HIGH else ""
        rate = learning_rate(self.loop, self.state.step, self.total_steps) / self.loop.learning_rate
        said = f" at step {self.state.step} of {self.total_steps}, with the learning rate still at {rate:.0%}"
        if (self.job.run / PLAN_FILE).is_file():
            return f"{said}; it took longer than was planned: give it more minutes"
        return f"{said}; `train --minutes` plans as many steps as fit, over which it falls to its end"

    def _step(self, batch: Batch) -> tuple[float, dict[str, float]]:
        started = time.perf_counter()
        try:
            with _denormals_flushed():
                result = self.learner.step(batch, self.state.step, self._fraction())
        except TrainingError as error:
            raise self._explained(error) from error
        self.state.step += 1
        self.times.append(time.perf_counter() - started)
        self._read_clock()
        return result

    def _show(self, loss: float, parts: dict[str, float], last: bool) -> None:
        step = self.state.step
        self.live.step(step, loss, self._fraction(), self.state.seconds)
        if self.log is not None and (step == 1 or step % self.loop.log_every == 0 or last):
            epoch, rate = self.batches.epoch_of(step - 1), self.learner.rate
            self.log.write("step", step=step, epoch=epoch, loss=loss, parts=parts, lr=rate, seconds=self.times[-1])

    def _validate(self, loss: float) -> None:
        if self.validator is None:
            return
        state, rank, ranks = self.state, self.fabric.global_rank, self.fabric.world_size
        values = self.validator.score_cases(self.learner.network, self.job.precision, rank, ranks)
        result = self.validator.summarise(self.fabric.all_reduce(values, reduce_op="sum").cpu().numpy())
        best = self.validator.is_better(result.score, state.best_score)
        if best:
            state.best_score, state.best_step, state.waited = result.score, state.step, 0
        else:
            state.waited += 1
        self._read_clock()
        if self.log is None:
            return
        if best:
            self._save_weights(BEST)
        if best or not (self.job.run / VALIDATION_TABLE).exists():
            write_table(self.job.run / VALIDATION_TABLE, self.validator.table(result, state.step))
        self.log.write(
            "validation", step=state.step, protocol=self.loop.protocol, region=self.validator.region,
            metrics=result.metrics, subjects=self.validator.subjects, best=best,
        )  # fmt: skip
        decides = self.validator.labels[0]
        self.live.validation(state.step, loss, decides, result.score, best, self._fraction(), state.seconds)

    def _save(self) -> None:
        if self.chief:
            try:
                tensors = self.learner.tensors()
            except TrainingError as error:
                raise self._explained(error) from error
            save_checkpoint(self.job.run / LAST, tensors, asdict(self.state))
        self.saved_at = time.perf_counter()

    def _save_weights(self, folder: Path) -> None:
        save_checkpoint(self.job.run / folder, self.learner.weights(), asdict(self.state))

    def _read_clock(self) -> None:
        """Time used so far; all ranks take that of the slowest, so that they end at the same step."""
        self.state.seconds = time.perf_counter() - self.started_at
        if self.fabric.world_size > 1 and self.loop.minutes:
            seconds = torch.tensor(self.state.seconds, dtype=torch.float64, device=self.fabric.device)
            self.state.seconds = float(self.fabric.all_reduce(seconds, reduce_op="max"))

    def _fraction(self) -> float:
        """Part of the budget that is used up first."""
        of_steps = self.state.step / self.total_steps if self.total_steps else 0.0
        of_time = self.state.seconds / (60 * self.loop.minutes) if self.loop.minutes else 0.0
        return min(1.0, max(of_steps, of_time))

    def _explained(self, error: TrainingError) -> TrainingError:
        kept = self.job.run / LAST
        where = f"the last good checkpoint, step {read_step(kept)}, is kept in {kept}" if has_checkpoint(kept) else (
            "there is no checkpoint yet"
        )  # fmt: skip
        return TrainingError(
            f"{self.job.run}: training stopped after step {self.state.step}: {error}; {where}. Try a lower "
            "loop.learning_rate, loop.gradient_clip=1 or loop.precision=fp32 in a new run folder"
        )

    def _log_start(self, resumed_at: int | None) -> None:
        if self.log is None or resumed_at is not None:
            return
        job = self.job
        self.log.write(
            "start", preset=job.preset, scale=job.scale, parameters=self.learner.parameters,
            train_subjects=sorted({case.case.subject for case in job.train}),
            validation_subjects=sorted({case.case.subject for case in job.validation}),
            device=str(self.fabric.device), precision=job.precision, seed=self.loop.seed,
            slices=len(self.batches.places), size=list(self.batches.size),
        )  # fmt: skip


def _total_steps(loop: LoopSettings, epoch_length: int) -> int:
    """Steps after which training ends; 0 when only the clock or patience ends it."""
    limits = [limit for limit in (loop.steps, loop.epochs * epoch_length) if limit]
    return min(limits, default=0)


@contextmanager
def _denormals_flushed() -> Iterator[None]:
    """Take numbers next to zero for zero, which is faster, and stop that afterwards.

    Left on, it breaks other libraries in this process: SciPy's cKDTree then divides space at 0 for ever and dies.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def set_up_processor(threads: int, ranks: int) -> None:
    """Threads of this rank, as `loop.threads` says, else its share of the cores."""
    if threads or ranks > 1:
        torch.set_num_threads(threads or max(1, available_cores() // ranks))
