"""The plan of the preset `auto`: from what is known of data, machine and time to network, slices and steps.

`decide` is a function of the fingerprint alone; only the number of steps is measured (`fit_steps`). Both are written
into `RUN/plan.toml`, with the reason of each choice, and nothing else decides how the run goes.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import tomli_w

from recontrast.atomic import write_text
from recontrast.config import to_plain
from recontrast.datasets.settings import PLANES, DataSettings
from recontrast.errors import ConfigError
from recontrast.execution.runtime import supports_bf16
from recontrast.training.fingerprint import Fingerprint
from recontrast.training.plan import Plan

log = logging.getLogger(__name__)

AUTO = "auto"
"""Name of the preset that configures itself."""

PLAN_FILE = "plan.toml"
"""The plan, in the run's folder."""

MINUTES = 10.0
"""Budget of `auto` where none is given."""

_NEARLY_CUBES = 1.6
"""Voxels whose sides differ by less than this factor have no plane of their own."""

_WIDTHS_MM = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Widths of the blurred images that tell of a voxel's surroundings, in mm."""

_SHARE_OF_TIME = {True: 0.75, False: 0.9}
"""Part of the budget for steps, with and without validation; reading data and validating take the rest."""

_SHARE_OF_MEMORY = 0.7
"""Part of the free memory that a step may take."""

_FEWEST_STEPS = 40
"""With fewer steps a network learns next to nothing; what is left are the controls it starts from, if any."""

_VALIDATIONS = 4
_HELD_OUT = 0.06
_PIXELS_OF_A_BATCH = {"cpu": 64_000, "cuda": 1_600_000}
"""On processors many small steps learn more than few large ones."""

_WIDTHS = ((15.0, 24), (60.0, 32), (200.0, 48))
"""Core-minutes from which on a network of that width has the time to learn; a graphics processor counts for 200."""


@dataclasses.dataclass(frozen=True)
class Decision:
    """Settings that differ from the template, and why.

    Attributes:
        values: Nested settings, as in a preset.
        reasons: Setting to reason, in words.
    """

    values: Mapping[str, Any]
    reasons: Mapping[str, str]


def decide(about: Fingerprint, plane: str = "") -> Decision:
    """Planes, slices, batch and width for these data, this machine and this time.

    Args:
        about: What is known of them.
        plane: Plane of the slices that the user named; empty: it is decided here.

    Raises:
        ConfigError: There is no time.

    Example:
        >>> head = Fingerprint(
        ...     subjects=1, cases=1, validation_subjects=0, sources=1, spacing_mm=(0.7, 0.7, 4.0),
        ...     head=(220, 260, 40), voxels=10**6, cores=2, memory_gb=16.0, accelerator="cpu", minutes=3.0,
        ... )
        >>> decide(head).values["data"]["plane"]
        'axial'
    """
    from recontrast.models.expected import LEVELS  # imports torch: late, so that a wrong setting is answered at once

    if about.minutes <= 0:
        raise ConfigError(f"the training may take {about.minutes:g} minutes: give it some (--minutes 10)")
    data, reasons = _slices(about, plane)
    model: dict[str, Any] = {}
    work = about.minutes * (200 if about.accelerator == "cuda" else about.cores)
    model["width"] = max([width for least, width in _WIDTHS if work >= least], default=16)
    reasons["model.options.width"] = f"{work:.0f} core-minutes"
    if about.sources not in LEVELS:
        model["start"] = "none"
        reasons["model.options.start"] = (
            f"{about.sources} sources: a table of what each voxel alone says holds {min(LEVELS)} to {max(LEVELS)}"
        )
    if about.validation_subjects:
        reasons["data.held_out"] = "validation subjects say which weights are best"
    elif about.sources in LEVELS and data["plane"] == "axial":
        data["held_out"] = _HELD_OUT
        reasons["data.held_out"] = (
            "no validation subject: a slab of each training head says how much of what was learned is kept"
        )
    loop: dict[str, Any] = {"minutes": about.minutes}
    if about.accelerator == "cpu" and not supports_bf16():
        loop["channels_last"] = False
        reasons["loop.channels_last"] = "the processor computes in fp32"
    return Decision({"data": data, "model": {"options": model}, "loop": loop}, reasons)


def _slices(about: Fingerprint, plane: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Planes, neighbours and batch."""
    spacing = about.spacing_mm
    thickest = max(range(3), key=lambda axis: spacing[axis])
    words = " x ".join(f"{mm:g}" for mm in spacing)
    data: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    if plane in PLANES:
        data["plane"] = plane
        reasons["data.plane"] = "as it was set"
    elif max(spacing) <= _NEARLY_CUBES * min(spacing):
        data["plane"] = "axial"
        reasons["data.plane"] = f"voxels of {words} mm are nearly cubes: any plane would do"
    else:
        data["plane"] = next(plane for plane, axis in PLANES.items() if axis == thickest)
        reasons["data.plane"] = f"voxels of {words} mm: the slices as they were acquired"
    data["context_voxels"] = [[round(width / mm, 3) for mm in spacing] for width in _WIDTHS_MM]
    reasons["data.context_voxels"] = "blurred by " + ", ".join(f"{mm:g}" for mm in _WIDTHS_MM) + " mm"
    size = slice_size(DataSettings(**data, margin_mm=4.0), about)
    pixels = size[0] * size[1]
    data["batch"] = int(min(32, max(1, _PIXELS_OF_A_BATCH[about.accelerator] // pixels)))
    reasons["data.batch"] = f"slices of {size[0]} x {size[1]} voxels on {about.accelerator}"
    return data, reasons


def slice_size(data: DataSettings, about: Fingerprint) -> tuple[int, int]:
    """In-plane size of training slices, as the batches will have it for heads of the fingerprint's extent."""
    if data.size is not None:
        return data.size
    rows, columns = 0, 0
    for plane in data.learned_planes:
        around = [n + 2 * round(data.margin_mm / mm) for n, mm in zip(about.head, about.spacing_mm, strict=True)]
        first, second = (around[axis] for axis in range(3) if axis != PLANES[plane])
        rows, columns = max(rows, first), max(columns, second)
    return -(-rows // 16) * 16, -(-columns // 16) * 16


def seen_size(data: DataSettings, about: Fingerprint) -> tuple[int, ...]:
    """Spatial size of what the network sees in a step."""
    if data.spatial_dims == 2:
        return slice_size(data, about)
    if data.patch is not None:
        return data.patch
    around = (n + 2 * round(data.margin_mm / mm) for n, mm in zip(about.head, about.spacing_mm, strict=True))
    return tuple(-(-n // 16) * 16 for n in around)


def fit_steps(
    plan: Plan, minutes: float, validated: bool, seconds: float, asked: Collection[str] = (), before: float = 0.0,
) -> tuple[Plan, str]:  # fmt: skip
    """The plan with as many steps as fit into the time, and the reason in words.

    Whatever the preset says of steps, epochs, patience, warm-up and validation gives way to the time, but not what the
    user asked for; the rate falls over the new number of steps.

    Args:
        plan: Any plan.
        minutes: Wall-clock budget.
        validated: Whether there are validation subjects.
        seconds: Seconds of one step of the plan, as measured on this machine.
        asked: Settings of the loop that the user named.
        before: Seconds before the first step, in which controls are fitted.
    """
    steps = max(1, int((60 * minutes * _SHARE_OF_TIME[validated] - before) / seconds))
    words = f"a step took {seconds:.3g} s: {steps} fit into {minutes:g} minutes"
    if before:
        words += f", after {before:.3g} s in which the controls are fitted"
    if steps < _FEWEST_STEPS:
        words += "; too few to learn much: more minutes, or a smaller model.options.width or data.batch, would help"
        log.warning("%s", words)
    fitted: dict[str, Any] = {"patience": 0, "warmup_steps": min(plan.loop.warmup_steps, steps // 10),
                              "validate_every": -(-steps // _VALIDATIONS)}  # fmt: skip
    given = {name: value for name, value in fitted.items() if name not in asked}
    loop = dataclasses.replace(plan.loop, steps=steps, epochs=0, minutes=minutes, **given)
    return dataclasses.replace(plan, loop=loop), words


def write_plan(path: Path, plan: Plan, about: Fingerprint, reasons: Mapping[str, str]) -> None:
    """Write the plan as a preset that can be edited and trained with, its reasons in comments.

    Raises:
        OutputError: The file cannot be written.
    """
    lines = [
        "# What `--preset auto` decided for these data, this machine and this time. Edit it, and train with it in a",
        "# new folder: recontrast train PREPARED NEW_RUN --preset THIS_FILE --source … --target …",
        "#",
        "# What was known:",
        *(f"#   {name}: {_words(value)}" for name, value in dataclasses.asdict(about).items()),
        "#",
        "# What was decided, and why:",
        *(f"#   {name}: {reason}" for name, reason in reasons.items()),
        "",
    ]
    settings = re.sub(r"\n(?=[ \]])\s*", " ", tomli_w.dumps(to_plain(plan)))  # lists on one line
    write_text(path, "\n".join(lines) + settings)


def fit_memory(plan: Plan, about: Fingerprint) -> tuple[Plan, str]:
    """The plan with a batch that fits into the memory, and the reason in words; "" where nothing had to give way.

    Raises:
        ConfigError: Not even one image at a time fits.
    """
    from recontrast.training.memory import training_memory

    size, limit = seen_size(plan.data, about), _SHARE_OF_MEMORY * about.memory_gb
    reason = ""
    while True:
        sized = _of_size(plan.data, size)
        need = training_memory(dataclasses.replace(plan, data=sized), about.sources, "fp32").most / 1e9
        if need <= limit:
            return plan, reason
        if plan.data.batch == 1:
            raise ConfigError(
                f"a step on one image of {' x '.join(map(str, size))} voxels takes {need:.1f} GB, there are "
                f"{about.memory_gb:g} GB, of which {limit:.1f} may be used: prepare on larger voxels, or set a smaller "
                "model.options.width or data.size"
            )
        reason = f"a larger batch would take {need:.1f} GB of {about.memory_gb:g}"
        plan = dataclasses.replace(plan, data=dataclasses.replace(plan.data, batch=plan.data.batch // 2))


def _of_size(data: DataSettings, size: tuple[int, ...]) -> DataSettings:
    if len(size) == 2:
        return dataclasses.replace(data, size=(size[0], size[1]))
    return dataclasses.replace(data, patch=(size[0], size[1], size[2]))


def _words(value: Any) -> str:
    if isinstance(value, tuple):
        return " x ".join(f"{part:g}" for part in value)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)
