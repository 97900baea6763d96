"""Time of the virtual scanner beside its budgets: `python benchmarks/simulate.py [--subjects N]`.

Wall-clock time counts on a quiet machine; processor time is shown beside it, because it can be judged on a busy one.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from recontrast.execution.processes import end_processes
from recontrast.phantom.cohort import SimulateSettings, simulate

ONE_SUBJECT_S = 5.0
"""Budget: one subject at 2 mm with four contrasts, the template head being there."""

COHORT_S = 60.0
"""Budget: twelve subjects at 2 mm with four contrasts on two cores."""


def processor_seconds() -> float:
    """Processor time of this process and its finished children."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def timed(settings: SimulateSettings) -> tuple[float, float]:
    """Wall-clock and processor seconds of one simulation, the start and end of its workers included."""
    wall, processor = time.perf_counter(), processor_seconds()
    summary = simulate(settings)
    if summary.failed:
        raise SystemExit(f"subjects failed: {dict(summary.failed)}")
    end_processes()
    return time.perf_counter() - wall, processor_seconds() - processor


def main() -> None:
    """Print one line a measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=12)
    count = parser.parse_args().subjects
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        first = timed(SimulateSettings(out=folder / "first", subjects=1, workers=1))
        # The second call finds the template head in memory, as every subject but a worker's first does.
        second = timed(SimulateSettings(out=folder / "second", subjects=1, workers=1, seed=1))
        cohort = timed(SimulateSettings(out=folder / "cohort", subjects=count, workers=2))
    allowed = COHORT_S * count / 12
    rows = [
        ("template head, once a process", first[0] - second[0], first[1] - second[1], None),
        ("one subject, 2 mm, four contrasts", *second, ONE_SUBJECT_S),
        (f"{count} subjects, two workers", *cohort, allowed),
    ]
    print(f"{'':36} {'wall s':>8} {'CPU s':>8} {'budget s':>9} {'wall/budget':>12} {'CPU/(2 cores x budget)':>24}")
    for name, wall, processor, budget in rows:
        cores = 2 if budget == allowed else 1
        shares = (
            f"{budget:9.1f} {wall / budget:12.2f} {processor / (cores * budget):24.2f}" if budget is not None else ""
        )
        print(f"{name:36} {wall:8.1f} {processor:8.1f} {shares}")


if __name__ == "__main__":
    main()
