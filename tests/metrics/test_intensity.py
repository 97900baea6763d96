"""Hand-computed values of MAE, MSE, RMSE, NRMSE and PSNR."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage import metrics as published

from recontrast.errors import ConfigError
from recontrast.metrics.intensity import mae, mse, nrmse, psnr, psnr_of_mse, rmse

REFERENCE = np.array([0.0, 2.0, 4.0, 10.0])
ESTIMATE = np.array([1.0, 2.0, 2.0, 13.0])  # differences 1, 0, -2, 3


def test_means_of_differences() -> None:
    assert mae(REFERENCE, ESTIMATE) == 6 / 4
    assert mse(REFERENCE, ESTIMATE) == 14 / 4
    assert rmse(REFERENCE, ESTIMATE) == pytest.approx(math.sqrt(3.5))


@pytest.mark.parametrize(
    ("divisor", "value"),
    [
        ("range_ref", 10.0),
        ("mean_ref", 4.0),
        ("mean_eval", 4.5),
        ("std_ref", math.sqrt((16 + 4 + 0 + 36) / 4)),
        ("iqr_ref", 5.5 - 1.5),
    ],
)
def test_nrmse_by_each_divisor(divisor, value: float) -> None:
    assert nrmse(REFERENCE, ESTIMATE, divisor=divisor) == pytest.approx(math.sqrt(3.5) / value)


def test_nrmse_agrees_with_scikit_image(rng: np.random.Generator) -> None:
    reference, estimate = rng.random((8, 9)), rng.random((8, 9))
    expected = published.normalized_root_mse(reference, estimate, normalization="min-max")
    assert nrmse(reference, estimate) == pytest.approx(expected)


def test_nrmse_of_a_constant_reference_is_undefined() -> None:
    value, reason = nrmse.score(np.ones(4), ESTIMATE, divisor="range_ref")
    assert math.isnan(value)
    assert "range_ref is 0" in reason


def test_the_published_psnr_of_osman2022() -> None:
    # Seed facts, section 8: MSE 0.0012 at peak 1 is 29.21 dB.
    assert round(float(psnr_of_mse(0.0012, 1.0)), 2) == 29.21
    noise = math.sqrt(0.0012) * np.array([1.0, -1.0, 1.0, -1.0])
    assert round(psnr(np.full(4, 0.5), 0.5 + noise, data_range=1.0), 2) == 29.21


@pytest.mark.parametrize(("peak", "full_scale"), [("data_range", 25.0), ("max_ref", 10.0), ("max_both", 13.0)])
def test_psnr_by_each_peak(peak, full_scale: float) -> None:
    value = psnr(REFERENCE, ESTIMATE, data_range=25.0, peak=peak)
    assert value == pytest.approx(10 * math.log10(full_scale**2 / 3.5))


def test_psnr_agrees_with_scikit_image(rng: np.random.Generator) -> None:
    reference, estimate = rng.random((8, 9)), rng.random((8, 9))
    expected = published.peak_signal_noise_ratio(reference, estimate, data_range=2.0)
    assert psnr(reference, estimate, data_range=2.0) == pytest.approx(expected)


def test_psnr_never_guesses_its_peak() -> None:
    with pytest.raises(ConfigError, match="needs data_range"):
        psnr(REFERENCE, ESTIMATE)


def test_psnr_of_identical_images_is_infinite() -> None:
    assert psnr(REFERENCE, REFERENCE, data_range=1.0) == math.inf


def test_unknown_divisor_and_peak_name_what_there_is() -> None:
    with pytest.raises(ConfigError, match="range_ref, mean_ref"):
        nrmse(REFERENCE, ESTIMATE, divisor="mean")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="max_both"):
        psnr(REFERENCE, ESTIMATE, data_range=1.0, peak="max")  # type: ignore[arg-type]


def test_unsigned_differences_do_not_wrap_around() -> None:
    dark, bright = np.array([0, 10], np.uint8), np.array([255, 5], np.uint8)
    assert mae(dark, bright) == 130.0
    assert mse(np.array([-32768], np.int16), np.array([32767], np.int16)) == 65535.0**2


def test_background_flatters() -> None:
    """Seed facts, section 7.1: zero-filled background raises a brain PSNR by several dB; a mask takes it back."""
    brain = np.linspace(0.2, 1.0, 100)
    image = np.concatenate([brain, np.zeros(163)])  # 62 % background
    estimate = np.concatenate([brain + 0.057, np.zeros(163)])
    gain = psnr(image, estimate, data_range=1.0) - psnr(image, estimate, mask=image > 0, data_range=1.0)
    assert gain == pytest.approx(10 * math.log10(2.63))
