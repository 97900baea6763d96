"""Supervised learning: paired subjects, one network, one loss between its result and the target."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from recontrast.datasets.patches import Batch
from recontrast.errors import ConfigError
from recontrast.losses import LOSSES
from recontrast.losses.shifts import best_shift, moved
from recontrast.losses.terms import build_terms
from recontrast.recipes import RECIPES, Turn

MOST_VOXELS = 8
"""Farthest that images of a pair may lie apart."""


@RECIPES.register("supervised")
class Supervised(nn.Module):
    """One network that is told the target.

    Args:
        network: Maps sources (B, C, I, J[, K]) to the target's grid, one channel.
        loss: Name of a loss in `recontrast.losses` ("mse", "l1").
        loss_options: Its options.
        masked: Let only voxels inside the head count; default: all voxels.
        terms: Further losses that are added: name to weight, or to a table of `weight` and its options.
        misaligned_voxels: Source and target of a pair may lie apart by so many voxels along each axis: the synthetic
            image is moved as a whole to where it fits the target best before they are compared. 0: as they lie.

    Raises:
        UnknownNameError: No such loss.
        ConfigError: An option does not exist, a weight is out of range, or a term is the loss itself.

    Example:
        >>> recipe = Supervised(network=nn.Conv2d(1, 1, 1), loss="l1")
        >>> recipe.predict(torch.zeros(1, 1, 4, 4)).shape
        torch.Size([1, 1, 4, 4])
    """

    paired = True

    replayed: Callable[[Tensor], Tensor] | None
    """A faster way through the network, for training; the trainer puts it there."""

    def __init__(
        self,
        *,
        network: nn.Module,
        loss: str = "mse",
        loss_options: Mapping[str, Any] | None = None,
        masked: bool = False,
        terms: Mapping[str, Any] | None = None,
        misaligned_voxels: int = 0,
    ) -> None:
        super().__init__()
        self.network = network
        self.replayed = None
        self.loss = LOSSES.build(loss, loss_options)
        self.loss_name = loss
        self.masked = masked
        self.terms = build_terms(terms or {})  # no modules of this one: they are neither trained nor saved
        if loss in (term.name for term in self.terms):
            raise ConfigError(f"recipe supervised: '{loss}' is the loss already; leave it out of recipe.options.terms")
        if not 0 <= misaligned_voxels <= MOST_VOXELS:
            raise ConfigError(
                f"recipe supervised: misaligned_voxels is {misaligned_voxels}, it must be 0 to {MOST_VOXELS}; pairs "
                "that lie farther apart must be registered (recontrast prepare)"
            )
        self.misaligned_voxels = misaligned_voxels

    def optimized(self) -> dict[str, list[nn.Module]]:
        """One optimiser, for the network."""
        return {"network": [self.network]}

    def training_step(self, batch: Batch) -> Iterator[Turn]:
        """One turn: the loss of the batch and its terms; the parts are without their weights."""
        estimate = (self.replayed or self.network)(batch.source)
        mask = batch.mask if self.masked else None
        with torch.autocast(estimate.device.type, enabled=False):
            if self.misaligned_voxels:
                shift = best_shift(batch.target, estimate, mask, self.misaligned_voxels)
                estimate = moved(estimate, shift)
            loss = self.loss(batch.target, estimate, mask)
            parts = {self.loss_name: loss.detach()}
            for term in self.terms:
                value = term(batch.target, estimate, mask, batch.lesion)
                parts[term.name] = value.detach()
                loss = loss + term.weight * value
        yield Turn("network", loss, parts)

    @torch.no_grad()
    def aligned(self, batch: Batch, estimate: Tensor) -> Batch:
        """The batch with each target moved to where the synthetic image is; as it is without `misaligned_voxels`.

        Args:
            batch: Sources and targets; a target may be nan where it is held out.
            estimate: Synthetic images of the sources.
        """
        if not self.misaligned_voxels:
            return batch
        known = batch.target.isfinite()
        shift = -best_shift(batch.target, estimate, batch.mask & known, self.misaligned_voxels)
        # What is not known is moved apart from the rest: an interpolated nan would spread.
        target = moved(batch.target.nan_to_num(), shift)
        there = moved((~known).float(), shift).abs() < 1e-3
        return batch._replace(target=target.masked_fill(~there, torch.nan), mask=batch.mask & there)

    def predict(self, source: Tensor) -> Tensor:
        """Synthetic image of a source (B, C, I, J[, K]), float32, in the network's range."""
        result: Tensor = self.network(source)
        return result.float()
