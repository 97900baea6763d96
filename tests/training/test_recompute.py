"""Levels that are computed again learn what levels that are kept learn."""

from __future__ import annotations

import copy

import pytest
import torch

from recontrast.models import MODELS
from recontrast.training.recompute import recompute_levels

SMALL = {
    "att_unet": {"width": 4, "depth": 2},
    "res_unet": {"width": 2, "depth": 2},
    "unet": {"width": 4, "depth": 1, "dropout": [0.2], "norm": "batch"},
    "trans_unet": {
        "width": 4, "depth": 1, "blocks": (1, 1), "hidden": 8, "layers": 2, "heads": 2, "mlp": 8, "dropout": 0.2,
    },
}  # fmt: skip


@pytest.mark.parametrize(("name", "levels"), [("att_unet", 5), ("res_unet", 5), ("unet", 3), ("trans_unet", 5)])
def test_gradients_and_averages_stay_and_less_is_kept(name: str, levels: int) -> None:
    torch.manual_seed(0)
    plain = MODELS.build(name, {"spatial_dims": 3, **SMALL[name]}).train()
    again = copy.deepcopy(plain)
    assert recompute_levels(again) == levels
    again = copy.deepcopy(again)  # as for averaged weights: the copy must use its own weights
    source = torch.rand(2, 1, 8, 8, 8)
    kept = []
    for network in (plain, again):
        sizes: list[int] = []

        def keep(tensor: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        torch.manual_seed(1)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = network(source).square().mean()
        kept.append(sum(sizes))
        loss.backward()
    assert kept[1] < 0.7 * kept[0]
    for (label, one), other in zip(plain.named_parameters(), again.parameters(), strict=True):
        assert other.grad is not None, label
        torch.testing.assert_close(other.grad, one.grad, atol=1e-6, rtol=1e-4)
    for (label, one), other in zip(plain.named_buffers(), again.buffers(), strict=True):
        torch.testing.assert_close(other, one, msg=label)
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(source), plain.eval()(source))
