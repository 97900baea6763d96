"""Weights and networks that do not belong together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from recontrast.errors import CheckpointError
from recontrast.translation.description import Member, TranslatorDescription
from recontrast.translation.weights import build_network, fill_network, require_finite

HERE = Path("translator")


def test_the_network_of_a_description_takes_its_weights(describe: Callable[..., TranslatorDescription]) -> None:
    network = build_network(describe(), HERE)
    assert not network.training
    fill_network(network, {"weight": torch.full((1, 1, 1), 3.0)}, HERE)
    assert float(network.weight.detach()) == 3.0


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({}, "lacks weight"),
        ({"weight": torch.ones(1, 1, 1), "bias": torch.ones(1), "more": torch.ones(1)}, "has, unlike .* and 1 more"),
        ({"weight": torch.ones(2, 1, 1)}, r"weight has shape \(2, 1, 1\), the network needs \(1, 1, 1\)"),
        ({"weight": torch.full((1, 1, 1), torch.inf)}, "not finite"),
    ],
)
def test_other_weights_are_refused(
    weights: dict[str, torch.Tensor], words: str, describe: Callable[..., TranslatorDescription]
) -> None:
    with pytest.raises(CheckpointError, match=words):
        fill_network(build_network(describe(), HERE), weights, HERE)


def test_networks_that_cannot_be_are_refused(describe: Callable[..., TranslatorDescription]) -> None:
    for model, words in (
        (Member(name="copy", options={"in_channels": 2}), "in_channels 2, the sources and slices need 1"),
        (Member(name="nothing"), "nothing"),
        (Member(name="copy", options={"channel": 0, "width": 3}), "cannot be built|width"),
    ):
        with pytest.raises(CheckpointError, match=words):
            build_network(describe(model=model), HERE)
    require_finite({"a": torch.zeros(1)}, "here")
