"""Run a function over cases: in turn, in processes or on a cluster, with progress, and past any case that fails."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from recontrast.errors import ConfigError
from recontrast.execution.attempts import Outcome
from recontrast.execution.here import in_threads, in_turn

__all__ = ["Outcome", "Summary", "failures", "progress", "run_cases"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Summary:
    """What a command did, for its caller and for the last lines on the screen.

    Attributes:
        done: Lines to print: what was made and where.
        failed: Case to reason, for each case that failed; not empty means exit status 3.
    """

    done: Sequence[str]
    failed: Mapping[str, str] = field(default_factory=dict)


def run_cases(
    function: Callable[..., Any],
    cases: Mapping[str, tuple[Any, ...]],
    *,
    workers: int,
    description: str,
    scheduler: str = "",
    memory_gb: float = 0.0,
    threads: bool = False,
) -> list[Outcome]:
    """Call `function(*arguments)` for each case; a failed case is recorded and the others go on.

    A worker process that dies (killed, out of memory) takes only its own case with it, which is tried once more at the
    end, alone.

    Args:
        function: Called with the arguments of a case; must be importable on other machines.
        cases: Case key to arguments.
        workers: Number of cases at a time on this machine; 1 stays in this process.
        description: Stands before the progress bar.
        scheduler: Address of a Dask scheduler whose workers do the cases instead of this machine.
        memory_gb: Most memory a worker process of this machine may take, GB; 0: no limit.
        threads: Threads of this process instead of processes, for a function that holds something large.

    Returns:
        One outcome a case, in the order of `cases`.

    Raises:
        OutputError: A result could not be written (full disk): the rest would fail too, so it stops here.
        ConfigError: The scheduler cannot be reached, or the limit of memory is no limit.
        DependencyError: A scheduler is given and Dask is not installed.

    Example:
        >>> [o.value for o in run_cases(abs, {"sub-01": (-1,)}, workers=1, description="abs")]
        [1]
    """
    if not _is_limit(memory_gb):
        raise ConfigError(f"--memory-gb {memory_gb:g}: at least 0.5 GB is needed to start a worker; 0 is no limit")
    if not cases:
        return []
    outcomes: dict[str, Outcome] = {}
    with progress(description, len(cases)) as advance:
        for outcome in _outcomes(function, cases, min(workers, len(cases)), scheduler, memory_gb, threads):
            outcomes[outcome.case] = outcome
            advance()
    peak = max(outcome.memory_mb for outcome in outcomes.values())
    if peak:
        log.debug("%s: at most %.0f MB of memory in one process", description, peak)
    return [outcomes[key] for key in cases]


def start_workers(
    function: Callable[..., Any], *arguments: Any, workers: int, scheduler: str = "", memory_gb: float = 0.0
) -> None:
    """Start the worker processes that a later `run_cases` will need, so that they get ready meanwhile.

    Args:
        function: Called once in each worker: imports and loads what its cases need; the result is not used.
        arguments: Its arguments.
        workers: As for `run_cases`; with one, and with a scheduler, nothing is started.
        scheduler: As for `run_cases`.
        memory_gb: As for `run_cases`; a limit that it would refuse starts nothing here.

    Example:
        >>> start_workers(abs, -1, workers=1)
    """
    if workers > 1 and not scheduler and _is_limit(memory_gb):
        from recontrast.execution.processes import start_processes

        start_processes(function, arguments, workers, memory_gb)


def preload_workers(*modules: str, workers: int, scheduler: str = "") -> None:
    """Import what the cases need once, in a process of its own, from which the later worker processes are forked.

    Only for a program that owns its process (see `recontrast.execution.processes.start_server`).

    Args:
        modules: Names of modules.
        workers: As for `run_cases`; with one, and with a scheduler, nothing is started.
        scheduler: As for `run_cases`.

    Example:
        >>> preload_workers("recontrast.evaluation.ready", workers=1)
    """
    if workers > 1 and not scheduler:
        from recontrast.execution.processes import start_server

        start_server(modules, workers)


def _is_limit(memory_gb: float) -> bool:
    """Whether a worker can start with this much memory; 0 is no limit."""
    return not memory_gb or 0.5 <= memory_gb < 1e6


def failures(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Case to reason, for the failed ones."""
    return {outcome.case: outcome.error for outcome in outcomes if outcome.error is not None}


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a progress bar with the time left on the terminal's error stream; yields a function that advances it.

    Nothing is shown where the error stream is not a terminal.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=total)
        yield lambda: bar.advance(task)


def _outcomes(
    function: Callable[..., Any],
    cases: Mapping[str, tuple[Any, ...]],
    workers: int,
    scheduler: str,
    memory_gb: float,
    threads: bool,
) -> Iterator[Outcome]:
    if scheduler:
        from recontrast.execution.cluster import on_cluster

        return on_cluster(function, cases, scheduler)
    if threads and workers > 1:
        return in_threads(function, cases, workers)
    if not threads and (workers > 1 or memory_gb):
        from recontrast.execution.processes import in_processes

        return in_processes(function, cases, max(1, workers), memory_gb)
    return in_turn(function, cases)
