"""The divergence of a latent image, against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from recontrast.losses.latent import unit_gaussian


def test_twice_the_divergence_from_the_normal_distribution() -> None:
    mean = torch.linspace(-2, 2, 20)
    expected = kl_divergence(Normal(mean, 1.0), Normal(0.0, 1.0)).mean()
    assert unit_gaussian(mean).item() == pytest.approx(2 * expected.item())
    assert unit_gaussian(mean.bfloat16()).dtype == torch.float32
