"""MS-SSIM of Wang 2003 written out with scikit-image; the challenge's variant is tested with its protocol."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import correlate1d

from recontrast.errors import ConfigError
from recontrast.metrics.multiscale import WEIGHTS, ms_ssim, ms_ssim_map


def written_out(x: np.ndarray, y: np.ndarray, scales: int = 5) -> float:
    """Gaussian 11, population covariance, valid part of each scale, means of 2 x 2 pixels between scales."""
    bell = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    bell /= bell.sum()

    def mean(image: np.ndarray) -> np.ndarray:
        for axis in range(image.ndim):
            image = correlate1d(image, bell, axis=axis)
        return image

    weights = np.array(WEIGHTS[:scales])
    if scales < 5:
        weights = weights / weights.sum()
    value = 1.0
    c1, c2 = 0.01**2, 0.03**2
    for scale, weight in enumerate(weights):
        mx, my = mean(x), mean(y)
        cs = (2 * (mean(x * y) - mx * my) + c2) / (mean(x * x) - mx**2 + mean(y * y) - my**2 + c2)
        if scale == scales - 1:
            cs = cs * (2 * mx * my + c1) / (mx**2 + my**2 + c1)
        value *= max(0.0, cs[(slice(5, -5),) * x.ndim].mean()) ** weight
        for axis in range(x.ndim):
            even = x.shape[axis] // 2 * 2
            x, y = ((np.take(im, range(0, even, 2), axis) + np.take(im, range(1, even, 2), axis)) / 2 for im in (x, y))
    return float(value)


@pytest.fixture
def pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    i, j = np.meshgrid(np.linspace(0, 9, 190), np.linspace(0, 7, 181), indexing="ij")
    reference = 0.5 + 0.4 * np.sin(i) * np.cos(j * i / 3)
    return reference, np.clip(reference + 0.1 * rng.standard_normal(reference.shape), 0, 1)


def test_five_scales_equal_the_definition(pair) -> None:
    assert sum(WEIGHTS) == pytest.approx(1.0, abs=1e-3)
    assert ms_ssim(*pair, data_range=1.0) == pytest.approx(written_out(*pair), abs=1e-9)


def test_fewer_scales_in_space(rng: np.random.Generator) -> None:
    x = rng.random((30, 28, 26))
    y = np.clip(x + 0.1 * rng.standard_normal(x.shape), 0, 1)
    assert ms_ssim(x, y, data_range=1.0, scales=2) == pytest.approx(written_out(x, y, 2), abs=1e-9)


def test_constant_images_by_hand() -> None:
    """Only luminance at the last scale: ((2ab + C1) / (a² + b² + C1)) to its exponent."""
    a, b, c1 = 0.4, 0.6, 0.01**2
    value = ms_ssim(np.full((40, 40), a), np.full((40, 40), b), data_range=1.0, scales=2)
    exponent = WEIGHTS[1] / (WEIGHTS[0] + WEIGHTS[1])
    assert value == pytest.approx(((2 * a * b + c1) / (a * a + b * b + c1)) ** exponent, abs=1e-9)


def test_blur_is_seen_at_fine_scales_only(pair, rng: np.random.Generator) -> None:
    """MS-SSIM forgives noise more than SSIM does: coarse scales average it out."""
    assert ms_ssim(*pair, data_range=1.0) > ms_ssim(*pair, data_range=1.0, scales=1)


def test_a_region_and_too_small_images(pair) -> None:
    mask = np.zeros(pair[0].shape, bool)
    mask[60:120, 60:120] = True
    better = pair[1].copy()
    better[40:140, 40:140] = pair[0][40:140, 40:140]
    inside = ms_ssim(pair[0], better, mask=mask, data_range=1.0, scales=2)
    assert inside == pytest.approx(1, abs=1e-9)
    value, reason = ms_ssim.score(np.zeros((100, 100)), np.zeros((100, 100)), data_range=1.0)
    assert math.isnan(value)
    assert "scale 5" in reason
    for wrong in ({"scales": 6}, {"variant": "mine"}, {"window": "box"}):
        with pytest.raises(ConfigError, match="ms_ssim"):
            ms_ssim(*pair, data_range=1.0, **wrong)


def test_the_map_is_low_where_the_images_differ_and_flat_images_give_the_number(pair) -> None:
    reference = pair[0]
    spoiled = reference.copy()
    spoiled[80:110, 80:110] = pair[1][80:110, 80:110]
    values = ms_ssim_map(reference, spoiled, data_range=1.0, scales=3)
    assert values[85:105, 85:105].max() < 0.999
    assert values[:30, :30].min() == pytest.approx(1, abs=1e-9)
    flat = [np.full((40, 40), level) for level in (0.4, 0.6)]
    number = ms_ssim(*flat, data_range=1.0, scales=2)
    np.testing.assert_allclose(ms_ssim_map(*flat, data_range=1.0, scales=2), number, atol=1e-9)
