"""The U-Net of pix2pix: its numbers, its textbook form, what is drawn at random, what padding does."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from recontrast.errors import ConfigError, UnknownNameError
from recontrast.models.pix2pix_unet import Pix2PixUNet


def parameters(**options: object) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in Pix2PixUNet(**options).parameters())  # type: ignore[arg-type]


def textbook(model: Pix2PixUNet, image: Tensor) -> Tensor:
    """The same network, level inside level, from plain layers: no dropout, images normalised by themselves."""

    def norm(features: Tensor, layer: nn.Module) -> Tensor:
        return functional.instance_norm(features, weight=layer.weight, bias=layer.bias)

    def level(number: int, features: Tensor) -> Tensor:
        inner = model.down[number](functional.leaky_relu(features, 0.2) if number else features)
        if 0 < number < model.downs - 1:
            inner = norm(inner, model.down_norm[number - 1])
        if number < model.downs - 1:
            inner = torch.cat([inner, level(number + 1, inner)], dim=1)
        raised = model.up[number - 1] if number else model.head
        result = raised(functional.relu(inner))
        return norm(result, model.up_norm[number - 1]) if number else result

    return 0.5 * torch.tanh(level(0, 2 * image - 1)) + 0.5


@pytest.mark.parametrize(
    ("downs", "channels", "expected"),
    [(8, 1, 54_407_809), (8, 3, 54_413_955), (9, 1, 66_992_769), (9, 3, 66_998_915)],
)
@pytest.mark.parametrize("norm", ["batch", "batch_of_one"])
def test_published_numbers_of_parameters(downs: int, channels: int, expected: int, norm: str) -> None:
    assert parameters(in_channels=channels, out_channels=channels, downs=downs, norm=norm) == expected


@pytest.mark.parametrize("downs", [7, 8, 9])
def test_every_depth_gives_its_own_size_back(downs: int) -> None:
    model = Pix2PixUNet(width=2, downs=downs).eval()
    with torch.no_grad():
        assert model(torch.rand(1, 1, 2**downs, 40)).shape == (1, 1, 2**downs, 40)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_it_is_the_textbook_network_with_the_same_gradients(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    model = Pix2PixUNet(width=4, downs=5, dropout=0.0)
    image = torch.rand(2, 1, 64, 96)
    expected = textbook(model, image)
    wanted = torch.autograd.grad(expected.square().sum(), list(model.parameters()))
    model = model.to(memory_format=layout)
    found = model(image.contiguous(memory_format=layout))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    gradients = torch.autograd.grad(found.square().sum(), list(model.parameters()))
    for one, other in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=2e-3, rtol=2e-3)


def test_a_size_that_cannot_be_halved_is_framed_by_its_own_edge() -> None:
    torch.manual_seed(0)
    model = Pix2PixUNet(width=4, downs=3).eval()
    image = torch.rand(1, 1, 13, 20)
    by_hand = functional.pad(image, (2, 2, 1, 2), mode="replicate")  # 13 to 16, 20 to 24
    with torch.no_grad():
        assert torch.equal(model(image), model(by_hand)[..., 1:14, 2:22])


def test_dropout_acts_in_training_or_when_asked_for_by_name() -> None:
    image = torch.rand(1, 1, 128, 128)
    for asked in (False, True):
        torch.manual_seed(0)
        model = Pix2PixUNet(width=2, downs=7, dropout_at_test=asked)
        assert not torch.equal(model(image), model(image))
        model.eval()
        assert torch.equal(model(image), model(image)) is not asked


def test_dropout_stands_in_the_published_places(monkeypatch: pytest.MonkeyPatch) -> None:
    from recontrast.models import pix2pix_unet

    rates = []
    monkeypatch.setattr(pix2pix_unet, "relu_dropout", lambda x, rate, _: rates.append(rate) or functional.relu(x))
    Pix2PixUNet(width=2, downs=8)(torch.rand(1, 1, 256, 256))
    assert rates == [0.0, 0.5, 0.5, 0.5, 0.0, 0.0, 0.0]  # from the innermost step outward: 8, 7, 6, 5, 4, 3, 2


def test_noise_is_drawn_in_training_only() -> None:
    torch.manual_seed(0)
    model = Pix2PixUNet(width=2, downs=3, dropout=0.0, noise_channels=1)
    image = torch.rand(1, 1, 16, 16)
    assert model.down[0].weight.shape[1] == 2
    assert not torch.equal(model(image), model(image))
    model.eval()
    assert torch.equal(model(image), model(image))


def test_constant_image_gives_finite_numbers() -> None:
    model = Pix2PixUNet(width=2, downs=4)
    result = model(torch.full((1, 1, 16, 16), 0.3))
    result.sum().backward()
    assert torch.isfinite(result).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("options", [{"downs": 1}, {"width": 0}, {"dropout": 1.0}, {"noise_channels": -1}])
def test_options_out_of_range(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="pix2pix U-Net"):
        Pix2PixUNet(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("option", ["norm", "activation"])
def test_unknown_names(option: str) -> None:
    with pytest.raises(UnknownNameError, match="there is"):
        Pix2PixUNet(downs=3, width=2, **{option: "nosuch"})  # type: ignore[arg-type]
