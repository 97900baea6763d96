"""What the recipes share that learn from independent draws of sources and targets; it is no recipe by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from recontrast.losses.adversarial import AdversarialLoss
from recontrast.losses.reconstruction import MeanAbsoluteError
from recontrast.models import DISCRIMINATORS
from recontrast.models.blocks import centred
from recontrast.recipes import Turn


class Unpaired(nn.Module):
    """A network that is saved, and a discriminator for each contrast, which sees images on the scale [-1, 1].

    A recipe built on it sets `network` and calls `_build_discriminators` once its networks are there: what chance gives
    each weight, and where it stands in a checkpoint, depends on the order.
    """

    paired = False
    network: nn.Module

    def _build_discriminators(
        self, name: str, options: Mapping[str, Any] | None, source_channels: int, adversarial: AdversarialLoss
    ) -> None:
        """Build `of_target` and `of_source`.

        Args:
            name: Name of a discriminator.
            options: Its options, but its channels.
            source_channels: Channels of a source.
            adversarial: The game between networks and discriminators.
        """
        self.of_target = DISCRIMINATORS.build(name, {"in_channels": 1, **(options or {})})
        self.of_source = DISCRIMINATORS.build(name, {"in_channels": source_channels, **(options or {})})
        self.adversarial = adversarial
        self.l1 = MeanAbsoluteError()

    def predict(self, source: Tensor) -> Tensor:
        """Synthetic image of a source (B, C, I, J[, K]), float32, on the scale [0, 1]."""
        result: Tensor = self.network(source)
        return result.float()

    def _distance(self, reference: Tensor, estimate: Tensor) -> Tensor:
        """L1 on the scale [-1, 1]."""
        with torch.autocast(estimate.device.type, enabled=False):
            result: Tensor = self.l1(centred(reference), centred(estimate))
        return result

    def _fooling(self, made_target: Tensor, made_source: Tensor) -> tuple[Tensor, Tensor]:
        """Losses of the networks that made these images, each from the discriminator of its contrast."""
        judges = nn.ModuleList([self.of_target, self.of_source]).requires_grad_(False)
        try:
            on_target = self.adversarial.generator(self.of_target(centred(made_target)))
            return on_target, self.adversarial.generator(self.of_source(centred(made_source)))
        finally:
            judges.requires_grad_(True)

    def _turn_of_discriminators(self, targets: tuple[Tensor, Tensor], sources: tuple[Tensor, Tensor]) -> Turn:
        """Both discriminators on true images and on made ones, in this order."""
        on_target, on_source = (
            self.adversarial.discriminator(judge(centred(true)), judge(centred(made.detach())))
            for judge, (true, made) in ((self.of_target, targets), (self.of_source, sources))
        )
        parts = {"discriminator_target": on_target.detach(), "discriminator_source": on_source.detach()}
        return Turn("discriminators", on_target + on_source, parts)
