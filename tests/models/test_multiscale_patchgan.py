"""Discriminators at several scales."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from recontrast.errors import ConfigError
from recontrast.models.multiscale_patchgan import MultiscalePatchGAN


@pytest.mark.parametrize(("channels", "expected"), [(1, 8_265_027), (3, 8_271_171)])
def test_published_numbers_of_parameters(channels: int, expected: int) -> None:
    with torch.device("meta"):
        model = MultiscalePatchGAN(in_channels=channels)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_each_scale_sees_half_the_resolution() -> None:
    torch.manual_seed(0)
    model = MultiscalePatchGAN(width=2, layers=2)
    image = torch.rand(2, 1, 32, 48)
    found = model(image)
    assert [tuple(logits.shape) for logits in found] == [(2, 1, 8, 12), (2, 1, 4, 6), (2, 1, 2, 3)]
    halved = functional.avg_pool2d(image, 3, 2, 1, count_include_pad=False)
    assert torch.equal(found[1], model.scales[1](halved))


def test_volumes_too() -> None:
    assert len(MultiscalePatchGAN(spatial_dims=3, width=2, layers=1, scales=2)(torch.rand(1, 1, 8, 8, 8))) == 2


def test_options_out_of_range() -> None:
    with pytest.raises(ConfigError, match="multi-scale"):
        MultiscalePatchGAN(scales=0)


def test_images_smaller_than_the_smallest_scale_can_see() -> None:
    found = MultiscalePatchGAN(width=2, layers=3)(torch.rand(1, 1, 5, 1))
    assert all(torch.isfinite(logits).all() for logits in found)
