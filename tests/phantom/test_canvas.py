"""Painting tissues."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.errors import UnknownNameError
from recontrast.phantom.canvas import Canvas, soft
from recontrast.phantom.grids import Grid


@pytest.fixture
def canvas() -> Canvas:
    return Canvas(Grid((20, 22, 24), (1.0, 1.0, 1.0), (-10.0, -11.0, -12.0)), ("fat", "muscle"))


def test_layers_cover_each_other_and_never_exceed_one(canvas):
    everywhere = np.ones(canvas.grid.shape)
    canvas.lay("fat", everywhere)
    canvas.lay("muscle", 0.25 * everywhere)
    np.testing.assert_allclose(canvas.fractions[:, 3, 3, 3], [0.75, 0.25])
    canvas.lay("air", 0.5 * everywhere)
    np.testing.assert_allclose(canvas.fractions.sum(axis=0), 0.5)


def test_blob_has_the_volume_of_its_ellipsoid(canvas):
    canvas.blob("fat", (1.0, -2.0, 0.5), (4.0, 5.0, 6.0))
    assert canvas.fractions.sum() == pytest.approx(4 / 3 * np.pi * 4 * 5 * 6, rel=0.03)
    centre = (canvas.fractions[0] * canvas.axes[0]).sum() / canvas.fractions[0].sum()
    assert centre == pytest.approx(1.0, abs=0.05)


def test_thin_tube_keeps_its_cross_section(canvas):
    canvas.tube("fat", ((-6.0, 0.0, 0.0), (6.0, 0.0, 0.0)), 3.0)
    assert canvas.fractions[0][4:16].sum() / 12 == pytest.approx(np.pi * 9, rel=0.1)
    assert canvas.fractions[1].sum() == 0


def test_bodies_outside_leave_no_trace(canvas):
    canvas.blob("fat", (100.0, 0.0, 0.0), (4.0, 5.0, 6.0))
    canvas.tube("fat", ((100.0, 0.0, 0.0), (110.0, 0.0, 0.0)), 2.0)
    assert canvas.fractions.sum() == 0


def test_soft_is_a_ramp_around_zero():
    np.testing.assert_allclose(soft(np.array([-1.0, -0.25, 0.0, 0.25, 1.0])), [0, 0.25, 0.5, 0.75, 1])


def test_unknown_tissue(canvas):
    with pytest.raises(UnknownNameError, match="there is: fat, muscle"):
        canvas.index("bone")
