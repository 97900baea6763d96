"""The brain from nilearn's maps."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from recontrast.errors import DependencyError
from recontrast.phantom.grids import covering
from recontrast.phantom.template import onto, read_brain


@pytest.mark.slow
def test_fractions_fill_the_brain_and_nothing_else():
    brain = read_brain()
    total = sum(brain.fractions.values())
    assert set(brain.fractions) == {"GM", "WM", "CSF", "deepGM", "pallidum"}
    assert np.all((np.abs(total - 1) < 1e-3) | (total == 0))
    assert brain.ventricles.max() > 0.9
    assert brain.distance[brain.fractions["WM"] > 0.95].max() < 2
    coarse = onto(brain, covering((-120, -160, -120), (120, 120, 120), 8.0))
    assert coarse.distance[0, 0, 0] > 60
    assert sum(part[0, 0, 0] for part in coarse.fractions.values()) == 0


def test_missing_nilearn_is_said(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match="pip install nilearn"):
        read_brain()
