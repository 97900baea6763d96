"""SSIM as scikit-image before 0.20 computed it for floats: data range 2; and the 64 middle slices."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity


def test_equals_scikit_image_with_range_two(pair, regions, score) -> None:
    found = score("osman2022-code", *pair)
    kept = np.flatnonzero(regions["head"].any(axis=(0, 1)))
    slices = [tuple(image[..., k] for image in pair) for k in kept]
    assert found["ssim"] == pytest.approx(
        np.mean([structural_similarity(*s, data_range=2.0) for s in slices]), abs=1e-6
    )
    assert found["psnr"] == pytest.approx(np.mean([peak_signal_noise_ratio(*s, data_range=1.0) for s in slices]))
    assert found["ssim"] > score("osman2022", *pair)["ssim"]


def test_takes_the_64_slices_in_the_middle_of_the_head(rng: np.random.Generator, score) -> None:
    reference, estimate = rng.random((8, 8, 90)), rng.random((8, 8, 90))
    head = np.zeros((8, 8, 90), bool)
    head[..., 5:85] = True
    found = score("osman2022-code", reference, estimate, masks={"head": head})
    middle = slice(45 - 32, 45 + 32)
    assert found["mae"] == pytest.approx(np.abs(reference - estimate)[..., middle].mean())
