"""The face on a small canvas."""

from __future__ import annotations

import numpy as np

from recontrast.phantom.canvas import Canvas
from recontrast.phantom.face import paint_face
from recontrast.phantom.grids import covering
from recontrast.phantom.tissues import HEALTHY


def test_face_is_symmetric_and_leaves_the_inside_of_the_skull_alone():
    grid = covering((-100, -60, -120), (100, 110, 0), 5.0)
    canvas = Canvas(grid, HEALTHY)
    canvas.lay("muscle", np.ones(grid.shape))
    outside = np.full(grid.shape, 20.0, np.float32)
    paint_face(canvas, outside, np.zeros(grid.shape, np.float32))
    # Bodies of both sides meet at the midline, where the one painted last wins.
    assert np.abs(canvas.fractions - canvas.fractions[:, ::-1]).mean() < 1e-4
    assert all(canvas.fractions[canvas.index(name)].max() > 0.5 for name in ("eyes", "fat", "skull", "mucosa"))
    inside = Canvas(grid, HEALTHY)
    paint_face(inside, -outside, np.zeros(grid.shape, np.float32))
    assert inside.fractions[inside.index("skull")].max() == 0
