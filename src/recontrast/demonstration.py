"""The whole way once, on simulated heads: simulate, prepare, train, translate, evaluate, report."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recontrast.evaluation.command import EvaluateSettings, evaluate
from recontrast.execution.workers import Summary
from recontrast.phantom.cohort import SimulateSettings, simulate
from recontrast.preparation.pipeline import PrepareSettings, prepare
from recontrast.reporting.report import ReportSettings, report
from recontrast.training.automatic import AUTO
from recontrast.training.command import TrainSettings, train
from recontrast.training.former import has_begun
from recontrast.translation.command import TranslateSettings, translate

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """Settings of the demonstration."""

    out: Path
    """Folder for everything the demonstration makes; the page to read is `report.html` in it."""
    subjects: int = 24
    """Number of simulated heads: three in eight are held out for the test, one in eight validates, the rest trains."""
    source: tuple[str, ...] = ("T1w",)
    """Contrasts that are given."""
    target: str = "FLAIR"
    """Contrast that is made."""
    spacing_mm: float = 2.0
    """Voxel size of the simulated scans in mm."""
    preset: str = AUTO
    """Way of training (`recontrast list presets`)."""
    minutes: float = 2.0
    """Minutes of training; as many steps are planned as fit. 0: as the preset says."""
    set: tuple[str, ...] = ()
    """Entries of the preset to override, as `loop.steps=100`."""
    seed: int = 0
    """Seed of the cohort, the splits and the training."""
    workers: int = 2
    """Processes that work on cases side by side."""


def demo(settings: DemoSettings) -> Summary:
    """Run every stage in order; each stage reads what the one before wrote, as on the command line.

    A stopped demonstration goes on where it stopped, in the middle of the training as well.

    Raises:
        RecontrastError: A stage could not do its work.

    Example:
        >>> demo(DemoSettings(out=Path("demo-out")))  # doctest: +SKIP
    """
    out = settings.out
    cohort, prepared, run = out / "cohort", out / "prepared", out / "run"
    synthetic, scores = out / "synthetic", out / "evaluation"
    contrasts = (*settings.source, settings.target)
    workers = settings.workers
    tested = max(1, round(settings.subjects * 3 / 8))
    watched = max(1, settings.subjects // 8)

    def prepare_cohort() -> Summary:
        labels = [folder.name.removeprefix("sub-") for folder in sorted(cohort.glob("sub-*"))]
        return prepare(
            PrepareSettings(
                bids=cohort,
                out=prepared,
                contrasts=contrasts,
                validation=tuple(labels[-tested - watched : -tested]),
                test=tuple(labels[-tested:]),
                seed=settings.seed,
                workers=workers,
            )
        )

    stages: dict[str, Callable[[], Summary]] = {
        "simulate": lambda: simulate(
            SimulateSettings(
                out=cohort,
                subjects=settings.subjects,
                spacing_mm=settings.spacing_mm,
                contrasts=contrasts,
                seed=settings.seed,
                workers=workers,
            )
        ),
        "prepare": prepare_cohort,
        "train": lambda: train(
            TrainSettings(
                prepared=prepared,
                run=run,
                source=settings.source,
                target=settings.target,
                preset=settings.preset,
                minutes=settings.minutes,
                set=(f"loop.seed={settings.seed}", *settings.set),
                resume=has_begun(run),
            )
        ),
        "translate": lambda: translate(TranslateSettings(run=run, input=prepared, out=synthetic, split="test")),
        "evaluate": lambda: evaluate(
            EvaluateSettings(synthetic=synthetic, reference=prepared, out=scores, workers=workers)
        ),
        "report": lambda: report(ReportSettings(folder=out, title="Recontrast demonstration on simulated heads")),
    }
    done: list[str] = []
    failed: dict[str, str] = {}
    for number, (name, stage) in enumerate(stages.items(), start=1):
        start = time.perf_counter()
        log.info("[%d/%d] %s …", number, len(stages), name)
        summary = stage()
        failed.update({f"{name}: {case}": reason for case, reason in summary.failed.items()})
        said = summary.done[0 if name == "translate" else -1] if summary.done else ""  # the line that tells most
        done.append(f"{name:<10} {time.perf_counter() - start:6.1f} s   {said}")
        log.info("%s", done[-1])
    return Summary([*done, f"report: {out / 'report.html'}"], failed)
