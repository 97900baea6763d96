"""The residual generator: its numbers, its ends."""

from __future__ import annotations

import pytest
import torch

from recontrast.errors import ConfigError
from recontrast.models.resnet import ResNet


@pytest.mark.parametrize(
    ("blocks", "channels", "expected"),
    [(9, 1, 11_365_633), (9, 3, 11_378_179), (5, 1, 6_644_993), (5, 3, 6_657_539), (6, 1, 7_825_153)],
)
def test_published_numbers_of_parameters(blocks: int, channels: int, expected: int) -> None:
    with torch.device("meta"):
        model = ResNet(in_channels=channels, out_channels=channels, blocks=blocks)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_result_lies_on_the_scale_of_images() -> None:
    result = ResNet(width=4, blocks=1)(30 * torch.randn(1, 1, 12, 12))
    assert result.min() >= 0
    assert result.max() <= 1


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    model = ResNet(width=4, blocks=2, dropout=0.5)
    image = torch.rand(1, 1, 12, 12)
    assert not torch.equal(model(image), model(image))
    model.eval()
    assert torch.equal(model(image), model(image))


@pytest.mark.parametrize("options", [{"blocks": 0}, {"width": 0}, {"dropout": 1.0}, {"downs": 0}])
def test_options_out_of_range(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="residual generator"):
        ResNet(**options)  # type: ignore[arg-type]
