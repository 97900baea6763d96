"""Trans-U-Net: published size, positions of any grid, dropout in training only."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from recontrast.errors import ConfigError
from recontrast.models.trans_unet import TransUNet, _Layer

TINY = {"width": 4, "depth": 2, "blocks": (1, 1, 1), "hidden": 8, "layers": 1, "heads": 2, "mlp": 8}


def test_published_number_of_parameters_and_tokens() -> None:
    with torch.device("meta"):
        network = TransUNet(spatial_dims=3)
        tokens = []
        network.layers[0].register_forward_hook(lambda _, __, result: tokens.append(tuple(result.shape)))
        assert network(torch.empty(1, 1, 128, 128, 128)).shape == (1, 1, 128, 128, 128)
    assert sum(parameter.numel() for parameter in network.parameters()) == 32_722_561
    assert tokens == [(1, 4096, 512)]


def test_a_layer_equals_torchs_own_transformer() -> None:
    torch.manual_seed(0)
    layer = _Layer(8, 2, 16, 0.0).eval()
    own = torch.nn.TransformerEncoderLayer(8, 2, 16, 0.0, "gelu", batch_first=True, norm_first=True).eval()
    with torch.no_grad():
        own.self_attn.in_proj_weight.copy_(layer.queries_keys_values.weight)
        own.self_attn.in_proj_bias.zero_()
        pairs = [(own.self_attn.out_proj, layer.attended), (own.linear1, layer.widen), (own.linear2, layer.narrow)]
        for theirs, ours in pairs:
            theirs.load_state_dict(ours.state_dict())
        tokens = torch.rand(2, 5, 8)
        torch.testing.assert_close(layer(tokens), own(tokens), atol=1e-5, rtol=1e-5)


def test_positions_are_used_as_they_are_and_interpolated_to_other_grids() -> None:
    network = TransUNet(spatial_dims=3, position_size=4, **TINY)
    torch.nn.init.normal_(network.position)
    assert network._positions((4, 4, 4)) is network.position
    expected = functional.interpolate(network.position, size=(3, 5, 8), mode="trilinear", align_corners=False)
    assert torch.equal(network._positions((3, 5, 8)), expected)


def test_dropout_works_in_training_only() -> None:
    torch.manual_seed(0)
    network = TransUNet(spatial_dims=2, norm="none", dropout=0.5, first_dropout=0.5, **TINY)
    source = torch.rand(1, 1, 16, 16)
    assert not torch.equal(network(source), network(source))
    network.eval()
    assert torch.equal(network(source), network(source))


@pytest.mark.parametrize("options", [{"heads": 3}, {"blocks": (1, 1)}, {"dropout": 1.0}, {"activation": "softmax"}])
def test_a_network_that_cannot_be_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        TransUNet(**{**TINY, **options})  # type: ignore[arg-type]
