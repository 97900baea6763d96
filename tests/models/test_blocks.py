"""The fast forms of layers compute what the layers of torch compute."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from recontrast.models.blocks import convolve_upsampled, in_float32, relu_dropout


@pytest.mark.parametrize("size", [(5, 7), (4, 3, 6)])
def test_convolution_of_an_upsampled_image(size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    dims = len(size)
    image, weight = torch.randn(2, 3, *size), torch.randn(4, 3, *(3,) * dims)
    convolve = functional.conv2d if dims == 2 else functional.conv3d
    expected = convolve(functional.interpolate(image, scale_factor=2, mode="nearest"), weight, padding=1)
    torch.testing.assert_close(convolve_upsampled(image, weight), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.999])
def test_relu_dropout_drops_at_its_rate(dtype: torch.dtype, layout: torch.memory_format, rate: float) -> None:
    torch.manual_seed(0)
    features = torch.full((8, 16, 40, 40), 2.0, dtype=dtype).contiguous(memory_format=layout)
    dropped = relu_dropout(features, rate, training=True)
    kept = dropped != 0
    sigma = (rate * (1 - rate) / kept.numel()) ** 0.5
    assert abs(float(kept.float().mean()) - (1 - rate)) < 5 * sigma + 2 / 32768
    assert float(dropped[kept].float().mean()) == pytest.approx(2 / (1 - rate), rel=0.01)


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


def test_last_layer_is_float32_under_autocast() -> None:
    layer = torch.nn.Conv2d(4, 1, 1)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.rand(1, 4, 8, 8)).dtype == torch.bfloat16
        assert in_float32(layer, torch.rand(1, 4, 8, 8)).dtype == torch.float32
