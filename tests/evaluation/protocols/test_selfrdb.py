"""SelfRDB's metrics in plain numpy and scikit-image: mask, magnitude, own mean, reference's maximum."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity


def test_equals_scikit_image_after_the_released_normalisation(pair, regions, score) -> None:
    found = score("selfrdb", *pair)
    psnr, ssim = [], []
    for k in np.flatnonzero(regions["brain"].any(axis=(0, 1))):
        real, fake = (np.abs(image[..., k] * regions["brain"][..., k]) for image in pair)
        real, fake = real / real.mean(), fake / fake.mean()
        psnr.append(peak_signal_noise_ratio(real, fake, data_range=real.max()))
        ssim.append(structural_similarity(real, fake, data_range=real.max()))
    assert found["psnr"] == pytest.approx(np.mean(psnr), abs=1e-6)
    assert found["ssim"] == pytest.approx(np.mean(ssim), abs=1e-6)


def test_an_empty_slice_of_the_estimate_is_counted_not_dropped_in_silence(pair, regions) -> None:
    from recontrast.evaluation.protocols import PROTOCOLS
    from recontrast.evaluation.scores import score_volume

    black = pair[1].copy()
    black[..., 10] = 0
    records = score_volume(PROTOCOLS.get("selfrdb"), pair[0], black, regions)
    whole = score_volume(PROTOCOLS.get("selfrdb"), *pair, regions)
    assert records[0].units == whole[0].units
    assert records[0].units_undefined == 1
