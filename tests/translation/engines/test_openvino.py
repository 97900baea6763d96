from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from recontrast.errors import DependencyError
from recontrast.models import MODELS
from recontrast.training.plan import preset_paths, read_plan
from recontrast.training.planning import makes_several, model_options
from recontrast.translation.engines import openvino
from recontrast.translation.engines.openvino import OpenVINOEngine
from recontrast.translation.engines.phases import in_phases
from recontrast.translation.engines.pytorch import PyTorchEngine


@pytest.fixture
def network() -> torch.nn.Module:
    pytest.importorskip("openvino", reason="the optional package openvino is not installed")
    torch.manual_seed(0)
    built: torch.nn.Module = MODELS.build("unet", {"in_channels": 2, "width": 4, "depth": 2, "dropout": (0.3,)})
    return built.train()


@pytest.mark.slow
def test_fp32_agrees_with_pytorch_for_every_batch_size_and_shape(
    network: torch.nn.Module, rng: np.random.Generator
) -> None:
    engine, reference = OpenVINOEngine(network), PyTorchEngine(network)
    for shape in ((3, 2, 18, 21), (2, 2, 18, 21), (1, 2, 18, 21), (2, 2, 25, 16)):
        batch = rng.random(shape, dtype=np.float32)
        assert np.abs(engine(batch) - reference(batch)).max() < 1e-5
    assert network.training


@pytest.mark.slow
def test_precision_is_what_was_asked_for(network: torch.nn.Module, rng: np.random.Generator) -> None:
    batch = rng.random((2, 2, 18, 21), dtype=np.float32)
    reference = PyTorchEngine(network)(batch)
    single, half = (OpenVINOEngine(network, precision)(batch) for precision in ("fp32", "bf16"))
    assert np.abs(single - reference).max() < 1e-5
    assert np.sqrt(np.mean((half - reference) ** 2)) < 0.02
    assert half.dtype == np.float32


@pytest.mark.slow
def test_only_a_few_shapes_are_kept(network: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "_KEPT_SHAPES", 1)
    engine = OpenVINOEngine(network)
    for size in (8, 12):
        engine(np.zeros((1, 2, size, size), np.float32))
    assert list(engine._compiled) == [(2, 2, 12, 12)]


def network_of(preset: str, start: str) -> tuple[torch.nn.Module, tuple[int, ...]]:
    """The network of a preset as if it were trained, and the shape of three images it can see."""
    plan = read_plan(preset, "cpu", [f"model.options.start={start}"] if start else [])
    options = model_options(plan, 2, 2 if makes_several(plan) else 1)
    torch.manual_seed(0)
    network: torch.nn.Module = MODELS.build(plan.model.name, options)
    for weights in network.state_dict().values():
        if weights.is_floating_point() and not weights.any():  # else what it begins at says nothing
            weights.normal_(std=0.1)
    return network.eval(), (3, options["in_channels"], 22, 19, 18)[: 2 + options["spatial_dims"]]


STARTS = [("any-to-any", "none"), ("any-to-any", "curves"), ("auto", "none"), ("auto", "expected")]


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "start"), [*((preset, "") for preset in preset_paths()), *STARTS])
def test_the_network_of_every_preset_runs(preset: str, start: str, rng: np.random.Generator) -> None:
    pytest.importorskip("openvino", reason="the optional package openvino is not installed")
    network, shape = network_of(preset, start)
    batch = rng.random(shape, dtype=np.float32)
    expected = PyTorchEngine(network)(batch)
    assert expected.std() > 0
    assert np.abs(OpenVINOEngine(network)(batch) - expected).max() < 1e-4 * max(1.0, np.abs(expected).max())


def test_a_network_that_is_told_how_its_sources_were_acquired_runs(rng: np.random.Generator) -> None:
    pytest.importorskip("openvino", reason="the optional package openvino is not installed")
    torch.manual_seed(0)
    options = {"in_channels": 8, "width": 4, "blocks": (1, 1), "contrasts": 2, "targets": 2, "acquisition": 1}
    network = MODELS.build("film_unet", options).eval()
    batch = rng.random((2, 8, 22, 19), dtype=np.float32)
    batch[:, 2:] = np.array([1, 0, 0, 1, 0.7, 3], np.float32)[None, :, None, None]
    expected = PyTorchEngine(network)(batch)
    assert np.abs(OpenVINOEngine(network)(batch) - expected).max() < 1e-4 * max(1.0, np.abs(expected).max())
    other = batch.copy()
    other[:, 6] = -0.7
    assert np.abs(OpenVINOEngine(network)(other) - expected).max() > 1e-3


@pytest.mark.parametrize(("precision", "tiles", "calls"), [("bf16", False, 1), ("bf16", True, 0), ("fp32", False, 0)])
def test_transposed_convolutions_are_taken_apart_where_bf16_has_no_tiles(
    precision: Any, tiles: bool, calls: int, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    pytest.importorskip("openvino", reason="the optional package openvino is not installed")
    seen = []

    def spy(model: Any) -> int:
        seen.append(in_phases(model))
        return seen[-1]

    monkeypatch.setattr(openvino, "has_matrix_tiles", lambda: tiles)
    monkeypatch.setattr(openvino, "in_phases", spy)
    torch.manual_seed(0)
    network = torch.nn.ConvTranspose2d(1, 1, 4, 2, 1).eval()
    batch = rng.random((2, 1, 8, 8), dtype=np.float32)
    made = OpenVINOEngine(network, precision)(batch)
    assert seen == [1] * calls
    with torch.no_grad():
        assert np.abs(made - network(torch.from_numpy(batch)).numpy()).max() < 0.02


def test_a_network_it_cannot_convert_is_said_to_be_so() -> None:
    pytest.importorskip("openvino", reason="the optional package openvino is not installed")

    class Strange(torch.nn.Module):
        def forward(self, source: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("not traceable")

    with pytest.raises(DependencyError, match=r"cannot run this network.*--engine torch"):
        OpenVINOEngine(Strange())(np.zeros((1, 1, 8, 8), np.float32))


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "installed", lambda: False)
    with pytest.raises(DependencyError, match=r"pip install recontrast\[fast\]"):
        OpenVINOEngine(torch.nn.Identity())
