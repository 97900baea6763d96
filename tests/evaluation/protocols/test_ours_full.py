"""The long protocol has everything the default has, with the same values."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.evaluation.protocols.ours import RECONTRAST
from recontrast.evaluation.protocols.ours_full import RECONTRAST_FULL
from recontrast.evaluation.scores import score_volume


def test_agrees_with_the_default_and_adds_to_it(rng: np.random.Generator) -> None:
    reference = rng.random((40, 38, 12))
    estimate = np.clip(reference + 0.05 * rng.standard_normal(reference.shape), 0, 1)
    brain = np.zeros(reference.shape, bool)
    brain[8:30, 8:30, 3:9] = True
    short = {r.metric: r for r in score_volume(RECONTRAST, reference, estimate, {"brain": brain})}
    long = {r.metric: r for r in score_volume(RECONTRAST_FULL, reference, estimate, {"brain": brain})}
    for label, record in short.items():
        assert long[label].value == pytest.approx(record.value, rel=1e-6)
    assert {"nmi", "lncc", "cw_ssim_axial", "gradient_distance"} <= set(long) - set(short)
    assert long["lpips_axial"].status == "no LPIPS weights were given"
    assert "fewer than the MS-SSIM" in long["ms_ssim_axial"].status
