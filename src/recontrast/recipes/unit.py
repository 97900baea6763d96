"""Unpaired learning in a shared latent space.

M.-Y. Liu, T. Breuel, J. Kautz, Unsupervised image-to-image translation networks, NIPS 2017, written from its equations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from recontrast.datasets.patches import Batch
from recontrast.errors import ConfigError
from recontrast.losses.adversarial import AdversarialLoss
from recontrast.losses.latent import unit_gaussian
from recontrast.recipes import RECIPES, Turn
from recontrast.recipes.unpaired import Unpaired


@RECIPES.register("unit")
class UnitRecipe(Unpaired):
    """Four ways through one latent space: source and target, each to itself and to the other.

    A batch holds sources and targets that were drawn independently. The weights are for images on the scale [-1, 1].

    Args:
        network: The model `unit`: encoder of the source, shared blocks, decoder of the target.
        source_channels: Channels of a source; given by the training.
        discriminator: Name of a discriminator; there is one for each contrast.
        discriminator_options: Its options, but its channels.
        objective: least_squares, cross_entropy or hinge.
        real_label: Label of true images for the discriminators; below 1 it is one-sided smoothing.
        adversarial_weight: Weight of the adversarial losses.
        reconstruction_weight: Weight of each contrast's own reconstruction (L1).
        latent_weight: Weight of the divergence of the latent images from the normal distribution.
        cycle_weight: Weight of the reconstruction after there and back (L1).
        cycle_latent_weight: Weight of the divergence of the latent images on the way back.

    Raises:
        ConfigError: The network is of another kind, or a weight is negative.

    Example:
        >>> from recontrast.models.unit import Unit
        >>> list(UnitRecipe(network=Unit(width=4), discriminator_options={"width": 4}).optimized())
        ['network', 'discriminators']
    """

    def __init__(
        self,
        *,
        network: nn.Module,
        source_channels: int = 1,
        discriminator: str = "multiscale_patchgan",
        discriminator_options: Mapping[str, Any] | None = None,
        objective: str = "least_squares",
        real_label: float = 1.0,
        adversarial_weight: float = 1.0,
        reconstruction_weight: float = 10.0,
        latent_weight: float = 0.01,
        cycle_weight: float = 10.0,
        cycle_latent_weight: float = 0.01,
    ) -> None:
        super().__init__()
        if not all(hasattr(network, part) for part in ("encode", "decode", "encoder", "decoder", "back")):
            raise ConfigError(
                f"recipe unit needs encoders and decoders (model.name=unit), got {type(network).__name__}"
            )
        self.weights = {
            "adversarial": adversarial_weight, "reconstruction": reconstruction_weight, "latent": latent_weight,
            "cycle": cycle_weight, "cycle_latent": cycle_latent_weight,
        }  # fmt: skip
        if min(self.weights.values()) < 0:
            raise ConfigError("recipe unit: the weights of losses must not be negative")
        self.network = network
        # The shared blocks are part of `network` alone: they exist once, are trained once and saved once.
        self.target_encoder, self.source_decoder = network.back(1, source_channels)  # type: ignore[operator]
        game = AdversarialLoss(objective, real_label=real_label)
        self._build_discriminators(discriminator, discriminator_options, source_channels, game)

    def optimized(self) -> dict[str, list[nn.Module]]:
        """Two optimisers: encoders, shared blocks and decoders; both discriminators."""
        return {
            "network": [self.network, self.target_encoder, self.source_decoder],
            "discriminators": [self.of_target, self.of_source],
        }

    def training_step(self, batch: Batch) -> Iterator[Turn]:
        """Two turns: the networks, then the discriminators."""
        both: Any = self.network
        source, target = batch.source.clamp(0, 1), batch.target.clamp(0, 1)  # what tanh can reach, nothing to tell by
        of_source, of_target = both.encoder, self.target_encoder
        to_source, to_target = self.source_decoder, both.decoder
        size = source.shape[2:]
        latent_source, latent_target = both.encode(source, of_source), both.encode(target, of_target)
        made_target = both.decode(latent_source, to_target, size)
        made_source = both.decode(latent_target, to_source, size)
        back_source, back_target = both.encode(made_target, of_target), both.encode(made_source, of_source)
        parts = {
            "reconstruction": self._distance(source, both.decode(latent_source, to_source, size))
            + self._distance(target, both.decode(latent_target, to_target, size)),
            "latent": unit_gaussian(latent_source) + unit_gaussian(latent_target),
            "cycle": self._distance(source, both.decode(back_source, to_source, size))
            + self._distance(target, both.decode(back_target, to_target, size)),
            "cycle_latent": unit_gaussian(back_source) + unit_gaussian(back_target),
        }
        on_target, on_source = self._fooling(made_target, made_source)
        parts["adversarial"] = on_target + on_source
        loss = torch.stack([self.weights[name] * part for name, part in parts.items()]).sum()
        yield Turn("network", loss, {name: part.detach() for name, part in parts.items()})

        yield self._turn_of_discriminators((target, made_target), (source, made_source))
