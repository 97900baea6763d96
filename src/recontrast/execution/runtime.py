"""What this machine can do for networks: bfloat16 in the processor, and a memory allocator that keeps its pages.

Nothing here imports torch: the answers are needed before torch is loaded.
"""

from __future__ import annotations

import os
import platform
import warnings
from pathlib import Path

from recontrast.errors import RecontrastWarning, UnknownNameError

PRECISIONS = ("auto", "fp32", "bf16")
"""Precision settings; auto takes bf16 where the processor or accelerator computes in it."""

_TUNABLES = "GLIBC_TUNABLES"

_TUNING = ("glibc.malloc.hugetlb=1", "glibc.malloc.mmap_max=0", "glibc.malloc.trim_threshold=100000000000")
"""Huge pages, no memory maps, no trimming: glibc keeps the pages of a step for the next one."""

_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
"""Processor flags (Linux names) of instructions that multiply in bfloat16."""

_INT8_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
"""Processor flags (Linux names) of instructions that multiply integers of eight bits and add the products."""


def available_cores() -> int:
    """Processor cores that this process may use.

    Example:
        >>> available_cores() >= 1
        True
    """
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def threads_of_process() -> int:
    """Threads that numerical work of this process may use: its cores, or fewer where OMP_NUM_THREADS says so.

    Worker processes, and those of a cluster, are given their share by that variable.

    Example:
        >>> 1 <= threads_of_process() <= available_cores()
        True
    """
    given = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return max(1, min(available_cores(), int(given))) if given.isdecimal() else available_cores()


def allocator_environment() -> dict[str, str]:
    """Environment variables that make the C library keep memory between training steps.

    By default glibc returns large blocks to the system after each step and takes them again: hundreds of thousands
    of page faults a step. The variables are read when a process starts, so they must be given to a new process.

    Returns:
        The variables to add; empty where the C library is not glibc.

    Example:
        >>> set(allocator_environment()) <= {"GLIBC_TUNABLES"}
        True
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return {}
    return {_TUNABLES: ":".join(_TUNING)}


def is_tuned() -> bool:
    """Whether this process was started with settings that keep memory (see `allocator_environment`).

    Example:
        >>> is_tuned() in (True, False)
        True
    """
    given = os.environ.get(_TUNABLES, "").split(":")
    return all(setting in given for setting in _TUNING)


def supports_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor multiplies in bfloat16 itself (AVX-512 BF16 or AMX); False where that cannot be read.

    Args:
        cpuinfo: The kernel's description of the processor.

    Example:
        >>> supports_bf16(Path("no-such-file"))
        False
    """
    return not _BF16_FLAGS.isdisjoint(_flags(cpuinfo))


def supports_int8(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor multiplies integers of eight bits fast (VNNI or AMX); False where that cannot be read.

    Args:
        cpuinfo: The kernel's description of the processor.

    Example:
        >>> supports_int8(Path("no-such-file"))
        False
    """
    return not _INT8_FLAGS.isdisjoint(_flags(cpuinfo))


def has_matrix_tiles(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor multiplies whole tiles in bfloat16 (AMX); False where that cannot be read.

    Args:
        cpuinfo: The kernel's description of the processor.

    Example:
        >>> has_matrix_tiles(Path("no-such-file"))
        False
    """
    return "amx_bf16" in _flags(cpuinfo)


def _flags(cpuinfo: Path) -> set[str]:
    """What Linux says the processor can do; nothing where that cannot be read."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    return set(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), []))


def choose_precision(setting: str, *, accelerated: bool = False) -> str:
    """The precision to compute in.

    Args:
        setting: auto, fp32 or bf16.
        accelerated: Whether a graphics processor that has bfloat16 does the work.

    Returns:
        "fp32" or "bf16".

    Raises:
        UnknownNameError: The setting is none of the three.

    Example:
        >>> choose_precision("fp32")
        'fp32'
    """
    if setting not in PRECISIONS:
        raise UnknownNameError.among("precision", setting, PRECISIONS)
    available = accelerated or supports_bf16()
    if setting == "bf16" and not available:
        warnings.warn(
            "precision bf16 was asked for, but this processor does not compute in bf16: it is imitated and slow; "
            "auto or fp32 is faster here",
            RecontrastWarning,
            stacklevel=2,
        )
    if setting == "auto":
        return "bf16" if available else "fp32"
    return setting
