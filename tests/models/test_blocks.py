"""The fast forms of layers compute what the layers of torch compute."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from recontrast.models.blocks import (
    CONVOLUTION,
    TRANSPOSED,
    ResidualBlock,
    convolve_joined,
    convolve_transposed_joined,
    convolve_upsampled,
    double,
    framed,
    gaussian_init,
    halve,
    in_float32,
    norm_layer,
    unframed,
)


@pytest.mark.parametrize("size", [(5, 7), (4, 3, 6)])
def test_convolution_of_an_upsampled_image(size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    dims = len(size)
    image, weight = torch.randn(2, 3, *size), torch.randn(4, 3, *(3,) * dims)
    convolve = functional.conv2d if dims == 2 else functional.conv3d
    expected = convolve(functional.interpolate(image, scale_factor=2, mode="nearest"), weight, padding=1)
    torch.testing.assert_close(convolve_upsampled(image, weight), expected, atol=1e-4, rtol=1e-4)
    bias = torch.randn(4)
    shifted = expected + bias.view(-1, *[1] * dims)
    torch.testing.assert_close(convolve_upsampled(image, weight, bias), shifted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dims", [2, 3])
def test_joined_images_are_convolved_without_being_made(dims: int) -> None:
    torch.manual_seed(0)
    first, second = torch.randn(2, 1, *(4, 6, 4)[:dims]), torch.randn(2, 3, *(4, 6, 4)[:dims])
    straight = CONVOLUTION[dims](4, 2, 3, 2, 1)
    torch.testing.assert_close(convolve_joined(straight, first, second), straight(torch.cat([first, second], 1)))
    transposed = TRANSPOSED[dims](4, 2, 4, 2, 1)
    expected = transposed(torch.cat([first, second], 1))
    torch.testing.assert_close(convolve_transposed_joined(transposed, first, second), expected, atol=1e-5, rtol=1e-5)


def test_last_layer_is_float32_under_autocast() -> None:
    layer = torch.nn.Conv2d(4, 1, 1)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.rand(1, 4, 8, 8)).dtype == torch.bfloat16
        assert in_float32(layer, torch.rand(1, 4, 8, 8)).dtype == torch.float32


@pytest.mark.parametrize("size", [(2, 2), (4, 6), (16, 16)])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_strided_convolutions_as_matrix_products(size: tuple[int, int], count: int, bias: bool) -> None:
    torch.manual_seed(0)
    image = torch.randn(count, 3, *size)
    for apply, layer in (
        (halve, nn.Conv2d(3, 5, 4, 2, 1, bias=bias)),
        (double, nn.ConvTranspose2d(3, 5, 4, 2, 1, bias=bias)),
    ):
        expected, found = layer(image), apply(image, layer)  # type: ignore[operator]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        parameters = list(layer.parameters())
        wanted = torch.autograd.grad(expected.square().sum(), parameters)
        for one, other in zip(torch.autograd.grad(found.square().sum(), parameters), wanted, strict=True):
            torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_batch_of_one_is_what_batch_norm_does_in_training_with_one_image(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    ours, batch_norm = norm_layer("batch_of_one", 3, 2), nn.BatchNorm2d(3)
    with torch.no_grad():
        batch_norm.weight.copy_(torch.tensor([1.0, 2.0, 0.5]))
        batch_norm.bias.copy_(torch.tensor([0.0, 1.0, -1.0]))
    ours.load_state_dict({"weight": batch_norm.weight, "bias": batch_norm.bias})
    images = torch.randn(4, 3, 6, 7).contiguous(memory_format=layout)
    one_by_one = torch.cat([batch_norm(image[None]) for image in images])
    for trained in (True, False):  # in training and at test, alone and in a batch
        torch.testing.assert_close(ours.train(trained)(images), one_by_one, atol=1e-5, rtol=1e-5)
    spoilt = batch_norm.eval()(images)  # running statistics: another function than the one that was trained
    assert (spoilt - one_by_one).abs().max() > 0.1


def test_a_single_voxel_becomes_the_shift() -> None:
    layer = norm_layer("batch_of_one", 2, 2)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([0.5, -0.5]))
    assert layer(torch.randn(1, 2, 1, 1)).flatten().tolist() == pytest.approx([0.5, -0.5], abs=1e-4)


@pytest.mark.parametrize("size", [(5, 9), (4, 7, 6)])
def test_frame_is_put_on_and_taken_off(size: tuple[int, ...]) -> None:
    image = torch.rand(1, 2, *size)
    larger = framed(image, 4, least=8)
    assert all(length % 4 == 0 and length >= 8 for length in larger.shape[2:])
    assert torch.equal(unframed(larger, size), image)
    assert float(larger.flatten()[0]) == float(image.flatten()[0])


def test_gaussian_initialisation() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(64, 64, 3), norm_layer("batch_of_one", 4096, 2))
    gaussian_init(layers)
    layers.requires_grad_(False)
    assert float(layers[0].weight.std()) == pytest.approx(0.02, rel=0.03)
    assert float(layers[0].bias.abs().max()) == 0
    assert float(layers[1].weight.mean()) == pytest.approx(1.0, abs=0.002)
    assert float(layers[1].weight.std()) == pytest.approx(0.02, rel=0.05)


def test_residual_block_of_zero_weights_changes_nothing() -> None:
    block = ResidualBlock(3, "none", 2)
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    image = torch.rand(1, 3, 5, 5)
    assert torch.equal(block(image), image)
