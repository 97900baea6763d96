"""Engines run networks of volumes as PyTorch does."""

from __future__ import annotations

import pytest
import torch

from recontrast.models import MODELS
from recontrast.translation.engines.choice import Engines, EngineSettings
from recontrast.translation.engines.openvino import OpenVINOEngine
from recontrast.translation.engines.pytorch import PyTorchEngine

SMALL = {
    "res_unet": {"width": 2, "depth": 2},
    "att_unet": {"width": 4, "depth": 2},
    "trans_unet": {"width": 4, "depth": 1, "blocks": (1, 1), "hidden": 16, "layers": 1, "heads": 2, "mlp": 16},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SMALL))
def test_volumes_of_any_size_are_the_same_in_every_engine(name: str) -> None:
    pytest.importorskip("openvino")
    torch.manual_seed(0)
    network = MODELS.build(name, {"in_channels": 2, "spatial_dims": 3, **SMALL[name]}).eval()
    volume = torch.rand(1, 2, 17, 12, 9)
    with torch.no_grad():
        expected = network(volume)
    found = torch.from_numpy(OpenVINOEngine(network, "fp32", batch=1)(volume.numpy()))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)
    coarse = torch.from_numpy(PyTorchEngine(network, "bf16")(volume.numpy()))
    assert (coarse - expected).abs().max() < 0.1 * expected.std() + 0.02


def test_volumes_go_one_by_one() -> None:
    network = torch.nn.Conv3d(1, 1, 1)
    settings = EngineSettings(engine="torch", precision="fp32", batch=5)
    assert Engines(network, (0.0, 1.0), settings, volumes=True).batch == 1
    assert Engines(network, (0.0, 1.0), settings).batch == 5
