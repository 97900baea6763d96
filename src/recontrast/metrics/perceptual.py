"""LPIPS: distance of deep features, in plain numpy, with weights the user names. Nothing is downloaded or unpickled.

The weights file is a .safetensors or .npz with these arrays (float16, 32 or 64), named as torchvision and lpips name
them: `features.N.weight` (out, in, height, width) and `features.N.bias` of the convolutions, `linL.model.1.weight`
(1, channels, 1, 1) of the five layers. N is 0, 3, 6, 8, 10 for AlexNet and 0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26,
28 for VGG16. `docs/concepts/metrics.md` shows how to make it from the published files.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from recontrast.errors import ConfigError, FormatError
from recontrast.metrics import METRICS, Array, Undefined, metric
from recontrast.metrics.windows import enlarged, one_thread

Network = Literal["alex", "vgg"]
"""Trunk: AlexNet (the usual choice for evaluation) or VGG16."""

NO_WEIGHTS = "no LPIPS weights were given"

# Steps of a trunk: a number is a convolution of torchvision's `features` followed by a ReLU, "pool" halves the size,
# "tap" hands out a layer.
_STEPS: dict[str, tuple[int | str, ...]] = {
    "alex": (0, "tap", "pool", 3, "tap", "pool", 6, "tap", 8, "tap", 10, "tap"),
    "vgg": (
        0, 2, "tap", "pool", 5, 7, "tap", "pool", 10, 12, 14, "tap", "pool", 17, 19, 21, "tap", "pool",
        24, 26, 28, "tap",
    ),
}  # fmt: skip
_POOL = {"alex": 3, "vgg": 2}
_STRIDE_PADDING = {("alex", 0): (4, 2), ("alex", 3): (1, 2)}
_SHIFT = np.array([-0.030, -0.088, -0.188], np.float32)
_SCALE = np.array([0.458, 0.448, 0.450], np.float32)
_SAFE = {"F16": np.float16, "F32": np.float32, "F64": np.float64}


def lpips_map(
    reference: Array,
    estimate: Array,
    *,
    data_range: float,
    low: float = 0.0,
    axis: int | None = None,
    network: Network = "alex",
    weights: Path | Mapping[str, Array] | None = None,
) -> Array:
    """Where LPIPS sees a difference: the distance of each layer enlarged to the image, summed over layers.

    Arguments as for `lpips`. A deep feature sees a wide surrounding, so the map is coarse by nature.

    Returns:
        Array of the images' shape; its mean in a region is `lpips` of the region.

    Raises:
        ConfigError: There is no such network, or a volume without `axis`.
        FormatError: The file lacks an array or cannot be read.
        Undefined: No weights, or slices too small for the network.

    Example:
        >>> lpips_map(image, image, data_range=1.0, weights=Path("alex.npz")).max()  # doctest: +SKIP
        0.0
    """
    arrays = _checked(np.ndim(reference), axis, network, weights)
    if np.ndim(reference) == 2:
        return _map_of_slice(reference, estimate, low, data_range, network, arrays)
    slices = [
        _map_of_slice(
            np.take(reference, k, axis=axis), np.take(estimate, k, axis=axis), low, data_range, network, arrays
        )
        for k in range(np.shape(reference)[axis or 0])
    ]
    return np.stack(slices, axis=axis or 0)


@METRICS.register("lpips")
@metric(best=0.0, higher_is_better=False, title="LPIPS", needs_image=True, map=lpips_map)
def lpips(
    reference: Array,
    estimate: Array,
    *,
    mask: Array | None = None,
    data_range: float,
    low: float = 0.0,
    axis: int | None = None,
    network: Network = "alex",
    weights: Path | Mapping[str, Array] | None = None,
) -> float:
    """Learned perceptual image patch similarity, version 0.1 (Zhang et al. 2018, CVPR; arXiv 1801.03924).

    Args:
        reference: The true image: two axes, or three with `axis`.
        estimate: The image that is judged, same shape.
        mask: Region, same shape; the distance map, enlarged to the image, is averaged in it. None: the plain mean of
            each layer, as published.
        data_range: `low` to `low + data_range` becomes -1 to 1, the scale the network knows; nothing is clipped.
        low: Lowest intensity of the scale.
        axis: Axis across the slices of a three-dimensional image; the value is the mean over slices.
        network: Trunk the weights belong to.
        weights: Path of the weights file (see the head of this module), or its arrays by name.

    Returns:
        0 for identical images, about 0.1 to 0.5 for different ones; nan without weights, for an empty region and for
        slices too small for the network.

    Raises:
        ConfigError: There is no such network, or a volume without `axis`.
        FormatError: The file lacks an array or cannot be read.

    Example:
        >>> lpips.score(np.zeros((64, 64)), np.ones((64, 64)), data_range=1.0)[1]
        'no LPIPS weights were given'
    """
    if mask is not None and not np.asarray(mask).any():
        raise Undefined("the region is empty")
    arrays = _checked(np.ndim(reference), axis, network, weights)
    if np.ndim(reference) == 2:
        return _of_slice(reference, estimate, mask, low, data_range, network, arrays)
    total, size = 0.0, 0
    for k in range(np.shape(reference)[axis or 0]):
        true, judged = (np.take(image, k, axis=axis) for image in (reference, estimate))
        inside = None if mask is None else np.take(np.asarray(mask, dtype=bool), k, axis=axis)
        count = 1 if inside is None else int(np.count_nonzero(inside))
        if count:
            total += count * _of_slice(true, judged, inside, low, data_range, network, arrays)
            size += count
    return total / size


def _checked(
    dimensions: int, axis: int | None, network: str, weights: Path | Mapping[str, Array] | None
) -> Mapping[str, Array]:
    """The weights, when everything else can be computed."""
    if network not in _STEPS:
        raise ConfigError(f"lpips has no network '{network}'; there is: {', '.join(_STEPS)}")
    if dimensions != 2 and (dimensions != 3 or axis not in (0, 1, 2)):
        raise ConfigError("lpips compares slices: for a volume give the axis across them (2 for axial slices)")
    if weights is None:
        raise Undefined(NO_WEIGHTS)
    return read_weights(Path(weights)) if isinstance(weights, str | Path) else weights


@lru_cache(maxsize=2)
def read_weights(path: Path) -> Mapping[str, Array]:
    """Arrays of a .npz or .safetensors file by name; nothing in it is executed.

    Raises:
        FormatError: The file is absent, damaged, or of another kind.

    Example:
        >>> read_weights(Path("alex.npz"))  # doctest: +SKIP
    """
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as content:
                return {name: content[name] for name in content.files}
        if path.suffix == ".safetensors":
            return _read_safetensors(path.read_bytes())
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise FormatError(f"{path}: LPIPS weights cannot be read ({error})") from error
    raise FormatError(f"{path}: LPIPS weights must be .safetensors or .npz; a .pth file is a pickle: convert it first")


def _read_safetensors(content: bytes) -> dict[str, Array]:
    """Eight bytes of length, a JSON header, then the raw numbers (huggingface.co/docs/safetensors)."""
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), memoryview(content)[8 + length :]
    arrays = {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, stop = entry["data_offsets"]
            arrays[name] = np.frombuffer(data[start:stop], dtype=_SAFE[entry["dtype"]]).reshape(entry["shape"])
    return arrays


def _of_slice(
    true: Array, judged: Array, mask: Array | None, low: float, data_range: float, network: str,
    arrays: Mapping[str, Array],
) -> float:  # fmt: skip
    if mask is not None:
        enlarged_map = _map_of_slice(true, judged, low, data_range, network, arrays)
        return float(enlarged_map[np.asarray(mask, dtype=bool)].mean(dtype=np.float64))
    return sum(
        float(distance.mean(dtype=np.float64))
        for distance in _distances(true, judged, low, data_range, network, arrays)
    )


def _map_of_slice(
    true: Array, judged: Array, low: float, data_range: float, network: str, arrays: Mapping[str, Array]
) -> Array:
    layers = _distances(true, judged, low, data_range, network, arrays)
    return np.sum([enlarged(distance, np.shape(true)) for distance in layers], axis=0)


def _distances(
    true: Array, judged: Array, low: float, data_range: float, network: str, arrays: Mapping[str, Array]
) -> list[Array]:
    """Distance of the features of each layer, at its resolution."""
    with one_thread():
        pairs = zip(*(_layers(image, low, data_range, network, arrays) for image in (true, judged)), strict=True)
        return [
            np.tensordot(
                _array(arrays, f"lin{number}.model.1.weight").reshape(-1), (_unit(first) - _unit(second)) ** 2, axes=1
            )
            for number, (first, second) in enumerate(pairs)
        ]


def _layers(image: Array, low: float, data_range: float, network: str, arrays: Mapping[str, Array]) -> list[Array]:
    scaled = ((np.asarray(image, np.float32) - np.float32(low)) * np.float32(2 / data_range)) - np.float32(1)
    values = (scaled[None] - _SHIFT[:, None, None]) / _SCALE[:, None, None]
    taps = []
    for step in _STEPS[network]:
        if step == "tap":
            taps.append(values)
        elif step == "pool":
            size = _POOL[network]
            _require(values, size, image)
            values = sliding_window_view(values, (size, size), axis=(1, 2))[:, ::2, ::2].max(axis=(3, 4))
        else:
            kernel = _array(arrays, f"features.{step}.weight")
            stride, padding = _STRIDE_PADDING.get((network, int(step)), (1, 1))
            values = np.pad(values, ((0, 0), (padding, padding), (padding, padding)))
            _require(values, kernel.shape[-1], image)
            values = _convolved(values, kernel, stride) + _array(arrays, f"features.{step}.bias")[:, None, None]
            values = np.maximum(values, 0)
    return taps


def _convolved(values: Array, kernel: Array, stride: int) -> Array:
    """Cross-correlation without padding, (in, I, J) and (out, in, h, w) to (out, I', J'), by one matrix product."""
    windows = sliding_window_view(values, kernel.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
    rows, columns = windows.shape[1:3]
    patches = windows.transpose(0, 3, 4, 1, 2).reshape(-1, rows * columns)
    return np.asarray(kernel.reshape(len(kernel), -1) @ patches).reshape(len(kernel), rows, columns)


def _unit(features: Array) -> Array:
    return np.asarray(features / (np.sqrt((features**2).sum(axis=0, keepdims=True)) + np.float32(1e-10)))


def _array(arrays: Mapping[str, Array], name: str) -> Array:
    if name not in arrays:
        raise FormatError(
            f"LPIPS weights lack '{name}' (they have {', '.join(list(arrays)[:4]) or 'nothing'} …); "
            "convert the published files as docs/concepts/metrics.md shows"
        )
    return np.asarray(arrays[name], dtype=np.float32)


def _require(values: Array, size: int, image: Array) -> None:
    if min(values.shape[1:]) < size:
        raise Undefined(f"slices of {'x'.join(map(str, np.shape(image)))} voxels are too small for the LPIPS network")
