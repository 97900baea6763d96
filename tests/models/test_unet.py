"""The U-Net of osman2022, and the U-Net against one written in the textbook way."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from recontrast.errors import ConfigError, UnknownNameError
from recontrast.models.unet import UNet

OSMAN = {"width": 16, "depth": 4, "dropout": (0.1, 0.1, 0.2, 0.2, 0.3)}


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def textbook(model: UNet, image: torch.Tensor) -> torch.Tensor:
    """The same network from plain layers: upsample, concatenate, convolve."""
    skips = []
    for n, level in enumerate(model.down):
        image = image if n == 0 else functional.max_pool2d(image, 2)
        image = torch.relu(level.second(torch.relu(level.first(image))))
        skips.append(image)
    for level, skip in zip(model.up, reversed(skips[:-1]), strict=True):
        joined = torch.cat([functional.interpolate(image, scale_factor=2, mode="nearest"), skip], dim=1)
        image = torch.relu(level.second(torch.relu(level.first(joined))))
    return torch.tanh(model.head(image))


def test_osman2022_has_the_published_number_of_parameters() -> None:
    assert parameters(UNet(**OSMAN)) == 1_962_337
    assert parameters(UNet(**OSMAN, norm="batch")) == 1_965_281


def test_it_is_the_textbook_network() -> None:
    torch.manual_seed(1)
    model = UNet(in_channels=2, width=4, depth=3).eval()
    image = torch.rand(2, 2, 24, 32)
    torch.testing.assert_close(model(image), textbook(model, image), atol=1e-5, rtol=1e-5)


def test_gradients_are_those_of_the_textbook_network() -> None:
    torch.manual_seed(2)
    model = UNet(width=4, depth=2)
    image = torch.rand(1, 1, 16, 16)
    found = torch.autograd.grad(model(image).square().sum(), list(model.parameters()))
    expected = torch.autograd.grad(textbook(model, image).square().sum(), list(model.parameters()))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_initial_weights_are_he_uniform_and_seeded() -> None:
    torch.manual_seed(3)
    first = UNet(**OSMAN)
    torch.manual_seed(3)
    second = UNet(**OSMAN)
    weight = first.down[2].second.weight.detach()
    assert torch.equal(weight, second.down[2].second.weight)
    limit = (6 / (64 * 9)) ** 0.5
    assert weight.abs().max() <= limit
    assert weight.std() == pytest.approx(limit / 3**0.5, rel=0.02)
    assert first.down[2].second.bias.abs().max() == 0


@pytest.mark.parametrize("norm", ["none", "batch", "instance"])
@pytest.mark.parametrize("upsampling", ["nearest", "transpose"])
@pytest.mark.parametrize("dims", [2, 3])
def test_options_work_together(norm: str, upsampling: str, dims: int) -> None:
    model = UNet(spatial_dims=dims, width=4, depth=2, dropout=(0.1,), norm=norm, upsampling=upsampling)
    result = model(torch.rand(2, 1, *(10, 9, 12)[:dims]))
    result.sum().backward()
    assert result.shape == (2, 1, *(10, 9, 12)[:dims])


@pytest.mark.parametrize(("activation", "low", "high"), [("tanh", -1, 1), ("sigmoid", 0, 1)])
def test_activation_bounds_the_result(activation: str, low: float, high: float) -> None:
    result = UNet(width=4, depth=1, activation=activation)(100 * torch.randn(1, 1, 8, 8))
    assert low <= result.min()
    assert result.max() <= high


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    model = UNet(width=4, depth=2, dropout=(0.5,))
    image = torch.rand(1, 1, 16, 16)
    assert not torch.equal(model(image), model(image))
    model.eval()
    assert torch.equal(model(image), model(image))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dropout": (0.1, 0.2)}, "needs 5"),
        ({"dropout": (1.0,)}, "below 1"),
        ({"width": 0}, "at least 1"),
        ({"spatial_dims": 4}, "2 .slices. and 3"),
    ],
)
def test_wrong_options_are_explained(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        UNet(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("option", ["upsampling", "norm", "activation"])
def test_unknown_names_are_answered_with_the_known_ones(option: str) -> None:
    with pytest.raises(UnknownNameError, match="there is"):
        UNet(**{option: "nosuch"})  # type: ignore[arg-type]
