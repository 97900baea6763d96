"""8-bit slices with brain on [-1, 1]: scikit-image and plain numpy, slice by slice."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity


def test_equals_scikit_image_on_the_networks_scale(pair, regions, score) -> None:
    found = score("tagawa2025", *pair)
    reference, estimate = ((2 * (np.round(255 * image) / 255) - 1) for image in pair)
    kept = np.flatnonzero(regions["brain"].any(axis=(0, 1)))
    assert 0 < kept.size < regions["head"].any(axis=(0, 1)).sum()
    slices = [(reference[..., k], estimate[..., k]) for k in kept]
    psnr = [peak_signal_noise_ratio(a, b, data_range=2.0) for a, b in slices]
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    ssim = [structural_similarity(a, b, data_range=2.0, **options) for a, b in slices]
    assert found["psnr"] == pytest.approx(np.mean(psnr), abs=1e-6)
    assert found["ssim"] == pytest.approx(np.mean(ssim), abs=1e-6)
    assert found["mae"] == pytest.approx(np.mean([np.abs(a - b).mean() for a, b in slices]), abs=1e-6)
    assert found["rmse"] == pytest.approx(np.mean([np.sqrt(((a - b) ** 2).mean()) for a, b in slices]), abs=1e-6)


def test_the_offset_of_the_scale_matters_to_ssim(pair, score) -> None:
    """SSIM of [-1, 1] with range 2 is another number than SSIM of [0, 1] with range 1."""
    plain = [structural_similarity(*(i[..., k] for i in pair), data_range=1.0, gaussian_weights=True, sigma=1.5)
             for k in range(5, 15)]  # fmt: skip
    assert abs(score("tagawa2025", *pair)["ssim"] - np.mean(plain)) > 1e-3
