"""Cases on this machine in processes of which any may die."""

from __future__ import annotations

import atexit
import ctypes
import logging
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from multiprocessing import forkserver
from typing import Any

from joblib.externals.loky import ProcessPoolExecutor, process_executor
from joblib.externals.loky.process_executor import ShutdownExecutorError, TerminatedWorkerError

from recontrast.execution.attempts import Cases, Outcome, attempt, died_twice
from recontrast.execution.runtime import available_cores

log = logging.getLogger(__name__)

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_KEPT_S = 60
"""A process without work ends after this time."""

_REUSED_S = 30
"""A process without work for longer is not given another case: it may be about to end."""

_kept: dict[tuple[int, float], tuple[float, list[ProcessPoolExecutor]]] = {}
"""Since when processes are without work, by number and limit of memory; `end_processes` ends them."""

_server: list[str] = []
"""Modules of the process that worker processes are forked from; empty: each is started, and imports, by itself."""


def in_processes(function: Callable[..., Any], cases: Cases, workers: int, memory_gb: float = 0.0) -> Iterator[Outcome]:
    """Several cases at a time, each in a process of its own kind: one that dies takes only its own case with it.

    The case of a process that died is tried once more at the end, alone; when that dies too it has failed. Processes
    are kept for the next call, for starting and importing take more than a second; they end after a minute without
    work, and with the command, even when that is killed.

    Args:
        function: Called with the arguments of a case.
        cases: Case key to arguments.
        workers: Number of processes.
        memory_gb: Most memory a process may take, GB; what needs more fails. 0: no limit.

    Raises:
        OutputError: A result cannot be written. Running cases are finished first.
    """
    waiting = iter(cases.items())
    idle = _kept_processes(workers, memory_gb) or [_process(workers, memory_gb) for _ in range(workers)]
    running: dict[Future[Outcome], tuple[ProcessPoolExecutor, str]] = {}
    died: list[str] = []
    hurry = True  # Ctrl-C, or a caller that wants no more: processes are not waited for
    try:
        while True:
            for process, (key, arguments) in zip(list(idle), waiting, strict=False):
                idle.remove(process)
                future, process = _submit(process, (function, key, arguments), workers, memory_gb)
                running[future] = (process, key)
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                process, key = running.pop(future)
                try:
                    outcome = future.result()
                except TerminatedWorkerError as death:
                    log.warning("%s: its worker process died (%s); it is tried again at the end", key, _first(death))
                    died.append(key)
                    process.shutdown(wait=True, kill_workers=True)
                    process = _process(workers, memory_gb)
                else:
                    yield outcome
                finally:
                    idle.append(process)
        for key in died:
            yield _once_more(function, key, cases[key], memory_gb)
        _keep(workers, memory_gb, idle)
        idle = []
    except Exception:
        hurry = False
        raise
    finally:
        for process in [*idle, *(process for process, _ in running.values())]:
            process.shutdown(wait=True, kill_workers=hurry)


def start_server(modules: Sequence[str], workers: int) -> None:
    """Start a process that imports `modules` once; from now on worker processes are forked from it, in no time.

    For a program that owns its process: a script that starts workers at its top level would be run again in each.
    Linux only; elsewhere nothing is started and workers import for themselves.

    Args:
        modules: Names of modules; they must start no thread when they are imported.
        workers: Number of processes that will share the cores.
    """
    if sys.platform != "linux":
        return
    _server[:] = modules
    forkserver.set_forkserver_preload(_server)
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(_threads(workers))
    try:
        forkserver.ensure_running()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def start_processes(
    function: Callable[..., Any], arguments: tuple[Any, ...], workers: int, memory_gb: float = 0.0
) -> None:
    """Start the processes of the next `in_processes` now, so that they get ready while the caller still does.

    Each calls `function(*arguments)` first: it imports and loads what the cases need. What goes wrong there is not
    said here; the cases meet it again.

    Args:
        function: Its result is thrown away; it must be small.
        arguments: Its arguments.
        workers: Number of processes; the same as for `in_processes`.
        memory_gb: The same as for `in_processes`.
    """
    processes = _kept_processes(workers, memory_gb) or [_process(workers, memory_gb) for _ in range(workers)]
    for process in processes:
        process.submit(_get_ready, function, arguments)
    _keep(workers, memory_gb, processes)


def _get_ready(function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    with suppress(Exception):  # the cases meet it again, and say so
        function(*arguments)


def _keep(workers: int, memory_gb: float, processes: list[ProcessPoolExecutor]) -> None:
    """Keep processes for the next call, and end them with this process; without that, Python waits for them longer."""
    if not _kept:
        # Executors wait for their threads before the handlers of `atexit` run; handlers of threading come in time.
        getattr(threading, "_register_atexit", atexit.register)(end_processes)
    _kept[workers, memory_gb] = time.monotonic(), processes


def _kept_processes(workers: int, memory_gb: float) -> list[ProcessPoolExecutor]:
    """Processes of a former call, unless they wait so long that they may be about to end."""
    since, processes = _kept.pop((workers, memory_gb), (0.0, []))
    if processes and time.monotonic() - since < _REUSED_S:
        return processes
    _end(processes)
    return []


def end_processes() -> None:
    """End the processes that wait for the next call; without it they end by themselves after a minute."""
    while _kept:
        _end(_kept.popitem()[1][1])


def _end(processes: list[ProcessPoolExecutor]) -> None:
    for process in processes:
        process.shutdown(wait=True, kill_workers=True)


def _submit(
    process: ProcessPoolExecutor, work: tuple[Any, ...], workers: int, memory_gb: float
) -> tuple[Future[Outcome], ProcessPoolExecutor]:
    """Give a case to a process, or to a new one where that has died while it was kept."""
    try:
        return process.submit(attempt, *work), process
    except (TerminatedWorkerError, ShutdownExecutorError):
        process.shutdown(wait=True, kill_workers=True)
        fresh = _process(workers, memory_gb)
        return fresh.submit(attempt, *work), fresh


def _once_more(function: Callable[..., Any], key: str, arguments: tuple[Any, ...], memory_gb: float) -> Outcome:
    process = _process(1, memory_gb)
    try:
        return process.submit(attempt, function, key, arguments).result()
    except TerminatedWorkerError as death:
        return died_twice(key, _first(death))
    finally:
        process.shutdown(wait=True, kill_workers=True)


def _process(workers: int, memory_gb: float) -> ProcessPoolExecutor:
    """A process that takes one case at a time, with its share of the cores for numerical libraries."""
    return ProcessPoolExecutor(
        max_workers=1,
        timeout=_KEPT_S,
        initializer=_begin,
        initargs=(os.getpid(), memory_gb, bool(_server)),
        context=multiprocessing.get_context("forkserver") if _server else None,
        env=_threads(workers),  # of a process that is started; one that is forked has those of the server
    )


def _threads(workers: int) -> dict[str, str]:
    """Threads for numerical libraries in one of several worker processes; what the user has set stays, for all."""
    share = os.environ.get("OMP_NUM_THREADS", str(max(1, available_cores() // workers)))
    return {name: os.environ.get(name, share) for name in _THREAD_VARIABLES}


def _begin(parent: int, memory_gb: float, forked: bool) -> None:
    """First act of a worker process: set its limit of memory, and end when the command ends."""
    # A process that grew by 300 MB would be replaced, for a leak. Ours keep templates and networks for the next case;
    # what bounds them is `memory_gb`.
    process_executor._MAX_MEMORY_LEAK_SIZE = sys.maxsize
    if memory_gb > 0 and sys.platform != "win32":
        import resource

        most = int(memory_gb * 1e9)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    if forked:  # from the server, which outlives a command that is killed
        threading.Thread(target=_end_with_command, daemon=True).start()
    elif sys.platform == "linux":
        end_with_parent = 1  # PR_SET_PDEATHSIG of linux/prctl.h
        ctypes.CDLL(None).prctl(end_with_parent, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def _end_with_command() -> None:
    command = multiprocessing.parent_process()
    if command is not None:
        command.join()
    os.kill(os.getpid(), signal.SIGKILL)


def _first(error: BaseException) -> str:
    """What loky says of the way a process ended, without its advice."""
    found = re.search(r"exit codes? of the workers? (?:are|is) \{?([^}\n]+)", str(error))
    return found[1].strip() if found else "how is not known"
