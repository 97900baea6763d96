"""Recorded networks: when the replay is taken and when the network itself. (What a real one gives: test_on_gpu.py.)"""

from __future__ import annotations

import logging
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from recontrast.recipes.supervised import Supervised
from recontrast.training.graphs import recorded

SHAPE = (2, 1, 8, 8)


@pytest.fixture
def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Images that say they lie on a graphics processor, as far as the recorder asks."""
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: None)
    images = torch.rand(SHAPE)
    return SimpleNamespace(
        device=SimpleNamespace(type="cuda"), clone=lambda: images, shape=images.shape, stride=images.stride
    )


def test_on_a_processor_it_is_the_network_itself(network: nn.Sequential) -> None:
    source = torch.rand(SHAPE)
    torch.testing.assert_close(recorded(network, source, half=False)(source), network(source))


def test_the_replay_is_for_images_of_that_size_in_training(
    network: nn.Sequential, on_gpu: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def record(wrapped: nn.Module, images: tuple[torch.Tensor], allow_unused_input: bool) -> Any:
        assert allow_unused_input
        wrapped(*images)  # as the recorder does to warm up
        return lambda _: "replayed"

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", record)
    before = network[1].running_mean.clone()  # type: ignore[union-attr, operator]
    run = recorded(network, on_gpu, half=False)
    assert torch.equal(before, network[1].running_mean), "recording leaves what batch norms have seen"  # type: ignore[arg-type]
    assert run(torch.rand(SHAPE)) == "replayed"
    for other in (torch.rand(1, *SHAPE[1:]), torch.rand(SHAPE).transpose(2, 3)):
        assert isinstance(run(other), torch.Tensor)
    network.eval()
    assert isinstance(run(torch.rand(SHAPE)), torch.Tensor)


@pytest.mark.parametrize("error", [RuntimeError("no such thing\nat all"), AssertionError("no such thing")])
def test_what_cannot_be_recorded_is_run_as_it_is_and_that_is_said(
    network: nn.Sequential, on_gpu: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:  # fmt: skip
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", fail)
    with caplog.at_level(logging.WARNING):
        run = recorded(network, on_gpu, half=False)
    assert isinstance(run(torch.rand(SHAPE)), torch.Tensor)
    (said,) = caplog.messages
    assert said.endswith("(loop.recorded=false does not try): no such thing")


def test_a_recipe_that_is_given_it_keeps_its_weights_in_one_place() -> None:
    recipe = Supervised(network=nn.Conv2d(1, 1, 1))
    names = set(recipe.state_dict())
    recipe.replayed = recorded(recipe.network, torch.rand(1, 1, 4, 4), half=False)
    assert set(recipe.state_dict()) == names == {"network.weight", "network.bias"}
