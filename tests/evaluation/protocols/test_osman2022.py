"""The paper's numbers, computed as its code would with an explicit data range: scikit-image, slice by slice."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from recontrast.evaluation.protocols.osman2022 import OSMAN2022
from recontrast.evaluation.scores import score_volume


def test_equals_scikit_image_slice_by_slice(rng: np.random.Generator) -> None:
    reference = np.zeros((20, 18, 9))
    reference[4:16, 3:15, 2:8] = rng.random((12, 12, 6))
    estimate = np.clip(reference + 0.05 * rng.standard_normal(reference.shape), 0, 1)
    records = {r.metric: r for r in score_volume(OSMAN2022, reference, estimate, {"head": reference > 0})}
    kept = range(2, 8)  # slices without head are left out, as in the paper
    pairs = [(reference[..., k], estimate[..., k]) for k in kept]
    psnr = np.mean([peak_signal_noise_ratio(a, b, data_range=1.0) for a, b in pairs])
    ssim = np.mean([structural_similarity(a, b, data_range=1.0) for a, b in pairs])
    assert records["psnr"].value == pytest.approx(psnr, abs=1e-6)
    assert records["ssim"].value == pytest.approx(ssim, abs=1e-6)
    assert records["mae"].value == pytest.approx(np.mean([np.abs(a - b).mean() for a, b in pairs]))
    assert records["mse"].value == pytest.approx(np.mean([((a - b) ** 2).mean() for a, b in pairs]))
    assert {(r.unit, r.units, r.region) for r in records.values()} == {("slice", 6, "image")}
