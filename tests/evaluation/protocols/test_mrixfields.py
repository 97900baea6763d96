"""The challenge's script in numpy and scikit-image: target clipped at its 99.5th percentile, estimate on its scale."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import structural_similarity


@pytest.mark.parametrize("floor", [0.0, 50.0])
def test_equals_the_challenges_formulas(pair, score, floor: float) -> None:
    target, made = (1000 * image + floor for image in pair)
    found = score("mrixfields", target, made)
    top = np.percentile(target, 99.5)
    x, y = np.clip(target, 0, top) / top, made / top
    assert found["nrmse"] == pytest.approx(np.linalg.norm(y - x) / np.linalg.norm(x), abs=1e-6)
    span = x.max() - x.min()
    kept = [k for k in range(x.shape[2]) if np.ptp(x[..., k]) > 1e-10]
    assert len(kept) < x.shape[2]
    values = [structural_similarity(y[..., k], x[..., k], data_range=span) for k in kept]
    assert found["ssim"] == pytest.approx(np.mean(values), abs=1e-6)
