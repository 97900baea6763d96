"""The oracle is fitted on the image it is judged on, and says so."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.evaluation.controls.lut_oracle import LutOracle
from recontrast.evaluation.fitting import compartments, fit_controls


def test_is_fitted_on_the_test_image_and_marked(rng: np.random.Generator) -> None:
    source, head = rng.random((9, 9, 9)), np.ones((9, 9, 9), bool)
    target = np.round(4 * source) / 4
    fitted, absent = fit_controls(["lut-oracle"], {}, 0)
    assert absent == {}
    assert fitted["lut-oracle"].facts["oracle"] is True
    assert "test image" in fitted["lut-oracle"].facts["fit"]
    made = fitted["lut-oracle"].predict([source], compartments(head, None), target)
    assert np.mean(np.abs(made - target)) < 0.02
    assert LutOracle.title.startswith("ORACLE")
    with pytest.raises(ValueError, match="oracle"):
        fitted["lut-oracle"].predict([source], compartments(head, None))
