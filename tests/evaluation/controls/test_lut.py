"""The look-up table by hand."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.evaluation.controls.lut import Lut


def test_takes_the_most_probable_value_not_the_mean() -> None:
    source = np.repeat([0.0, 1.0], [10, 10])[:, None]
    target = np.r_[[0.0] * 7, [1.0] * 3, [1.0] * 6, [0.5] * 4]
    lut = Lut()
    assert "2 of them occur" in lut.fit(source, target, 0)
    made = lut.predict(np.array([[0.0], [0.2], [0.9], [5.0], [-3.0]]))
    assert made == pytest.approx([0.0, 0.0, 1.0, 1.0, 0.0], abs=1 / 256)


def test_may_go_up_and_down_unlike_the_quantile_map(rng: np.random.Generator) -> None:
    source = rng.random((50_000, 1))
    target = np.abs(source[:, 0] - 0.5)
    lut = Lut()
    lut.fit(source, target, 0)
    assert lut.predict(source) == pytest.approx(target, abs=0.01)
