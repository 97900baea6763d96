"""How long a training step takes on this machine: measured, on numbers drawn at random, before the training."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch

from recontrast.datasets.patches import Batch
from recontrast.execution.runtime import choose_precision
from recontrast.training.learner import Learner
from recontrast.training.loop import set_up_processor
from recontrast.training.plan import Plan

_WARM = 2
"""First steps that do not count: memory is still being taken."""

_FEWEST, _MOST, _ENOUGH_SECONDS = 5, 12, 2.0
"""Steps that are taken: as many as need two seconds, within these numbers."""


def seconds_of_step(plan: Plan, model_options: dict[str, Any], size: Sequence[int]) -> float:
    """Median wall-clock seconds of a step of one process, after two that do not count.

    Of a recipe that learns in stages the last one is timed: all its networks take part.

    Args:
        plan: The resolved preset.
        model_options: All options of the network, channels included.
        size: Spatial size of what the network sees.

    Raises:
        ConfigError: An option of model or recipe does not exist or is out of range.
    """
    from lightning_fabric import Fabric

    set_up_processor(plan.loop.threads, plan.loop.devices)
    on_gpu = plan.loop.accelerator != "cpu" and torch.cuda.is_available()
    precision = choose_precision(plan.loop.precision, accelerated=on_gpu and torch.cuda.is_bf16_supported())
    fabric = Fabric(accelerator="cuda" if on_gpu else "cpu", devices=1)
    learner = Learner(fabric, plan, model_options, _MOST, precision)
    count = max(1, plan.data.batch // plan.loop.devices)
    source = torch.rand(count, model_options["in_channels"], *size)
    target = torch.rand(count, 1, *size)
    batch = Batch(source, target, torch.ones_like(target, dtype=torch.bool), torch.ones(count, len(size)))
    last_stage = getattr(learner.recipe, "last_stage", 0)
    times: list[float] = []
    while len(times) < _FEWEST or (sum(times) < _ENOUGH_SECONDS and len(times) < _MOST):
        started = time.perf_counter()
        learner.step(batch, last_stage + len(times))  # ends by reading the loss, so the device is done
        times.append(time.perf_counter() - started)
    return statistics.median(times[_WARM:])
