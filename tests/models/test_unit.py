"""UNIT: its numbers, its shared blocks, its noise."""

from __future__ import annotations

import pytest
import torch

from recontrast.errors import ConfigError, UnknownNameError
from recontrast.models.unit import Unit

REFERENCE = {"private": 3, "shared": 1, "kernel": 4, "upsampling": "resize"}
"""Four residual blocks in encoder and decoder, as in the authors' network."""


@pytest.mark.parametrize(("channels", "expected"), [(1, 11_127_937), (3, 11_140_483)])
def test_published_numbers_of_parameters(channels: int, expected: int) -> None:
    with torch.device("meta"):
        model = Unit(in_channels=channels, out_channels=channels, **REFERENCE)  # type: ignore[arg-type]
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_latent_image_has_the_published_shape() -> None:
    with torch.no_grad():
        model = Unit(private=0, shared=0).eval()
        assert model.encode(torch.rand(1, 1, 512, 64), model.encoder).shape == (1, 256, 128, 16)


def test_both_contrasts_go_through_the_same_blocks_but_have_their_own_ends() -> None:
    torch.manual_seed(0)
    model = Unit(width=2, private=1, shared=1).eval()
    encoder, decoder = model.back(1, 1)
    source = torch.rand(1, 1, 16, 16)
    before = model.encode(source, encoder)
    own = {id(p) for part in (model.encoder, model.decoder) for p in part.parameters()}
    assert not own & {id(p) for part in (encoder, decoder) for p in part.parameters()}
    with torch.no_grad():
        model.shared_encoder[0].second.weight.mul_(2.0)
        assert not torch.equal(model.encode(source, encoder), before)


def test_latent_noise_is_added_in_training_only() -> None:
    torch.manual_seed(0)
    model = Unit(width=2, private=0, shared=1)
    image = torch.rand(1, 1, 12, 12)
    assert not torch.equal(model(image), model(image))
    model.eval()
    assert torch.equal(model(image), model(image))


@pytest.mark.parametrize("upsampling", ["transpose", "resize"])
@pytest.mark.parametrize("kernel", [3, 4])
@pytest.mark.parametrize("dims", [2, 3])
def test_options_work_together(upsampling: str, kernel: int, dims: int) -> None:
    model = Unit(spatial_dims=dims, width=2, private=1, shared=0, kernel=kernel, upsampling=upsampling)
    assert model(torch.rand(1, 1, *(10, 9, 12)[:dims])).shape == (1, 1, *(10, 9, 12)[:dims])


@pytest.mark.parametrize("options", [{"private": -1}, {"kernel": 5}, {"width": 0}])
def test_options_out_of_range(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="UNIT needs"):
        Unit(**options)  # type: ignore[arg-type]


def test_unknown_upsampling() -> None:
    with pytest.raises(UnknownNameError, match="upsampling of UNIT"):
        Unit(upsampling="resise")
