"""Paired adversarial learning: a network that is told the target, and a discriminator that judges its images.

P. Isola et al., Image-to-image translation with conditional adversarial networks, CVPR 2017.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recontrast.datasets.patches import Batch
from recontrast.errors import ConfigError
from recontrast.losses import LOSSES
from recontrast.losses.adversarial import AdversarialLoss
from recontrast.losses.perceptual import PerceptualLoss
from recontrast.models import DISCRIMINATORS
from recontrast.models.blocks import centred
from recontrast.recipes import RECIPES, Turn


@RECIPES.register("adversarial")
class Adversarial(nn.Module):
    """Network and discriminator in turn, as in pix2pix; the discriminator goes first.

    Two stages may come before: the network alone, with the reconstruction loss, then the discriminator alone, against
    the network as it is. The number of the step (`steps_taken`) decides, and a resumed run goes on in the right stage.

    All weights are for images on the scale [-1, 1], as published: an L1 of 0.01 on the scale [0, 1] counts as 0.02.

    Args:
        network: Maps sources (B, C, I, J[, K]) to the target's grid, one channel, on the scale [0, 1].
        source_channels: Channels of a source; given by the training.
        spatial_dims: 2 or 3; given by the training.
        first_steps: Steps of the network alone.
        second_steps: Steps of the discriminator alone, after them.
        discriminator: Name of a discriminator.
        discriminator_options: Its options, but its channels.
        conditional: Whether the discriminator sees the source beside the image it judges.
        objective: cross_entropy, least_squares or hinge.
        real_label: Label of true images for the discriminator; below 1 it is one-sided smoothing.
        smooth_generator: Whether the network aims at that label as well.
        soft_labels: Labels are drawn up to this far from theirs (0.3: true ones from 0.7 to 1, false ones to 0.3).
        inverted_labels: True images have the label 0, false ones 1.
        adversarial_weight: Weight of the adversarial loss.
        reconstruction: Loss between result and target (l1, mse).
        reconstruction_weight: Its weight.
        perceptual: none, lpips_vgg, vgg19_54 or vgg19_22.
        perceptual_weight: Its weight; 0 leaves it out (a sweep of weights begins there), and no file is read.
        perceptual_weights: Files with the weights of its networks; see `recontrast.losses.perceptual`.

    Raises:
        ConfigError: An option is out of range, or weights are not there.

    Example:
        >>> recipe = Adversarial(network=nn.Conv2d(1, 1, 1), discriminator_options={"width": 4, "strided": 1})
        >>> list(recipe.optimized())
        ['discriminator', 'network']
    """

    paired = True
    steps_taken: Tensor | None

    def __init__(
        self,
        *,
        network: nn.Module,
        source_channels: int = 1,
        spatial_dims: int = 2,
        first_steps: int = 0,
        second_steps: int = 0,
        discriminator: str = "patchgan",
        discriminator_options: Mapping[str, Any] | None = None,
        conditional: bool = True,
        objective: str = "cross_entropy",
        real_label: float = 1.0,
        smooth_generator: bool = False,
        soft_labels: float = 0.0,
        inverted_labels: bool = False,
        adversarial_weight: float = 1.0,
        reconstruction: str = "l1",
        reconstruction_weight: float = 100.0,
        perceptual: str = "none",
        perceptual_weight: float | None = None,
        perceptual_weights: Sequence[str] | str = (),
    ) -> None:
        super().__init__()
        if min(adversarial_weight, reconstruction_weight, perceptual_weight or 0.0) < 0:
            raise ConfigError("recipe adversarial: the weights of losses must not be negative")
        if perceptual != "none" and perceptual_weight is None:
            raise ConfigError(f"recipe adversarial: perceptual={perceptual} has no perceptual_weight; give it one")
        if min(first_steps, second_steps) < 0:
            raise ConfigError("recipe adversarial: first_steps and second_steps must not be negative")
        self.network = network
        self.stages = (first_steps, first_steps + second_steps)
        self.register_buffer("steps_taken", torch.zeros((), dtype=torch.int64) if any(self.stages) else None)
        options = {"spatial_dims": spatial_dims, **(discriminator_options or {})}
        channels = 1 + (source_channels if conditional else 0)
        self.discriminator = DISCRIMINATORS.build(discriminator, {"in_channels": channels, **options})
        self.conditional = conditional
        self.adversarial = AdversarialLoss(
            objective, real_label=real_label, smooth_generator=smooth_generator, soft=soft_labels,
            inverted=inverted_labels,
        )  # fmt: skip
        self.reconstruction = LOSSES.build(reconstruction)
        self.reconstruction_name = reconstruction
        self.weights = (adversarial_weight, reconstruction_weight, perceptual_weight or 0.0)
        wanted = perceptual != "none" and perceptual_weight
        self.perceptual = PerceptualLoss(perceptual, perceptual_weights) if wanted else None

    @property
    def last_stage(self) -> int:
        """Steps before the stage in which both learn."""
        return self.stages[1]

    def optimized(self) -> dict[str, list[nn.Module]]:
        """Two optimisers."""
        return {"discriminator": [self.discriminator], "network": [self.network]}

    def training_step(self, batch: Batch) -> Iterator[Turn]:
        """Two turns: the discriminator on the target and on the network's image, then the network; or one alone."""
        network_alone, discriminator_alone = self._stage()
        with torch.set_grad_enabled(not discriminator_alone):
            estimate = centred(self.network(batch.source))
        source, target = centred(batch.source), centred(batch.target)
        if network_alone:
            with torch.autocast(estimate.device.type, enabled=False):
                loss = self.reconstruction(target, estimate)
            yield Turn("network", self.weights[1] * loss, {self.reconstruction_name: loss.detach()})
            return
        true, false = self._judge(source, target), self._judge(source, estimate.detach())
        loss = self.adversarial.discriminator(true, false)
        yield Turn("discriminator", loss, {"discriminator": loss.detach()})
        if discriminator_alone:
            return

        self.discriminator.requires_grad_(False)  # its gradient is not wanted here and costs as much as its own turn
        try:
            false = self._judge(source, estimate)
        finally:
            self.discriminator.requires_grad_(True)
        on_adversarial, on_reconstruction, on_perceptual = self.weights
        parts = {"adversarial": self.adversarial.generator(false)}
        with torch.autocast(estimate.device.type, enabled=False):
            parts[self.reconstruction_name] = self.reconstruction(target, estimate)
        loss = on_adversarial * parts["adversarial"] + on_reconstruction * parts[self.reconstruction_name]
        if self.perceptual is not None:
            parts["perceptual"] = self.perceptual(target, estimate)
            loss = loss + on_perceptual * parts["perceptual"]
        yield Turn("network", loss, {name: part.detach() for name, part in parts.items()})

    def predict(self, source: Tensor) -> Tensor:
        """Synthetic image of a source (B, C, I, J[, K]), float32, on the scale [0, 1]."""
        result: Tensor = self.network(source)
        return result.float()

    def _stage(self) -> tuple[bool, bool]:
        """Whether this step is of the network alone, and of the discriminator alone."""
        if self.steps_taken is None:
            return False, False
        taken = int(self.steps_taken)
        return taken < self.stages[0], self.stages[0] <= taken < self.stages[1]

    def _judge(self, source: Tensor, image: Tensor) -> Any:
        return self.discriminator(torch.cat([source, image], dim=1) if self.conditional else image)
