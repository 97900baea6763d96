"""Only the gain is fitted."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.evaluation.controls.bloch import Bloch


def test_finds_the_gain_and_nothing_else(rng: np.random.Generator) -> None:
    signal = rng.random((500, 1))
    control = Bloch()
    assert control.fit(signal, 3.5 * signal[:, 0], 0) == "target = 3.5 x signal"
    assert control.predict(np.array([[0.0], [2.0]])) == pytest.approx([0.0, 7.0])
    control.fit(signal, 3.5 * signal[:, 0] + 1, 0)
    assert control.predict(np.zeros((1, 1)))[0] == 0  # no offset
    assert Bloch.from_maps
