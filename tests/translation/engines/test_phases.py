from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from recontrast.translation.engines.openvino import converted
from recontrast.translation.engines.phases import in_phases, phases

openvino = pytest.importorskip("openvino", reason="the optional package openvino is not installed")


def result_of(model: Any, image: np.ndarray) -> np.ndarray:
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    return np.asarray(openvino.Core().compile_model(model, "CPU", settings)([image])[0])


def kinds(model: Any) -> list[str]:
    return [node.get_type_name() for node in model.get_ordered_ops()]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(
    ("form", "convolutions"),
    [
        ((4, 2, 1), 4),  # pix2pix, the heads of our networks
        ((2, 2, 0), 1),  # Trans-U-Net, U-Net: all phases see the same voxel
        ((3, 2, 1, 1), 4),  # ResNet: kernels of 1 and 2
        ((6, 3, 1, 0), 0),  # its output is no multiple of its input: left as it is
        ((3, 1, 1), 1),
    ],
)
def test_the_same_image_by_ordinary_convolutions(
    dims: int, form: tuple[int, ...], convolutions: int, rng: np.random.Generator
) -> None:
    torch.manual_seed(0)
    kind: Any = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}[dims]
    layer = kind(3, 5, *form).eval()
    image = rng.random((2, 3, *(6, 5, 4)[:dims]), dtype=np.float32)
    model = converted(layer, image.shape)
    before = result_of(model, image)
    assert in_phases(model) == (convolutions > 0)
    expected = 2 ** (dims - 2) * convolutions if convolutions == 4 else convolutions
    assert kinds(model).count("Convolution") == expected
    assert kinds(model).count("ConvolutionBackpropData") == (convolutions == 0)
    after = result_of(model, image)
    assert after.shape == before.shape
    assert np.abs(after - before).max() < 1e-6
    with torch.no_grad():
        assert np.abs(after - layer(torch.from_numpy(image)).numpy()).max() < 1e-5


def test_dilated_kernels_are_left_as_they_are() -> None:
    layer = nn.ConvTranspose2d(1, 1, 4, 2, padding=2, output_padding=1, dilation=2).eval()
    model = converted(layer, (1, 1, 6, 6))
    assert in_phases(model) == 0
    assert "ConvolutionBackpropData" in kinds(model)


@pytest.mark.parametrize("form", [(4, 2, 1), (3, 2, 1), (2, 2, 0), (5, 2, 2), (7, 3, 2), (1, 1, 0)])
def test_phases_are_the_transposed_convolution(form: tuple[int, int, int], rng: np.random.Generator) -> None:
    kernel, stride, padding = form
    image, weight = rng.random(9), rng.random(kernel)
    made = phases(kernel, stride, padding, 9, 9 * stride)
    assert made is not None
    result = np.empty(9 * stride)
    for number, phase in enumerate(made):
        padded = np.pad(image, (phase.before, phase.after))
        result[number::stride] = np.correlate(padded, weight[list(phase.taps)])
    full = np.zeros(9 * stride + kernel + padding)
    for at, value in enumerate(image):
        full[at * stride : at * stride + kernel] += value * weight
    assert result == pytest.approx(full[padding : padding + 9 * stride])


def test_no_phases_without_a_multiple_or_where_a_phase_sees_nothing() -> None:
    assert phases(4, 2, 1, 9, 19) is None
    assert phases(1, 2, 0, 9, 18) is None
    assert phases(2, 2, 1, 9, 18) is None
