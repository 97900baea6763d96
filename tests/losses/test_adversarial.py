"""The game's losses against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from recontrast.errors import ConfigError, UnknownNameError
from recontrast.losses.adversarial import AdversarialLoss

TRUE, FALSE = torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 1.0])


def softplus(value: float) -> float:
    return math.log1p(math.exp(value))


@pytest.mark.parametrize(
    ("objective", "discriminator", "generator"),
    [
        (
            "cross_entropy",
            0.5 * ((softplus(-2) + softplus(0)) / 2 + (softplus(-1) + softplus(1)) / 2),
            (softplus(1) + softplus(-1)) / 2,
        ),
        ("least_squares", 0.5 * ((1 + 1) / 2 + (1 + 1) / 2), (4 + 0) / 2),
        ("hinge", 0.5 * ((0 + 1) / 2 + (0 + 2) / 2), 0.0),
    ],
)
def test_values_by_hand(objective: str, discriminator: float, generator: float) -> None:
    loss = AdversarialLoss(objective)
    assert loss.discriminator(TRUE, FALSE).item() == pytest.approx(discriminator, rel=1e-6)
    assert loss.generator(FALSE).item() == pytest.approx(generator, rel=1e-6)


def test_undecided_discriminator_has_the_published_loss() -> None:
    zeros = torch.zeros(1, 1, 30, 30)
    assert AdversarialLoss().discriminator(zeros, zeros).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("both", [False, True])
def test_smoothing_is_one_sided(both: bool) -> None:
    loss = AdversarialLoss("least_squares", real_label=0.9, smooth_generator=both)
    assert loss.discriminator(torch.tensor([0.9]), torch.tensor([0.0])).item() == pytest.approx(0)
    assert loss.generator(torch.tensor([0.9])).item() == pytest.approx(0.0 if both else 0.01, abs=1e-7)


def test_scales_count_alike() -> None:
    loss = AdversarialLoss("least_squares")
    maps = [torch.zeros(1, 1, 8, 8), torch.full((1, 1, 2, 2), 3.0)]
    assert loss.generator(maps).item() == pytest.approx((1 + 4) / 2)


def test_bf16_logits_give_a_float32_loss() -> None:
    assert AdversarialLoss().generator(torch.zeros(3, dtype=torch.bfloat16)).dtype == torch.float32


def test_wrong_settings() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'hinge'"):
        AdversarialLoss("hing")
    with pytest.raises(ConfigError, match="real_label"):
        AdversarialLoss(real_label=1.2)
    with pytest.raises(ConfigError, match="hinge"):
        AdversarialLoss("hinge", real_label=0.9)
