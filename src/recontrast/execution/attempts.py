"""One case, tried: what came of it, how long it took, how much memory its process has used."""

from __future__ import annotations

import logging
import re
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recontrast.errors import OutputError, RecontrastError, RecontrastWarning

log = logging.getLogger(__name__)

Cases = Mapping[str, tuple[Any, ...]]
"""Case key to the arguments of a function."""


@dataclass(frozen=True)
class Outcome:
    """What became of one case.

    Attributes:
        case: Key of the case.
        value: What the function returned; None when it failed.
        error: One line saying why it failed, without the case's name at its start; None when it did not.
        seconds: Wall-clock time.
        memory_mb: Most memory (resident, MB) the process that did it has held so far; 0 where that is not known.
    """

    case: str
    value: Any
    error: str | None
    seconds: float
    memory_mb: float = 0.0


def attempt(function: Callable[..., Any], key: str, arguments: tuple[Any, ...]) -> Outcome:
    """Call `function(*arguments)`; whatever goes wrong is part of the outcome.

    Args:
        function: What to do.
        key: Key of the case.
        arguments: Its arguments.

    Raises:
        OutputError: A result cannot be written (full disk): all other cases would meet the same.

    Example:
        >>> attempt(abs, "sub-01", (-1,)).value
        1
    """
    start = time.perf_counter()
    value: Any = None
    error: str | None = None
    try:
        value = function(*arguments)
    except OutputError:
        raise
    except RecontrastError as reason:
        error = without_case(" ".join(str(reason).split()), key)
    except MemoryError:
        error = (
            "not enough memory for this case: use fewer workers, a higher limit (--memory-gb), or a machine with more"
        )
    except Exception as bug:
        log.error("case %s met a bug:\n%s", key, traceback.format_exc())
        error = f"bug: {type(bug).__name__}: {' '.join(str(bug).split())}"
    return Outcome(key, value, error, time.perf_counter() - start, peak_memory_mb())


def without_case(message: str, key: str) -> str:
    """A message without the name of its case in front, for a table that has it in a column of its own.

    >>> without_case("sub-01: too dark", "sub-01"), without_case("sub-01 T1w: too dark", "sub-01")
    ('too dark', 'T1w: too dark')
    """
    return re.sub(rf"^{re.escape(key)}(: | (?!and )(?=\S+( \S+ \S+)?: ))", "", message)


def died_twice(key: str, how: str) -> Outcome:
    """The outcome of a case whose worker process died, and died again when the case was tried alone.

    >>> died_twice("sub-01", "killed").error
    'the worker process died, and died again when this case was tried alone (killed): most likely it needs more memory'
    """
    reason = (
        f"the worker process died, and died again when this case was tried alone ({' '.join(how.split())}): "
        "most likely it needs more memory"
    )
    return Outcome(key, None, reason, 0.0)


def peak_memory_mb() -> float:
    """Most memory this process has held so far (resident set, MB); 0 where the system does not say.

    >>> peak_memory_mb() >= 0
    True
    """
    if sys.platform == "win32":
        return 0.0
    if sys.platform == "linux":
        # A child's ru_maxrss starts at what its parent held; VmHWM counts this program alone.
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
        if found:
            return float(found[1]) * 1024 / 1e6
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(most) / (1e6 if sys.platform == "darwin" else 1e3)


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Collect our warnings as lines, each once, for they may arise in another process; let others through.

    Warnings are collected for the whole process: not for use by several threads at once.

    Example:
        >>> with collected_warnings() as doubts:
        ...     warnings.warn("sub-01: too dark", RecontrastWarning, stacklevel=1)
        >>> doubts
        ['sub-01: too dark']
    """
    lines: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RecontrastWarning)
        try:
            yield lines
        finally:
            foreign = [w for w in caught if not issubclass(w.category, RecontrastWarning)]
            lines += dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, RecontrastWarning))
    for warning in foreign:
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
