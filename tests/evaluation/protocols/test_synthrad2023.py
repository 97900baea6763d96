"""Hounsfield units inside the body, range 4024: scikit-image's map averaged inside the mask."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity


def test_equals_the_released_definition(pair, regions, score) -> None:
    truth, made = (5000 * image - 1400 for image in pair)  # beyond both ends of the range
    found = score("synthrad2023", truth, made, "head")
    inside = regions["head"]
    assert found["mae"] == pytest.approx(np.abs(truth - made)[inside].mean(), abs=1e-6)
    x, y = (np.clip(image, -1024, 3000) for image in (truth, made))
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(x[inside], y[inside], data_range=4024), abs=1e-6)
    x, y = (np.where(inside, image, -1024) + 1024 for image in (x, y))
    field = structural_similarity(x, y, data_range=4024, full=True)[1]
    assert found["ssim"] == pytest.approx(field[3:-3, 3:-3, 3:-3][inside[3:-3, 3:-3, 3:-3]].mean(), abs=1e-6)
