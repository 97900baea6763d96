"""What becomes of a training: translators with their error bars, and the lines that tell of it."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from recontrast.translation.description import FOLDER

if TYPE_CHECKING:
    from recontrast.training.loop import Job, Learned
    from recontrast.translation.uncertainty import ErrorBars

_LITTLE = 0.5
"""Part of the minutes below which a training that did all its steps says that it could have had more."""


def save_translators(job: Job, learned: Learned) -> dict[str, Any]:
    """Save the best weights, and those of all snapshots, as translators.

    Args:
        job: What was trained.
        learned: What became of it.

    Returns:
        What came out, for the provenance.
    """
    from recontrast.models import MODELS
    from recontrast.training.checkpoint import load_checkpoint
    from recontrast.training.error_bars import with_error_bars
    from recontrast.training.loop import BEST, CACHE, SNAPSHOTS
    from recontrast.translation.distance import keep_distribution
    from recontrast.translation.support import fit_training_signals, save_training_signals
    from recontrast.translation.translator import save_translator

    network = MODELS.build(job.plan.model.name, job.description.model.options).eval()
    description = dataclasses.replace(
        job.description,
        spacing_mm=learned.spacing_mm,
        training_images=tuple(sorted({*job.description.training_images, *learned.image_hashes})),
        precision_trained=learned.precision,
    )
    signals, said = None, ""
    if getattr(network, "voxelwise", False) and job.plan.data.neighbours == 0:
        signals = fit_training_signals(job.train, job.description.sources, job.plan.loop.seed)
    places = {folder: job.run / SNAPSHOTS.name / folder.name for folder in sorted((job.run / SNAPSHOTS).glob("step-*"))}
    for weights, folder in {**places, job.run / BEST: job.run / FOLDER}.items():
        checkpoint = load_checkpoint(weights)
        network.load_state_dict(checkpoint.part("network"))
        about = dataclasses.replace(description, trained_steps=checkpoint.state["step"])
        bars: dict[str, ErrorBars] = {}
        if weights == job.run / BEST:
            if learned.share is not None:
                network.share = learned.share
                options = {**about.model.options, "share": learned.share}
                about = dataclasses.replace(about, model=dataclasses.replace(about.model, options=options))
            if job.plan.loop.error_bars:
                bars, about, said = with_error_bars(network, about, job.train, job.validation, job.plan.data)
        save_translator(folder, network, about, bars)
        if signals is not None:
            save_training_signals(folder, signals)
    told = (*job.train, *job.validation)  # a function of one voxel has its own signals, voxel by voxel
    unwatched = keep_distribution(job.run / FOLDER, description, told, network) if signals is None else ""
    if not job.plan.data.keep_cache:
        shutil.rmtree(job.run / CACHE, ignore_errors=True)
    result = {**dataclasses.asdict(learned.state), "kept_step": learned.kept_step, "reason": learned.reason}
    result["precision"] = learned.precision
    result |= {"error_bars": said} if said else {}
    result |= {"distance": unwatched} if unwatched else {}
    return result if learned.share is None else {**result, "kept_share": learned.share}


def lines_of(job: Job, learned: Learned, said: Sequence[str]) -> list[str]:
    """What is said of a finished training, line by line, with what else is to be `said` before the last."""
    state, direction = learned.state, job.description.direction.replace(" to ", " -> ")
    speed = f"{learned.seconds_per_step:.2f} s a step, {learned.precision}, {learned.parameters:,} parameters"
    lines = [f"{direction}: {learned.reason}, {state.seconds / 60:.1f} min ({speed})", *_time_left(job, learned)]
    if state.best_score is not None:
        best = f"best validation at step {state.best_step}: {learned.metric} {state.best_score:.4g}"
        lines.append(best if learned.kept_step == state.best_step else f"weights of the last step; {best}")
    if learned.share is not None:
        lines.append(
            f"kept of what the network adds to the control, by data it did not learn from: {learned.share:.0%}"
        )
    return [*lines, *said, f"translator: {job.run / FOLDER}"]


def _time_left(job: Job, learned: Learned) -> list[str]:
    """A line where the steps ended long before the minutes: what was busy while they were timed may be free later."""
    loop, state = job.plan.loop, learned.state
    if not loop.minutes or not loop.steps or state.step < loop.steps or state.seconds > _LITTLE * 60 * loop.minutes:
        return []
    used = state.seconds / (60 * loop.minutes)
    more = int(state.step / max(used, 1e-3))
    line = (
        f"that is {used:.0%} of the {loop.minutes:g} minutes: steps were timed on a busy machine, or loop.steps was "
        f"set low; about {more} steps would have fitted. To use the time, train in another folder once the machine "
        f"is free, or with --set loop.steps={more}"
    )
    return [line]
