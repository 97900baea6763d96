"""Local means against scipy, for every border and for complex weights."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import correlate1d

from recontrast.errors import ConfigError, GeometryError
from recontrast.metrics.windows import filtered_axes, inner, margin_of, smooth, weights_of

BORDERS = {"symmetric": "reflect", "reflect": "mirror", "zero": "constant"}


@pytest.mark.parametrize("border", sorted(BORDERS))
@pytest.mark.parametrize("window", ["gaussian11", "uniform7", "gaussian5"])
def test_equals_scipy(rng: np.random.Generator, border, window: str) -> None:
    image = rng.random((70, 13, 12))  # the first axis takes more than one block of rows
    expected = image
    for axis in (2, 1, 0):
        expected = correlate1d(expected, weights_of(window), axis=axis, mode=BORDERS[border])
    assert np.abs(smooth(image, weights_of(window), (2, 1, 0), border) - expected).max() < 1e-12
    single = smooth(image.astype(np.float32), weights_of(window), (2, 1, 0), border)
    assert single.dtype == np.float32
    assert np.abs(single - expected).max() < 1e-6


def test_complex_weights(rng: np.random.Generator) -> None:
    image, weights = rng.random((20, 4)), (0.5 + 1j, 1.0 + 0j, 0.5 - 1j)
    real = correlate1d(image, [w.real for w in weights], axis=0, mode="reflect")
    imaginary = correlate1d(image, [w.imag for w in weights], axis=0, mode="reflect")
    assert np.abs(smooth(image, weights, (0,)) - (real + 1j * imaginary)).max() < 1e-12
    assert smooth(image.astype(np.float32), weights, (0,)).dtype == np.complex64


def test_windows_sum_to_one_and_unknown_ones_are_refused() -> None:
    assert sum(weights_of("gaussian11")) == pytest.approx(1)
    assert weights_of("gaussian11")[5] / weights_of("gaussian11")[4] == pytest.approx(np.exp(0.5 / 1.5**2))
    for name in ("box", "uniform4", "gaussian"):
        with pytest.raises(ConfigError, match="there is no window"):
            weights_of(name)
    with pytest.raises(ConfigError, match="there is no border"):
        smooth(np.ones((9, 9)), weights_of("uniform3"), (0,), "wrap")  # type: ignore[arg-type]


def test_axes_and_borders() -> None:
    assert filtered_axes(3, None) == (2, 1, 0)
    assert filtered_axes(3, 1) == (2, 0)
    assert margin_of(3, 2) == (3, 3, 0)
    assert inner(np.ones((9, 9, 9)), (0, 1), 3).shape == (3, 3, 9)
    with pytest.raises(GeometryError, match="2 or 3 axes"):
        filtered_axes(4, None)
    with pytest.raises(ConfigError, match="axis 0"):
        filtered_axes(2, 0)
