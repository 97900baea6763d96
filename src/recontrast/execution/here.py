"""Cases in this process: one after the other, or in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from recontrast.execution.attempts import Cases, Outcome, attempt


def in_turn(function: Callable[..., Any], cases: Cases) -> Iterator[Outcome]:
    """One case after the other, in this process.

    >>> [outcome.value for outcome in in_turn(abs, {"sub-01": (-1,)})]
    [1]
    """
    for key, arguments in cases.items():
        yield attempt(function, key, arguments)


def in_threads(function: Callable[..., Any], cases: Cases, workers: int) -> Iterator[Outcome]:
    """Several cases at a time in threads of this process, which share what the function holds (a network).

    When it is stopped, by an `OutputError` or by its caller, running cases are finished and no other is started.

    Args:
        function: Called with the arguments of a case, by several threads at once.
        cases: Case key to arguments.
        workers: Number of threads.

    Raises:
        OutputError: A result cannot be written.
    """
    waiting = iter(cases.items())
    running: set[Future[Outcome]] = set()
    with ThreadPoolExecutor(workers) as pool:
        while True:
            for _, (key, arguments) in zip(range(workers - len(running)), waiting, strict=False):
                running.add(pool.submit(attempt, function, key, arguments))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
