from __future__ import annotations

import numpy as np
import pytest

from recontrast.evaluation.controls.ridge import Ridge


def test_learns_a_cubic_of_two_sources(rng: np.random.Generator) -> None:
    sources = rng.random((3000, 2))
    target = 0.2 + sources[:, 0] * sources[:, 1] ** 2 - 0.5 * sources[:, 0] ** 3
    control = Ridge()
    control.fit(sources, target, 0)
    assert control.predict(sources) == pytest.approx(target, abs=0.03)
