"""A preset made concrete: network, recipe, data and loop, from a TOML file and what was overridden.

Precedence: defaults of the classes < common part of the preset < its part for the scale (`[paper.loop]`,
`[cpu.loop]`) < `--set loop.steps=100`. Nothing here imports torch.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recontrast.config import build_settings, check_keys, merge, read_toml
from recontrast.datasets.settings import DataSettings
from recontrast.errors import ConfigError, UnknownNameError

SCALES = ("paper", "cpu")
"""paper: the published size; cpu: the same method made small enough for two cores."""

SCHEDULES = ("constant", "cosine", "linear")
"""How the learning rate goes from its start to the last step: stays, or falls to zero."""

ACCELERATORS = ("auto", "cpu", "cuda")
"""Where to compute; auto takes a graphics processor when there is one."""

BUDGETS = ("steps", "epochs", "minutes", "patience")
"""Settings of the loop that may differ when a run is resumed: they say when it ends, and with it where a falling rate
stands."""


@dataclass(frozen=True, kw_only=True)
class MemberSettings:
    """A member of a family (model, recipe) and its options."""

    name: str
    """Name in its family (`recontrast list models`, `recontrast list recipes`)."""

    options: dict[str, Any] = field(default_factory=dict)
    """Keyword options of the member, as in its documentation."""


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How long and how to optimise. It ends at the first of the budgets (steps, epochs, minutes) or by patience."""

    steps: int = 0
    """Optimiser steps; 0: no limit."""

    epochs: int = 0
    """Passes over the training slices; 0: no limit."""

    minutes: float = 0.0
    """Wall-clock time of the training in minutes, all resumed parts together; 0: no limit. Beside steps or epochs it
    plans nothing: a rate that falls over them is cut off where it is; `recontrast train --minutes` plans as many steps
    as fit. Alone, a falling rate falls over the minutes."""

    patience: int = 0
    """Stop after this many validations without a better one; 0: never."""

    seed: int = 0
    """Seed of initial weights, order of slices, dropout and augmentation."""

    learning_rate: float = 1e-3
    """Learning rate of Adam."""

    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of Adam's first and second moment."""

    weight_decay: float = 0.0
    """Decoupled weight decay (AdamW when above zero)."""

    schedule: str = "constant"
    """Learning rate over the steps: constant, cosine (to zero), linear (to zero). No step has the rate zero. Where only
    `minutes` ends the training, it falls over them."""

    hold: float = 0.0
    """Part of the steps (of the minutes, where they alone count), 0 to 1, before a falling rate begins to fall."""

    warmup_steps: int = 0
    """Steps over which the learning rate rises linearly from zero."""

    gradient_clip: float = 0.0
    """Largest norm of the gradient; 0: not limited."""

    ema: float = 0.0
    """Decay of an exponential moving average of the weights, which is then validated and saved; 0: none."""

    keep: str = "best"
    """Weights that become the translator: best (of the validations) or last."""

    snapshots: int = 0
    """How many times, evenly over the steps, the weights are kept as a translator of their own in RUN/snapshots."""

    protocol: str = "recontrast"
    """Evaluation protocol whose primary metric and region choose the best weights."""

    validate_every: int = 0
    """Steps between validations; 0: once an epoch."""

    checkpoint_minutes: float = 5.0
    """Longest time between checkpoints in minutes; there is one at each validation anyway. 0: every step."""

    log_every: int = 10
    """Steps between lines of the log."""

    precision: str = "auto"
    """auto (bf16 where the processor computes in it), fp32, bf16."""

    channels_last: bool = True
    """Store channels innermost, which the fast convolutions want."""

    accumulate: int = 1
    """Parts of each batch that go through the network one after the other; gradients are added up. Saves memory."""

    recompute: bool = False
    """Compute the inside of each level again on the way back instead of keeping it: less memory, a third slower."""

    recorded: bool = True
    """On a graphics processor, record the network in the first step and replay it in all (recipes that can use it)."""

    compiled: bool = False
    """Compile the network with torch.compile: takes up to a minute at first and needs a C++ compiler."""

    accelerator: str = "auto"
    """auto (a graphics processor when there is one), cpu, cuda."""

    devices: int = 1
    """Processes or graphics processors that share each batch."""

    threads: int = 0
    """Processor threads of each rank; 0: as many as there are cores for it. On a busy machine fewer can be faster."""

    error_bars: bool = False
    """After the last step, calibrate an interval around every voxel on data that was not learned from."""

    tensorboard: bool = False
    """Also write a TensorBoard log (needs the extra `tensorboard`)."""

    def __post_init__(self) -> None:
        """Check names and ranges."""
        if self.schedule not in SCHEDULES:
            raise UnknownNameError.among("schedule (loop.schedule)", self.schedule, SCHEDULES)
        if self.accelerator not in ACCELERATORS:
            raise UnknownNameError.among("accelerator (loop.accelerator)", self.accelerator, ACCELERATORS)
        if self.keep not in ("best", "last"):
            raise UnknownNameError.among("choice of weights (loop.keep)", self.keep, ("best", "last"))
        counts = ("steps", "epochs", "minutes", "patience", "warmup_steps", "gradient_clip", "validate_every",
                  "snapshots", "checkpoint_minutes", "weight_decay", "seed", "threads")  # fmt: skip
        for name in counts:
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"loop.{name} is {getattr(self, name)}, it must be a number and not negative")
        if not (self.steps or self.epochs or self.minutes):
            raise ConfigError("the training has no end: set loop.steps, loop.epochs or loop.minutes")
        if self.learning_rate <= 0 or min(self.log_every, self.devices, self.accumulate) < 1 or not 0 <= self.ema < 1:
            raise ConfigError(
                "loop: learning_rate must be positive, log_every, devices and accumulate at least 1, ema at least 0 "
                "and below 1"
            )
        if not 0 <= self.hold < 1:
            raise ConfigError(f"loop.hold is {self.hold}, it must be at least 0 and below 1")
        if self.snapshots and not (self.steps or self.epochs):
            raise ConfigError(
                f"loop.snapshots {self.snapshots} needs loop.steps or loop.epochs: with minutes alone nobody knows "
                "beforehand how many steps there will be"
            )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything a preset decides."""

    summary: str = ""
    """One line for lists."""

    model: MemberSettings
    """Network."""

    recipe: MemberSettings
    """Way of learning."""

    data: DataSettings = field(default_factory=DataSettings)
    """What is learned from."""

    loop: LoopSettings
    """How long and how."""


def preset_paths() -> dict[str, Path]:
    """Names of the presets that come with Recontrast, and their files."""
    here = Path(__file__).resolve()
    folders = (here.parents[1] / "presets", here.parents[3] / "presets")  # installed; in a checkout
    found = {path.stem: path for folder in folders for path in folder.glob("*.toml")}
    return dict(sorted(found.items()))


def preset_summary(path: Path) -> str:
    """The line that says what a preset is."""
    return str(read_toml(path).get("summary", ""))


def read_plan(preset: str, scale: str, overrides: Sequence[str] = (), decided: Mapping[str, Any] | None = None) -> Plan:
    """Resolve a preset.

    Args:
        preset: Name of a preset, or path of a TOML file like those in `presets/`.
        scale: paper or cpu.
        overrides: Entries like `loop.steps=100` or `recipe.options.loss=l1`; values are TOML, bare words are text.
        decided: Nested settings that win over the preset, and give way to the overrides.

    Raises:
        UnknownNameError: No such preset, scale or setting.
        ConfigError: A value is of the wrong type or out of range.

    Example:
        >>> read_plan("osman2022", "paper").loop.epochs
        120
    """
    if scale not in SCALES:
        raise UnknownNameError.among("scale", scale, SCALES)
    path = _preset_path(preset)
    content = read_toml(path)
    common = {key: value for key, value in content.items() if key not in SCALES}
    values: Mapping[str, Any] = common
    for name in SCALES:
        part = content.get(name, {})
        if not isinstance(part, Mapping):
            raise ConfigError(f"{path}: [{name}] must be a table of settings")
        check_keys(Plan, part, f"{path} [{name}]")
        if name == scale:
            values = merge(common, part)
    check_keys(Plan, common, str(path))
    for given in (decided or {}, *parsed(overrides)):
        values = merge(values, given)
    return build_settings(Plan, values, f"preset {preset}")


def parsed(overrides: Sequence[str]) -> list[dict[str, Any]]:
    """Overrides as nested settings.

    Raises:
        UnknownNameError: There is no such setting.
        ConfigError: One is not section.name=value.

    Example:
        >>> parsed(["loop.steps=3"])
        [{'loop': {'steps': 3}}]
    """
    found = []
    for override in overrides:
        given = _parse_override(override)
        check_keys(Plan, given, f"--set {override}")
        found.append(given)
    return found


def _preset_path(preset: str) -> Path:
    presets = preset_paths()
    if preset in presets:
        return presets[preset]
    if preset.endswith(".toml"):
        return Path(preset)
    raise UnknownNameError.among("preset", preset, presets)


def _parse_override(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    names = key.strip().split(".")
    if not equals or not all(names) or len(names) < 2:
        raise ConfigError(f"--set {text}: write section.name=value, for example loop.steps=100")
    content: Any = _parse_value(value.strip())
    for name in reversed(names):
        content = {name: content}
    return dict(content)


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
