"""How much memory may still be taken, asked before a file's promise is believed, and how much there is in all."""

from __future__ import annotations

import sys
from pathlib import Path

if sys.platform != "win32":
    import resource

_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")


def available_bytes(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int | None:
    """Bytes this process may still take without harm: the least of what machine, container and process limits leave.

    Args:
        meminfo: The kernel's table of memory.
        cgroup: Folder of the control group (version 2) the process runs in, as containers see it.

    Returns:
        Bytes, or None where nothing can be found out (not Linux).

    Example:
        >>> (available_bytes() or 1) > 0
        True
    """
    limits = [_of_machine(meminfo, "MemAvailable:"), _of_container(cgroup), _of_process()]
    known = [limit for limit in limits if limit is not None]
    return max(min(known), 0) if known else None


def total_bytes(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int | None:
    """Bytes this process may have at most: the least of the machine's memory and the limits of container and process.

    Whatever else runs, it stays the same, so that what is decided by it is decided in the same way again.

    Args:
        meminfo: The kernel's table of memory.
        cgroup: Folder of the control group (version 2) the process runs in, as containers see it.

    Returns:
        Bytes, or None where nothing can be found out (not Linux).

    Example:
        >>> (total_bytes() or 1) > 0
        True
    """
    limits = [_of_machine(meminfo, "MemTotal:"), _most_of_container(cgroup), *(soft for soft, _ in _process_limits())]
    known = [limit for limit in limits if limit is not None]
    return min(known) if known else None


def _of_machine(meminfo: Path, field: str) -> int | None:
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def _of_container(cgroup: Path) -> int | None:
    limit = _most_of_container(cgroup)
    try:
        used = int((cgroup / "memory.current").read_text(encoding="ascii"))
        statistics = (cgroup / "memory.stat").read_text(encoding="ascii").splitlines()
        # Pages of files are counted as used, but are given back when somebody needs them.
        cached = next((int(line.split()[1]) for line in statistics if line.startswith("inactive_file ")), 0)
        return None if limit is None else limit - used + cached
    except (OSError, ValueError, IndexError):
        return None


def _most_of_container(cgroup: Path) -> int | None:
    try:
        limit = (cgroup / "memory.max").read_text(encoding="ascii").strip()
        return None if limit == "max" else int(limit)
    except (OSError, ValueError):
        return None


def _of_process() -> int | None:
    """What a limit on data (`ulimit -d`, `memory_gb`) or on addresses (`ulimit -v`) leaves."""
    left = [soft - _own(field) for soft, field in _process_limits()]
    return min(left) if left else None


def _process_limits() -> list[tuple[int, str]]:
    """Limits that are set, with the field of the kernel's status that counts against each."""
    if sys.platform == "win32":
        return []
    limits = ((resource.RLIMIT_DATA, "VmData:"), (resource.RLIMIT_AS, "VmSize:"))
    set_to = [(resource.getrlimit(limit)[0], field) for limit, field in limits]
    return [(soft, field) for soft, field in set_to if soft != resource.RLIM_INFINITY]


def _own(field: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))
    except (OSError, ValueError, IndexError, StopIteration):
        return 0
