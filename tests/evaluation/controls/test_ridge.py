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


def test_far_outside_the_training_sources_it_stays_within_the_training_targets(rng: np.random.Generator) -> None:
    """Seen on real skull-stripped heads: a few voxels outside the brain, and a cubic that gave minus 45 dB there."""
    sources = rng.random((300, 1)) * 0.1
    target = sources[:, 0] ** 3 + 0.2
    control = Ridge()
    control.fit(sources, target, 0)
    made = control.predict(np.array([[-50.0], [50.0]]))
    assert target.min() <= made.min()
    assert made.max() <= target.max()
