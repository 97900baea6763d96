"""Hounsfield units inside the body, range 4095, and the challenge's MS-SSIM written out with scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import uniform_filter
from scipy.signal import fftconvolve
from skimage.metrics import peak_signal_noise_ratio


def challenge_ms_ssim(x: np.ndarray, y: np.ndarray, inside: np.ndarray) -> float:
    """Masked MS-SSIM, straight from its description: five scales, uniform 7, everything to the same exponent."""
    weights = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]
    pads = [(max(0, 97 - n) // 2, max(0, 97 - n) - max(0, 97 - n) // 2) for n in x.shape]
    x, y, mask = (np.pad(image, pads, mode="edge") for image in (x, y, inside.astype(float)))
    n = 7**3
    value = 1.0
    c1, c2 = (0.01 * 4095) ** 2, (0.03 * 4095) ** 2
    for weight in weights:
        mx, my = uniform_filter(x, 7), uniform_filter(y, 7)
        vx = n / (n - 1) * (uniform_filter(x * x, 7) - mx * mx)
        vy = n / (n - 1) * (uniform_filter(y * y, 7) - my * my)
        cov = n / (n - 1) * (uniform_filter(x * y, 7) - mx * my)
        sx, sy = np.sqrt(np.clip(vx, 0, None)), np.sqrt(np.clip(vy, 0, None))
        terms = (
            (2 * mx * my + c1) / (mx * mx + my * my + c1),
            (2 * sx * sy + c2) / (vx + vy + c2),
            (cov + c2 / 2) / (sx * sy + c2 / 2),
        )
        field = np.prod([np.clip(term, 0, None) ** weight for term in terms], axis=0)
        middle = (slice(3, -3),) * 3
        value *= np.clip(field[middle][mask[middle].astype(bool)].mean(), 0, 1)
        x, y = (fftconvolve(image, np.ones((2, 2, 2)) / 8, mode="same") for image in (x, y))
        x, y, mask = (image[::2, ::2, ::2] for image in (x, y, mask))
    return float(value)


def test_equals_the_released_definition(pair, regions, score) -> None:
    truth, made = (5000 * image - 1400 for image in pair)
    found = score("synthrad2025", truth, made, "head")
    inside = regions["head"]
    assert found["mae"] == pytest.approx(np.abs(truth - made)[inside].mean(), abs=1e-6)
    x, y = (np.clip(image, -1024, 3071) for image in (truth, made))
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(x[inside], y[inside], data_range=4095), abs=1e-6)
    x, y = (np.where(inside, image, -1024) + 1024 for image in (x, y))
    assert found["ms_ssim"] == pytest.approx(challenge_ms_ssim(x, y, inside), abs=1e-6)
