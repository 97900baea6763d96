"""Learning in two stages: absolute error with a discriminator learning beside it, then the discriminator alone.

A. Hagiwara et al., AJNR Am J Neuroradiol 40:224, 2019. The generator there has few weights, the discriminator many:
small learning rates, a warm start and judgements voxel by voxel keep the game in balance.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from recontrast.datasets.patches import Batch
from recontrast.errors import CheckpointError, ConfigError, UnknownNameError
from recontrast.losses import LOSSES
from recontrast.losses.adversarial import AdversarialLoss
from recontrast.models import DISCRIMINATORS
from recontrast.recipes import RECIPES, Turn

OBJECTIVES = ("minimax", "cross_entropy", "least_squares", "hinge")
"""minimax: the network maximises the discriminator's loss on its images; cross_entropy: the non-saturating form."""


@RECIPES.register("pixelwise")
class PixelwiseRecipe(nn.Module):
    """Two stages around one network; the number of the step (`steps_taken`) decides, also when a run is resumed.

    In stage one the network minimises an absolute error (to the target, or to a CSF-suppressed synthetic FLAIR when
    that is the target of the run), and the discriminator learns on its images. In stage two the network has the
    discriminator's judgement alone. The printed loss of the paper (a difference of cross-entropies) cannot be meant;
    the usual sum is used.

    Args:
        network: Maps sources (B, C, I, J[, K]) to the target's grid, one channel.
        source_channels: Channels of a source; given by the training.
        first_steps: Steps of stage one.
        loss: Its loss.
        masked: Let only voxels inside the head count in it.
        discriminator: Name of the discriminator, or none: then there is no stage two.
        discriminator_options: Its options, but its channels.
        conditional: Whether it sees the source beside the image; source and target must then be aligned.
        together: Show it acquired and synthetic images in one batch. Apart, a batch norm takes from each the brightness
            by which they differ.
        objective: minimax, cross_entropy, least_squares or hinge.
        same_place: Whether acquired patches are those of the same place; no: of another slice of the batch.
        warm_steps: First steps of stage two, in which the discriminator alone learns: for a stage one without one, or
            with another target.
        second_rate: Learning rate of the network in stage two, relative to stage one.
        second_betas: Adam's betas of the network in stage two.
        discriminator_rate: Learning rate of the discriminator, relative to that of the network in stage one.
        start: Folder of a run (stage one to another target) whose last network is started from, and its discriminator
            where it has one.

    Raises:
        ConfigError: An option is out of range.
        CheckpointError: The run to start from does not fit.

    Example:
        >>> recipe = PixelwiseRecipe(network=nn.Conv2d(1, 1, 1), discriminator="none")
        >>> list(recipe.optimized())
        ['network']
    """

    paired = True
    steps_taken: Tensor

    def __init__(
        self,
        *,
        network: nn.Module,
        source_channels: int = 1,
        first_steps: int = 100_000,
        loss: str = "l1",
        masked: bool = False,
        discriminator: str = "unet_discriminator",
        discriminator_options: Mapping[str, Any] | None = None,
        conditional: bool = False,
        together: bool = False,
        objective: str = "minimax",
        same_place: bool = False,
        warm_steps: int = 0,
        second_rate: float = 0.02,
        second_betas: tuple[float, float] = (0.5, 0.999),
        discriminator_rate: float = 0.002,
        start: str = "",
    ) -> None:
        super().__init__()
        if objective not in OBJECTIVES:
            raise UnknownNameError.among("objective of the pixelwise recipe", objective, OBJECTIVES)
        if min(first_steps, warm_steps) < 0 or min(second_rate, discriminator_rate) <= 0:
            raise ConfigError(
                "recipe pixelwise: first_steps and warm_steps must not be negative, the rates must be positive"
            )
        self.network = network
        self.discriminator: nn.Module | None = None
        if discriminator != "none":
            channels = 1 + (source_channels if conditional else 0)
            options = dict(discriminator_options or {})
            self.discriminator = DISCRIMINATORS.build(discriminator, {"in_channels": channels, **options})
        self.first_steps, self.warm_steps, self.masked, self.loss_name = first_steps, warm_steps, masked, loss
        self.loss = LOSSES.build(loss)
        self.minimax = objective == "minimax"
        self.adversarial = AdversarialLoss("cross_entropy" if self.minimax else objective)
        self.conditional, self.same_place, self.together = conditional, same_place, together
        self.second_rate, self.discriminator_rate = second_rate, discriminator_rate
        first, second = second_betas
        self.second_betas = (float(first), float(second))
        self.register_buffer("steps_taken", torch.zeros((), dtype=torch.int64))
        self.started_from = Path(start) if start else None
        if self.started_from is not None:
            _start_from(self, self.started_from)

    @property
    def last_stage(self) -> int:
        """Steps before the network learns from the discriminator; 0 where there is none."""
        return 0 if self.discriminator is None else self.first_steps + self.warm_steps

    @property
    def most_steps(self) -> int | None:
        """Steps after which nothing more can be learned: those of stage one where there is no discriminator."""
        return self.first_steps if self.discriminator is None else None

    def optimized(self) -> dict[str, list[nn.Module]]:
        """An optimiser for the network, and one for the discriminator where there is one."""
        judge = {} if self.discriminator is None else {"discriminator": [self.discriminator]}
        return {**judge, "network": [self.network]}

    def training_step(self, batch: Batch) -> Iterator[Turn]:
        """Discriminator, then network; what the network minimises depends on the stage."""
        taken = int(self.steps_taken)
        second = taken >= self.first_steps
        if second and self.discriminator is None:
            raise ConfigError(
                f"recipe pixelwise: stage two begins after {self.first_steps} steps and needs a discriminator; raise "
                "recipe.options.first_steps to loop.steps, or name a discriminator"
            )
        estimate = self.network(batch.source)
        with torch.autocast(estimate.device.type, enabled=False):
            error = self.loss(batch.target, estimate, batch.mask if self.masked else None)
        parts = {self.loss_name: error.detach()}
        shown = None
        if self.discriminator is not None:
            acquired = batch.target if self.same_place else batch.target.roll(1, dims=0)
            beside = batch.source if self.same_place else batch.source.roll(1, dims=0)
            shown = self._shown(beside, acquired)
            loss = self.adversarial.discriminator(*self._judge(shown, self._shown(batch.source, estimate.detach())))
            judged = {"discriminator": loss.detach()}
            warming = second and taken < self.first_steps + self.warm_steps
            yield Turn("discriminator", loss, judged | parts if warming else judged, rate=self.discriminator_rate)
            if warming:
                return
        if not second or shown is None:
            yield Turn("network", error, parts)
            return
        loss = self._against_discriminator(shown, self._shown(batch.source, estimate))
        yield Turn(
            "network", loss, parts | {"adversarial": loss.detach()}, rate=self.second_rate, betas=self.second_betas
        )

    def predict(self, source: Tensor) -> Tensor:
        """Synthetic image of a source (B, C, I, J[, K]), float32."""
        result: Tensor = self.network(source)
        return result.float()

    def _against_discriminator(self, acquired: Tensor, synthetic: Tensor) -> Tensor:
        judge = self.discriminator
        if judge is None:
            raise ConfigError("recipe pixelwise: stage two needs a discriminator")
        judge.requires_grad_(False)  # its gradient is not wanted here and costs as much as its own turn
        try:
            false = self._judge(acquired, synthetic)[1] if self.together else _maps(judge(synthetic))
        finally:
            judge.requires_grad_(True)
        if not self.minimax:
            return self.adversarial.generator(false)
        # The negative of the discriminator's loss on false images: mean of log(1 - D), which saturates.
        return -torch.stack([functional.softplus(logits.float()).mean() for logits in false]).mean()

    def _shown(self, source: Tensor, image: Tensor) -> Tensor:
        return torch.cat([source, image], dim=1) if self.conditional else image

    def _judge(self, acquired: Tensor, synthetic: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Logits of acquired and of synthetic images, each a list of maps."""
        if self.discriminator is None:
            raise ConfigError("recipe pixelwise: there is no discriminator")
        if not self.together:
            return _maps(self.discriminator(acquired)), _maps(self.discriminator(synthetic))
        both = _maps(self.discriminator(torch.cat([acquired, synthetic])))
        count = len(acquired)
        return [logits[:count] for logits in both], [logits[count:] for logits in both]


def _maps(logits: Any) -> list[Tensor]:
    """A discriminator gives one map of logits, or one for each of its scales."""
    return [logits] if isinstance(logits, Tensor) else list(logits)


def _start_from(recipe: PixelwiseRecipe, run: Path) -> None:
    """Take the network of the last checkpoint of a run, and its discriminator where it had one."""
    folder = run / "checkpoints" / "last"
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / Path(state["tensors"]).name)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(
            f"{run}: recipe.options.start must be the folder of a run with a checkpoint ({error})"
        ) from error
    weights = {name.removeprefix("recipe."): value for name, value in tensors.items() if name.startswith("recipe.")}
    judged = any(name.startswith("discriminator.") for name in weights)
    own = {n for n in recipe.state_dict() if n.startswith("network.") or (judged and n.startswith("discriminator."))}
    missing = sorted(own - weights.keys())
    if missing:
        raise CheckpointError(f"{run}: its checkpoint lacks {missing[0]}; start from a run of the recipe pixelwise")
    if next(recipe.network.parameters()).is_meta:
        return  # built without memory, to check its options
    try:
        recipe.load_state_dict({name: weights[name] for name in own}, strict=False)
    except RuntimeError as error:
        raise CheckpointError(f"{run}: {str(error).splitlines()[-1].strip()}") from error
