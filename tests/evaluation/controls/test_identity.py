from __future__ import annotations

import numpy as np

from recontrast.evaluation.controls.identity import Identity


def test_shows_the_first_source() -> None:
    assert Identity().predict(np.array([[1.0, 2.0], [3.0, 4.0]])).tolist() == [1.0, 3.0]
    assert not Identity.learns
    assert Identity.anywhere
