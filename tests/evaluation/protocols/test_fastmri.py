"""fastMRI's metrics: scikit-image with the volume's maximum as range, every slice."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity


def test_equals_the_published_metrics(pair, score) -> None:
    reference, estimate = (3.5 * image for image in pair)
    found = score("fastmri", reference, estimate)
    top = reference.max()
    assert found["mse"] == pytest.approx(((reference - estimate) ** 2).mean(), abs=1e-6)
    norms = np.linalg.norm(reference - estimate), np.linalg.norm(reference)
    assert found["nmse"] == pytest.approx(norms[0] ** 2 / norms[1] ** 2, abs=1e-6)
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(reference, estimate, data_range=top), abs=1e-6)
    values = [structural_similarity(reference[..., k], estimate[..., k], data_range=top) for k in range(20)]
    assert found["ssim"] == pytest.approx(np.mean(values), abs=1e-6)
