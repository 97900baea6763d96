"""Training losses are the metrics of the evaluation, in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recontrast.losses import LOSSES
from recontrast.metrics import METRICS

TWINS = {"mse": "mse", "l1": "mae"}


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("masked", [False, True])
def test_loss_equals_the_numpy_metric(name: str, masked: bool, rng: np.random.Generator) -> None:
    reference, estimate = rng.random((2, 9, 10, 11), dtype=np.float32)
    mask = rng.random((9, 10, 11)) > 0.4 if masked else None
    expected = METRICS.get(TWINS[name])(reference, estimate, mask=mask, data_range=1.0)
    found = LOSSES.build(name)(*(torch.from_numpy(a[None, None]) for a in (reference, estimate)), _tensor(mask))
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", sorted(set(LOSSES.names()) - {"segmentation"}))  # which needs a network
def test_loss_is_float32_also_from_bf16(name: str) -> None:
    reference, estimate = torch.rand(2, 1, 1, 8, 8)
    found = LOSSES.build(name)(reference, estimate.bfloat16())
    assert found.dtype == torch.float32
    assert found.shape == ()


@pytest.mark.parametrize("name", TWINS)
def test_empty_mask_gives_no_loss_and_a_finite_gradient(name: str) -> None:
    estimate = torch.rand(1, 1, 4, 4, requires_grad=True)
    loss = LOSSES.build(name)(torch.rand(1, 1, 4, 4), estimate, torch.zeros(1, 1, 4, 4, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert estimate.grad is not None
    assert torch.isfinite(estimate.grad).all()


@pytest.mark.parametrize("name", TWINS)
def test_different_shapes_are_not_broadcast(name: str) -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        LOSSES.build(name)(torch.rand(1, 1, 4, 4), torch.rand(1, 2, 4, 4))


def _tensor(mask: np.ndarray | None) -> torch.Tensor | None:
    return None if mask is None else torch.from_numpy(mask[None, None])
