"""How much memory may still be taken, asked before a file's promise is believed."""

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
    limits = [_of_machine(meminfo), _of_container(cgroup), _of_process()]
    known = [limit for limit in limits if limit is not None]
    return max(min(known), 0) if known else None


def _of_machine(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def _of_container(cgroup: Path) -> int | None:
    try:
        limit = (cgroup / "memory.max").read_text(encoding="ascii").strip()
        used = int((cgroup / "memory.current").read_text(encoding="ascii"))
        statistics = (cgroup / "memory.stat").read_text(encoding="ascii").splitlines()
        # Pages of files are counted as used, but are given back when somebody needs them.
        cached = next((int(line.split()[1]) for line in statistics if line.startswith("inactive_file ")), 0)
        return None if limit == "max" else int(limit) - used + cached
    except (OSError, ValueError, IndexError):
        return None


def _of_process() -> int | None:
    """What a limit on data (`ulimit -d`, `memory_gb`) or on addresses (`ulimit -v`) leaves."""
    if sys.platform == "win32":
        return None
    left = []
    for limit, field in ((resource.RLIMIT_DATA, "VmData:"), (resource.RLIMIT_AS, "VmSize:")):
        soft = resource.getrlimit(limit)[0]
        if soft != resource.RLIM_INFINITY:
            left.append(soft - _own(field))
    return min(left) if left else None


def _own(field: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))
    except (OSError, ValueError, IndexError, StopIteration):
        return 0
