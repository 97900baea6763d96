"""Inside the brain only: scikit-image's map averaged there."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import structural_similarity


def test_equals_scikit_image_inside_the_brain(pair, regions, score) -> None:
    found = score("bottani2024", *pair, "brain")
    inside = regions["brain"]
    difference = (pair[1] - pair[0])[inside]
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "full": True}
    field = structural_similarity(*pair, data_range=1.0, **options)[1]
    assert found["mae_percent"] == pytest.approx(100 * np.abs(difference).mean(), abs=1e-6)
    assert found["psnr"] == pytest.approx(-10 * np.log10((difference**2).mean()), abs=1e-6)
    assert found["ssim"] == pytest.approx(field[inside].mean(), abs=1e-6)


def test_without_a_brain_mask_the_head_is_scored(pair, regions, score) -> None:
    found = score("bottani2024", *pair, "head", {"head": regions["head"]})
    assert found["mae_percent"] == pytest.approx(100 * np.abs(pair[1] - pair[0])[regions["head"]].mean())
