"""What a discriminator and the network it judges minimise. Always computed in float32, from logits.

Cross-entropy: I. Goodfellow et al., Generative adversarial nets, NIPS 2014 (the non-saturating form). Least squares:
X. Mao et al., ICCV 2017. Hinge: J. H. Lim and J. C. Ye, Geometric GAN, 2017.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from recontrast.errors import ConfigError, UnknownNameError

OBJECTIVES = ("cross_entropy", "least_squares", "hinge")
"""Names of the objectives of `AdversarialLoss`."""

Logits = Tensor | Sequence[Tensor]
"""What a discriminator gives: one map of logits, or one for each of its scales, which count alike."""


class AdversarialLoss:
    """The game between a network and its discriminator.

    Args:
        objective: cross_entropy, least_squares or hinge.
        real_label: What the discriminator is to answer to true images; below 1 it is one-sided smoothing (T. Salimans
            et al., NIPS 2016, section 3.4). False images stay at 0.
        smooth_generator: Whether the network, too, aims at `real_label` in place of 1.

    Raises:
        UnknownNameError: No such objective.
        ConfigError: The label is out of range, or the objective has none.

    Example:
        >>> AdversarialLoss("least_squares").discriminator(torch.tensor([0.5]), torch.tensor([0.5])).item()
        0.25
    """

    def __init__(
        self, objective: str = "cross_entropy", *, real_label: float = 1.0, smooth_generator: bool = False
    ) -> None:
        if objective not in OBJECTIVES:
            raise UnknownNameError.among("adversarial objective", objective, OBJECTIVES)
        if not 0.5 < real_label <= 1:
            raise ConfigError(f"real_label is {real_label}; it must be above 0.5 and at most 1 (no smoothing)")
        if objective == "hinge" and real_label != 1:
            raise ConfigError("the hinge objective has no labels to smooth: leave real_label at 1")
        self.objective = objective
        self.real_label = real_label
        self.generator_label = real_label if smooth_generator else 1.0

    def discriminator(self, true: Logits, false: Logits) -> Tensor:
        """Loss of the discriminator: the mean of its losses on true and on false images."""
        on_true = _mean([self._towards(logits, self.real_label) for logits in _maps(true)])
        on_false = _mean([self._towards(logits, 0.0) for logits in _maps(false)])
        return 0.5 * (on_true + on_false)

    def generator(self, false: Logits) -> Tensor:
        """Loss of the network whose images were judged `false`."""
        if self.objective == "hinge":
            return _mean([-logits.float().mean() for logits in _maps(false)])
        return _mean([self._towards(logits, self.generator_label) for logits in _maps(false)])

    def _towards(self, logits: Tensor, label: float) -> Tensor:
        logits = logits.float()
        if self.objective == "hinge":
            return functional.relu(1.0 - logits if label else 1.0 + logits).mean()
        if self.objective == "least_squares":
            return (logits - label).square().mean()
        return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def _maps(logits: Logits) -> Sequence[Tensor]:
    return [logits] if isinstance(logits, Tensor) else logits


def _mean(values: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(values)).mean()
