"""Unpaired learning with cycle consistency: there and back again must give the image one began with.

J.-Y. Zhu et al., Unpaired image-to-image translation using cycle-consistent adversarial networks, ICCV 2017.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import nn

from recontrast.datasets.patches import Batch
from recontrast.datasets.pool import ImagePool
from recontrast.errors import ConfigError
from recontrast.losses.adversarial import AdversarialLoss
from recontrast.recipes import RECIPES, Turn
from recontrast.recipes.unpaired import Unpaired


@RECIPES.register("cycle")
class Cycle(Unpaired):
    """Two networks, source to target and back, and a discriminator for each contrast.

    A batch holds sources and targets that were drawn independently. The weights are for images on the scale [-1, 1].

    Args:
        network: Maps sources (B, C, I, J[, K]) to the target's grid, one channel, on the scale [0, 1].
        source_channels: Channels of a source; given by the training.
        build_network: Makes the network back from its channels in and out; None: a copy of `network`.
        discriminator: Name of a discriminator.
        discriminator_options: Its options, but its channels.
        objective: least_squares (published), cross_entropy or hinge.
        real_label: Label of true images for the discriminators; below 1 it is one-sided smoothing.
        cycle_weight: Weight of the cycle loss (L1).
        identity_weight: Weight of the identity loss: a network leaves an image of its own target alone. Needs
            sources of one channel.
        pool: How many former synthetic images the discriminators are shown in turn with new ones; 0: only new ones.

    Raises:
        ConfigError: An option is out of range.

    Example:
        >>> recipe = Cycle(network=nn.Conv2d(1, 1, 1), discriminator_options={"width": 4, "strided": 1})
        >>> list(recipe.optimized())
        ['network', 'discriminators']
    """

    def __init__(
        self,
        *,
        network: nn.Module,
        source_channels: int = 1,
        build_network: Callable[[int, int], nn.Module] | None = None,
        discriminator: str = "patchgan",
        discriminator_options: Mapping[str, Any] | None = None,
        objective: str = "least_squares",
        real_label: float = 1.0,
        cycle_weight: float = 10.0,
        identity_weight: float = 0.0,
        pool: int = 50,
    ) -> None:
        super().__init__()
        if min(cycle_weight, identity_weight) < 0:
            raise ConfigError("recipe cycle: the weights of losses must not be negative")
        if identity_weight and source_channels != 1:
            raise ConfigError(
                f"recipe cycle: identity_weight needs a source of one channel, this one has {source_channels} "
                "(contrasts times slices); set identity_weight=0"
            )
        self.network = network
        self.back = build_network(1, source_channels) if build_network else copy.deepcopy(network)
        game = AdversarialLoss(objective, real_label=real_label)
        self._build_discriminators(discriminator, discriminator_options, source_channels, game)
        self.former_targets, self.former_sources = ImagePool(pool), ImagePool(pool)
        self.cycle_weight, self.identity_weight = cycle_weight, identity_weight

    def optimized(self) -> dict[str, list[nn.Module]]:
        """Two optimisers: both networks, both discriminators."""
        return {"network": [self.network, self.back], "discriminators": [self.of_target, self.of_source]}

    def training_step(self, batch: Batch) -> Iterator[Turn]:
        """Two turns: the networks, then the discriminators."""
        source, target = batch.source.clamp(0, 1), batch.target.clamp(0, 1)  # what tanh can reach, nothing to tell by
        made_target, made_source = self.network(source), self.back(target)
        on_target, on_source = self._fooling(made_target, made_source)
        parts = {"adversarial_target": on_target, "adversarial_source": on_source}
        loss = on_target + on_source
        parts["cycle_source"] = self._distance(source, self.back(made_target))
        parts["cycle_target"] = self._distance(target, self.network(made_source))
        loss = loss + self.cycle_weight * (parts["cycle_source"] + parts["cycle_target"])
        if self.identity_weight:
            parts["identity"] = self._distance(target, self.network(target)) + self._distance(source, self.back(source))
            loss = loss + self.identity_weight * parts["identity"]
        yield Turn("network", loss, {name: part.detach() for name, part in parts.items()})

        shown_target = self.former_targets.exchange(made_target.detach())
        shown_source = self.former_sources.exchange(made_source.detach())
        yield self._turn_of_discriminators((target, shown_target), (source, shown_source))
