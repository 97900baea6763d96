"""Grains and narrow sulci against values known by construction."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from recontrast.errors import ConfigError
from recontrast.metrics.granularity import (
    apparent_width,
    apparent_width_difference,
    granularity,
    granularity_difference,
)


def test_granularity_is_the_noise_and_not_its_mean_or_its_slope(rng: np.random.Generator) -> None:
    noise = rng.standard_normal((40, 40, 20))
    slope = np.linspace(0, 20, 40)[:, None, None]
    grains = granularity(0.1 * noise, width=5)
    assert 0.08 < grains < 0.1  # a little of white noise is in the local mean
    assert granularity(5 + 0.1 * noise) == pytest.approx(grains)
    assert granularity(0.2 * noise) == pytest.approx(2 * grains)
    inner = np.zeros(noise.shape, bool)
    inner[4:-4] = True
    assert granularity(slope + 0.1 * noise, inner) == pytest.approx(granularity(0.1 * noise, inner), rel=0.1)


def test_the_border_of_the_region_is_no_grain() -> None:
    image = np.full((20, 20, 20), 100.0)
    csf = np.zeros(image.shape, bool)
    csf[5:15, 5:15, 5:15] = True
    image[csf] = 3.0
    assert granularity(image, csf) == pytest.approx(0, abs=1e-9)


def test_slices_can_be_taken_by_themselves(rng: np.random.Generator) -> None:
    stripes = np.ones((12, 12, 10)) * np.arange(10)
    assert granularity(stripes, axis=2) == pytest.approx(0, abs=1e-9)
    assert granularity(stripes) > 0.05


def test_a_sulcus_has_its_width_in_mm() -> None:
    image = np.ones((10, 60, 8))
    image[:, 20:25] = image[:, 40:45] = 0.0
    assert apparent_width(image, spacing=(1.0, 0.8, 3.0)) == pytest.approx(4.0)


def test_blur_leaves_the_width_and_filling_narrows_it() -> None:
    sharp = np.ones((60, 10))
    sharp[20:28] = sharp[40:48] = 0.0
    blurred = gaussian_filter(sharp, (1.0, 0))
    assert apparent_width(blurred) == pytest.approx(8.0, rel=0.02)
    swollen = sharp.copy()
    swollen[20:22] = swollen[40:42] = 1.0
    assert apparent_width(swollen) == pytest.approx(6.0)
    assert apparent_width_difference(sharp, swollen, spacing=(0.5, 1.0)) == pytest.approx(1.0)


def test_brightness_and_contrast_of_the_image_do_not_matter() -> None:
    image = np.ones((60, 10))
    image[20:28] = image[40:44] = 0.0
    assert apparent_width(300 * image + 40) == pytest.approx(apparent_width(image))


def test_difference_is_relative_to_the_data_range(rng: np.random.Generator) -> None:
    reference, estimate = np.zeros((16, 16)), rng.standard_normal((16, 16))
    assert granularity_difference(reference, estimate, data_range=10.0) == pytest.approx(granularity(estimate) / 10)


def test_flat_images_have_no_width_and_odd_windows_only() -> None:
    value, reason = apparent_width_difference.score(np.ones((8, 8)), np.ones((8, 8)))
    assert np.isnan(value)
    assert "flat" in reason
    with pytest.raises(ConfigError, match="odd"):
        granularity(np.ones((8, 8)), width=4)
