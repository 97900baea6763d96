from __future__ import annotations

import numpy as np
import pytest

from recontrast.evaluation.controls.quantile import Quantile


def test_gives_the_source_the_targets_histogram(rng: np.random.Generator) -> None:
    source, target = rng.random((5000, 1)), rng.normal(3, 1, 5000)
    control = Quantile()
    control.fit(source, target, 0)
    made = control.predict(source)
    assert np.quantile(made, [0.1, 0.5, 0.9]) == pytest.approx(np.quantile(target, [0.1, 0.5, 0.9]), abs=0.02)
    order = np.argsort(source[:, 0])
    assert (np.diff(made[order]) >= 0).all()


def test_many_voxels_of_one_intensity_become_one_intensity() -> None:
    source = np.concatenate([np.zeros(500), np.linspace(1, 2, 500)])[:, None]
    target = np.concatenate([np.linspace(0, 0.2, 500), np.linspace(1, 2, 500)])
    control = Quantile()
    control.fit(source, target, 0)
    assert control.predict(np.zeros((1, 1)))[0] == pytest.approx(0.1, abs=0.01)
