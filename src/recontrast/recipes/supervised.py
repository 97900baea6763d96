"""Supervised learning: paired subjects, one network, one loss between its result and the target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from recontrast.datasets.patches import Batch
from recontrast.losses import LOSSES
from recontrast.recipes import RECIPES, Turn


@RECIPES.register("supervised")
class Supervised(nn.Module):
    """One network that is told the target.

    Args:
        network: Maps sources (B, C, I, J[, K]) to the target's grid, one channel.
        loss: Name of a loss in `recontrast.losses` ("mse", "l1").
        loss_options: Its options.
        masked: Let only voxels inside the head count; default: all voxels.

    Example:
        >>> recipe = Supervised(network=nn.Conv2d(1, 1, 1), loss="l1")
        >>> recipe.predict(torch.zeros(1, 1, 4, 4)).shape
        torch.Size([1, 1, 4, 4])
    """

    paired = True

    def __init__(
        self,
        *,
        network: nn.Module,
        loss: str = "mse",
        loss_options: Mapping[str, Any] | None = None,
        masked: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = LOSSES.build(loss, loss_options)
        self.loss_name = loss
        self.masked = masked

    def optimized(self) -> dict[str, list[nn.Module]]:
        """One optimiser, for the network."""
        return {"network": [self.network]}

    def training_step(self, batch: Batch) -> Iterator[Turn]:
        """One turn: the loss of the batch."""
        estimate = self.network(batch.source)
        with torch.autocast(estimate.device.type, enabled=False):
            loss = self.loss(batch.target, estimate, batch.mask if self.masked else None)
        yield Turn("network", loss, {self.loss_name: loss.detach()})

    def predict(self, source: Tensor) -> Tensor:
        """Synthetic image of a source (B, C, I, J[, K]), float32, in the network's range."""
        result: Tensor = self.network(source)
        return result.float()
