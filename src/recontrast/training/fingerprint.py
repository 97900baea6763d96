"""What is known before a network is chosen: the prepared data, the machine, the time there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recontrast.execution.runtime import available_cores
from recontrast.io.nifti import read_volume
from recontrast.preparation.cohort import PreparedCase
from recontrast.training.launch import on_gpu

_HEADS = 16
"""At most this many head masks are looked at, evenly over the training cases."""


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """What the automatic plan follows from."""

    subjects: int
    """training subjects"""

    cases: int
    """training cases: sessions of subjects"""

    validation_subjects: int
    """subjects that are validated on"""

    sources: int
    """source contrasts"""

    spacing_mm: tuple[float, float, float]
    """median voxel size along right, anterior, superior, in mm"""

    head: tuple[int, int, int]
    """largest extent of a head along right, anterior, superior, in voxels"""

    voxels: int
    """voxels inside the head, of a median case"""

    cores: int
    """processor cores this process may use"""

    memory_gb: float
    """memory that is free (of a graphics processor: all it has), in GB"""

    accelerator: str
    """what computes: cpu or cuda"""

    minutes: float
    """wall-clock minutes that the training may take"""


def take_fingerprint(
    train: Sequence[PreparedCase], validation: Sequence[PreparedCase], sources: Sequence[str], minutes: float,
    accelerator: str = "auto",
) -> Fingerprint:  # fmt: skip
    """Look at the data and the machine.

    Args:
        train: Training cases; at least one.
        validation: Validation cases; may be empty.
        sources: Source contrasts.
        minutes: Wall-clock budget.
        accelerator: auto (a graphics processor when there is one), cpu, cuda.

    Example:
        >>> take_fingerprint(cohort.split("train"), (), ("T1w",), 10.0).subjects  # doctest: +SKIP
        12
    """
    looked_at = [train[n] for n in np.unique(np.linspace(0, len(train) - 1, min(_HEADS, len(train))).astype(int))]
    spacings, extents, voxels = [], [], []
    for case in looked_at:
        volume = read_volume(case.regions["head"], np.uint8).reoriented("RAS")
        found = np.argwhere(volume.data > 0)
        if not len(found):
            continue
        spacings.append(volume.spacing)
        extents.append(np.ptp(found, axis=0) + 1)
        voxels.append(len(found))
    computes, memory_gb = _machine(accelerator)
    i, j, k = (round(float(mm), 3) for mm in np.median(spacings or [(1.0, 1.0, 1.0)], axis=0))
    right, front, up = (int(n) for n in np.max(extents or [(1, 1, 1)], axis=0))
    return Fingerprint(
        subjects=len({case.case.subject for case in train}),
        cases=len(train),
        validation_subjects=len({case.case.subject for case in validation}),
        sources=len(sources),
        spacing_mm=(i, j, k),
        head=(right, front, up),
        voxels=int(np.median(voxels or [0])),
        cores=available_cores(),
        memory_gb=round(memory_gb, 1),
        accelerator=computes,
        minutes=minutes,
    )


def available_memory_gb(
    meminfo: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup/memory.max")
) -> float:
    """Memory that this process can get, in GB: what is free, or what its control group allows; 8 where nobody knows.

    Example:
        >>> available_memory_gb(Path("no-such-file"), Path("no-such-file"))
        8.0
    """
    limits = []
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
        limits += [float(line.split()[1]) * 1024 / 1e9 for line in lines if line.startswith("MemAvailable")]
    except (OSError, ValueError, IndexError):
        pass
    try:
        text = group.read_text(encoding="ascii").strip()
        limits += [float(text) / 1e9] if text != "max" else []
    except (OSError, ValueError):
        pass
    return min(limits, default=8.0)


def _machine(accelerator: str) -> tuple[str, float]:
    import torch

    if on_gpu(accelerator):
        return "cuda", torch.cuda.get_device_properties(0).total_memory / 1e9
    return "cpu", available_memory_gb()
