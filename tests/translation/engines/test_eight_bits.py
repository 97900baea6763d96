from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from recontrast.models import MODELS
from recontrast.translation.engines import eight_bits
from recontrast.translation.engines.eight_bits import integer_inputs, integer_weights, on_grid, reach, watched
from recontrast.translation.engines.openvino import OpenVINOEngine, converted
from recontrast.translation.engines.pytorch import PyTorchEngine

openvino = pytest.importorskip("openvino", reason="the optional package openvino is not installed")

SHAPE = (2, 1, 16, 24)


@pytest.fixture
def network() -> nn.Module:
    """Two convolutions that change the image and one that puts it together; values between them are known."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, 1, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, 1, 1), nn.LeakyReLU(0.2), nn.ConvTranspose2d(4, 1, 2, 2)
    ).eval()


@pytest.fixture
def image(rng: np.random.Generator) -> np.ndarray:
    return rng.random(SHAPE, dtype=np.float32)


def request_of(model: Any) -> Any:
    return openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()


@pytest.mark.parametrize(("low", "high"), [(0.0, 3.0), (-2.0, 0.0), (-0.001, 5.0), (-7.0, 0.002), (-1.0, 1.0)])
def test_zero_lies_on_a_step_and_nothing_is_cut_off(low: float, high: float) -> None:
    first, last = on_grid(low, high)
    step = (last - first) / 255
    assert first <= low
    assert last >= high
    assert -first / step == pytest.approx(round(-first / step), abs=1e-9)
    assert last - first < 1.02 * (high - low) or min(-low, high) < step


def test_what_is_watched_is_what_the_convolutions_see(network: nn.Module, image: np.ndarray) -> None:
    seen = np.array(request_of(watched(converted(network, SHAPE))).infer([image])[0])
    with torch.no_grad():
        first = network[:2](torch.from_numpy(image))
        second = network[2:4](first)
    assert seen == pytest.approx(np.array([[v.min(), v.max()] for v in (first, second)]), abs=1e-5)


def test_a_reach_holds_all_pieces_zero_and_a_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eight_bits, "_MARGIN", 2.0)
    found = reach([np.array([[1.0, 2.0], [-3.0, -1.0]]), np.array([[0.5, 1.0], [-1.0, 0.0]])])
    assert found.tolist() == [[0.0, 4.0], [-6.0, 0.0]]


def test_integers_are_close_and_are_what_is_computed(network: nn.Module, image: np.ndarray) -> None:
    engine, reference = OpenVINOEngine(network, "int8"), PyTorchEngine(network)(image)
    engine.adapt(image)
    made = engine(image)
    spread = float(np.std(reference))
    assert 0 < np.sqrt(np.mean((made - reference) ** 2)) < 0.02 * spread
    used = engine._compiled[SHAPE][0].get_compiled_model().get_runtime_model().get_ordered_ops()
    kinds = [
        node.get_rt_info()["runtimePrecision"].astype(str)
        for node in used
        if node.get_rt_info()["layerType"].astype(str) in ("Convolution", "Deconvolution")
    ]
    assert len(kinds) == 3
    assert sum(kind in ("u8", "i8") for kind in kinds) >= 1, kinds  # all but the first where the processor can


@pytest.mark.parametrize(("name", "most"), [("unet", 0.1), ("pix2pix_unet", 0.3), ("res_unet", 0.1)])
def test_networks_of_slices_stay_close(name: str, most: float, rng: np.random.Generator) -> None:
    torch.manual_seed(0)
    network: Any = MODELS.build(name, {"width": 8})
    image = rng.random((3, 1, 32, 32), dtype=np.float32)
    engine, reference = OpenVINOEngine(network.eval(), "int8"), PyTorchEngine(network)(image)
    engine.adapt(image)
    assert np.sqrt(np.mean((engine(image) - reference) ** 2)) < most * float(np.std(reference))


def test_an_image_is_not_bound_by_the_one_before(network: nn.Module, image: np.ndarray) -> None:
    engine = OpenVINOEngine(network, "int8")
    engine.adapt(image)
    alone = engine(image)
    bright = 20 * image
    engine.adapt(bright)
    after = engine(bright)
    reference = PyTorchEngine(network)(bright)
    assert np.sqrt(np.mean((after - reference) ** 2)) < 0.02 * float(np.std(reference))
    engine.adapt(image)
    assert np.array_equal(engine(image), alone)


def test_what_reaches_beyond_what_was_seen_is_cut_off(network: nn.Module, image: np.ndarray) -> None:
    engine = OpenVINOEngine(network, "int8")
    engine.adapt(image)
    bright = 20 * image
    reference = PyTorchEngine(network)(bright)
    assert np.sqrt(np.mean((engine(bright) - reference) ** 2)) > 0.3 * float(np.std(reference))


def test_an_image_must_be_seen_first(network: nn.Module, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="adapt the engine"):
        OpenVINOEngine(network, "int8")(image)


def test_a_last_piece_that_is_short_adds_nothing_to_the_reach(network: nn.Module, image: np.ndarray) -> None:
    one, other = OpenVINOEngine(network, "int8"), OpenVINOEngine(network, "int8", batch=1)
    for engine in (one, other):
        engine.adapt(image[:1] + 0.5)
    assert one._reached == pytest.approx(other._reached, rel=1e-5)


def test_what_never_varies_and_ranges_of_another_model_are_told_apart(network: nn.Module) -> None:
    model = converted(network, SHAPE)
    assert integer_weights(model) == 2
    with pytest.raises(ValueError, match="3 convolutions for a model of 2"):
        integer_inputs(model.clone(), np.ones((3, 2), np.float32))
    assert integer_inputs(model.clone(), np.zeros((2, 2), np.float32)) == 0
    assert integer_inputs(model, np.array([[0, 1], [-1, 1]], np.float32)) == 2
