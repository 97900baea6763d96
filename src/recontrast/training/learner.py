"""What learns: recipe, optimiser and averaged weights, and how they take one step.

All randomness of a step comes from (seed, step, rank). No generator state has to be kept: a resumed run draws the
same dropout masks as one that was never stopped.
"""

from __future__ import annotations

import copy
import math
import shutil
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recontrast.datasets.patches import Batch
from recontrast.errors import CheckpointError, DependencyError, TrainingError
from recontrast.models import MODELS
from recontrast.recipes import RECIPES
from recontrast.training.checkpoint import Checkpoint, optimizer_tensors, restore_optimizer
from recontrast.training.plan import LoopSettings, Plan


class Learner:
    """Recipe, optimiser and averaged weights on a device.

    Args:
        fabric: A launched Lightning Fabric: device and ranks.
        plan: The resolved preset.
        model_options: All options of the network, channels included.
        total_steps: Steps over which the learning rate falls; 0 when unknown.
        precision: "fp32" or "bf16".

    Raises:
        ConfigError: An option of model or recipe does not exist or is out of range.
        DependencyError: Compilation is asked for without a C++ compiler.
    """

    def __init__(
        self, fabric: Any, plan: Plan, model_options: dict[str, Any], total_steps: int, precision: str
    ) -> None:
        self.fabric, self.loop = fabric, plan.loop
        self.total_steps, self.precision = total_steps, precision
        torch.manual_seed(plan.loop.seed)  # before the first weight is drawn
        network: nn.Module = MODELS.build(plan.model.name, model_options)
        self.recipe: nn.Module = RECIPES.build(plan.recipe.name, {"network": network, **plan.recipe.options})
        self.layout = _layout(model_options["spatial_dims"], plan.loop.channels_last)
        self.recipe.to(memory_format=self.layout)
        if plan.loop.compiled:
            _require_compiler()
            network.compile(dynamic=False)
        self.optimizer = _optimizer(self.recipe, plan.loop)
        self._module, self._stepper = fabric.setup(self.recipe, self.optimizer)
        self._module.mark_forward_method("training_step")
        self.averaged = copy.deepcopy(self.recipe) if plan.loop.ema > 0 else None

    @property
    def network(self) -> nn.Module:
        """The network that is validated and saved: the averaged one where there is one."""
        chosen: nn.Module = (self.averaged or self.recipe).network  # type: ignore[assignment]
        return chosen

    @property
    def parameters(self) -> int:
        """Number of learned numbers of the network."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    def step(self, batch: Batch, number: int) -> tuple[float, dict[str, float]]:
        """Take step `number` (from 0).

        Returns:
            Loss and its named parts.

        Raises:
            TrainingError: The loss is not finite; the weights are those before this step.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.loop, number, self.total_steps)
        torch.manual_seed(_seed_of(self.loop.seed, number, self.fabric.global_rank))
        source, target, mask = (self.fabric.to_device(part) for part in batch)
        self.recipe.train()
        # Not Fabric's own mixed precision: that would round the target to bfloat16 before the loss sees it.
        with torch.autocast(self.fabric.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            loss, parts = self._module.training_step(Batch(source.contiguous(memory_format=self.layout), target, mask))
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(f"the loss of step {number + 1} is {value}")
        self.fabric.backward(loss)
        if self.loop.gradient_clip > 0:
            self.fabric.clip_gradients(
                self._module, self._stepper, max_norm=self.loop.gradient_clip, error_if_nonfinite=False
            )
        self._stepper.step()
        self._stepper.zero_grad(set_to_none=True)
        if self.averaged is not None:
            _average(self.averaged, self.recipe, min(self.loop.ema, (1 + number) / (10 + number)))
        return value, {name: float(part) for name, part in parts.items()}

    def tensors(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs, by name.

        Raises:
            TrainingError: A weight is not finite.
        """
        weights = self.recipe.state_dict()
        if not all(torch.isfinite(value).all() for value in weights.values()):
            raise TrainingError("a weight is not finite")
        found = {f"recipe.{name}": value for name, value in weights.items()}
        found |= {f"optimizer.{name}": value for name, value in optimizer_tensors(self.optimizer).items()}
        if self.averaged is not None:
            found |= {f"averaged.{name}": value for name, value in self.averaged.state_dict().items()}
        return found

    def weights(self) -> dict[str, Tensor]:
        """Weights of the network that is saved."""
        return {f"network.{name}": value for name, value in self.network.state_dict().items()}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to what `tensors` gave.

        Raises:
            CheckpointError: It belongs to another network.
        """
        try:
            self.recipe.load_state_dict(checkpoint.part("recipe"))
            if self.averaged is not None:
                self.averaged.load_state_dict(checkpoint.part("averaged"))
        except RuntimeError as error:
            raise CheckpointError(f"the checkpoint does not fit the network: {str(error).splitlines()[-1]}") from error
        restore_optimizer(self.optimizer, checkpoint.part("optimizer"))


def learning_rate(loop: LoopSettings, step: int, total_steps: int) -> float:
    """Learning rate of a step.

    Args:
        loop: Start value, warm-up and schedule.
        step: Number of the step, from 0.
        total_steps: Where a falling schedule reaches zero.

    Example:
        >>> learning_rate(LoopSettings(steps=10, learning_rate=1.0, schedule="linear"), 5, 10)
        0.5
    """
    if step < loop.warmup_steps:
        return loop.learning_rate * (step + 1) / (loop.warmup_steps + 1)
    if loop.schedule == "constant":
        return loop.learning_rate
    fraction = min(1.0, (step - loop.warmup_steps) / max(1, total_steps - loop.warmup_steps))
    if loop.schedule == "linear":
        return loop.learning_rate * (1 - fraction)
    return loop.learning_rate * 0.5 * (1 + math.cos(math.pi * fraction))


def _optimizer(recipe: nn.Module, loop: LoopSettings) -> torch.optim.Optimizer:
    kind = torch.optim.AdamW if loop.weight_decay > 0 else torch.optim.Adam
    return kind(
        recipe.parameters(), lr=loop.learning_rate, betas=loop.betas, weight_decay=loop.weight_decay, fused=True
    )


def _layout(spatial_dims: int, channels_last: bool) -> torch.memory_format:
    if not channels_last:
        return torch.contiguous_format
    return torch.channels_last if spatial_dims == 2 else torch.channels_last_3d


def _seed_of(seed: int, step: int, rank: int) -> int:
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0])


@torch.no_grad()
def _average(averaged: nn.Module, recipe: nn.Module, decay: float) -> None:
    for old, new in zip(averaged.parameters(), recipe.parameters(), strict=True):
        old.lerp_(new, 1 - decay)
    for kept, seen in zip(averaged.buffers(), recipe.buffers(), strict=True):
        kept.copy_(seen)


def _require_compiler() -> None:
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        raise DependencyError(
            "loop.compiled needs a C++ compiler (g++), and none was found: install one, or leave loop.compiled off"
        )
