"""Gradients and fine detail, by hand; blur lowers them, noise raises them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from recontrast.errors import ConfigError
from recontrast.metrics.sharpness import (
    detail_map,
    gradient_distance,
    gradient_map,
    gradient_ratio,
    gradient_ratio_map,
    high_frequency_distance,
    high_frequency_ratio,
)


def test_gradient_of_a_plane_by_hand() -> None:
    i, j, k = np.meshgrid(*[np.arange(6.0)] * 3, indexing="ij")
    image = 3 * i + 4 * j + 12 * k
    assert gradient_map(image) == pytest.approx(13.0)
    assert gradient_map(image, axis=2) == pytest.approx(5.0)
    assert gradient_map(image, spacing=(1.0, 1.0, 2.0)) == pytest.approx(math.sqrt(9 + 16 + 36))


def test_a_single_bright_voxel_by_hand() -> None:
    """Nothing is left of it but (1 - w0²)² in its place, w0 the middle weight of a gaussian of 1.5/11 x 5 voxels."""
    image = np.zeros((9, 9))
    image[4, 4] = 1.0
    sigma = 1.5 * 5 / 11
    bell = np.exp(-0.5 * (np.arange(-2, 3) / sigma) ** 2)
    middle = bell[2] / bell.sum()
    assert detail_map(image)[4, 4] == pytest.approx((1 - middle**2) ** 2)


def test_blur_lowers_noise_raises_and_distances_count_both(rng: np.random.Generator) -> None:
    image = gaussian_filter(rng.standard_normal((24, 24, 24)), 1.0)
    blurred, noisy = gaussian_filter(image, 1.0), image + 0.2 * rng.standard_normal(image.shape)
    for ratio, distance in (
        (gradient_ratio, gradient_distance),
        (high_frequency_ratio, high_frequency_distance),
    ):
        assert ratio(image, blurred) < 0.9
        assert ratio(image, noisy) > 1.1
        for other in (blurred, noisy):
            assert distance(image, other) == pytest.approx(abs(math.log2(ratio(image, other))))
    assert high_frequency_ratio(image, 2 * image) == pytest.approx(4)
    assert gradient_distance(image, 2 * image) == pytest.approx(1)


def test_a_flat_reference_and_a_flat_estimate_are_undefined(rng: np.random.Generator) -> None:
    flat, image = np.ones((8, 8)), rng.random((8, 8))
    assert gradient_ratio.score(flat, image)[1] == "the reference is flat in the region"
    assert gradient_ratio(image, flat) == 0
    assert "infinitely far" in gradient_distance.score(image, flat)[1]
    with pytest.raises(ConfigError, match="odd"):
        high_frequency_ratio(image, image, width=4)


def test_the_map_of_a_ratio_shows_where_the_estimate_is_blurred(rng: np.random.Generator) -> None:
    image = np.zeros((48, 48))
    image[:, :40] = rng.random((48, 40))
    half = image.copy()
    half[:24] = 0.5 * image[:24]
    values = gradient_ratio_map(image, half)
    np.testing.assert_allclose(values[:16, :30], 0.5)
    np.testing.assert_allclose(values[32:, :30], 1.0)
    assert np.isnan(values[:, 47]).all()  # flat: nothing to divide by
