"""Cases on the workers of a Dask cluster that already runs: on this machine, under SLURM, or in Kubernetes."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from recontrast.errors import ConfigError, DependencyError, RecontrastError
from recontrast.execution.attempts import Outcome, attempt, died_twice
from recontrast.provenance import version

log = logging.getLogger(__name__)

IN_FLIGHT = 1000
"""Cases known to the scheduler at a time: enough for a cluster that grows with its queue, little to hold."""

_RESUBMISSIONS = 3
"""How often a case is given again to a scheduler that dropped it and is still there."""

_CONNECT_S = 60
"""How long a scheduler that is just starting is waited for: its file, then its answer."""

_LOOK_S = 5.0

_one_at_a_time = threading.Lock()
"""Cases change the folder and collect the warnings of their process: a worker does one at a time."""


def on_cluster(function: Callable[..., Any], cases: Mapping[str, tuple[Any, ...]], scheduler: str) -> Iterator[Outcome]:
    """Do cases on the workers of a Dask cluster, in the order in which they finish.

    Workers need the same Recontrast and the same files under the same paths. A case whose worker died is given to
    others by Dask; one that Dask gave up is tried once more at the end, alone.

    Args:
        function: Called with the arguments of a case; importable on the workers.
        cases: Case key to arguments.
        scheduler: Address of the scheduler (`tcp://host:8786`, `tls://…`), or its scheduler file (`.json`),
            which is waited for while the scheduler is starting.

    Raises:
        ConfigError: There is no scheduler at that address, or its workers cannot run Recontrast.
        DependencyError: Dask is not installed.
        OutputError: A result cannot be written.
        RecontrastError: The connection was lost.
    """
    with _connected(scheduler) as client:
        crew = _Crew(client, function, scheduler)
        given_up: list[str] = []
        for key, outcome in crew.finish(cases, IN_FLIGHT):
            if outcome is None:
                log.warning("%s: the workers it was given to died; it is tried again at the end", key)
                given_up.append(key)
            else:
                yield outcome
        for key, outcome in crew.finish({key: cases[key] for key in given_up}, 1):
            yield outcome if outcome is not None else died_twice(key, "Dask gave up after several workers")


class _Crew:
    """The workers of a cluster, one function to do, and the cases they have at the moment."""

    def __init__(self, client: Any, function: Callable[..., Any], scheduler: str) -> None:
        self._client = client
        self._function = function
        self._scheduler = scheduler
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._mark = f"recontrast-{uuid.uuid4().hex[:12]}"

    def finish(self, cases: Mapping[str, tuple[Any, ...]], in_flight: int) -> Iterator[tuple[str, Outcome | None]]:
        """Case keys and outcomes as they come; None for an outcome whose workers died."""
        waiting = iter(cases.items())
        running: dict[str, tuple[Any, str]] = {}
        again: dict[str, int] = {}
        try:
            while True:
                for key, arguments in itertools.islice(waiting, in_flight - len(running)):
                    future = self._submit(key, arguments)
                    running[future.key] = (future, key)
                if not running:
                    return
                future = self._next()
                if future is not None and future.key in running:
                    key = running.pop(future.key)[1]
                    if self._was_dropped(future) and again.setdefault(key, 0) < _RESUBMISSIONS:
                        again[key] += 1
                        future = self._submit(key, cases[key])
                        running[future.key] = (future, key)
                        continue
                    yield key, self._outcome(future)
        finally:
            if running:
                with contextlib.suppress(Exception):  # the connection may be gone; what matters was raised before
                    self._client.cancel([future for future, _ in running.values()])

    def _submit(self, key: str, arguments: tuple[Any, ...]) -> Any:
        name = f"{self._mark}-{key}-{uuid.uuid4().hex[:8]}"
        future = self._client.submit(
            attempt_there, self._function, key, arguments, os.getcwd(), version(), key=name, pure=False
        )
        future.add_done_callback(self._done.put)
        return future

    def _next(self) -> Any:
        """The next finished task, or None after a while without one; looks whether the scheduler still answers."""
        try:
            return self._done.get(timeout=_LOOK_S)
        except queue.Empty:
            if self._client.status != "running":
                raise self._lost() from None
            return None

    def _was_dropped(self, future: Any) -> bool:
        """Whether a scheduler that is still there has dropped a task, as it does when workers leave all at once."""
        return future.status in ("cancelled", "lost") and self._client.status == "running"

    def _outcome(self, future: Any) -> Outcome | None:
        if future.status in ("cancelled", "lost"):
            raise self._lost()
        error = future.exception()
        if error is None:
            outcome: Outcome = future.result()
            future.release()
            return outcome
        if type(error).__name__ == "KilledWorker":
            return None
        if isinstance(error, RecontrastError):
            raise error
        raise ConfigError(
            f"{self._scheduler}: a worker cannot run Recontrast ({type(error).__name__}: "
            f"{' '.join(str(error).split())}); install Recontrast {version()} there, in the same environment as here"
        ) from error

    def _lost(self) -> RecontrastError:
        return RecontrastError(
            f"{self._scheduler}: the connection to the Dask scheduler was lost; finished cases are kept: "
            "start the scheduler and run the same command again"
        )


def attempt_there(
    function: Callable[..., Any], key: str, arguments: tuple[Any, ...], folder: str, wanted: str
) -> Outcome:
    """On a worker: do a case in the folder the command was given in.

    Args:
        function: What to do.
        key: Key of the case.
        arguments: Its arguments; relative paths in them count from `folder`.
        folder: Working folder of the command.
        wanted: Version of Recontrast that gave the command.

    Raises:
        OutputError: A result cannot be written.
    """
    if version() != wanted:
        return Outcome(key, None, f"a worker has Recontrast {version()}, the command {wanted}; install the same", 0.0)
    with _one_at_a_time:
        if not Path(folder).is_dir():
            reason = (
                f"the worker does not see the folder {folder}: all workers need the same files under the same paths"
            )
            return Outcome(key, None, reason, 0.0)
        with contextlib.chdir(folder):
            return attempt(function, key, arguments)


@contextlib.contextmanager
def _connected(scheduler: str) -> Iterator[Any]:
    try:
        import distributed
    except ImportError:
        raise DependencyError(
            "--scheduler needs Dask, which is not installed: pip install 'recontrast[dask]'"
        ) from None
    connect: Any = distributed.Client
    try:
        if scheduler.endswith(".json"):
            _wait_for_file(Path(scheduler))
            client = connect(scheduler_file=scheduler, timeout=_CONNECT_S, set_as_default=False)
        else:
            client = connect(scheduler, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"--scheduler {scheduler}: no Dask scheduler answers there ({' '.join(str(error).split())[:200]}); "
            "write its address as `dask scheduler` prints it, tcp://host:8786"
        ) from error
    try:
        _greet(client, scheduler)
        yield client
    finally:
        client.close(timeout=_CONNECT_S)


def _wait_for_file(file: Path) -> None:
    """Wait for the file of a scheduler that is just starting, for it is written only when the scheduler listens."""
    deadline = time.monotonic() + _CONNECT_S
    said = False
    while not _is_complete(file):
        if time.monotonic() > deadline:
            problem = "is not a scheduler file" if file.is_file() else "there is no such scheduler file"
            raise ConfigError(
                f"--scheduler {file}: {problem} (waited {_CONNECT_S:g} s); start "
                f"`dask scheduler --scheduler-file {file}` first"
            )
        if not said:
            log.warning("%s: waiting up to %g s for the scheduler to write this file", file, _CONNECT_S)
            said = True
        time.sleep(0.1)


def _is_complete(file: Path) -> bool:
    """Whether a scheduler file is there and written to its end."""
    try:
        return "address" in json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _greet(client: Any, scheduler: str) -> None:
    """Say who is there."""
    threads = client.nthreads()
    if not threads:
        log.warning("%s: has no worker yet; cases wait until the first one comes", scheduler)
        return
    log.info("%s: %d workers", scheduler, len(threads))
    if max(threads.values()) > 1:
        log.warning(
            "%s: workers with several threads still do one case at a time; start more of them, with --nthreads 1",
            scheduler,
        )
