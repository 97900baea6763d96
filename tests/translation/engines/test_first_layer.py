from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from recontrast.execution.runtime import supports_bf16
from recontrast.translation.engines.first_layer import PARTS, exact_first_layer, in_parts, rounded
from recontrast.translation.engines.openvino import converted

openvino = pytest.importorskip("openvino", reason="the optional package openvino is not installed")

CONVOLUTION: Any = {2: nn.Conv2d, 3: nn.Conv3d}
NORM: Any = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


def result_of(model: Any, image: np.ndarray, hint: str = "f32") -> np.ndarray:
    return np.asarray(openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint})([image])[0])


def normed(dims: int, bias: bool) -> nn.Sequential:
    """Convolution, batch norm that has seen something, ReLU, convolution."""
    torch.manual_seed(0)
    norm = NORM[dims](5)
    for values in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
        values.uniform_(0.5, 2.0)
    first = CONVOLUTION[dims](2, 5, 3, padding=1, bias=bias)
    return nn.Sequential(first, norm, nn.ReLU(), CONVOLUTION[dims](5, 1, 3)).eval()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dims", [2, 3])
def test_the_same_image_from_parts(dims: int, bias: bool, rng: np.random.Generator) -> None:
    network = normed(dims, bias)
    image = rng.random((2, 2, *(8, 7, 6)[:dims]), dtype=np.float32)
    model = converted(network, image.shape)
    assert exact_first_layer(model)
    assert "BatchNormInference" not in [node.get_type_name() for node in model.get_ordered_ops()]
    assert list(model.inputs[0].get_shape()) == [2, 2 * PARTS, *image.shape[2:]]
    with torch.no_grad():
        expected = network(torch.from_numpy(image)).numpy()
    assert np.abs(result_of(model, in_parts(image)) - expected).max() < 1e-4  # u l is left out


@pytest.mark.parametrize("pad", [nn.ReplicationPad2d(2), nn.ZeroPad2d((2, 0, 1, 3)), nn.ReflectionPad2d(1)])
def test_padded_first(pad: nn.Module, rng: np.random.Generator) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(pad, nn.Conv2d(1, 4, 3), nn.InstanceNorm2d(4), nn.Conv2d(4, 1, 1)).eval()
    image = rng.random((1, 1, 8, 7), dtype=np.float32)
    model = converted(network, image.shape)
    assert exact_first_layer(model)
    with torch.no_grad():
        expected = network(torch.from_numpy(image)).numpy()
    assert np.abs(result_of(model, in_parts(image)) - expected).max() < 1e-3


class Forked(nn.Module):
    """The image goes into a convolution and beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image + self.inner(image)


@pytest.mark.parametrize(
    "network", [Forked(), nn.Sequential(nn.InstanceNorm2d(1), nn.Conv2d(1, 1, 3)), nn.MaxPool2d(2)]
)
def test_other_networks_are_left_as_they_are(network: nn.Module, rng: np.random.Generator) -> None:
    image = rng.random((1, 1, 8, 6), dtype=np.float32)
    model = converted(network.eval(), image.shape)
    assert not exact_first_layer(model)
    with torch.no_grad():
        assert np.abs(result_of(model, image) - network(torch.from_numpy(image)).numpy()).max() < 1e-5


def test_parts_add_up(rng: np.random.Generator) -> None:
    image = rng.normal(size=(2, 3, 50)).astype(np.float32)
    large, small, again = np.split(in_parts(image), PARTS, axis=1)
    assert np.array_equal(large, again)
    assert np.array_equal(large + small, image)
    assert np.array_equal(rounded(large), large)
    assert np.abs(small).max() <= 2.0**-8 * np.abs(image).max()
    assert np.abs(rounded(small) - small).max() <= 2.0**-16 * np.abs(image).max()


@pytest.mark.skipif(not supports_bf16(), reason="this processor has no bfloat16 units")
@pytest.mark.parametrize("dims", [2, 3])
def test_nearer_to_fp32(dims: int, rng: np.random.Generator) -> None:
    torch.manual_seed(0)
    norm = NORM[dims](4)
    norm.running_var.uniform_(1e-4, 1e-3)  # a network that looks at small differences
    network = nn.Sequential(CONVOLUTION[dims](1, 4, 3, padding=1), norm, nn.Sigmoid()).eval()
    image = (0.5 + 0.01 * rng.random((1, 1, *(24, 24, 24)[:dims]))).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(image)).numpy()
    plain, parts = (converted(network, image.shape) for _ in range(2))
    assert exact_first_layer(parts)
    away = [
        float(np.sqrt(np.mean((result_of(model, seen, "bf16") - expected) ** 2)))
        for model, seen in ((plain, image), (parts, in_parts(image)))
    ]
    assert 0 < away[1] < away[0] / 4
