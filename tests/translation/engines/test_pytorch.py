from __future__ import annotations

import numpy as np
import pytest
import torch

from recontrast.models import MODELS
from recontrast.translation.engines.pytorch import PyTorchEngine, has_bf16


@pytest.fixture
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    built: torch.nn.Module = MODELS.build("unet", {"in_channels": 2, "width": 4, "depth": 2, "dropout": (0.3,)})
    return built.train()


@pytest.fixture
def batch(rng: np.random.Generator) -> np.ndarray:
    return rng.random((3, 2, 18, 21), dtype=np.float32)


def test_fp32_is_the_network_itself_in_evaluation_mode(network: torch.nn.Module, batch: np.ndarray) -> None:
    output = PyTorchEngine(network)(batch)
    assert network.training
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy(batch)).numpy()
    assert output.dtype == np.float32
    assert np.array_equal(output, expected)


def test_bf16_is_close_and_leaves_the_network_alone(network: torch.nn.Module, batch: np.ndarray) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    reference, output = PyTorchEngine(network)(batch), PyTorchEngine(network, "bf16")(batch)
    assert output.dtype == np.float32
    assert 0 < np.sqrt(np.mean((output - reference) ** 2)) < 0.01
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(
        value.is_contiguous(memory_format=torch.channels_last) and not value.is_contiguous()
        for value in network.state_dict().values()
        if value.ndim == 4
    )


def test_the_input_may_be_read_only(network: torch.nn.Module, batch: np.ndarray) -> None:
    before = batch.copy()
    for precision in ("fp32", "bf16"):
        PyTorchEngine(network, precision)(batch)
    assert np.array_equal(batch, before)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_agrees(network: torch.nn.Module, batch: np.ndarray) -> None:
    import shutil

    if not (shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("torch.compile needs a C++ compiler")
    reference = PyTorchEngine(network)(batch)
    assert np.abs(PyTorchEngine(network, compiled=True)(batch) - reference).max() < 1e-4


def test_bf16_is_only_said_to_be_there_when_it_is() -> None:
    from recontrast.execution.runtime import supports_bf16

    assert has_bf16("cpu") is supports_bf16()
    if not torch.cuda.is_available():
        assert not has_bf16("cuda")


@pytest.mark.gpu
def test_a_gpu_agrees_in_both_precisions(network: torch.nn.Module, batch: np.ndarray) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    reference = PyTorchEngine(network)(batch)
    assert np.abs(PyTorchEngine(network, "fp32", "cuda")(batch) - reference).max() < 1e-5
    assert np.sqrt(np.mean((PyTorchEngine(network, "bf16", "cuda")(batch) - reference) ** 2)) < 0.01
