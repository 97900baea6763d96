"""The CycleGAN generator of Grant-Jacob 2021."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from recontrast.errors import ConfigError
from recontrast.models.strided_resnet import StridedResNet


def test_number_of_parameters_by_hand() -> None:
    with torch.device("meta"):
        model = StridedResNet()
    down = 16 * (1 * 64 + 64 * 128 + 128 * 256) + 2 * (64 + 128 + 256)
    blocks = 5 * 2 * (9 * 256 * 256 + 2 * 256)
    up = 16 * (256 * 128 + 128 * 64 + 64 * 1) + 2 * (128 + 64) + 1
    assert sum(parameter.numel() for parameter in model.parameters()) == down + blocks + up


def test_strided_layers_are_four_wide_and_there_are_five_blocks() -> None:
    model = StridedResNet(width=4)
    strided = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
               and layer.stride == (2, 2)]  # fmt: skip
    assert [layer.kernel_size for layer in strided] == [(4, 4)] * 6
    assert len(model.blocks) == 5


@pytest.mark.parametrize("options", [{"blocks": 0}, {"downs": 0}, {"in_channels": 0}])
def test_options_out_of_range(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="strided residual generator"):
        StridedResNet(**options)  # type: ignore[arg-type]
