"""The released code's numbers, from its formulas in plain numpy; and why they flatter."""

from __future__ import annotations

import numpy as np
import pytest


def released(reference: np.ndarray, estimate: np.ndarray, brain: np.ndarray) -> dict[str, float]:
    x, y = (np.where(brain, image, 0.0) for image in (reference, estimate))
    covariance = ((x - x.mean()) * (y - y.mean())).mean()
    luminance = (2 * x.mean() * y.mean() + 0.01) / (x.mean() ** 2 + y.mean() ** 2 + 0.01)
    contrast = (2 * covariance + 0.03) / (np.var(x, ddof=1) + np.var(y, ddof=1) + 0.03)
    return {
        "mae_percent": 100 * np.abs(x - y).mean(),
        "psnr": -10 * np.log10(((x - y) ** 2).mean()),
        "ssim": luminance * contrast,
    }


def test_equals_the_released_formulas(pair, regions, score) -> None:
    found = score("bottani2024-code", *pair)
    for label, value in released(*pair, regions["brain"]).items():
        assert found[label] == pytest.approx(value, abs=1e-6), label


def test_zero_background_flatters(pair, score) -> None:
    """A brain share of f makes MAE f times smaller and PSNR -10 log10(f) higher, whatever the translator does."""
    code, published = score("bottani2024-code", *pair), score("bottani2024", *pair, "brain")
    share = code["mae_percent"] / published["mae_percent"]
    assert share < 0.5
    assert code["psnr"] - published["psnr"] == pytest.approx(-10 * np.log10(share), abs=1e-6)
    assert code["ssim"] > published["ssim"]
