"""LPIPS in numpy against the same network in torch, and the reading of weights."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from tests.metrics.conftest import tiny_weights

from recontrast.errors import ConfigError, FormatError
from recontrast.metrics.perceptual import lpips, lpips_map, read_weights


def in_torch(x: np.ndarray, y: np.ndarray, arrays: dict[str, np.ndarray], network: str) -> float:
    """The published definition with torch's own convolutions and poolings."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    steps = {
        "alex": "0t p3t p6t8t10t",
        "vgg": "0 2t p5 7t p10 12 14t p17 19 21t p24 26 28t",
    }[network]
    shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
    tokens = steps.replace("t", " t ").replace("p", " p ").split()

    def taps(image: np.ndarray) -> list:
        values = (torch.from_numpy(2 * image - 1).float()[None, None].repeat(1, 3, 1, 1) - shift) / scale
        found = []
        for token in tokens:
            if token == "t":
                norm = values.pow(2).sum(1, keepdim=True).sqrt()
                found.append(values / (norm + 1e-10))
            elif token == "p":
                values = functional.max_pool2d(values, 3 if network == "alex" else 2, 2)
            else:
                kernel, bias = (torch.from_numpy(arrays[f"features.{token}.{n}"]) for n in ("weight", "bias"))
                stride, padding = {("alex", "0"): (4, 2), ("alex", "3"): (1, 2)}.get((network, token), (1, 1))
                values = functional.relu(functional.conv2d(values, kernel, bias, stride, padding))
        return found

    total = 0.0
    for layer, (a, b) in enumerate(zip(taps(x), taps(y), strict=True)):
        head = torch.from_numpy(arrays[f"lin{layer}.model.1.weight"])
        total += functional.conv2d((a - b) ** 2, head).mean().item()
    return total


@pytest.mark.parametrize("network", ["alex", "vgg"])
def test_equals_the_network_in_torch(rng: np.random.Generator, network) -> None:
    arrays = tiny_weights(network)
    x, y = rng.random((67, 50)), rng.random((67, 50))
    expected = in_torch(x, y, arrays, network)
    assert expected > 0.01
    assert lpips(x, y, data_range=1.0, network=network, weights=arrays) == pytest.approx(expected, rel=1e-4)
    # The same on another scale: [-1, 1] as it stands.
    scaled = [2 * image - 1 for image in (x, y)]
    other = lpips(*scaled, data_range=2.0, low=-1.0, network=network, weights=arrays)
    assert other == pytest.approx(expected, rel=1e-4)


def test_a_volume_is_the_mean_of_its_slices(rng: np.random.Generator) -> None:
    x, y, arrays = rng.random((40, 36, 3)), rng.random((40, 36, 3)), tiny_weights()
    each = [lpips(x[..., k], y[..., k], data_range=1.0, weights=arrays) for k in range(3)]
    assert lpips(x, y, data_range=1.0, axis=2, weights=arrays) == pytest.approx(np.mean(each))
    with pytest.raises(ConfigError, match="give the axis"):
        lpips(x, y, data_range=1.0, weights=arrays)


def test_in_a_region_the_map_is_averaged(rng: np.random.Generator) -> None:
    x, arrays = rng.random((80, 80)), tiny_weights()
    y = x.copy()
    y[:20] = rng.random((20, 80))
    near, far = np.zeros((2, 80, 80), bool)
    near[:20], far[60:] = True, True
    values = [lpips(x, y, mask=mask, data_range=1.0, weights=arrays) for mask in (near, far)]
    assert values[0] > 3 * values[1]
    whole = lpips_map(x, y, data_range=1.0, weights=arrays)
    assert [whole[mask].mean() for mask in (near, far)] == pytest.approx(values)
    volume = lpips_map(np.stack([x, x], 0), np.stack([x, y], 0), data_range=1.0, axis=0, weights=arrays)
    np.testing.assert_array_equal(volume, np.stack([0 * whole, whole], 0))


def test_without_weights_there_is_a_reason_and_never_a_download() -> None:
    value, reason = lpips.score(np.zeros((64, 64)), np.ones((64, 64)), data_range=1.0)
    assert math.isnan(value)
    assert reason == "no LPIPS weights were given"
    small = lpips.score(np.zeros((12, 12)), np.ones((12, 12)), data_range=1.0, weights=tiny_weights())
    assert "too small" in small[1]


def safetensors(arrays: dict[str, np.ndarray]) -> bytes:
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in arrays.items():
        kind = {"float32": "F32", "float16": "F16"}[array.dtype.name]
        start = len(data)
        data += array.tobytes()
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [start, len(data)]}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_reads_both_kinds_of_files(tmp_path: Path, rng: np.random.Generator) -> None:
    arrays = tiny_weights()
    np.savez(tmp_path / "a.npz", **arrays)
    (tmp_path / "b.safetensors").write_bytes(safetensors(arrays))
    x, y = rng.random((50, 50)), rng.random((50, 50))
    values = [lpips(x, y, data_range=1.0, weights=w) for w in (arrays, tmp_path / "a.npz", tmp_path / "b.safetensors")]
    assert values[0] == values[1] == values[2]
    loaded = pytest.importorskip("safetensors.numpy").load_file(tmp_path / "b.safetensors")
    assert all(np.array_equal(loaded[name], array) for name, array in read_weights(tmp_path / "b.safetensors").items())


@pytest.mark.parametrize(("name", "content"), [("a.npz", b"zip?"), ("a.safetensors", b"\xff" * 20), ("a.pth", b"x")])
def test_files_that_are_not_weights_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError, match="LPIPS weights"):
        lpips(np.zeros((64, 64)), np.zeros((64, 64)), data_range=1.0, weights=tmp_path / name)


def test_a_pickle_inside_an_npz_is_not_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{"features.0.weight": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(FormatError, match="cannot be read"):
        read_weights(tmp_path / "a.npz")


def test_a_missing_array_and_an_unknown_network_are_named() -> None:
    arrays = tiny_weights()
    del arrays["lin3.model.1.weight"]
    with pytest.raises(FormatError, match=r"lack 'lin3\.model\.1\.weight'"):
        lpips(np.zeros((64, 64)), np.zeros((64, 64)), data_range=1.0, weights=arrays)
    with pytest.raises(ConfigError, match="no network 'squeeze'"):
        lpips(np.zeros((64, 64)), np.zeros((64, 64)), data_range=1.0, network="squeeze", weights=arrays)
