"""The protocol of selection has the default's values, sharpness beside them, and LPIPS where there are weights."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.evaluation.protocols.ours import RECONTRAST
from recontrast.evaluation.protocols.selection import RECONTRAST_SELECTION
from recontrast.evaluation.scores import score_volume


def test_values_are_those_of_the_default(rng: np.random.Generator) -> None:
    reference = rng.random((24, 22, 12))
    estimate = np.clip(reference + 0.05 * rng.standard_normal(reference.shape), 0, 1)
    brain = np.zeros(reference.shape, bool)
    brain[6:20, 6:18, 3:9] = True
    default = {r.metric: r for r in score_volume(RECONTRAST, reference, estimate, {"brain": brain})}
    found = {r.metric: r for r in score_volume(RECONTRAST_SELECTION, reference, estimate, {"brain": brain})}
    for label in ("psnr", "mae", "ssim_axial"):
        assert found[label].value == pytest.approx(default[label].value, rel=1e-6)
        assert found[label].region == "brain"
    assert np.isfinite(found["gradient_distance"].value)
    assert found["lpips_axial"].status == "no LPIPS weights were given"
