"""The challenge tool's numbers: scipy for torchmetrics' SSIM (reflected border, sagittal slices), numpy elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import correlate1d


def torchmetrics_ssim(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Full map of gaussian SSIM, range 1, across slices of the first axis; border reflected without repeating it."""
    bell = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    bell /= bell.sum()

    def mean(image: np.ndarray) -> np.ndarray:
        for axis in (1, 2):
            image = correlate1d(image, bell, axis=axis, mode="mirror")
        return image

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    return ((2 * mx * my + c1) * (2 * cov + c2)) / ((mx**2 + my**2 + c1) * (vx + vy + c2))


def test_equals_the_tools_formulas(pair, score) -> None:
    reference, estimate = (1000 * image for image in pair)
    found = score("brasyn", reference, estimate)
    low, high = np.percentile(reference, (0.5, 99.5))
    low = max(low, 0.0)
    x, y = (np.clip((image - low) / (high - low), 0, 1) for image in (reference, estimate))
    mse = ((x - y) ** 2).mean()
    assert found["ssim"] == pytest.approx(torchmetrics_ssim(x, y).mean(), abs=1e-6)
    assert found["mse"] == pytest.approx(mse, abs=1e-6)
    assert found["rmse"] == pytest.approx(np.sqrt(mse), abs=1e-6)
    assert found["mae"] == pytest.approx(np.abs(x - y).mean(), abs=1e-6)
    assert found["psnr"] == pytest.approx(10 * np.log10((x.max() - x.min()) ** 2 / mse), abs=1e-6)
    assert found["psnr_01"] == pytest.approx(10 * np.log10(1 / mse), abs=1e-6)


def test_the_scale_does_not_come_from_an_inverted_mask(pair, score) -> None:
    """The tool's percentiles of 254 times the image would raise its PSNR by about 48 dB."""
    reference, estimate = pair
    high = np.percentile(254 * reference, 99.5)
    faulty = 10 * np.log10(1 / ((np.clip(reference / high, 0, 1) - np.clip(estimate / high, 0, 1)) ** 2).mean())
    assert faulty - score("brasyn", reference, estimate)["psnr_01"] > 40
