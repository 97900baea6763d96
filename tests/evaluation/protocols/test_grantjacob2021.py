"""Each plane by itself, 8 bit, peak of both images: plain numpy and scikit-image on 0 to 255."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import structural_similarity


@pytest.mark.parametrize(("plane", "axis"), [("sagittal", 0), ("coronal", 1), ("axial", 2)])
def test_equals_the_published_formulas_on_grey_levels(pair, score, plane: str, axis: int) -> None:
    found = score("grantjacob2021", *pair)
    actual, generated = (np.moveaxis(np.round(255 * image), axis, 0) for image in pair)
    slices = [(a, g) for a, g in zip(actual, generated, strict=True) if a.max() > a.min()]
    assert len(slices) < len(actual)
    errors = [((g - a) ** 2).mean() for a, g in slices]
    nrmse = [np.sqrt(e) / (a.max() - a.min()) for e, (a, _) in zip(errors, slices, strict=True)]
    psnr = [10 * np.log10(max(a.max(), g.max()) ** 2 / e) for e, (a, g) in zip(errors, slices, strict=True)]
    options = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    ssim = [structural_similarity(a, g, **options) for a, g in slices]
    assert found[f"nrmse_{plane}"] == pytest.approx(np.mean(nrmse), abs=1e-6)
    assert found[f"psnr_{plane}"] == pytest.approx(np.mean(psnr), abs=1e-6)
    assert found[f"ssim_{plane}"] == pytest.approx(np.mean(ssim), abs=1e-6)
