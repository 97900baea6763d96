"""Memory that a training needs, known before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recontrast.datasets.patches import Batch
from recontrast.datasets.pool import ImagePool
from recontrast.errors import RecontrastError
from recontrast.execution.runtime import choose_precision
from recontrast.models import MODELS
from recontrast.recipes import build_recipe
from recontrast.training.half_precision import half_precision
from recontrast.training.learner import layout_of
from recontrast.training.plan import SCALES, Plan, read_plan
from recontrast.training.planning import model_options
from recontrast.training.recompute import recompute_levels
from recontrast.translation.memory import MemoryCount, without_values

PROCESS_BYTES = 380e6
"""A process that has loaded PyTorch and Recontrast and has no network yet."""

HEAD = (160, 192, 160)
"""Voxels of a head at 1 mm with some air, where a preset takes whatever size the cohort has."""

_SLICES_OF_A_CONTROL = 256
"""Slices from which a network that starts from a control fits it, or is asked what of the rest to keep, at most."""

_VALUES_OF_A_CONTROL = 60_000_000
"""Numbers in those slices, at most: where slices are large or have many channels there are fewer of them."""


@dataclass(frozen=True)
class TrainingMemory:
    """Memory of one training step.

    Attributes:
        most: Bytes at the fullest moment, the process itself and the holes between its blocks included.
        weights: Bytes of weights, gradients and Adam's moments, of all networks.
        parameters: Learned numbers of the network that is saved.
        size: Spatial size of what the network sees.
        batch: Images in a batch.
        precision: fp32 or bf16.
    """

    most: float
    weights: int
    parameters: int
    size: tuple[int, ...]
    batch: int
    precision: str


def slices_of_a_control(channels: int, size: Sequence[int]) -> int:
    """Slices from which a control is fitted, at most.

    Args:
        channels: Channels of a slice.
        size: Spatial size.

    Example:
        >>> slices_of_a_control(13, (192, 224))
        107
    """
    return min(_SLICES_OF_A_CONTROL, max(16, _VALUES_OF_A_CONTROL // (channels * int(np.prod(size)))))


def training_memory(plan: Plan, contrasts: int = 1, precision: str = "") -> TrainingMemory:
    """Memory of one step of a preset on one processor, from one step on tensors without values.

    Args:
        plan: The resolved preset.
        contrasts: Number of source contrasts.
        precision: fp32 or bf16; empty: what the plan and this processor give.

    Example:
        >>> from recontrast.training.plan import read_plan
        >>> training_memory(read_plan("bottani2024-att-unet", "cpu")).parameters
        403894
    """
    precision = precision or choose_precision(plan.loop.precision)
    size = seen_size(plan)
    with without_values(), MemoryCount(convolutions=True) as count:
        recipe, network = _recipe(plan, contrasts)
        _reorder(recipe, layout_of(len(size), plan.loop.channels_last))
        if plan.loop.recompute:
            recompute_levels(network)
        # in the order of the networks: that of a set hangs on addresses, and where blocks lie on that
        learned = dict.fromkeys(p for modules in recipe.optimized().values() for m in modules for p in m.parameters())
        kept = [torch.zeros_like(p) for p in learned for _ in ("first moment", "second moment")]
        if plan.loop.ema:
            kept += [torch.zeros_like(p) for p in network.parameters()]
        for _ in range(2):  # in the second step nothing is made for the first time
            _step(recipe, _batch(plan, size, model_options(plan, contrasts)["in_channels"]), plan, precision)
        weights = sum(tensor.untyped_storage().nbytes() for tensor in (*learned, *learned, *kept))  # and gradients
        parameters = sum(p.numel() for p in network.parameters())
    return TrainingMemory(PROCESS_BYTES + count.heap.most, weights, parameters, size, plan.data.batch, precision)


def seen_size(plan: Plan) -> tuple[int, ...]:
    """Spatial size of what the network sees in a step; that of a 1 mm head where the cohort decides.

    Example:
        >>> seen_size(read_plan("bottani2024-res-unet", "paper"))
        (128, 128, 128)
    """
    return plan.data.patch or plan.data.size or HEAD[: plan.data.spatial_dims]


def _recipe(plan: Plan, contrasts: int) -> tuple[Any, nn.Module]:
    of_network = model_options(plan, contrasts)

    def build_network(in_channels: int, out_channels: int) -> nn.Module:
        given = {**of_network, "in_channels": in_channels, "out_channels": out_channels}
        built: nn.Module = MODELS.build(plan.model.name, given)
        return built

    channels = of_network["in_channels"]
    network = build_network(channels, 1)
    options = {name: value for name, value in plan.recipe.options.items() if not name.startswith("perceptual")}
    recipe = build_recipe(plan.recipe.name, options, network, build_network, channels, plan.data.spatial_dims)
    for module in recipe.modules():
        if isinstance(module, ImagePool):
            module.size = 0
    if recipe._buffers.get("steps_taken") is not None:
        del recipe.steps_taken  # a tensor without value cannot be asked for the stage
        recipe.steps_taken = recipe.last_stage  # the fullest: all networks take part
    return recipe, network


def _reorder(recipe: nn.Module, layout: torch.memory_format) -> None:
    """As `recipe.to(memory_format=…)`, which cannot change tensors without values."""
    dims = 4 if layout == torch.channels_last else 5
    if layout == torch.contiguous_format:
        return
    for module in recipe.modules():
        for name, value in module._parameters.items():
            if value is not None and value.ndim == dims:
                ordered = value.detach().contiguous(memory_format=layout)
                module._parameters[name] = nn.Parameter(ordered, requires_grad=value.requires_grad)


def _batch(plan: Plan, size: tuple[int, ...], channels: int) -> Batch:
    count = plan.data.batch // plan.loop.accumulate
    source = torch.empty(count, channels, *size)
    source = source.contiguous(memory_format=layout_of(len(size), plan.loop.channels_last))
    target = torch.empty(count, 1, *size)
    return Batch(source, target, torch.empty(count, 1, *size, dtype=torch.bool), torch.empty(count, len(size)))


def _step(recipe: Any, batch: Batch, plan: Plan, precision: str) -> None:
    recipe.train()
    turns = recipe.training_step(batch)
    while True:
        with half_precision("cpu", precision == "bf16"):
            turn = next(turns, None)
        if turn is None:
            return
        turn.loss.backward()
        gradients: list[Tensor] = [p for m in recipe.optimized()[turn.optimizer] for p in m.parameters()]
        for parameter in gradients:
            parameter.grad = None


def preset_memory(preset: str) -> str:
    """Memory of a preset at both scales, for lists; a preset that cannot be asked says why.

    Example:
        >>> preset_memory("osman2022").startswith("paper ")
        True
    """
    parts = []
    for scale in SCALES:
        try:
            parts.append(f"{scale} {memory_line(training_memory(read_plan(preset, scale)))}")
        except RecontrastError as error:
            parts.append(f"{scale} not known: {error}")
    return "; ".join(parts)


def memory_line(memory: TrainingMemory) -> str:
    """One line for lists.

    Example:
        >>> memory_line(TrainingMemory(2.5e9, 10**8, 1_000_000, (64, 64, 64), 2, "bf16"))
        '2.5 GB (1.0 M parameters, 2 of 64x64x64, bf16)'
    """
    shape = "x".join(map(str, memory.size))
    numbers = f"{memory.parameters / 1e6:.1f} M parameters"
    return f"{memory.most / 1e9:.1f} GB ({numbers}, {memory.batch} of {shape}, {memory.precision})"
