"""Networks of the right layout with few channels and random weights: LPIPS without the published files."""

from __future__ import annotations

import numpy as np

_LAYERS = {
    "alex": ((0, 3, 4, 11), (3, 4, 5, 5), (6, 5, 6, 3), (8, 6, 6, 3), (10, 6, 4, 3)),
    "vgg": tuple((n, 3 if n == 0 else 4, 4, 3) for n in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)),
}
_TAPS = {"alex": (4, 5, 6, 6, 4), "vgg": (4,) * 5}


def tiny_weights(network: str = "alex", seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays named as in the weights file."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for number, inputs, outputs, size in _LAYERS[network]:
        kernel = rng.standard_normal((outputs, inputs, size, size)) / (size * np.sqrt(inputs))
        arrays[f"features.{number}.weight"] = kernel.astype(np.float32)
        arrays[f"features.{number}.bias"] = (0.1 * rng.standard_normal(outputs)).astype(np.float32)
    for layer, channels in enumerate(_TAPS[network]):
        arrays[f"lin{layer}.model.1.weight"] = rng.random((1, channels, 1, 1)).astype(np.float32)
    return arrays
