"""SSIM against scikit-image, in two and three dimensions, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from recontrast.errors import ConfigError, GeometryError
from recontrast.metrics.structure import ssim, ssim_map

SHAPE = (18, 70, 16)  # the second axis takes more than one block of rows

OPTIONS = {
    "gaussian11": {"gaussian_weights": True, "sigma": 1.5},
    "uniform7": {"win_size": 7},
}


@pytest.fixture
def pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    i, j, k = np.meshgrid(*[np.linspace(0, 3, n) for n in SHAPE], indexing="ij")
    reference = 0.5 + 0.4 * np.sin(3 * i) * np.cos(2 * j + k) * (j > 0.5)
    return reference, np.clip(reference + 0.05 * rng.standard_normal(SHAPE), 0, 1)


@pytest.mark.parametrize("window", ["gaussian11", "uniform7"])
@pytest.mark.parametrize("covariance", ["population", "sample"])
@pytest.mark.parametrize("data_range", [1.0, 2.0])
def test_three_dimensions_equal_scikit_image(pair, window, covariance, data_range: float) -> None:
    value, field = structural_similarity(
        *pair, data_range=data_range, full=True, use_sample_covariance=covariance == "sample", **OPTIONS[window]
    )
    options = {"data_range": data_range, "window": window, "covariance": covariance}
    assert ssim(*pair, precision="float64", **options) == pytest.approx(value, abs=1e-12)
    assert ssim(*pair, **options) == pytest.approx(value, abs=1e-6)
    assert np.abs(ssim_map(*pair, precision="float64", **options) - field).max() < 1e-9
    assert np.abs(ssim_map(*pair, **options) - field).max() < 1e-4


@pytest.mark.parametrize("window", ["gaussian11", "uniform7"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_equal_scikit_image_slice_by_slice(pair, window, axis: int) -> None:
    axis_pair = tuple(image[:, :40] for image in pair) if axis == 1 else pair
    slices = [np.moveaxis(image, axis, 0) for image in axis_pair]
    expected = [
        structural_similarity(a, b, data_range=1.0, use_sample_covariance=False, **OPTIONS[window])
        for a, b in zip(*slices, strict=True)
    ]
    exact = ssim(*axis_pair, data_range=1.0, window=window, axis=axis, precision="float64")
    assert exact == pytest.approx(np.mean(expected), abs=1e-9)
    assert ssim(*axis_pair, data_range=1.0, window=window, axis=axis) == pytest.approx(np.mean(expected), abs=1e-6)


def test_two_dimensional_images(pair) -> None:
    first, second = (image[..., 5] for image in pair)
    expected = structural_similarity(first, second, data_range=1.0, gaussian_weights=True, sigma=1.5)
    value = ssim(first, second, data_range=1.0, covariance="sample", precision="float64")
    assert value == pytest.approx(expected, abs=1e-9)


def test_in_a_mask_it_is_the_mean_of_the_map(pair) -> None:
    mask = pair[0] > 0.6
    field = ssim_map(*pair, data_range=1.0)
    assert ssim(*pair, mask=mask, data_range=1.0) == pytest.approx(field[mask].mean(dtype=np.float64), abs=1e-12)


def test_constant_images_by_hand() -> None:
    """Without variance only the luminance term is left: (2 a b + C1) / (a² + b² + C1)."""
    a, b, c1 = 0.4, 0.6, 0.01**2
    value = ssim(np.full((12, 12, 12), a), np.full((12, 12, 12), b), data_range=1.0, precision="float64")
    assert value == pytest.approx((2 * a * b + c1) / (a * a + b * b + c1), abs=1e-12)


def test_the_data_range_changes_the_value(pair) -> None:
    """Seed facts, section 4.6: a range of 2 for images in [0, 1] makes the SSIM too high."""
    assert ssim(*pair, data_range=2.0) > ssim(*pair, data_range=1.0)


def test_float32_keeps_its_digits_on_bright_flat_images(rng: np.random.Generator) -> None:
    bright = 1000 + rng.random((14, 14, 14))
    noisy = bright + 0.1 * rng.random((14, 14, 14))
    exact = ssim(bright, noisy, data_range=1000.0, precision="float64")
    assert ssim(bright, noisy, data_range=1000.0) == pytest.approx(exact, abs=1e-6)


def test_an_image_smaller_than_the_window_is_undefined() -> None:
    thin = np.zeros((20, 20, 4))
    value, reason = ssim.score(thin, thin, data_range=1.0)
    assert math.isnan(value)
    assert "4 voxels along axis 2" in reason
    assert ssim(thin, thin, data_range=1.0, axis=2) == 1.0


def test_wrong_options_are_named() -> None:
    image = np.zeros((12, 12, 12))
    for wrong in ({"window": "box"}, {"axis": 3}, {"precision": "float16"}, {"covariance": "biased"}):
        with pytest.raises(ConfigError, match="ssim"):
            ssim(image, image, data_range=1.0, **wrong)
    with pytest.raises(GeometryError, match="2 or 3 axes"):
        ssim(np.zeros(12), np.zeros(12), data_range=1.0)
    with pytest.raises(TypeError, match="data_range"):
        ssim(image, image)
