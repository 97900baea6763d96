"""Run a function over cases: serially or in processes, with progress, and without stopping at a failed case."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from recontrast.errors import OutputError, RecontrastError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What became of one case.

    Attributes:
        case: Key of the case.
        value: What the function returned; None when it failed.
        error: One line saying why it failed; None when it did not.
        seconds: Wall-clock time.
    """

    case: str
    value: Any
    error: str | None
    seconds: float


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
    function: Callable[..., Any], cases: Mapping[str, tuple[Any, ...]], *, workers: int, description: str
) -> list[Outcome]:
    """Call `function(*arguments)` for each case; a failed case is recorded and the others go on.

    Args:
        function: Called with the arguments of a case; must be importable when `workers` > 1.
        cases: Case key to arguments.
        workers: Number of processes; 1 stays in this process.
        description: Stands before the progress bar.

    Returns:
        One outcome a case, in the order of `cases`.

    Raises:
        OutputError: A result could not be written (full disk): the rest would fail too, so it stops here.
        RecontrastError: The system killed a worker process.

    Example:
        >>> [o.value for o in run_cases(abs, {"sub-01": (-1,)}, workers=1, description="abs")]
        [1]
    """
    outcomes: dict[str, Outcome] = {}
    jobs = (delayed(_attempt)(function, key, arguments) for key, arguments in cases.items())
    count = max(1, min(workers, len(cases)))
    with progress(description, len(cases)) as advance:
        try:
            for outcome in Parallel(n_jobs=count, return_as="generator_unordered")(jobs):
                outcomes[outcome.case] = outcome
                advance()
        except TerminatedWorkerError as error:
            raise RecontrastError(
                "a worker process was killed, most likely for lack of memory; finished cases are kept: "
                "run the same command again with fewer workers"
            ) from error
    return [outcomes[key] for key in cases]


def failures(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Case to reason, for the failed ones."""
    return {outcome.case: outcome.error for outcome in outcomes if outcome.error is not None}


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a progress bar with the time left on the terminal's error stream; yields a function that advances it.

    Nothing is shown where the error stream is not a terminal.
    """
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=total)
        yield lambda: bar.advance(task)


def _attempt(function: Callable[..., Any], key: str, arguments: tuple[Any, ...]) -> Outcome:
    start = time.perf_counter()
    try:
        value, error = function(*arguments), None
    except OutputError:
        raise
    except RecontrastError as reason:
        value, error = None, str(reason)
    except MemoryError:
        value, error = None, "not enough memory for this case: use fewer workers or a machine with more memory"
    except Exception as bug:
        log.error("case %s met a bug:\n%s", key, traceback.format_exc())
        value, error = None, f"bug: {type(bug).__name__}: {bug}"
    return Outcome(key, value, error, time.perf_counter() - start)
