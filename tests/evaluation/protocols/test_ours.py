"""The default protocol."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from recontrast.evaluation.protocols.ours import RECONTRAST
from recontrast.evaluation.scores import score_volume


def test_whole_volumes_in_each_region(rng: np.random.Generator) -> None:
    reference = rng.random((20, 18, 14))
    estimate = reference + 0.05 * rng.standard_normal(reference.shape)
    brain = np.zeros(reference.shape, bool)
    brain[7:13, 6:12, 5:9] = True
    values = {r.metric: r.value for r in score_volume(RECONTRAST, reference, estimate, {"brain": brain})}
    difference = (estimate - reference)[brain]
    assert values["mae"] == pytest.approx(np.abs(difference).mean())
    assert values["psnr"] == pytest.approx(10 * np.log10(1 / (difference**2).mean()))
    span = np.ptp(reference[brain])
    assert values["nrmse"] == pytest.approx(np.sqrt((difference**2).mean()) / span)
    options = {"data_range": 1.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "full": True}
    field = structural_similarity(reference, estimate, **options)[1]
    assert values["ssim"] == pytest.approx(field[brain].mean(), abs=1e-6)
    slices = [structural_similarity(reference[..., k], estimate[..., k], **options)[1] for k in range(14)]
    assert values["ssim_axial"] == pytest.approx(np.stack(slices, axis=2)[brain].mean(), abs=1e-6)
