"""What makes the pixel-wise generator safe, and its size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recontrast.errors import ConfigError
from recontrast.models.pixelwise import Pixelwise


def build(**options) -> Pixelwise:
    torch.manual_seed(1)
    return Pixelwise(**{"in_channels": 3, **options}).eval()


@pytest.mark.parametrize(("channels", "expected"), [(8, 2562), (16, 4610), (2, 2 * (128 * 2 + 128 + 129))])
def test_parameters(channels: int, expected: int) -> None:
    network = Pixelwise(in_channels=channels)
    assert sum(parameter.numel() for parameter in network.parameters()) == expected


@pytest.mark.parametrize("functions", [1, 4])
@pytest.mark.parametrize("seed", range(3))
def test_permuting_voxels_permutes_the_result(functions: int, seed: int) -> None:
    network, rng = build(functions=functions), np.random.default_rng(seed)
    source = torch.from_numpy(rng.random((2, 3, 61, 83), dtype=np.float32))
    order = torch.from_numpy(rng.permutation(61 * 83))
    shuffled = source.flatten(2)[..., order].unflatten(2, (61, 83))
    with torch.no_grad():
        plain, permuted = network(source), network(shuffled)
    torch.testing.assert_close(permuted.flatten(2), plain.flatten(2)[..., order], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("functions", [1, 3])
def test_a_voxel_changes_itself_alone(functions: int) -> None:
    network = build(functions=functions)
    source = torch.rand(1, 3, 20, 24)
    changed = source.clone()
    changed[0, :, 7, 9] += 0.3
    with torch.no_grad():
        moved = (network(changed) - network(source))[0, 0]
    assert moved[7, 9].abs() > 1e-4
    moved[7, 9] = 0
    assert moved.abs().max() < 1e-6


def test_it_is_the_papers_formula() -> None:
    network = build()
    x = torch.rand(5, 3)
    with torch.no_grad():
        found = network(x.T.reshape(1, 3, 5, 1)).flatten()
    weights = {name: value.double().numpy() for name, value in network.state_dict().items()}

    def layer(name: str, values: np.ndarray) -> np.ndarray:
        weight = weights[f"{name}.weight"]
        return values @ weight.reshape(weight.shape[:2]).T + weights[f"{name}.bias"]

    def sigmoid(values: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-values))

    def elu(values: np.ndarray) -> np.ndarray:
        return np.where(values > 0, values, np.exp(values) - 1)

    voxels = x.double().numpy()
    contrast = layer("contrast_head", sigmoid(layer("contrast", voxels))) ** 2
    gate = sigmoid(layer("gate_head", elu(layer("gate", voxels))))
    np.testing.assert_allclose(found.numpy(), (contrast * gate).ravel(), rtol=1e-5)


def test_it_is_never_negative_and_not_bounded() -> None:
    network = build()
    with torch.no_grad():
        network.contrast_head.weight.mul_(50)
        result = network(10 * torch.randn(1, 3, 32, 32))
    assert result.min() >= 0
    assert result.max() > 1


def test_pieces_and_learning_give_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build(functions=2)
    source = torch.rand(2, 3, 19, 23)
    learning = network(source).detach()
    monkeypatch.setattr("recontrast.models.pixelwise._VOXELS", 50)
    with torch.no_grad():
        torch.testing.assert_close(network(source), learning, rtol=1e-5, atol=1e-6)


def test_a_mixture_can_learn_what_one_function_cannot_say_worse() -> None:
    one, several = build(functions=1), build(functions=3)
    assert sum(p.numel() for p in several.parameters()) == sum(p.numel() for p in one.parameters()) + 2 * 2 * 129 + (
        3 * 16 + 16 + 16 * 3 + 3
    )


def test_whitening_is_folded_into_the_first_layers() -> None:
    torch.manual_seed(3)
    mixed = torch.rand(3, 3) + torch.eye(3)
    source = torch.einsum("dc,bcij->bdij", mixed, torch.randn(2, 3, 20, 24)) + torch.tensor([3.0, -1, 2]).view(3, 1, 1)
    mask = torch.ones(2, 1, 20, 24, dtype=torch.bool)
    plain, whitened = build(functions=2), build(functions=2, whitened=True)
    whitened.load_state_dict(plain.state_dict())
    plain.fit(source, source[:, :1], mask)
    whitened.fit(source, source[:, :1], mask)
    for name in ("contrast", "gate", "selector"):
        before, after = getattr(plain, name), getattr(whitened, name)
        seen = torch.nn.functional.conv2d(source, after.weight, after.bias)
        wanted = before.weight.flatten(1)
        # What the plain layer would see of signals with mean zero and unit covariance.
        torch.testing.assert_close(seen.mean(dim=(0, 2, 3)), torch.zeros(len(wanted)), atol=1e-3, rtol=0)
        spread = torch.cov(seen.movedim(1, 0).flatten(1))
        torch.testing.assert_close(spread, wanted @ wanted.T, atol=2e-3, rtol=2e-2)
    few = build(whitened=True)
    kept = {name: value.clone() for name, value in few.state_dict().items()}
    few.fit(source, source[:, :1], torch.zeros_like(mask))
    assert all(torch.equal(value, kept[name]) for name, value in few.state_dict().items())


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        Pixelwise(in_channels=0)
    with pytest.raises(ConfigError, match="spatial_dims"):
        Pixelwise(in_channels=2, spatial_dims=4)
