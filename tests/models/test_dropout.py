from __future__ import annotations

import pytest
import torch

from recontrast.models.dropout import dropout, kept, relu_dropout
from recontrast.translation.memory import without_values


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.999])
def test_relu_dropout_drops_at_its_rate(dtype: torch.dtype, layout: torch.memory_format, rate: float) -> None:
    torch.manual_seed(0)
    features = torch.full((8, 16, 40, 40), 2.0, dtype=dtype).contiguous(memory_format=layout)
    dropped = relu_dropout(features, rate, training=True)
    there = dropped != 0
    sigma = (rate * (1 - rate) / there.numel()) ** 0.5
    assert abs(float(there.float().mean()) - (1 - rate)) < 5 * sigma + 2 / 32768
    assert float(dropped[there].float().mean()) == pytest.approx(2 / (1 - rate), rel=0.01)


def test_relu_dropout_is_independent_between_values_and_calls() -> None:
    torch.manual_seed(0)
    first, second = (relu_dropout(torch.ones(200_001), 0.5, training=True) > 0 for _ in range(2))
    for one, other in ((first, second), (first[1:], first[:-1]), (first[4:], first[:-4])):
        assert abs(float((one == other).float().mean()) - 0.5) < 0.006


def test_relu_dropout_passes_the_gradient_of_what_it_kept() -> None:
    torch.manual_seed(0)
    values = torch.randn(1000, requires_grad=True)
    dropped = relu_dropout(values * 1.0, 0.3, training=True)
    (gradient,) = torch.autograd.grad(dropped.sum(), values)
    assert torch.equal(gradient != 0, dropped != 0)
    assert gradient[gradient != 0].unique().tolist() == pytest.approx([1 / 0.7])
    assert not (dropped < 0).any()


def test_relu_dropout_follows_the_seed_of_torch() -> None:
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(relu_dropout(torch.ones(4, 4, 8, 8), 0.5, training=True))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_relu_dropout_outside_training_is_relu() -> None:
    values = torch.randn(50)
    assert torch.equal(relu_dropout(values.clone(), 0.5, training=False), values.relu())
    assert torch.equal(relu_dropout(values.clone(), 0.0, training=True), values.relu())


@pytest.mark.parametrize("training", [True, False])
def test_relu_dropout_leaves_leaves_and_strided_inputs_alone(training: bool) -> None:
    leaf = torch.randn(20, requires_grad=True)
    before = leaf.detach().clone()
    relu_dropout(leaf, 0.5, training=training).sum().backward()
    assert torch.equal(leaf.detach(), before)
    holes = torch.randn(4, 6, 8, 8)[:, ::2]
    assert relu_dropout(holes, 0.5, training=True).shape == holes.shape


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_drops_at_its_rate_and_keeps_the_mean(dtype: torch.dtype, rate: float) -> None:
    torch.manual_seed(0)
    values = torch.full((300, 1000), -2.0, dtype=dtype)
    dropped = dropout(values, rate, training=True)
    assert dropped.dtype == dtype
    sigma = (rate * (1 - rate) / values.numel()) ** 0.5
    assert abs(float((dropped != 0).float().mean()) - (1 - rate)) < 5 * sigma + 1 / 32768
    assert float(dropped.float().mean()) == pytest.approx(-2.0, rel=0.02)


def test_dropout_passes_the_gradient_of_what_it_kept() -> None:
    torch.manual_seed(0)
    values = torch.randn(40, 50, requires_grad=True)
    dropped = dropout(values, 0.3, training=True)
    weights = torch.rand(50, 40).t()  # its gradient lies across the values in memory
    (gradient,) = torch.autograd.grad((dropped * weights).sum(), values)
    torch.testing.assert_close(gradient, (dropped != 0) * weights / 0.7)


def test_dropout_follows_the_seed_of_torch_and_leaves_values_alone() -> None:
    values = torch.randn(30, 40)
    before, results = values.clone(), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(dropout(values, 0.5, training=True))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    assert torch.equal(values, before)
    assert dropout(values, 0.5, training=False) is values
    assert dropout(values, 0.0, training=True) is values
    assert dropout(values.t(), 0.5, training=True).shape == (40, 30)


def test_masks_of_one_seed_are_the_same() -> None:
    like = torch.empty(100, 100)
    assert torch.equal(kept(like, 0.4, 7), kept(like, 0.4, 7))
    assert not torch.equal(kept(like, 0.4, 7), kept(like, 0.4, 8))


def test_memory_is_counted_without_values() -> None:
    with without_values():
        assert dropout(torch.zeros(3, 4), 0.5, training=True).shape == (3, 4)
