"""What learns: recipe, optimisers and averaged weights, and how they take one step.

All randomness of a step comes from (seed, step, rank). No generator state has to be kept: a resumed run draws the
same dropout masks as one that was never stopped.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import shutil
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from recontrast.datasets.patches import Batch
from recontrast.errors import CheckpointError, DependencyError, TrainingError
from recontrast.models import MODELS
from recontrast.recipes import Turn, build_recipe
from recontrast.training.checkpoint import Checkpoint
from recontrast.training.descent import Descent
from recontrast.training.graphs import recorded
from recontrast.training.half_precision import half_precision
from recontrast.training.plan import LoopSettings, Plan
from recontrast.training.recompute import recompute_levels

_AT_ONCE = 4
"""Slices that go through the network together where no gradient is wanted."""

_ALIGNED, _FEWER = 2, 4
"""How often pairs that lie apart are put together by what a control says of them before it is fitted for good, and the
part of the slices (one in so many) that it is fitted to for that."""


class Learner:
    """Recipe, optimisers and averaged weights on a device.

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
        self.rate = 0.0  # of the step taken last
        torch.manual_seed(plan.loop.seed)  # before the first weight is drawn

        def build_network(in_channels: int, out_channels: int) -> nn.Module:
            channels = {"in_channels": in_channels, "out_channels": out_channels}
            built: nn.Module = MODELS.build(plan.model.name, {**model_options, **channels})
            return built

        network = build_network(model_options["in_channels"], model_options["out_channels"])
        recipe = build_recipe(
            plan.recipe.name, plan.recipe.options, network, build_network, model_options["in_channels"],
            model_options["spatial_dims"],
        )  # fmt: skip
        self.recipe: nn.Module = fabric.to_device(recipe)
        self.layout = layout_of(model_options["spatial_dims"], plan.loop.channels_last)
        self.recipe.to(memory_format=self.layout)
        if plan.loop.recompute:
            recompute_levels(network)
        if plan.loop.compiled:
            _require_compiler()
            network.compile(dynamic=False)
        self.optimizers = {
            name: Descent([p for module in modules for p in module.parameters()], plan.loop)
            for name, modules in recipe.optimized().items()
        }
        self.averaged = copy.deepcopy(network) if plan.loop.ema > 0 else None

    @property
    def network(self) -> nn.Module:
        """The network that is validated and saved: the averaged one where there is one."""
        chosen: nn.Module = self.averaged or self.recipe.network  # type: ignore[assignment]
        return chosen

    @property
    def parameters(self) -> int:
        """Number of learned numbers of the network."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    @property
    def starts_from_control(self) -> bool:
        """Whether the network is fitted to training slices before the first step (`fit`): not when it has weights."""
        return hasattr(self.recipe.network, "fit") and getattr(self.recipe, "started_from", None) is None

    @property
    def adds_to_control(self) -> bool:
        """Whether the network can tell its control from what it adds to that (`agreement`)."""
        return self.starts_from_control and hasattr(self.recipe.network, "agreement")

    def begin(self, batch: Batch) -> None:
        """Let a network that starts from a control, or from whitened signals, fit it, before the first step.

        Args:
            batch: Training slices as they are, without random changes; one batch after the other for a network that
                learns several things.
        """
        network: Any = self.recipe.network
        whole = aligned = self._on_device(batch)
        for _ in range(_ALIGNED if self.realigns else 0):  # what is fitted to misaligned pairs is blurred
            network.fit(*(part[::_FEWER] for part in (aligned.source, aligned.target, aligned.mask)))
            aligned = self._aligned(network, whole)
        network.fit(aligned.source, aligned.target, aligned.mask)
        if self.averaged is not None:
            self.averaged.load_state_dict(network.state_dict())

    @property
    def realigns(self) -> bool:
        """Whether the recipe tolerates pairs that lie apart; controls are then fitted to pairs put together."""
        return bool(getattr(self.recipe, "misaligned_voxels", 0))

    def _on_device(self, batch: Batch) -> Batch:
        return Batch(*map(self.fabric.to_device, batch))

    @torch.no_grad()
    def _aligned(self, network: nn.Module, batch: Batch) -> Batch:
        """Targets moved to where the network's own images are."""
        estimate = torch.cat([network(part).float() for part in torch.split(batch.source, _AT_ONCE)])
        aligned: Batch = self.recipe.aligned(batch, estimate)  # type: ignore[operator]
        return aligned

    def take_over(self, weights: Mapping[str, Tensor], *, keep_controls: bool = False) -> None:
        """Begin with the weights of another training.

        Args:
            weights: Weights of its network; what is not among them stays as it is.
            keep_controls: Leave the parts that were fitted to these data (`begin`) as they are.
        """
        networks: list[Any] = [network for network in (self.recipe.network, self.averaged) if network is not None]
        for network in networks:
            controls = getattr(network, "controls", ()) if keep_controls else ()
            own = network.state_dict()
            kept = {name: value for name, value in own.items() if name.split(".")[0] in controls}
            network.load_state_dict({**own, **weights, **kept})

    def share_to_keep(self, held: Iterable[Batch]) -> float | None:
        """Share, 0 to 1, of what the network adds to its control that has the least squared error.

        Args:
            held: Slices or volumes that were not learned from.

        Returns:
            The share; None when there are no such slices, or nothing is added.
        """
        network: Any = self.network
        network.eval()
        agrees, size = 0.0, 0.0
        for batch in held:
            for start in range(0, len(batch.source), _AT_ONCE):
                parts = (part[start : start + _AT_ONCE] for part in (batch.source, batch.target, batch.mask))
                part = self._on_device(Batch(*parts))
                part = self._aligned(network, part) if self.realigns else part
                more = network.agreement(part.source, part.target, part.mask)
                agrees, size = agrees + more[0], size + more[1]
        return min(1.0, max(0.0, agrees / size)) if size > 0 else None

    def step(self, batch: Batch, number: int, used: float = 0.0) -> tuple[float, dict[str, float]]:
        """Take step `number` (from 0): the turns of the recipe, one after the other.

        Args:
            batch: What is learned from.
            number: Number of the step.
            used: Part of the time that is used, where nothing but the time ends the training: its rate falls by that.

        Returns:
            Loss of the turn that trains the saved network (of the first turn where none does), and the named parts
            of all turns.

        Raises:
            TrainingError: A loss is not finite; the weights that this turn trains are those before this step.
        """
        self.rate = learning_rate(self.loop, number, self.total_steps, used)
        self.recipe.train()
        self._tell(number)
        loss = math.nan
        parts: dict[str, float] = {}
        shares = list(self._shares(batch))
        self._record(shares[0].source)
        torch.manual_seed(_seed_of(self.loop.seed, number, self.fabric.global_rank))  # recording draws numbers too
        steps = [self.recipe.training_step(part) for part in shares]  # type: ignore[operator]
        while (turns := self._backward(steps, number)) is not None:
            self._take(turns[0], self.rate)
            parts |= {name: statistics.fmean(float(turn.parts[name]) for turn in turns) for name in turns[0].parts}
            if turns[0].optimizer == "network" or math.isnan(loss):
                loss = statistics.fmean(float(turn.loss) for turn in turns)
        if self.averaged is not None:
            network: nn.Module = self.recipe.network  # type: ignore[assignment]
            _average(self.averaged, network, min(self.loop.ema, (1 + number) / (10 + number)))
        self._tell(number + 1)
        return loss, parts

    def _record(self, source: Tensor) -> None:
        """On a graphics processor, replay the network from the first step on where the recipe can use that."""
        loop, recipe = self.loop, self.recipe
        alone = self.fabric.world_size == 1 and loop.accumulate == 1 and not (loop.recompute or loop.compiled)
        wanted = loop.recorded and alone and source.device.type == "cuda"
        if wanted and hasattr(recipe, "replayed") and recipe.replayed is None:
            network: nn.Module = recipe.network
            recipe.replayed = recorded(network, source, self.precision == "bf16")

    def _tell(self, steps: int) -> None:
        """Tell a recipe that learns in stages how many steps were taken: it cannot count parts of a batch as steps."""
        taken = getattr(self.recipe, "steps_taken", None)
        if taken is not None:
            taken.fill_(steps)

    def _shares(self, batch: Batch) -> Iterator[Batch]:
        """The batch on the device, in as many parts as gradients are added up from."""
        size = -(-len(batch.source) // self.loop.accumulate)
        count = len(batch.source)
        for share in zip(*([None] * count if p is None else torch.split(p, size) for p in batch), strict=False):
            moved = Batch(*(self.fabric.to_device(part) for part in share))
            yield moved._replace(source=moved.source.contiguous(memory_format=self.layout))

    def _backward(self, steps: Sequence[Iterator[Turn]], number: int) -> list[Turn] | None:
        """The next turn of every part of the batch, its mean gradient added up; None when there is no further turn."""
        turns: list[Turn] = []
        for step in steps:
            turn = self._next(step)
            if turn is None:
                return None
            value = float(turn.loss.detach())
            if not math.isfinite(value):
                name = "" if len(self.optimizers) == 1 else f" of the {turn.optimizer}"
                raise TrainingError(f"the loss{name} of step {number + 1} is {value}")
            if not turns:
                self.optimizers[turn.optimizer].zero_grad()
            (turn.loss / len(steps)).backward()  # type: ignore[no-untyped-call]
            turns.append(dataclasses.replace(turn, loss=turn.loss.detach()))
        return turns

    def _next(self, turns: Iterator[Turn]) -> Turn | None:
        # Not Fabric's own mixed precision: that would round the target to bfloat16 before the loss sees it. A new
        # context for each turn: a context keeps rounded weights, and the turn before has changed them.
        with half_precision(self.fabric.device.type, self.precision == "bf16"):
            return next(turns, None)

    def _take(self, turn: Turn, rate: float) -> None:
        """Mean of the gradient over ranks, its limit, and the step of the optimiser."""
        optimizer = self.optimizers[turn.optimizer]
        trained = optimizer.parameters
        if self.fabric.world_size > 1:
            _share_gradients(self.fabric, trained)
        if self.loop.gradient_clip > 0:
            nn.utils.clip_grad_norm_(trained, self.loop.gradient_clip)
        optimizer.step(rate * turn.rate, turn.betas or self.loop.betas)

    def tensors(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs, by name.

        Raises:
            TrainingError: A weight is not finite.
        """
        weights = self.recipe.state_dict()
        if not all(torch.isfinite(value).all() for value in weights.values()):
            raise TrainingError("a weight is not finite")
        found = {f"recipe.{name}": value for name, value in weights.items()}
        for kind, optimizer in self.optimizers.items():
            found |= {f"optimizer.{kind}.{name}": value for name, value in optimizer.tensors().items()}
        if self.averaged is not None:
            found |= {f"averaged.network.{name}": value for name, value in self.averaged.state_dict().items()}
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
                self.averaged.load_state_dict(checkpoint.part("averaged.network"))
        except RuntimeError as error:
            raise CheckpointError(f"the checkpoint does not fit the network: {str(error).splitlines()[-1]}") from error
        for kind, optimizer in self.optimizers.items():
            optimizer.restore(checkpoint.part(f"optimizer.{kind}"))


def learning_rate(loop: LoopSettings, step: int, total_steps: int, used: float = 0.0) -> float:
    """Learning rate of a step.

    Args:
        loop: Start value, warm-up and schedule.
        step: Number of the step, from 0.
        total_steps: Where a falling schedule reaches zero: the step after the last one; 0 when only the clock ends the
            training.
        used: Part of the time that is used, 0 to 1; with no number of steps the rate falls by this.

    Example:
        >>> learning_rate(LoopSettings(steps=10, learning_rate=1.0, schedule="linear"), 5, 10)
        0.5
    """
    if step < loop.warmup_steps:
        return loop.learning_rate * (step + 1) / (loop.warmup_steps + 1)
    if loop.schedule == "constant":
        return loop.learning_rate
    if total_steps:
        begin = max(loop.warmup_steps, round(loop.hold * total_steps))
        fraction = min(1.0, max(0, step - begin) / max(1, total_steps - begin))
    else:
        fraction = min(1.0, max(0.0, used - loop.hold) / (1 - loop.hold))
    if loop.schedule == "linear":
        return loop.learning_rate * (1 - fraction)
    return loop.learning_rate * 0.5 * (1 + math.cos(math.pi * fraction))


def _share_gradients(fabric: Any, parameters: list[nn.Parameter]) -> None:
    """Replace gradients by their mean over all ranks, in one message. A parameter without one counts as zero.

    PyTorch's own wrapper for several ranks knows one forward and one backward pass a step; recipes take turns.
    """
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    shared = fabric.all_reduce(torch.cat([gradient.flatten() for gradient in gradients]), reduce_op="mean")
    for parameter, mean in zip(parameters, shared.split([p.numel() for p in parameters]), strict=True):
        parameter.grad = torch.empty_like(parameter).copy_(mean.view(parameter.shape))


def layout_of(spatial_dims: int, channels_last: bool) -> torch.memory_format:
    """Order in memory of weights and images."""
    if not channels_last:
        return torch.contiguous_format
    return torch.channels_last if spatial_dims == 2 else torch.channels_last_3d


def _seed_of(seed: int, step: int, rank: int) -> int:
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0])


@torch.no_grad()
def _average(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    together: Callable[..., None] = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # all in one kernel
    together(list(averaged.parameters()), list(network.parameters()), 1)
    for kept, seen in zip(averaged.buffers(), network.buffers(), strict=True):
        kept.copy_(seen)


def _require_compiler() -> None:
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        raise DependencyError(
            "loop.compiled needs a C++ compiler (g++), and none was found: install one, or leave loop.compiled off"
        )
