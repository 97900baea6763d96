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
        smooth_generator: Whether the network, too, aims at the label of true images (`real_label`, soft) in place of 1.
        soft: Labels are drawn anew for every logit: true ones up to this much below theirs, false ones above 0.
        inverted: True images have the label 0 and false ones `real_label`, as in the code of Bottani 2024.

    Raises:
        UnknownNameError: No such objective.
        ConfigError: The label is out of range, or the objective has none.

    Example:
        >>> AdversarialLoss("least_squares").discriminator(torch.tensor([0.5]), torch.tensor([0.5])).item()
        0.25
    """

    def __init__(
        self, objective: str = "cross_entropy", *, real_label: float = 1.0, smooth_generator: bool = False,
        soft: float = 0.0, inverted: bool = False,
    ) -> None:  # fmt: skip
        if objective not in OBJECTIVES:
            raise UnknownNameError.among("adversarial objective", objective, OBJECTIVES)
        if not 0.5 < real_label <= 1:
            raise ConfigError(f"real_label is {real_label}; it must be above 0.5 and at most 1 (no smoothing)")
        if not 0 <= soft < 0.5:
            raise ConfigError(f"soft labels reach {soft} from theirs; it must be at least 0 and below 0.5")
        if objective == "hinge" and (real_label != 1 or soft or inverted):
            raise ConfigError("the hinge objective has no labels: leave real_label at 1, without soft or inverted ones")
        self.objective = objective
        self.true_label, self.false_label = (0.0, real_label) if inverted else (real_label, 0.0)
        self.soft = soft
        self.generator_soft = soft if smooth_generator else 0.0
        self.generator_label = self.true_label if smooth_generator else float(not inverted)

    def discriminator(self, true: Logits, false: Logits) -> Tensor:
        """Loss of the discriminator: the mean of its losses on true and on false images."""
        on_true = _mean([self._towards(logits, self.true_label, self.soft) for logits in _maps(true)])
        on_false = _mean([self._towards(logits, self.false_label, self.soft) for logits in _maps(false)])
        return 0.5 * (on_true + on_false)

    def generator(self, false: Logits) -> Tensor:
        """Loss of the network whose images were judged `false`."""
        if self.objective == "hinge":
            return _mean([-logits.float().mean() for logits in _maps(false)])
        return _mean([self._towards(logits, self.generator_label, self.generator_soft) for logits in _maps(false)])

    def _towards(self, logits: Tensor, label: float, soft: float) -> Tensor:
        logits = logits.float()
        if self.objective == "hinge":
            return functional.relu(1.0 - logits if label else 1.0 + logits).mean()
        labels = torch.full_like(logits, label)
        if soft:
            labels += (soft if label < 0.5 else -soft) * torch.rand_like(logits)
        if self.objective == "least_squares":
            return (logits - labels).square().mean()
        return functional.binary_cross_entropy_with_logits(logits, labels)


def _maps(logits: Logits) -> Sequence[Tensor]:
    return [logits] if isinstance(logits, Tensor) else logits


def _mean(values: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(values)).mean()
