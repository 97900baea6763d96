from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from recontrast.execution.runtime import supports_bf16
from recontrast.translation.engines.last_layer import exact_last_layer
from recontrast.translation.engines.openvino import converted

openvino = pytest.importorskip("openvino", reason="the optional package openvino is not installed")


def result_of(model: Any, image: np.ndarray, hint: str = "f32") -> np.ndarray:
    return np.asarray(openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint})([image])[0])


class Joined(nn.Module):
    """Two last layers, added up, cut and bent; a third one is not the last."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        kind: Any = {2: nn.Conv2d, 3: nn.Conv3d}[dims]
        self.first, self.inner = kind(2, 6, 3, padding=1), kind(6, 6, 1)
        self.heads = nn.ModuleList([kind(6, 2, 1), kind(6, 2, 1, bias=False)])

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        features = torch.relu(self.first(image))
        summed = self.heads[0](features) + self.heads[1](torch.nn.functional.gelu(self.inner(features)))
        return torch.tanh(summed)[:, :, 1:].clamp(-0.5, 0.9)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_same_image_without_the_last_convolutions(dims: int, rng: np.random.Generator) -> None:
    torch.manual_seed(0)
    network = Joined(dims).eval()
    image = rng.random((2, 2, *(6, 5, 4)[:dims]), dtype=np.float32)
    model = converted(network, image.shape)
    assert exact_last_layer(model) == 2
    left = [node for node in model.get_ordered_ops() if node.get_type_name() == "Convolution"]
    assert [node.get_output_shape(0)[1] for node in left] == [6, 6]
    with torch.no_grad():
        expected = network(torch.from_numpy(image)).numpy()
    assert np.abs(result_of(model, image) - expected).max() < 1e-6


@pytest.mark.parametrize(
    "last",
    [
        nn.Conv2d(3, 1, 3, padding=1),
        nn.Conv2d(3, 1, 1, stride=2),
        nn.Conv2d(3, 1, 1, padding=1),
        nn.Conv2d(3, 9, 1),
        nn.ConvTranspose2d(3, 1, 2, 2),
        nn.Sequential(nn.Conv2d(3, 1, 1), nn.MaxPool2d(2)),
    ],
)
def test_other_last_layers_are_left_as_they_are(last: nn.Module) -> None:
    model = converted(last.eval(), (1, 3, 6, 6))
    assert exact_last_layer(model) == 0
    assert any(node.get_type_name().startswith("Convolution") for node in model.get_ordered_ops())


@pytest.mark.skipif(not supports_bf16(), reason="this processor has no bfloat16 units")
@pytest.mark.parametrize("dims", [2, 3])
def test_nearer_to_fp32(dims: int, rng: np.random.Generator) -> None:
    torch.manual_seed(0)
    kind: Any = {2: nn.Conv2d, 3: nn.Conv3d}[dims]
    network = nn.Sequential(kind(1, 16, 3, padding=1), nn.ReLU(), kind(16, 1, 1)).eval()
    with torch.no_grad():
        network[2].weight.fill_(1.0)  # bfloat16 holds it: what is rounded are the channels
    image = rng.random((1, 1, *(24, 24, 24)[:dims]), dtype=np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(image)).numpy()
    away = []
    for change in (lambda _: 0, exact_last_layer):
        model = converted(network, image.shape)
        change(model)
        away.append(float(np.sqrt(np.mean((result_of(model, image, "bf16") - expected) ** 2))))
    assert 0 < away[1] < 0.9 * away[0]
