from __future__ import annotations

import numpy as np
import pytest

from recontrast.evaluation.controls.affine import Affine


def test_finds_gain_and_offset_even_when_negative() -> None:
    source = np.linspace(0, 1, 50)[:, None]
    control = Affine()
    words = control.fit(source, 0.9 - 0.4 * source[:, 0], 0)
    assert "-0.4 x first source + 0.9" in words
    assert control.predict(np.array([[0.5]])) == pytest.approx([0.7])


def test_is_the_least_squares_fit(rng: np.random.Generator) -> None:
    source, target = rng.random((100, 2)), rng.random(100)
    control = Affine()
    control.fit(source, target, 0)
    gain, offset = np.polyfit(source[:, 0], target, 1)
    assert control.predict(source) == pytest.approx(gain * source[:, 0] + offset)
