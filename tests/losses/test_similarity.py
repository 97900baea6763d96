"""SSIM as a loss is the metric's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from recontrast.errors import ConfigError
from recontrast.losses.similarity import SsimLoss
from recontrast.metrics.structure import ssim, ssim_map


@pytest.fixture(params=[(21, 26), (12, 17, 14)])
def pair(request: pytest.FixtureRequest, rng: np.random.Generator) -> list[np.ndarray]:
    true = gaussian_filter(rng.random(request.param, dtype=np.float32), 1.0)
    return [true, true + 0.05 * rng.standard_normal(true.shape, dtype=np.float32)]


def batch_of(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image[None, None])


def test_map_and_mean_equal_the_metric(pair: list[np.ndarray], rng: np.random.Generator) -> None:
    true, made = pair
    found = SsimLoss().map(batch_of(true), batch_of(made))[0, 0].numpy()
    np.testing.assert_allclose(found, ssim_map(true, made, data_range=1.0, precision="float64"), atol=1e-4)
    mask = rng.random(true.shape) > 0.5
    expected = 1 - ssim(true, made, mask=mask, data_range=1.0)
    assert SsimLoss()(batch_of(true), batch_of(made), batch_of(mask)).item() == pytest.approx(expected, abs=1e-5)


def test_range_is_stated(pair: list[np.ndarray]) -> None:
    true, made = pair
    tens = SsimLoss(data_range=10.0)(10 * batch_of(true), 10 * batch_of(made))
    assert tens.item() == pytest.approx(SsimLoss()(batch_of(true), batch_of(made)).item(), abs=1e-5)
    with pytest.raises(ConfigError, match="must be positive"):
        SsimLoss(data_range=0.0)


def test_gradient_is_finite_where_images_are_constant_and_goes_to_the_target(pair: list[np.ndarray]) -> None:
    flat = torch.zeros(1, 1, 12, 12, requires_grad=True)
    SsimLoss()(torch.zeros(1, 1, 12, 12), flat).backward()
    assert flat.grad is not None
    assert torch.isfinite(flat.grad).all()
    true, made = (batch_of(image) for image in pair)
    made = made.clone().requires_grad_()
    loss = SsimLoss()(true, made)
    (slope,) = torch.autograd.grad(loss, made)
    assert SsimLoss()(true, made - 0.02 * slope / slope.abs().max()) < loss
