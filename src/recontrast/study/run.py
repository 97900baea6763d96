"""Train a study's jobs one after the other, or side by side; what was finished is kept."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from recontrast.execution.workers import failures, run_cases
from recontrast.io.tables import write_table
from recontrast.reporting.curves import read_curves
from recontrast.study.plan import TrainingJob
from recontrast.study.settings import Scale
from recontrast.study.start import start_override
from recontrast.training.command import TrainSettings, train
from recontrast.training.former import has_begun
from recontrast.training.log import read_log

log = logging.getLogger(__name__)

TABLE = "jobs.tsv"


@dataclass(frozen=True)
class Trained:
    """What became of the trainings.

    Attributes:
        table: One row a job: direction, method, name, status, steps, seconds, parameters, reading, message.
        failed: Job to reason.
    """

    table: pd.DataFrame
    failed: dict[str, str]


def run_jobs(
    jobs: Sequence[TrainingJob], prepared: Path, out: Path, scale: Scale, workers: int = 1, scheduler: str = ""
) -> Trained:
    """Train what is not finished yet. A job that fails is listed and the others go on, but those that start from it.

    Args:
        jobs: From `plan_jobs`. Jobs that start from another's weights wait until it is finished.
        prepared: Prepared folder.
        out: Folder of the study.
        scale: paper or cpu.
        workers: Trainings at the same time on this machine; 1: in turn.
        scheduler: Dask scheduler whose workers train instead.
    """
    failed: dict[str, str] = {}
    for stage in _stages(jobs):
        for job in stage:
            if job.start_key in failed:
                failed[job.key] = f"{job.start}, which it starts from, failed: {failed[job.start_key]}"
        ready = [job for job in stage if job.key not in failed]
        cases = {job.key: (job, prepared, out, scale, number, len(ready)) for number, job in enumerate(ready, start=1)}
        failed |= failures(run_cases(train_job, cases, workers=workers, description="train", scheduler=scheduler))
    table = pd.DataFrame([_row(job, out, failed.get(job.key, "")) for job in jobs])
    write_table(out / TABLE, table)
    return Trained(table, failed)


def train_job(job: TrainingJob, prepared: Path, out: Path, scale: Scale, number: int, total: int) -> float:
    """One training; returns its seconds. Called in any process."""
    begun = time.perf_counter()
    overrides = list(job.overrides)
    if job.start:
        overrides.append(start_override(job.run(out), job.run(out).parent / job.start))
    log.info("[%d/%d] train %s", number, total, job.key)
    train(
        TrainSettings(
            prepared=prepared,
            run=job.run(out),
            source=job.direction.source,
            target=job.direction.target,
            preset=job.method.preset,
            scale=scale,
            set=tuple(overrides),
            resume=has_begun(job.run(out)),
        )
    )
    return time.perf_counter() - begun


def _stages(jobs: Sequence[TrainingJob]) -> list[list[TrainingJob]]:
    """Jobs that start from nothing, then those that start from these, and so on."""
    depths: dict[str, int] = {}
    for job in jobs:  # a job stands behind the one it starts from
        depths[job.key] = depths[job.start_key] + 1 if job.start else 0
    return [[job for job in jobs if depths[job.key] == depth] for depth in sorted(set(depths.values()))]


def _row(job: TrainingJob, out: Path, error: str) -> dict[str, object]:
    events = read_log(job.run(out))
    starts = [event for event in events if event.get("event") == "start"]
    ends = [event for event in events if event.get("event") == "end"]
    curves = read_curves(events)
    return {
        "direction": job.direction.label,
        "method": job.method.label,
        "job": job.name,
        "status": "failed" if error else "ok",
        "steps": ends[-1]["step"] if ends else None,
        "kept_step": ends[-1].get("kept_step", ends[-1]["best_step"]) if ends else None,  # older logs have one of both
        "seconds": ends[-1]["seconds"] if ends else None,
        "ended": ends[-1]["reason"] if ends else "not finished",
        "parameters": starts[-1]["parameters"] if starts else None,
        "precision": starts[-1]["precision"] if starts else None,
        "reading": curves.reading() if curves is not None else "no learning curve",
        "message": error,
    }
